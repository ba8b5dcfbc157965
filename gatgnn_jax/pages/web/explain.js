// The page of `python -m gatgnn_jax.explain`: for each crystal its pictures, legend and tables.
// Besides what pictures need: domain [low, high] of the colours; of each view run and weights [n].

const COLORS = DATA.colors.map(rgb);
const colorOf = (value, [low, high]) =>
  COLORS[Math.round(clamp((value - low) / (high - low), 0, 1) * (COLORS.length - 1))];

// As the file calls it, and its number there: copies by symmetry have one label.
const nameOf = (crystal, atom) => `${crystal.atoms[atom].label} (${atom})`;

function colorByWeight(crystal) {
  crystal.single = crystal.views.length === 1;
  for (const view of crystal.views) {
    view.title = `atoms coloured by attention, ${view.run}`;
    const falling = [...crystal.atoms.keys()].sort((a, b) => view.weights[b] - view.weights[a]);
    view.summary = "largest weights: " + falling.slice(0, 3).map(
      atom => `${nameOf(crystal, atom)} ${view.weights[atom].toFixed(4)}`).join(", ");
    view.colorOf = atom => colorOf(view.weights[atom], crystal.domain);
    view.describe = atom => {
      const share = (view.weights[atom] * crystal.atoms.length).toFixed(2);
      return `${nameOf(crystal, atom)} · weight ${view.weights[atom].toFixed(4)}`
        + ` · ${share} × equal share`;
    };
  }
}

function atomTable(crystal, state) {
  const table = make("table", { class: "atoms" });
  const labelOf = atom => crystal.atoms[atom].label;
  const weight = view => ({
    name: crystal.single ? "Weight" : view.label, down: true, value: atom => view.weights[atom],
    cell: atom => [
      swatch(view.colorOf(atom)), view.weights[atom].toFixed(4),
      ...(crystal.single ? [meter(view.weights[atom] / crystal.domain[1])] : []),
    ],
  });
  fillTable(table, "Atoms", "weights sum to 1", [
    { name: "Atom", pick: true, value: atom => atom, cell: atom => `${atom}` },
    { name: "Label", text: true, value: labelOf, cell: labelOf },
    ...crystal.views.map(weight),
  ], [...crystal.atoms.keys()], { by: 0, down: false }, atom => ({ "data-atom": atom }));
  table.addEventListener("click", event => {
    const row = event.target.closest("tr[data-atom]");
    if (row) state.choose(crystal.copies.find(copy => copy.index === +row.dataset.atom));
  });
  return table;
}

function elementTable(crystal) {
  const table = make("table", { class: "elements" });
  const atoms = [...crystal.atoms.keys()];
  const atomsOf = element => atoms.filter(atom => crystal.atoms[atom].element === element);
  const weight = view => {
    const value = element => atomsOf(element).reduce((sum, atom) => sum + view.weights[atom], 0);
    return {
      name: crystal.single ? "Weight, together" : view.label, down: true, value,
      cell: element => [
        value(element).toFixed(4), ...(crystal.single ? [meter(value(element))] : []),
      ],
    };
  };
  const count = element => atomsOf(element).length;
  fillTable(table, "Elements", crystal.single ? "" : "weights of their atoms together", [
    { name: "Element", value: element => element, cell: element => element },
    { name: "Atoms", down: true, value: count, cell: element => `${count(element)}` },
    ...crystal.views.map(weight),
  ], [...new Set(crystal.atoms.map(atom => atom.element))], { by: 2, down: true });
  return table;
}

function bondTable(table, crystal, view, state) {
  // Of the chosen atom every neighbour; else all bonds by element and length.
  const attention = attentionOf(view, state.layer);
  const strongest = view.range(state.layer)[1];
  const elementOf = atom => crystal.atoms[atom].element;
  const note = (crystal.single ? "" : `${view.label}, `)
    + (state.layer === "mean" ? "mean of all layers" : `layer ${state.layer}`);
  const numbers = [
    { name: "Distance, Å", value: row => row.distance, cell: row => row.distance.toFixed(3) },
    { name: "Attention", down: true, value: row => row.sum / row.count, cell: row => [
      (row.sum / row.count).toFixed(4),
      ...(crystal.single ? [meter(row.sum / row.count / strongest)] : []),
    ] },
  ];
  if (state.chosen) {
    const name = atom => nameOf(crystal, atom);
    const rows = view.edgesOf[state.chosen.index].map(e => ({
      atom: view.senders[e], cell: view.images[e].join(" ").replaceAll("-", "−"),
      distance: view.distances[e], sum: attention[e], count: 1,
    }));
    fillTable(table, `Neighbours of ${name(state.chosen.index)}`, note, [
      { name: "Atom", value: row => row.atom, cell: row => name(row.atom) },
      { name: "Cell", text: true, value: row => row.cell, cell: row => row.cell },
      ...numbers,
    ], rows, state.sorted.neighbours);
    return;
  }
  const kinds = new Map();
  attention.forEach((value, e) => {
    const pair = `${elementOf(view.receivers[e])} → ${elementOf(view.senders[e])}`;
    const key = pair + view.distances[e].toFixed(2);
    const kind = kinds.get(key) ?? { pair, distance: view.distances[e], sum: 0, count: 0 };
    kind.sum += value;
    kind.count += 1;
    kinds.set(key, kind);
  });
  fillTable(table, "Bonds", `atom → neighbour, ${note}`, [
    { name: "Bond", value: row => row.pair, cell: row => row.pair },
    { name: "Number", down: true, value: row => row.count, cell: row => `${row.count}` },
    ...numbers,
  ], [...kinds.values()], state.sorted.bonds);
}

function layerChoice(crystal, state) {
  const count = Math.max(...crystal.views.map(view => view.attention.length));
  const layers = [...Array(count).keys()].map(k => k + 1).concat(count > 1 ? ["mean"] : []);
  const choose = event => {
    const chosen = event.target.value;
    state.layer = chosen === "mean" ? chosen : +chosen;
    state.update();
  };
  const button = layer => {
    const input = make("input", { type: "radio", name: "layer", value: layer });
    input.checked = layer === state.layer;
    return make("label", {}, input, make("span", {}, `${layer}`));
  };
  return make("form", { onchange: choose }, make("span", { class: "muted" }, "Bonds in layer"),
    make("span", { class: "segments", role: "radiogroup", "aria-label": "layer" },
      ...layers.map(button)));
}

function weightScale(crystal) {
  const [low, high] = crystal.domain;
  const equal = 1 / crystal.atoms.length;
  // Colours are symmetric about the equal share; no weight is below 0.
  const first = Math.max(low, 0), left = 100 * (equal - first) / (high - first);
  const stops = [...Array(18).keys()].map(
    k => css(colorOf(first + (high - first) * k / 17, crystal.domain))).join();
  const ramp = make("span", { class: "ramp", style: `background:linear-gradient(90deg,${stops})` },
    make("i", { style: `left:${left}%` }));
  return make("span", {}, make("span", { class: "scale" }, `weight ${first.toFixed(3)}`, ramp,
    high.toFixed(3)), ` (mark: equal share, ${equal.toFixed(3)})`);
}

function caption(view) {
  const method = make("span", { class: "muted" }, ` · ${view.method}`);
  const prediction = p => [
    make("div", { class: "value" }, p.value, make("small", {}, ` ${p.unit}`)),
    make("div", { class: "note" }, p.note),
    ...(p.worth ? [make("div", { class: "note" }, p.worth)] : []),
  ];
  return make("figcaption", {}, make("div", { class: "method" }, view.run, method),
    ...view.predictions.flatMap(prediction));
}

function show(crystal) {
  prepare(crystal);
  colorByWeight(crystal);
  const state = {
    ...viewpoint(() => pictures.forEach(picture => picture.draw())), chosen: null, layer: 1,
    sorted: { neighbours: { by: 3, down: true }, bonds: { by: 3, down: true } },
    update() {
      tables.forEach((table, k) => bondTable(table, crystal, crystal.views[k], state));
      state.mark("chosen", state.chosen?.index);
      const ranges = crystal.views.map(view => view.range(state.layer));
      const thin = Math.min(...ranges.map(range => range[0])).toFixed(3);
      const thick = Math.max(...ranges.map(range => range[1])).toFixed(3);
      strength.textContent = `bonds: attention ${thin} (thin) to ${thick} (thick)`;
      state.redraw();
    },
    choose(copy) {
      state.chosen = copy && copy.key !== state.chosen?.key ? copy : null;
      state.update();
    },
    mark(name, atom) {
      section.querySelectorAll("tr[data-atom]").forEach(
        row => (name === "chosen" ? chooseRow(row, +row.dataset.atom === atom)
          : row.classList.toggle(name, +row.dataset.atom === atom)));
    },
    reset() {
      state.resetCamera();
      state.choose(null);
    },
  };

  const kind = crystal.single ? "single" : "several";
  const strength = make("span");
  const tables = crystal.views.map(() => make("table", { class: "bonds" }));
  const pictures = crystal.views.map(view => new Picture(crystal, view, state));
  const figures = pictures.map(({ view, box }) => make("figure", {}, caption(view), box));
  const section = make("section", { class: `crystal ${kind}` },
    make("div", { class: "head" }, make("h2", {}, ...formula(crystal.formula)),
      make("span", { class: "muted" }, `${crystal.id} · ${crystal.atoms.length} atoms`),
      layerChoice(crystal, state)),
    make("div", { class: "body" },
      make("div", { class: "pictures" }, make("div", { class: "figures" }, ...figures),
        make("div", { class: "legend" }, weightScale(crystal), strength, pictureChoices(state))),
      make("div", { class: "side" }, elementTable(crystal),
        scroller("atoms", atomTable(crystal, state)),
        ...tables.map(own => scroller("bonds", own)))));
  document.querySelector("main").append(section);
  state.update();
}

DATA.crystals.forEach(show);
if (DATA.skipped.length) {
  const reasons = DATA.skipped.map(([id, reason]) => `${id} (${reason})`);
  document.querySelector("main").append(make("footer", {}, `Left out: ${reasons.join("; ")}`));
}
