// The page of `python -m gatgnn_jax.report RUN RUN …`, for the property that is chosen.

const RUNS = DATA.runs;
const MOST_ROWS = 200;  // of the table of crystals
const colorOf = run => `--run-${run}`;
const nameOf = run => make("span", { class: "key" },
  make("i", { style: `background:var(${colorOf(run)})` }), RUNS[run].name);
const write = value => value === null ? "–" : value === "" ? "none"
  : typeof value === "object" ? JSON.stringify(value) : `${value}`;
const all = [...RUNS.keys()];
const short = name => name.length > 26 ? `…${name.slice(-25)}` : name;

const effort = run => [`best epoch ${count(run.best_epoch)} of ${count(run.epoch.length)}`,
  ...(run.parameters === null ? [] : [`${count(run.parameters)} parameters`]),
  ...(run.seconds === null ? [] : [`${number(run.seconds, 3)} s`])].join(", ");

function errors(property) {
  const [main, ...others] = Object.keys(property.metrics);
  const unit = property.unit && `, ${property.unit}`;
  const best = Math.max(...property.shared.map(scores => scores[main]));
  const column = (scores, name, title) => ({ name: title, down: isClass(property),
    value: run => scores[run][name] ?? NaN,
    cell: run => [number(scores[run][name]),
      ...(name === main ? [meter(scores[run][name] / best)] : [])] });
  const label = name => property.metrics[name]
    + (["mae", "rmse"].includes(name) ? unit : "");
  const tested = property.target.filter(value => value !== null).length;
  const note = `of the ${several(tested, "crystal")} that all runs were tested on`
    + (property.differ ? `; ${count(property.differ)} more have other values in another run` : "");
  return card("Errors", note, pad(table("runs", [
    { name: "Run", text: true, value: run => RUNS[run].name, cell: run => [nameOf(run),
      make("div", { class: "note wrap" }, effort(RUNS[run]))] },
    ...[main, ...others].map(name => column(property.shared, name, label(name))),
    ...(RUNS.some(run => run.tested > DATA.ids.length)
      ? [column(property.scores, main, `${label(main)} of all its test crystals`)] : []),
  ], all, { by: 1, down: isClass(property) })));
}

function curves(property) {
  const longest = RUNS.reduce((a, b) => a.epoch.length >= b.epoch.length ? a : b).epoch;
  const values = run => longest.map(epoch => {
    const at = RUNS[run].epoch.indexOf(epoch);
    return at < 0 ? null : property.curves[run][at];
  });
  const lines = all.map(run => ({ name: RUNS[run].name, color: colorOf(run), values: values(run) }));
  const unit = property.unit && `, ${property.unit}`;
  const chart = new Curves("validation curves", longest,
    lines, axisOf(longest, { label: "epoch", margin: 0.01 }),
    axisOf(lines.flatMap(line => line.values), { log: true,
      label: isClass(property) ? "share of wrong classes" : `mean absolute error${unit}` }),
    { mark: null, title: epoch => `epoch ${epoch}` });
  chart.box.classList.add("learning");
  const least = line => Math.min(...line.values.filter(value => value !== null));
  chart.tell(lines.map(line => `${line.name} down to ${number(least(line))}`).join(", "));
  return card("Learning curves", "of the validation crystals", chart.box,
    make("div", { class: "legend" }, ...all.map(nameOf)));
}

const errorOf = (property, run, row) => property.predicted[run][row] - property.target[row];

class Against extends Chart {
  // The errors of one run against those of another; above the diagonal the first is better.
  constructor(property, rows, state) {
    const sizes = run => rows.map(row => Math.abs(errorOf(property, run, row)));
    const both = [...sizes(state.first), ...sizes(state.second)].filter(size => size > 0);
    // Errors of nearly nothing stand at the edge.
    const floor = both.reduce((a, b) => Math.max(a, b), 1e-12) / 1000;
    const axis = run => axisOf(both.map(size => Math.max(size, floor)), { log: true,
      label: `error of ${short(RUNS[run].name)}${property.unit && `, ${property.unit}`}` });
    super("errors of two runs", axis(state.first), axis(state.second));
    Object.assign(this, { property, rows, state, floor });
    this.over.addEventListener("click", event => {
      const row = this.find(...this.spot(event));
      if (row !== null) this.press(row);
    });
    const [first, second] = [state.first, state.second].map(sizes);
    const better = rows.filter((_, k) => first[k] < second[k]).length;
    this.tell(`${RUNS[state.first].name} is nearer for ${better} of ${rows.length} crystals`);
  }

  place(row) {
    return this.pixel(...[this.state.first, this.state.second].map(
      run => Math.max(Math.abs(errorOf(this.property, run, row)), this.floor)));
  }

  order() {
    return [...this.rows].sort((a, b) => this.place(a)[0] - this.place(b)[0]);
  }

  press(row) {
    this.state.choose(row);
  }

  paint(context) {
    context.setLineDash([4, 4]);
    this.line(context, [this.x.low, this.x.high].map(end => [end, end]), theme("--cell"));
    context.setLineDash([]);
    context.globalAlpha = 0.6;
    for (const row of this.rows) {
      const [x, y] = this.place(row);
      const { first, second } = this.state;
      const [own, other] = [first, second].map(run => Math.abs(errorOf(this.property, run, row)));
      context.fillStyle = theme(colorOf(own < other ? first : second));
      context.beginPath();
      context.arc(x, y, 3.2, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    this.base.dataset.points = this.rows.length;
  }

  find(px, py) {
    const away = this.rows.map(row => {
      const [x, y] = this.place(row);
      return Math.hypot(x - px, y - py);
    });
    const least = away.reduce((a, b) => Math.min(a, b), Infinity);
    return least < 14 ? this.rows[away.indexOf(least)] : null;
  }

  pointAt(row) {
    const context = this.prepare(this.over);
    const { chosen, first, second } = this.state;
    if (chosen !== null) this.dot(context, this.place(chosen), theme("--accent"), 6);
    if (row === null) return this.tip([0, 0]);
    this.dot(context, this.place(row), theme("--accent"), 6);
    const { property } = this;
    this.tip(this.place(row), [make("b", {}, ...formula(DATA.formulas[row])), ` · ${DATA.ids[row]}`],
      `true ${number(property.target[row])}`, ...[first, second].map(
        run => `${RUNS[run].name} ${number(property.predicted[run][row])}`));
  }
}

function crystals(property) {
  const rows = [...DATA.ids.keys()].filter(row => property.target[row] !== null);
  if (!rows.length) return card("The same crystals", "no test crystal is shared by all runs");
  const spread = row => {
    const values = all.map(run => property.predicted[run][row]);
    return Math.max(...values) - Math.min(...values);
  };
  const most = [...rows].sort((a, b) => spread(b) - spread(a)).slice(0, MOST_ROWS);
  const signed = value => (value > 0 ? "+" : "") + number(value, 3);
  const list = table("side-by-side has-also", [
    { name: "Crystal", text: true, pick: true, value: row => DATA.ids[row],
      cell: row => [DATA.ids[row],
        make("span", { class: "also" }, ...formula(DATA.formulas[row]))] },
    { name: "Formula", text: true, value: row => DATA.formulas[row],
      cell: row => make("span", {}, ...formula(DATA.formulas[row])) },
    { name: `True${property.unit && `, ${property.unit}`}`, down: true,
      value: row => property.target[row], cell: row => number(property.target[row]) },
    ...all.map(run => ({ name: RUNS[run].name, down: true,
      value: row => Math.abs(errorOf(property, run, row)), cell: row => [
        number(property.predicted[run][row]),
        make("small", {}, ` (${signed(errorOf(property, run, row))})`)] })),
    { name: "Spread", down: true, value: spread, cell: row => number(spread(row), 3) },
  ], most, { by: 3 + RUNS.length, down: true }, row => ({ "data-row": row }));

  const state = { first: 0, second: 1, chosen: null, choose(row) {
    state.chosen = row;
    list.querySelectorAll("tr[data-row]").forEach(
      own => chooseRow(own, +own.dataset.row === row));
    chart?.pointAt(row);
  } };
  let chart = null;
  const box = make("div", { class: "against" });
  const draw = () => {
    chart = new Against(property, rows, state);
    box.replaceChildren(chart.box, make("div", { class: "legend" }, "has the smaller error:",
      nameOf(state.first), nameOf(state.second)));
  };
  const choice = (name, words) => {
    const own = make("select", { "aria-label": words, onchange: () => {
      state[name] = own.selectedIndex;
      draw();
    } }, ...all.map(run => make("option", {}, RUNS[run].name)));
    own.selectedIndex = state[name];
    return make("label", {}, words, own);
  };
  list.addEventListener("click", event => {
    const row = event.target.closest("tr[data-row]");
    if (row) state.choose(+row.dataset.row);
  });
  draw();
  return card("The same crystals", `${several(rows.length, "test crystal")} of all runs`
    + (rows.length > most.length ? `; the table has the ${most.length} they differ most about` : ""),
  ...(RUNS.length > 2 ? [make("form", { class: "pad choose" }, choice("first", "error of"),
    choice("second", "against"))] : []),
  box, pad(scroller("crystals", list)));
}

function settings() {
  if (!DATA.settings.length) return card("Settings", "the same in all runs");
  return card("Settings", "those that are not the same in all runs", pad(scroller("settings",
    table("settings-of-runs", [
      { name: "Setting", text: true, value: row => row[0], cell: row => plain(row[0]) },
      ...all.map(run => ({ name: RUNS[run].name, value: row => write(row[1][run]),
        cell: row => make("span", { class: "wrap" }, write(row[1][run])) })),
    ], DATA.settings, { by: 0, down: false }))));
}

function page(index) {
  const property = DATA.properties[index];
  const choose = event => page(+event.target.value);
  const choice = make("form", { onchange: choose }, make("span", { class: "segments",
    role: "radiogroup", "aria-label": "property" }, ...DATA.properties.map((own, k) =>
    make("label", {}, make("input", { type: "radio", name: "property", value: k,
      ...(k === index ? { checked: "" } : {}) }), make("span", {}, plain(own.name))))));
  document.querySelector("main").replaceChildren(
    make("header", { class: "top" }, make("div", {}, make("h1", {}, plain(property.name)),
      make("p", {}, `${RUNS.map(run => run.name).join(", ")} side by side.`)),
    ...(DATA.properties.length > 1 ? [choice] : [])),
    errors(property), curves(property), crystals(property), settings());
}

page(0);
