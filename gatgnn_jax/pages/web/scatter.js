// Predicted against true values, and ROC curves.

class Crystals extends Chart {
  // `rows` of DATA are points, where `place(row)` says; `behind(context)` is drawn before them.
  // `shared` { pinned: Set of rows, pin(row) } belongs to all panels.
  constructor(name, rows, property, x, y, color, shared) {
    super(name, x, y);
    this.rows = rows.filter(row => property.target[row] !== null);
    Object.assign(this, { property, color, shared });
    this.over.addEventListener("click", event => {
      const row = this.find(...this.spot(event));
      if (row !== null) shared.pin(row);
    });
  }

  order() {
    return [...this.rows].sort((a, b) => this.place(a)[0] - this.place(b)[0]);
  }

  press(row) {
    this.shared.pin(row);
  }

  paint(context) {
    this.behind(context);
    const many = this.rows.length > 3000;
    const radius = many ? 1.8 : this.rows.length > 800 ? 2.4 : 3;
    context.globalAlpha = many ? 0.3 : 0.55;
    context.fillStyle = theme(this.color);
    for (const row of this.rows) {
      context.beginPath();
      context.arc(...this.place(row), radius, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    this.base.dataset.points = this.rows.length;
  }

  find(px, py) {
    return this.nearest(this.rows, px, py, 14);
  }

  pointAt(row) {
    const context = this.prepare(this.over);
    const own = this.rows.filter(r => this.shared.pinned.has(r));
    for (const pinned of own) this.dot(context, this.place(pinned), theme("--accent"), 5);
    this.over.style.cursor = row === null ? "" : "pointer";
    if (row === null) return this.tip([0, 0]);
    this.dot(context, this.place(row), theme(own.includes(row) ? "--accent" : this.color), 6);
    const { target, predicted, uncertainty } = this.property;
    this.tip(this.place(row),
      [make("b", {}, ...formula(DATA.formulas[row])), ` · ${DATA.ids[row]}`],
      `true ${valueText(this.property, target[row])}`,
      `predicted ${valueText(this.property, predicted[row], uncertainty?.[row])}`,
      ...(uncertainty && this.property.log ? [
        `within the uncertainty ${ownRange(this.property, predicted[row], uncertainty[row])}`,
      ] : []));
  }
}

class Parity extends Crystals {
  // Predicted against true values; shared.bars: with uncertainties.
  constructor(name, rows, property, axis, color, shared) {
    super(name, rows, property, { ...axis, label: `true, ${axis.label}` },
      { ...axis, label: `predicted, ${axis.label}` }, color, shared);
  }

  place(row) {
    return this.pixel(this.property.target[row], this.property.predicted[row]);
  }

  behind(context) {
    this.line(context, [[this.x.low, this.x.low], [this.x.high, this.x.high]], theme("--cell"), 1.2);
    const { target, predicted, uncertainty } = this.property;
    const bars = uncertainty && this.shared.bars ? this.rows : [];
    context.globalAlpha = this.rows.length > 800 ? 0.22 : 0.4;
    for (const row of bars) {
      const end = side => [target[row], predicted[row] + side * uncertainty[row]];
      this.line(context, [end(-1), end(1)], theme(this.color), 1);
    }
    context.globalAlpha = 1;
    this.base.dataset.bars = bars.length;
  }
}

const valueText = (property, value, uncertainty) => {
  const unit = property.unit && ` ${property.unit}`;
  const plain = number(value) + (uncertainty === undefined ? "" : ` ± ${number(uncertainty, 2)}`);
  return property.log ? `${number(10 ** value, 3)} ${property.own_unit} (${plain})`
    : `${plain}${unit}`;
};
const ownRange = (property, value, uncertainty) => [value - uncertainty, value + uncertainty].map(
  end => number(10 ** end, 3)).join(" to ") + ` ${property.own_unit}`;

class Shares extends Chart {
  // A curve from (0, 0) to (1, 1) at most, with a diagonal; points: { x, y, lines of the tip }.
  // `shaded`: what lies between the two is the fault that the chart is about.
  constructor(name, points, x, y, color, shaded = false) {
    const axis = label => ({ label, low: -0.02, high: 1.02 });
    super(name, axis(x), axis(y));
    Object.assign(this, { points, curves: [points], color, shaded });
  }

  paint(context) {
    context.setLineDash([4, 4]);
    this.line(context, [[0, 0], [1, 1]], theme("--cell"));
    context.setLineDash([]);
    for (const curve of this.curves)
      this.line(context, curve.map(({ x, y }) => [x, y]), theme(this.color));
    if (this.shaded && this.points.length) {
      // The path goes on along the diagonal, from under the last point to under the first.
      for (const { x } of [this.points.at(-1), this.points[0]])
        context.lineTo(...this.pixel(x, x));
      context.globalAlpha = 0.12;
      context.fillStyle = theme(this.color);
      context.fill();
      context.globalAlpha = 1;
    }
    this.base.dataset.points = this.points.length;
  }

  order() {
    return this.points;
  }

  find(px, py) {
    const away = this.points.map(({ x, y }) => {
      const [qx, qy] = this.pixel(x, y);
      return Math.hypot(qx - px, qy - py);
    });
    const least = away.reduce((a, b) => Math.min(a, b), Infinity);
    return least < 40 ? this.points[away.indexOf(least)] : null;
  }

  pointAt(point) {
    const context = this.prepare(this.over);
    if (!point) return this.tip([0, 0]);
    this.dot(context, this.pixel(point.x, point.y), theme(this.color), 5);
    const [title, ...lines] = point.lines;
    this.tip(this.pixel(point.x, point.y), make("b", {}, title), ...lines);
  }
}

class Rocs extends Shares {
  // A ROC curve for each class that is looked for: [name, [[false, true positives, threshold]]].
  constructor(name, curves, color) {
    const all = curves.map(([label, own]) => own.map(([x, y, threshold]) => ({ x, y, lines: [
      `${label}: probability ${number(threshold, 3)} or more`,
      `true positives ${number(y, 3)}`, `false positives ${number(x, 3)}`] })));
    super(name, all.flat(), "false positives", "true positives", color);
    this.curves = all;
  }
}
