// Errors by element: a periodic table whose cells tell their numbers when they are chosen.

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
  const columns = groupColumns(property, "Element", largestOf([...known.values()]));
  columns.splice(2, 0, { name: "Training", down: true, value: group => group.trained,
    cell: group => count(group.trained) });
  return card("Error by element", "test crystals that have it",
    make("div", { class: "split" },
      make("div", {}, ...periodicTable(property, known, largest),
        make("div", { class: "legend" }, make("span", { class: "scale" }, "0",
          make("span", { class: "shade" }), `${number(largest, 3)} ${property.unit}`),
        `outlined: fewer than ${FEW} test crystals`)),
      pad(scroller("errors by element",
        table("elements", columns, [...known.values()], { by: 3, down: true })))));
}

function periodicTable(property, known, largest) {
  const told = make("p", { class: "told", "aria-live": "polite" },
    "Choose an element for its numbers.");
  const cells = DATA.table.map(([symbol, row, column]) => {
    const element = known.get(symbol);
    const place = { style: `grid-area:${row}/${column};--share:${element
      ? clamp(element.error / largest, 0, 1) : 0}` };
    if (!element) return make("div", { class: "cell", ...place }, symbol);
    const title = `${symbol}: ${errorName(property)} ${number(element.error, 3)}`
      + `${property.unit && ` ${property.unit}`} over ${several(element.count, "test crystal")}; `
      + several(element.trained, "training crystal");
    return make("button", { type: "button", title, "aria-label": title, ...place,
      class: `pick cell ${element.count < FEW ? "few" : "known"}`,
      onclick: () => told.replaceChildren(title), onfocus: () => told.replaceChildren(title) },
    symbol, make("small", {}, number(element.error, 2)));
  });
  const box = make("div", { class: "periodic", role: "group", "aria-label": "periodic table" },
    ...cells);
  roving(box);
  oneStop(box);
  return [box, told];
}

function groups(property) {
  const cards = [];
  const add = (kind, title, note, name, rows) => {
    const own = rows.map(([name, tested, error]) =>
      ({ name, count: tested, error, order: kind === "sizes" ? parseInt(name, 10) : name }));
    cards.push(card(title, note, pad(table(kind,
      groupColumns(property, name, largestOf(own)), own,
      kind === "sizes" ? { by: 0, down: false } : { by: 2, down: true }))));
  };
  const [found, all] = [property.systems, property.sizes].map(
    rows => rows.reduce((sum, [, tested]) => sum + tested, 0));
  const why = DATA.without_system.map(([reason, number]) => `${count(number)} ${reason}`);
  if (found) add("systems", "Error by crystal system", found < all
    ? `of ${count(found)} of ${count(all)} test crystals${why.length ? `; ${why.join(", ")}` : ""}`
    : "", "System", property.systems);
  add("sizes", "Error by size", "", "Atoms in the cell", property.sizes);
  return cards;
}
