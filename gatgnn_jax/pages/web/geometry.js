// Crystals in space: where atoms and bonds are, and where they are seen from.

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const add = (a, b) => a.map((x, k) => x + b[k]);
const cartesian = (lattice, f) => [0, 1, 2].map(
  k => f[0] * lattice[0][k] + f[1] * lattice[1][k] + f[2] * lattice[2][k]);
const distance = (a, b) => Math.hypot(...a.map((x, k) => x - b[k]));
const apply = (m, v) => m.map(row => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
const product = (a, b) => a.map(row => [0, 1, 2].map(
  k => row[0] * b[0][k] + row[1] * b[1][k] + row[2] * b[2][k]));
const turn = (x, y) => {  // about the screen's vertical and horizontal axes
  const [cx, sx, cy, sy] = [Math.cos(x), Math.sin(x), Math.cos(y), Math.sin(y)];
  return product([[1, 0, 0], [0, cy, -sy], [0, sy, cy]], [[cx, 0, sx], [0, 1, 0], [-sx, 0, cx]]);
};
const rgb = hex => [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));
const css = c => `rgb(${c.map(Math.round).join(" ")})`;
const mix = (a, b, share) => a.map((x, k) => x + (b[k] - x) * share);
const inkOn = c => 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2] > 140 ? "#000c" : "#fffe";

const EDGE = 0.02;  // an atom this close to a face of the cell stands on the opposite face too

function placedAtoms(crystal) {
  // Every copy of an atom that is in the cell or on its faces: atom, cell and position.
  const copies = [];
  crystal.atoms.forEach((atom, index) => {
    const ranges = atom.position.map(f => {
      const first = Math.ceil(-EDGE - f), last = Math.floor(1 + EDGE - f);
      return Array.from({ length: last - first + 1 }, (_, k) => first + k);
    });
    for (const i of ranges[0]) for (const j of ranges[1]) for (const k of ranges[2])
      copies.push(copyOf(crystal, index, [i, j, k]));
  });
  return copies;
}

const copyOf = (crystal, index, cell) => ({
  index, cell, key: [index, ...cell].join(),
  at: cartesian(crystal.lattice, add(crystal.atoms[index].position, cell)),
});

function allBonds(crystal, view, attention) {
  // Bonds between copies that are drawn anyway; both directions of a bond count half.
  const copies = new Map(crystal.copies.map(copy => [copy.key, copy]));
  const bonds = new Map();
  for (const copy of crystal.copies)
    for (const e of view.edgesOf[copy.index]) {
      const other = copies.get([view.senders[e], ...add(copy.cell, view.images[e])].join());
      if (!other) continue;
      const key = [copy.key, other.key].sort().join("|");
      const bond = bonds.get(key) ?? { from: copy, to: other, sum: 0, count: 0 };
      bond.sum += attention[e];
      bond.count += 1;
      bonds.set(key, bond);
    }
  return [...bonds.values()].map(bond => ({ ...bond, attention: bond.sum / bond.count }));
}

function bondsOf(crystal, view, attention, copy) {
  const copies = new Map(crystal.copies.map(other => [other.key, other]));
  return view.edgesOf[copy.index].map(e => {
    const other = copyOf(crystal, view.senders[e], add(copy.cell, view.images[e]));
    const to = copies.get(other.key) ?? { ...other, outside: true };
    return { from: copy, to, attention: attention[e] };
  });
}

function attentionOf(view, layer) {
  const layers = view.attention;
  if (layer !== "mean") return layers[Math.min(layer, layers.length) - 1];
  const total = e => layers.reduce((sum, values) => sum + values[e], 0);
  return layers[0].map((_, e) => total(e) / layers.length);
}

const START = product(turn(-0.36, 0.2), [[1, 0, 0], [0, 0, 1], [0, -1, 0]]);  // c upwards

function prepare(crystal) {
  // What drawing needs and the data leaves to be worked out.
  const corner = (...f) => cartesian(crystal.lattice, f);
  crystal.copies = placedAtoms(crystal);
  crystal.centre = corner(0.5, 0.5, 0.5);
  crystal.cellEdges = [];
  for (const p of [0, 1]) for (const q of [0, 1]) {
    crystal.cellEdges.push([corner(0, p, q), corner(1, p, q)]);
    crystal.cellEdges.push([corner(p, 0, q), corner(p, 1, q)]);
    crystal.cellEdges.push([corner(p, q, 0), corner(p, q, 1)]);
  }
  const corners = crystal.cellEdges.flat();
  crystal.reach = 0.8 + Math.max(...corners.map(at => distance(at, crystal.centre)));
  for (const view of crystal.views) {
    view.edgesOf = crystal.atoms.map(() => []);
    view.receivers.forEach((atom, e) => view.edgesOf[atom].push(e));
    view.range = layer => {
      const values = attentionOf(view, layer);
      return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    };
  }
}

function viewpoint(draw) {
  // Where pictures are seen from; turning and zooming draws them anew, once a frame.
  let queued = false;
  return {
    camera: { rotation: START, zoom: 1 },
    beyond: true,  // with neighbours beyond the cell
    polyhedra: false,
    redraw() {
      if (queued) return;
      queued = true;
      requestAnimationFrame(() => {
        queued = false;
        draw();
      });
    },
    turnBy(x, y) {
      this.camera.rotation = product(turn(x, y), this.camera.rotation);
      this.redraw();
    },
    zoomBy(factor) {
      this.camera.zoom = clamp(this.camera.zoom * factor, 0.3, 8);
      this.redraw();
    },
    resetCamera() {
      this.camera = { rotation: START, zoom: 1 };
      this.redraw();
    },
  };
}
