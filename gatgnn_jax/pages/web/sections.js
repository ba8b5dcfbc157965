// The report's lower half: worst predictions, settings and data.

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
    ...crystal, colorOf, title: "coloured by element",
    summary: several(crystal.distances.length / 2, "bond"), attention: [crystal.receivers.map(() => 1)],
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
    symbol => make("span", {}, swatch(muted(symbol)), symbol)), pictureChoices(state))];
}

function worst(property, shared) {
  const side = make("div", { class: "structure" });
  shared.chosen = property.worst[0];
  const sorted = { by: (property.uncertainty ? 4 : 5) + isClass(property), down: true };  // by the error
  const list = crystals("worst", property, property.worst, sorted, shared);
  const choose = row => {
    shared.chosen = row;
    list.querySelectorAll("tr[data-row]").forEach(
      tr => chooseRow(tr, +tr.dataset.row === row));
    side.replaceChildren(...structureOf(row));
  };
  list.addEventListener("click", event => {
    const row = event.target.closest("tr[data-row]");
    if (row) choose(+row.dataset.row);
  });
  if (property.worst.length) choose(shared.chosen);
  return card("Worst predictions", "of the test crystals; click one to see it, drag to turn it",
    make("div", { class: "split" }, pad(list), side));
}

function settings() {
  const write = value => value === null ? "–" : value === "" ? "none"
    : [value].flat().map(v => `${v}`).join(", ");
  const differs = row => write(row[2]) !== write(row[3]);
  const changed = DATA.settings.filter(differs).length;
  const note = changed ? `${changed} differ from the preset ${DATA.preset} and come first`
    : `the preset ${DATA.preset}`;
  return card("Settings", `${note}; scroll for all ${DATA.settings.length}`,
    pad(scroller("settings", table("settings", [
      { name: "Setting", text: true, value: row => `${differs(row) ? 0 : 1} ${row[1]}`,
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
  const reasons = pad();
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
