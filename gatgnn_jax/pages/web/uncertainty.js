// An ensemble's uncertainty: its members' spread beside the errors of their mean.

const percent = share => `${Math.round(100 * share)} %`;
const alone = ({ members }) => members
  ? `; each network alone: ${fixed(Math.min(...members))} to ${fixed(Math.max(...members))}` : "";

function barChoice(shared, draw) {
  const choose = event => {
    shared.bars = event.target.value === "on";
    draw();
  };
  const button = value => {
    const input = make("input", { type: "radio", name: "bars", value });
    input.checked = shared.bars === (value === "on");
    return make("label", {}, input, make("span", {}, value));
  };
  return make("form", { onchange: choose }, make("span", { class: "muted" }, "Uncertainties"),
    make("span", { class: "segments", role: "radiogroup", "aria-label": "uncertainties" },
      ...["on", "off"].map(button)));
}

class Spread extends Crystals {
  // Error against uncertainty, with the root mean square of both by groups of crystals.
  constructor(property, rows, shared) {
    const { target, predicted, uncertainty } = property;
    const known = rows.filter(row => target[row] !== null && uncertainty[row] > 0);
    const unit = property.unit && `, ${property.unit}`;
    const errors = known.map(row => Math.abs(predicted[row] - target[row]));
    // Errors of nearly nothing stand at the lower edge: else they would take half of the chart.
    const floor = Math.max(...errors) / 300;
    super("error against uncertainty", known, property,
      axisOf(known.map(row => uncertainty[row]), { log: true, label: `uncertainty${unit}` }),
      axisOf(errors.map(error => Math.max(error, floor)), { log: true,
        label: isClass(property) ? "distance from the class" : `absolute error${unit}` }),
      "--test", shared);
    this.errors = new Map(known.map((row, k) => [row, Math.max(errors[k], floor)]));
  }

  place(row) {
    return this.pixel(this.property.uncertainty[row], this.errors.get(row));
  }

  behind(context) {
    if (isClass(this.property)) return;
    context.setLineDash([4, 4]);
    const ends = [this.x.low, this.x.high];
    this.line(context, ends.map(end => [end, end]), theme("--cell"));
    context.setLineDash([]);
  }

  paint(context) {
    super.paint(context);
    const { groups } = this.property.calibration;
    this.line(context, groups, theme("--accent"), 2);
    for (const group of groups) this.dot(context, this.pixel(...group), theme("--accent"));
  }
}

function uncertainty(property, shared) {
  const { calibration, members } = property;
  const spread = new Spread(property, rowsOf(TEST), shared);
  spread.tell(`root mean square of uncertainty and error by groups: ${calibration.groups.map(
    group => group.map(value => number(value, 2)).join(" and ")).join("; ")}`);
  shared.onPin.push(() => spread.pointAt(null));
  const point = ([x, y]) => ({ x, y, lines: isClass(property)
    ? [`probability ${number(x, 2)}`, `class 1: ${percent(y)}`]
    : [`expected ${percent(x)}`, `found ${percent(y)}`] });
  const [label, sub, x, y] = isClass(property)
    ? ["Probability", "below the diagonal: too sure of class 1", "predicted probability of class 1",
      "share of class 1"]
    : ["Coverage", "below the diagonal: errors larger than they should be",
      "expected share of errors", "share of errors found"];
  const curve = new Shares(label.toLowerCase(), calibration.curve.map(point), x, y, "--test", true);
  curve.tell(calibration.curve.map(([x, y]) => `${percent(x)}: ${percent(y)}`).join(", "));
  const [one, two] = calibration.within;
  const note = isClass(property) || one === undefined ? "of the test crystals"
    : `${percent(one)} of the test errors lie within it (68 % expected), ${percent(two)} within `
      + "twice as much (95 %)";
  return card("Uncertainty", note, make("div", { class: "panels" },
    panel("spread", "Error and uncertainty", `${count(spread.rows.length)} test crystals`,
      spread.box, make("div", { class: "legend" },
        key({ name: `root mean square of ${several(calibration.groups.length, "group")}`,
          color: "--accent" }),
        ...(isClass(property) ? [] : [key({ name: "error = uncertainty", color: "--cell" })]))),
    panel("coverage", label, sub, curve.box),
    ...(members ? [panel("members", "Networks", "each alone, and their mean",
      pad(memberTable(property), gain(property)))] : [])));
}

function gain(property) {
  const { members, scores: { test } } = property;
  const average = members.reduce((sum, score) => sum + score, 0) / members.length;
  const less = 1 - (isClass(property) ? (1 - test.accuracy) / (1 - average) : test.mae / average);
  return make("div", { class: "note" }, Number.isFinite(less)
    ? `Their mean errs ${percent(Math.abs(less))} ${less < 0 ? "more" : "less"} than a network alone`
      + " does on average." : "");
}

function memberTable(property) {
  const { test } = property.scores;
  const mean = isClass(property) ? test.accuracy : test.mae;
  const rows = [...property.members.map((score, k) => ({ name: `${k + 1}`, order: k, score })),
    { name: "mean of all", order: property.members.length, score: mean }];
  const largest = Math.max(...rows.map(row => row.score));
  const unit = property.unit && `, ${property.unit}`;
  return table("networks", [
    { name: "Network", value: row => row.order, cell: row => row.name },
    { name: isClass(property) ? "Test accuracy" : `Test MAE${unit}`, value: row => row.score,
      cell: row => [fixed(row.score), meter(row.score / largest)] },
  ], rows, { by: 0, down: false }, row => ({ class: row.name === "mean of all" ? "chosen" : "" }));
}

function intervals(property) {
  // What the 90 % intervals hold of the test crystals, together and by groups.
  const names = { all: "", elements: "elements", atoms: "atoms", prediction: "of the predictions" };
  const unit = property.unit && `, ${property.unit}`;
  const [[, , tested, , share]] = property.coverage;
  const rows = property.coverage.map(([by, group, ...values], order) =>
    ({ order, name: `${group} ${names[by]}`.trim().replace(/^1 (\w+)s$/, "1 $1"), values }));
  return card("Intervals", `the 90 % intervals, made of the validation errors, hold ${percent(share)}`
    + ` of the ${count(tested)} test crystals`, pad(table("intervals", [
    { name: "Group", value: row => row.order, cell: row => row.name },
    { name: "Test crystals", down: true, value: row => row.values[0],
      cell: row => count(row.values[0]) },
    { name: `±${unit}`, down: true, value: row => row.values[1],
      cell: row => number(row.values[1], 3) },
    { name: "Within", down: true, value: row => row.values[2],
      cell: row => [percent(row.values[2]), meter(row.values[2])] },
  ], rows, { by: 0, down: false })));
}
