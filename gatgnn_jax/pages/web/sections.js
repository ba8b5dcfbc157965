// The report's lower half: worst predictions, errors by group, settings and data.

function structureOf(row) {
  // The crystal of a row in the colours of its elements.
  const crystal = DATA.structures[row];
  const title = make("div", { class: "title" }, make("b", {}, ...formula(DATA.formulas[row])),
    make("span", { class: "muted" }, ` ${DATA.ids[row]} · ${count(DATA.atoms[row])} atoms`));
  if (!crystal) {
    const why = Object.keys(DATA.structures).length ? "Its structure was not found in the data."
      : "The data hold graphs, or are too large to be searched: no structure can be shown.";
    return [title, make("div", { class: "none" }, why)];
  }
  const muted = symbol => mix(crystal.colors[symbol], [185, 185, 185], 0.3);
  const colorOf = atom => muted(crystal.atoms[atom].element);
  const view = {
    ...crystal, colorOf, title: "coloured by element", attention: [crystal.receivers.map(() => 1)],
    describe: atom => `${crystal.atoms[atom].element} ${atom}`,
  };
  crystal.views = [view];
  prepare(crystal);
  const state = {
    ...viewpoint(() => picture.draw()), chosen: null, layer: 1, mark() {},
    choose(copy) {
      state.chosen = copy && copy.key !== state.chosen?.key ? copy : null;
      state.redraw();
    },
    reset() {
      state.chosen = null;
      state.resetCamera();
    },
  };
  const picture = new Picture(crystal, view, state);
  const symbols = [...new Set(crystal.atoms.map(atom => atom.element))];
  return [title, picture.box, make("div", { class: "keys note" }, ...symbols.map(
    symbol => make("span", {}, swatch(muted(symbol)), symbol)))];
}

function worst(property, shared) {
  const side = make("div", { class: "structure" });
  shared.chosen = property.worst[0];
  const sorted = { by: (property.uncertainty ? 4 : 5) + isClass(property), down: true };  // by the error
  const list = crystals("worst", property, property.worst, sorted, shared);
  const choose = row => {
    shared.chosen = row;
    list.querySelectorAll("tr[data-row]").forEach(
      tr => tr.classList.toggle("chosen", +tr.dataset.row === row));
    side.replaceChildren(...structureOf(row));
  };
  list.addEventListener("click", event => {
    const row = event.target.closest("tr[data-row]");
    if (row) choose(+row.dataset.row);
  });
  if (property.worst.length) choose(shared.chosen);
  return card("Worst predictions", "of the test crystals; click one to see it, drag to turn it",
    make("div", { class: "split" }, make("div", { class: "pad" }, list), side));
}

const groupColumns = (property, name, largest) => [
  { name, value: group => group.order ?? group.name, cell: group => group.name },
  { name: "Test crystals", down: true, value: group => group.count,
    cell: group => count(group.count) },
  { name: errorName(property) + (property.unit && `, ${property.unit}`), down: true,
    value: group => group.error,
    cell: group => [number(group.error, 3), meter(group.error / largest)] },
];
const largestOf = groups => Math.max(...groups.map(group => group.error), 1e-12);

function elements(property) {
  const known = new Map(property.elements.map(
    ([name, tested, error, trained]) => [name, { name, count: tested, error, trained }]));
  const sure = [...known.values()].filter(element => element.count >= FEW);
  const largest = largestOf(sure);
  const cells = DATA.table.map(([symbol, row, column]) => {
    const element = known.get(symbol);
    const kind = !element ? "" : element.count < FEW ? "few" : "known";
    const place = `grid-area:${row}/${column};--share:${element ? element.error / largest : 0}`;
    const title = element ? `${symbol}: ${errorName(property)} ${number(element.error, 3)} over `
      + `${element.count} test crystals; ${count(element.trained)} training crystals`
      : `${symbol}: in no test crystal`;
    return make("div", { class: `cell ${kind}`, style: place, title }, symbol,
      ...(element ? [make("small", {}, number(element.error, 2))] : []));
  });
  const columns = groupColumns(property, "Element", largestOf([...known.values()]));
  columns.splice(2, 0, { name: "Training", down: true, value: group => group.trained,
    cell: group => count(group.trained) });
  return card("Error by element", "test crystals that have it",
    make("div", { class: "split" },
      make("div", {}, make("div", { class: "periodic" }, ...cells),
        make("div", { class: "legend" }, make("span", { class: "scale" }, "0",
          make("span", { class: "shade" }), `${number(largest, 3)} ${property.unit}`),
        `outlined: fewer than ${FEW} test crystals`)),
      make("div", { class: "pad" }, make("div", { class: "scroll tall" },
        table("elements", columns, [...known.values()], { by: 3, down: true })))));
}

function groups(property) {
  const cards = [];
  const add = (kind, title, note, name, rows) => {
    const own = rows.map(([name, tested, error]) =>
      ({ name, count: tested, error, order: kind === "sizes" ? parseInt(name, 10) : name }));
    cards.push(card(title, note, make("div", { class: "pad" }, table(kind,
      groupColumns(property, name, largestOf(own)), own,
      kind === "sizes" ? { by: 0, down: false } : { by: 2, down: true }))));
  };
  const [found, all] = [property.systems, property.sizes].map(
    rows => rows.reduce((sum, [, tested]) => sum + tested, 0));
  if (found) add("systems", "Error by crystal system",
    found < all ? `${count(found)} of ${count(all)} test crystals` : "",
    "System", property.systems);
  add("sizes", "Error by size", "", "Atoms in the cell", property.sizes);
  return cards;
}

function settings() {
  const write = value => value === null ? "–" : value === "" ? "none"
    : [value].flat().map(v => `${v}`).join(", ");
  const differs = row => write(row[2]) !== write(row[3]);
  const changed = DATA.settings.filter(differs).length;
  const note = changed ? `${changed} differ from the preset ${DATA.preset}`
    : `the preset ${DATA.preset}`;
  // Sorted by name, but those that differ come first.
  return card("Settings", note, make("div", { class: "pad" }, make("div", { class: "scroll tall" },
    table("settings", [
      { name: "Setting", text: true, value: row => `${differs(row) ? " " : ""}${row[1]}`,
        cell: row => plain(row[1]) },
      { name: "Value", value: row => write(row[2]), cell: row => write(row[2]) },
      { name: "Preset", value: row => write(row[3]), cell: row => write(row[3]) },
    ], DATA.settings, { by: 0, down: false },
    row => ({ class: differs(row) ? "changed" : "" })))));
}

function data() {
  const { summary } = DATA;
  const facts = [
    ["Source", DATA.source ?? "the bundled crystals"],
    ...(DATA.limit ? [["Limit", `the first ${count(DATA.limit)} crystals`]] : []),
    ["Split", DATA.split ?? "the default"],
    ["Crystals", SUBSETS.map(
      ([name, label]) => `${count(DATA.subsets[name])} ${label}`).join(", ")],
    ["Left out", summary.skipped ? `${count(summary.skipped)}; each is in skipped.csv` : "none"],
    ["Made with", Object.entries({ python: summary.python, ...summary.versions })
      .map(([name, version]) => `${name} ${version}`).join(", ")],
  ];
  const reasons = make("div", { class: "pad" });
  if (DATA.skipped.length) reasons.append(table("skipped", [
    { name: "Left out, for example because", text: true, value: row => row[0],
      cell: row => make("span", { class: "wrap" }, row[0]) },
    { name: "Crystals", down: true, value: row => row[1], cell: row => count(row[1]) },
    { name: "For example", text: true, value: row => row[2][0],
      cell: row => make("span", { class: "wrap" }, row[2].join(", ")) },
  ], DATA.skipped, { by: 1, down: true }));
  return card("Data", "", make("dl", {}, ...facts.flatMap(
    ([name, fact]) => [make("dt", {}, name), make("dd", {}, fact)])), reasons);
}
