// The page of `python -m gatgnn_jax.embed`: a map in the colours of a column, and one crystal's
// numbers with the crystals nearest to it.

const COLORS = DATA.colors.map(rgb);
const ROWS = [...DATA.ids.keys()];
const shown = ({ values, names }, row) => names[values[row]] ?? (Number.isInteger(values[row]) && Math.abs(values[row]) < 1e5
  ? text(values[row]) : number(values[row]));

function domainOf({ values }) {
  // Without the outermost 2 % to both sides, whose colours would leave none to the others.
  const rising = values.filter(value => value !== null).sort((a, b) => a - b);
  if (!rising.length) return null;
  const at = share => rising[Math.round(share * (rising.length - 1))];
  const [low, high] = rising.length > 50 ? [at(0.02), at(0.98)] : [at(0), at(1)];
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

class CrystalMap extends Chart {
  // `state` { column, domain, chosen, choose(row) } is what the page shows.
  constructor(state) {
    const axis = k => axisOf(DATA.points.map(point => point[k]), { label: DATA.axes[k] });
    super("map of crystals", axis(0), axis(1));
    this.state = state;
    this.over.addEventListener("click", event => {
      const row = this.find(...this.spot(event));
      if (row !== null) this.press(row);
    });
  }

  order() {
    return [...ROWS].sort((a, b) => DATA.points[a][0] - DATA.points[b][0]);
  }

  press(row) {
    this.state.choose(row);
  }

  place(row) {
    return this.pixel(...DATA.points[row]);
  }

  colorOf(row) {
    const value = this.state.column.values[row];
    if (value === null) return theme("--cell");
    const [low, high] = this.state.domain;
    const share = clamp((value - low) / (high - low), 0, 1);
    return css(COLORS[Math.round(share * (COLORS.length - 1))]);
  }

  paint(context) {
    const radius = ROWS.length > 3000 ? 2 : ROWS.length > 500 ? 3 : 4.5;
    context.globalAlpha = ROWS.length > 3000 ? 0.6 : 0.85;
    for (const row of ROWS) {
      context.beginPath();
      context.arc(...this.place(row), radius, 0, 2 * Math.PI);
      context.fillStyle = this.colorOf(row);
      context.fill();
    }
    context.globalAlpha = 1;
    this.base.dataset.points = ROWS.length;
  }

  find(px, py) {
    return this.nearest(ROWS, px, py, 16);
  }

  pointAt(row) {
    const context = this.prepare(this.over);
    const { chosen, column } = this.state;
    if (chosen !== null) {
      for (const other of DATA.near[chosen]) {
        context.setLineDash([2, 3]);
        this.line(context, [DATA.points[chosen], DATA.points[other]], theme("--muted"), 1);
        context.setLineDash([]);
        this.dot(context, this.place(other), this.colorOf(other), 6);
      }
      this.dot(context, this.place(chosen), theme("--accent"), 7);
    }
    this.over.style.cursor = row === null ? "" : "pointer";
    if (row === null) return this.tip([0, 0]);
    this.dot(context, this.place(row), this.colorOf(row), 7);
    const told = DATA.columns.filter(own => own === column || own.told);
    this.tip(this.place(row), [make("b", {}, ...formula(DATA.formulas[row])), ` · ${DATA.ids[row]}`],
      ...told.map(own => `${plain(own.name)} ${shown(own, row)}`));
  }
}

function facts(state) {
  const row = state.chosen;
  if (row === null) return [make("p", {}, "Choose a crystal for its numbers and its neighbours.")];
  const table = make("table", { class: "near" });
  const { column } = state;
  const neighbours = DATA.near[row].map((other, k) => ({ other, away: DATA.distances[row][k] }));
  fillTable(table, "Nearest", "by the vectors, in all their dimensions", [
    { name: "Crystal", text: true, pick: true, value: own => DATA.ids[own.other],
      cell: own => DATA.ids[own.other] },
    { name: "Formula", text: true, value: own => DATA.formulas[own.other],
      cell: own => make("span", {}, ...formula(DATA.formulas[own.other])) },
    { name: plain(column.name), down: true, value: own => column.values[own.other] ?? NaN,
      cell: own => shown(column, own.other) },
    { name: "Distance", value: own => own.away, cell: own => number(own.away, 3) },
  ], neighbours, { by: 3, down: false }, own => ({ "data-row": own.other }));
  table.addEventListener("click", event => {
    const next = event.target.closest("tr[data-row]");
    if (next) state.choose(+next.dataset.row);
  });
  return [make("h3", {}, ...formula(DATA.formulas[row])),
    make("div", { class: "note" }, DATA.ids[row]),
    make("dl", {}, ...DATA.columns.flatMap(own => [
      make("dt", {}, plain(own.name)), make("dd", {}, shown(own, row))])),
    pad(table)];
}

function legend({ column, domain }) {
  if (!domain) return ["no values"];
  const stops = COLORS.filter((_, k) => k % 15 === 0).map(css).join();
  return [make("span", { class: "scale" }, number(domain[0], 3),
    make("span", { class: "ramp", style: `background:linear-gradient(90deg,${stops})` }),
    number(domain[1], 3)), plain(column.name),
  ...(column.values.includes(null) ? ["grey: no value"] : [])];
}

function show() {
  for (const own of DATA.columns.slice(0, 4)) own.told = true;
  const told = make("div", { class: "side facts", "aria-live": "polite" });
  const scale = make("div", { class: "legend" });
  const state = {
    chosen: null,
    choose(row) {
      state.chosen = row;
      told.replaceChildren(...facts(state));
      map.pointAt(row);
    },
    colorBy(column) {
      Object.assign(state, { column, domain: domainOf(column) });
      scale.replaceChildren(...legend(state));
      const known = column.values.filter(value => value !== null).length;
      map.tell(`${several(ROWS.length, "crystal")}, ${plain(column.name)} of ${count(known)} `
        + (state.domain ? `from ${state.domain.map(end => number(end, 3)).join(" to ")}` : ""));
      told.replaceChildren(...facts(state));
      map.draw();
    },
  };
  const map = new CrystalMap(Object.assign(state, { column: DATA.columns[0] }));
  const columns = make("select", {
    onchange: event => state.colorBy(DATA.columns[event.target.selectedIndex]) },
  ...DATA.columns.map(column => make("option", {}, plain(column.name))));
  const search = make("input", { type: "search", placeholder: "id or formula", onchange: () => {
    const wanted = search.value.trim().toLowerCase();
    const fits = test => ROWS.find(row => [DATA.ids[row], DATA.formulas[row]].some(
      name => test(name.toLowerCase())));
    const row = fits(name => name === wanted) ?? fits(name => name.includes(wanted));
    if (wanted && row !== undefined) state.choose(row);
    else told.replaceChildren(make("p", {}, "No crystal has this id or formula."));
  } });
  document.querySelector("main").append(make("section", { class: "card map" },
    make("div", { class: "head" }, make("h2", {}, DATA.model),
      make("span", { class: "muted" }, several(DATA.total, "crystal")
        + (DATA.total > ROWS.length ? `, of which ${count(ROWS.length)} are shown` : "")),
      make("div", { class: "controls" }, make("label", {}, "Colour", columns),
        make("label", {}, "Find", search))),
    make("div", { class: "split" }, make("div", {}, map.box, scale), told)));
  state.colorBy(DATA.columns[0]);
}

show();
