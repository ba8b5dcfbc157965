// Coordination: which neighbours are bonded, those beyond the cell, and the polyhedra they span.

const BONDED = 1.15 / 0.4;  // times the sum of the drawn radii, which are 0.4 of the atoms'

const SHELL = 1.25;  // times the distance of an atom's nearest neighbour: those around it
const PACKED = 9;  // so many around an atom are a packing rather than bonds

const isBonded = (crystal, view, e) => view.distances[e]
  < BONDED * (crystal.atoms[view.receivers[e]].radius + crystal.atoms[view.senders[e]].radius);

function bondsBeyond(crystal, view, attention) {
  // Bonds from drawn atoms to periodic images that are not, so that none lacks its neighbours; but
  // atoms in close packings and metals among themselves have no bonds to count.
  const drawn = new Set(crystal.copies.map(copy => copy.key));
  const bonds = [];
  const isMetal = atom => crystal.atoms[atom].metal;
  for (const copy of crystal.copies) {
    const around = view.edgesOf[copy.index].filter(e => isBonded(crystal, view, e)
      && !(isMetal(copy.index) && isMetal(view.senders[e])));
    const nearest = Math.min(...around.map(e => view.distances[e]));
    const shell = around.filter(e => view.distances[e] < SHELL * nearest);
    for (const e of shell.length < PACKED ? shell : []) {
      const to = copyOf(crystal, view.senders[e], add(copy.cell, view.images[e]));
      if (!drawn.has(to.key))
        bonds.push({ from: copy, to: { ...to, outside: true }, attention: attention[e] });
    }
  }
  return bonds;
}

function polyhedra(crystal, view) {
  // Around each atom whose neighbours are of more electronegative elements: { index, faces }.
  const pull = atom => crystal.atoms[atom].electronegativity ?? 0;
  return crystal.copies.flatMap(copy => {
    const bonded = view.edgesOf[copy.index].filter(e => isBonded(crystal, view, e)
      && pull(view.senders[e]) > pull(copy.index));
    if (bonded.length < 4 || bonded.length >= PACKED) return [];
    const corners = bonded.map(
      e => copyOf(crystal, view.senders[e], add(copy.cell, view.images[e])).at);
    return [{ index: copy.index, faces: hullFaces(corners) }];
  });
}

function hullFaces(corners) {
  // The faces of the convex hull of a dozen points, each with its corners in order.
  const minus = (a, b) => a.map((x, k) => x - b[k]);
  const dot = (a, b) => a.reduce((sum, x, k) => sum + x * b[k], 0);
  const cross = (a, b) => [0, 1, 2].map(k =>
    a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3]);
  const faces = new Map();
  for (let i = 0; i < corners.length; i++)
    for (let j = i + 1; j < corners.length; j++)
      for (let k = j + 1; k < corners.length; k++) {
        const along = minus(corners[j], corners[i]);
        const normal = cross(along, minus(corners[k], corners[i]));
        const size = Math.hypot(...normal);
        if (size < 1e-3) continue;  // the three are in line
        const heights = corners.map(corner => dot(normal, minus(corner, corners[i])) / size);
        if (heights.some(h => h > 0.02) && heights.some(h => h < -0.02)) continue;
        const plane = [...corners.keys()].filter(n => Math.abs(heights[n]) <= 0.02);
        const middle = plane.reduce((sum, n) => add(sum, corners[n]), [0, 0, 0])
          .map(x => x / plane.length);
        const up = cross(normal, along);
        const angle = n => {
          const arm = minus(corners[n], middle);
          return Math.atan2(dot(up, arm) / Math.hypot(...up), dot(along, arm) / Math.hypot(...along));
        };
        faces.set(plane.join(), plane.sort((a, b) => angle(a) - angle(b)).map(n => corners[n]));
      }
  return [...faces.values()];
}

function pictureChoices(state) {
  // Two switches for all pictures of a crystal.
  const choice = (name, words) => {
    const input = make("input", { type: "checkbox", onchange: () => {
      state[name] = input.checked;
      state.redraw();
    } });
    input.checked = state[name];
    return make("label", {}, input, ` ${words}`);
  };
  return make("span", { class: "choices" }, choice("beyond", "neighbours beyond the cell"),
    choice("polyhedra", "polyhedra"));
}
