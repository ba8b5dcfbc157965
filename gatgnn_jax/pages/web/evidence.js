// What a prediction rests on, as tables: `value` is one of an answer's `values` (serving/answers.py).

// A number short, a class by its name.
const digits = (value, places = 4) => value === null ? "–"
  : typeof value === "string" ? value : String(+value.toPrecision(places));

function networkTable({ networks, unit }) {
  const table = make("table", { class: "networks" });
  const mean = networks.reduce((sum, value) => sum + value, 0) / networks.length;
  const low = Math.min(...networks), high = Math.max(...networks);
  const alone = networks.length === 1;
  fillTable(table, "Networks", alone ? "one alone: nothing to compare it with"
    : `from ${digits(low)} to ${digits(high)} ${unit}`, [
    { name: "Network", value: row => row.number, cell: row => `${row.number}` },
    { name: unit ? `Value, ${unit}` : "Value", down: true, value: row => row.value,
      cell: row => digits(row.value) },
    ...(alone ? [] : [{ name: "From their mean", down: true, value: row => row.value - mean,
      cell: row => (row.value < mean ? "−" : "+") + digits(Math.abs(row.value - mean), 2) }]),
  ], networks.map((value, k) => ({ number: k + 1, value })), { by: 0, down: false });
  return table;
}

function knownElements({ elements }) {
  if (!elements.length)
    return make("p", { class: "note" }, "Which elements it was trained with is not known.");
  const table = make("table", { class: "elements" });
  fillTable(table, "Elements", "how many training crystals have them", [
    { name: "Element", value: row => row[0], cell: row => row[0] },
    { name: "Training crystals", down: true, value: row => row[1],
      cell: row => row[1] ? row[1].toLocaleString("en") : make("span", { class: "warning" }, "none") },
  ], elements, { by: 1, down: false });
  return table;
}

function distanceNote({ strangeness, limit }) {
  if (strangeness === null)
    return make("p", { class: "note" },
      "This run has kept no training crystals: how far they are is not known.");
  const text = `Strangeness ${digits(strangeness, 2)}: how unlike the training crystals it is.`;
  if (limit === null) return make("p", { class: "note" }, text);
  return make("div", { class: "note distance" }, `${text} Few of the validation crystals are `
    + `beyond ${digits(limit, 2)}, where errors are larger.`, meter(strangeness / (2 * limit)));
}

function nearestTable({ nearest, unit }) {
  const table = make("table", { class: "nearest" });
  fillTable(table, "Nearest training crystals", "a distance of 1 is usual", [
    { name: "Id", text: true, value: row => row.id, cell: row => row.id },
    { name: "Formula", text: true, value: row => row.formula, cell: row => formula(row.formula) },
    { name: unit ? `True, ${unit}` : "True", down: true, value: row => row.value ?? -Infinity,
      cell: row => digits(row.value) },
    { name: "Distance", value: row => row.distance, cell: row => digits(row.distance, 2) },
  ], nearest, { by: 3, down: false });
  return table;
}

function evidence(value) {
  return make("div", { class: "evidence" },
    make("div", {}, networkTable(value)),
    make("div", {}, knownElements(value), distanceNote(value)),
    ...(value.nearest.length ? [make("div", {}, nearestTable(value))] : []));
}
