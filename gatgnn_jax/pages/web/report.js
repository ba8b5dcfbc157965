// The page of `python -m gatgnn_jax.report`, for the property that is chosen.

const SUBSETS = [["train", "training"], ["val", "validation"], ["test", "test"]];
const TEST = SUBSETS.length - 1;
const HAS_TEST = DATA.subsets.test > 0;  // else validation tells how good the model is
const FEW = 5;  // a mean over fewer crystals says little
const rowsOf = subset => [...DATA.ids.keys()].filter(row => DATA.subset[row] === subset);
const settingOf = name => DATA.settings.find(([, field]) => field === name)[2];
const className = ({ classes }, k) => /^\d/.test(classes[k]) ? `class ${classes[k]}` : classes[k];
const errorName = property => isClass(property) ? "Wrong" : "MAE";
const fixed = value => value === null ? "–" : value.toFixed(4);
const duration = seconds => seconds < 100 ? `${number(seconds, 3)} s`
  : seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${number(seconds / 3600, 3)} h`;

const key = ({ name, color }) => make("span", { class: "key" },
  make("i", { style: `background:var(${color})` }), name);
const panel = (kind, name, note, ...contents) => make("div", { class: `panel ${kind}` },
  make("div", { class: "name" }, `${name} `, make("span", {}, note)), ...contents);
const tile = (name, value, unit, note) => make("div", { class: "tile" },
  make("div", { class: "name" }, name),
  make("div", { class: "value" }, value, make("small", {}, ` ${unit}`)),
  make("div", { class: "note" }, note));

// Every metric there is but those that have a tile.
const others = (property, scores, shown) => Object.entries(property.metrics)
  .filter(([name]) => !shown.includes(name))
  .map(([name, label]) => `${label} ${fixed(scores[name])}`).join("; ");

// "5 × GATGNN" for 5, "2 × GATGNN + 3 × CGCNN" for "gatgnn:2,cgcnn:3".
function networksOf(ensemble) {
  const model = settingOf("model"), groups = String(ensemble).includes(":")
    ? ensemble.split(",").map((group) => group.trim().match(/(.+):(\d+)/).slice(1)) : [[model, ensemble]];
  return groups.map(([name, members]) => `${members > 1 ? `${members} × ` : ""}${name.toUpperCase()}`)
    .join(" + ");
}

function tiles(property) {
  const judged = property.scores[HAS_TEST ? "test" : "val"], { summary } = DATA;
  const subset = HAS_TEST ? "Test" : "Validation";
  const quality = isClass(property) ? [
    tile(`${subset} accuracy`, fixed(judged.accuracy), "",
      `baseline (commoner class) ${fixed(property.naive)}${alone(property)}`),
    tile(`${subset} balanced accuracy`, fixed(judged.balanced_accuracy), "",
      others(property, judged, ["accuracy", "balanced_accuracy"])),
  ] : [
    tile(`${subset} error (MAE)`, fixed(judged.mae), property.unit,
      (property.log ? `${number(property.own_mae, 3)} ${property.own_unit}; ` : "")
      + `baseline (mean) ${fixed(property.naive)}${alone(property)}`),
    tile(`${subset} R²`, fixed(judged.r2), "",
      others(property, judged, ["mae", "r2"])),
  ];
  return make("section", { class: "card tiles" }, ...quality,
    tile("Training time", duration(summary.seconds), "",
      `best epoch ${count(summary.best_epoch)} of ${count(summary.epochs)}; `
      + `${count(Math.round(summary.crystals_per_second))} crystals a second on ${summary.device}`),
    tile("Model", networksOf(settingOf("ensemble")), "",
      `${DATA.global_attention}, `
      + `${several(settingOf("num_layers"), "layer")} of ${settingOf("neurons")} neurons, `
      + `${count(summary.parameters)} parameters`));
}

function learning(property) {
  const [train, val] = property.curves;
  const unit = property.unit && `, ${property.unit}`;
  const best = DATA.epoch.indexOf(DATA.best_epoch);
  const lines = [{ name: "training", color: "--train", values: train },
    { name: "validation", color: "--val", values: val }];
  const chart = new Curves("learning curves", DATA.epoch, lines,
    axisOf(DATA.epoch, { label: "epoch", margin: 0.01 }),
    axisOf([...train, ...val], { log: true,
      label: isClass(property) ? "share of wrong classes" : `mean absolute error${unit}` }),
    { mark: { x: DATA.best_epoch, y: val[best] }, title: epoch => `epoch ${epoch}` });
  chart.box.classList.add("learning");
  chart.tell(lines.map(({ name, values }) => `${name} from ${number(values[0])} to `
    + number(values.at(-1))).join(", ") + `, best ${number(val[best])} in epoch ${DATA.best_epoch}`);
  return card("Learning curves",
    `best: ${number(val[best])}${unit.slice(1)} in epoch ${DATA.best_epoch}`, chart.box,
    make("div", { class: "legend" }, ...lines.map(key),
      key({ name: "best epoch", color: "--test" })));
}

function parity(property, shared) {
  const axis = axisOf([...property.target, ...property.predicted],
    { label: property.unit || plain(property.name) });
  const pinned = make("div", { class: "pad kept" });
  const panels = SUBSETS.filter(([name]) => DATA.subsets[name]).map(([name, label], subset) =>
    [name, label,
      new Parity(`${label} crystals`, rowsOf(subset), property, axis, `--${name}`, shared)]);
  shared.onPin.push(() => {
    panels.forEach(([, , chart]) => chart.pointAt(null));
    const rows = [...shared.pinned];
    pinned.replaceChildren(...(rows.length ? [crystals("pinned", property, rows,
      { by: 1, down: false }, shared)] : []));
  });
  pinned.addEventListener("click", event => {
    const row = event.target.closest("tr[data-row]");
    if (row) shared.pin(+row.dataset.row);
  });
  const made = card("Predicted and true values",
    "point at a crystal for its name, click to keep it below; or Tab, arrows and Enter",
    make("div", { class: "panels" }, ...panels.map(([name, label, chart]) => {
      const { mae, r2 } = property.scores[name];
      const told = `${count(chart.rows.length)} crystals · MAE ${number(mae, 3)} · R² `
        + number(r2, 3);
      chart.tell(told);
      return panel(name, label[0].toUpperCase() + label.slice(1), told, chart.box);
    })), pinned);
  if (property.uncertainty) made.querySelector(".head").append(
    barChoice(shared, () => panels.forEach(([, , chart]) => chart.draw())));
  return made;
}

function classes(property) {
  const sides = (HAS_TEST ? ["val", "test"] : ["val"]).map(name => {
    const [, label] = SUBSETS.find(([subset]) => subset === name);
    const chart = new Rocs(`ROC curve of ${label}`, property.roc[name] ?? [], `--${name}`);
    const told = `AUC ${number(property.scores[name].auc)}`;
    chart.tell(told);
    return panel(name, label[0].toUpperCase() + label.slice(1), told, chart.box);
  });
  const [last, judged] = HAS_TEST ? ["test", "test"] : ["val", "validation"];
  const { classes: names, confusion: { [last]: cases = [] } } = property;
  const total = cases.flat().reduce((sum, own) => sum + own, 0);
  const confusion = table("confusion", [
    { name: "True", value: truth => truth, cell: truth => className(property, truth) },
    ...names.map((name, said) => ({ name: `Predicted ${name}`, value: truth => cases[truth][said],
      cell: truth => [count(cases[truth][said]), meter(cases[truth][said] / total)] })),
  ], [...cases.keys()], { by: 0, down: false });
  return card("Classes", `ROC curves, and the likeliest class of the ${count(total)} ${judged} crystals`,
    make("div", { class: "panels" }, ...sides, panel("", "Confusion", `${judged} crystals`,
      pad(scroller("confusion", confusion)))));
}

function crystals(kind, property, rows, sorted, shared) {
  const { target, predicted, uncertainty } = property;
  const error = row => predicted[row] - target[row];
  const largest = Math.max(...rows.map(row => Math.abs(error(row))));
  const name = isClass(property)
    ? ["True class", property.classes.length > 2 ? "Its probability"
      : `Probability of ${className(property, 1)}`]
    : ["True", "Predicted"];
  const own = value => property.log ? number(10 ** value, 3) : number(value);
  const unit = property.own_unit && `, ${property.own_unit}`;
  return table(`${kind} has-also`, [
    { name: "Crystal", text: true, pick: true, value: row => DATA.ids[row], cell: row => [
      DATA.ids[row], make("span", { class: "also" }, ...formula(DATA.formulas[row]))] },
    { name: "Formula", text: true, value: row => DATA.formulas[row],
      cell: row => make("span", {}, ...formula(DATA.formulas[row])) },
    // Uncertainties need its place; the structure beside the table tells it too.
    ...(uncertainty ? [] : [
      { name: "Atoms", value: row => DATA.atoms[row], cell: row => `${DATA.atoms[row]}` }]),
    { name: name[0] + unit, down: true,
      value: row => isClass(property) ? property.truth[row] : target[row],
      cell: row => isClass(property) ? className(property, property.truth[row])
        : own(target[row]) },
    ...(isClass(property) ? [{ name: "Predicted", value: row => property.said[row],
      cell: row => className(property, property.said[row]) }] : []),
    { name: name[1] + unit, down: true, value: row => predicted[row],
      cell: row => own(predicted[row]) },
    { name: property.log ? `Error, ${property.unit}` : "Error", down: true,
      value: row => Math.abs(error(row)), cell: row => [
        (error(row) > 0 ? "+" : "") + number(error(row), 3),
        meter(Math.abs(error(row)) / largest)] },
    ...(uncertainty ? [{ name: "Spread", down: true, value: row => uncertainty[row],
      cell: row => `± ${number(uncertainty[row], 2)}` }] : []),
  ], rows, sorted, row => ({ "data-row": row, class: row === shared?.chosen ? "chosen" : "" }));
}

const tested = (property, shared) => [
  ...(property.uncertainty ? [uncertainty(property, shared)] : []),
  ...(property.coverage ? [intervals(property)] : []),
  worst(property, shared), elements(property),
  make("div", { class: "row even" }, ...groups(property)),
];

const HEAD = document.querySelector("title");
function page(index) {
  const property = DATA.properties[index];
  const shared = { pinned: new Set(), onPin: [], bars: true, pin(row) {
    if (!this.pinned.delete(row)) this.pinned.add(row);
    this.onPin.forEach(done => done());
  } };
  HEAD.textContent = `${plain(property.name)} – ${DATA.run} – gatgnn_jax`;
  const { train, val, test } = DATA.subsets;
  const choice = make("form", { onchange: event => page(+event.target.value) },
    make("span", { class: "segments", role: "radiogroup", "aria-label": "property" },
      ...DATA.properties.map((p, k) => make("label", {},
        make("input", { type: "radio", name: "property", value: k,
          ...(k === index ? { checked: "" } : {}) }),
        make("span", {}, plain(p.name))))));
  document.querySelector("main").replaceChildren(
    make("header", { class: "top" }, make("div", {}, make("h1", {}, plain(property.name)),
      make("p", {}, `${DATA.run}: trained on ${count(train)} crystals, the best epoch chosen on `
        + count(val) + (HAS_TEST ? `, tested on ${count(test)} that it has not seen.`
          : "; there are no test crystals."))),
      ...(DATA.properties.length > 1 ? [choice] : [])),
    tiles(property), learning(property),
    isClass(property) ? classes(property) : parity(property, shared),
    ...(HAS_TEST ? tested(property, shared) : []),
    make("div", { class: "row even" }, settings(), data()));
}

page(0);
