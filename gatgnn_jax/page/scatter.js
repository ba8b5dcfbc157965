// Predicted against true values, and ROC curves.

class Parity extends Chart {
  // `rows` of DATA are points; `shared` { pinned: Set of rows, pin(row) } belongs to all panels.
  constructor(name, rows, property, axis, color, shared) {
    super(name, { ...axis, label: `true, ${axis.label}` },
      { ...axis, label: `predicted, ${axis.label}` });
    this.rows = rows.filter(row => property.target[row] !== null);
    Object.assign(this, { property, color, shared });
    this.over.addEventListener("click", event => {
      const row = this.find(...this.spot(event));
      if (row !== null) shared.pin(row);
    });
  }

  place(row) {
    return this.pixel(this.property.target[row], this.property.predicted[row]);
  }

  paint(context) {
    context.strokeStyle = theme("--cell");
    context.lineWidth = 1.2;
    context.beginPath();
    context.moveTo(...this.pixel(this.x.low, this.x.low));
    context.lineTo(...this.pixel(this.x.high, this.x.high));
    context.stroke();
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
    let nearest = null, least = 14;
    for (const row of this.rows) {
      const [x, y] = this.place(row);
      const away = Math.hypot(x - px, y - py);
      if (away < least) [nearest, least] = [row, away];
    }
    return nearest;
  }

  pointAt(row) {
    const context = this.prepare(this.over);
    const own = this.rows.filter(r => this.shared.pinned.has(r));
    for (const pinned of own) this.dot(context, this.place(pinned), theme("--accent"), 5);
    this.over.style.cursor = row === null ? "" : "pointer";
    if (row === null) return this.tip([0, 0]);
    this.dot(context, this.place(row), theme(own.includes(row) ? "--accent" : this.color), 6);
    this.tip(this.place(row),
      [make("b", {}, ...formula(DATA.formulas[row])), ` · ${DATA.ids[row]}`],
      `true ${valueText(this.property, this.property.target[row])}`,
      `predicted ${valueText(this.property, this.property.predicted[row])}`);
  }
}

const valueText = (property, value) => {
  const unit = property.unit && ` ${property.unit}`;
  if (!property.log) return `${number(value)}${unit}`;
  return `${number(10 ** value, 3)} ${property.own_unit} (${number(value)})`;
};

function rocPoints(property, rows) {
  // False and true positives at every threshold, the strictest first.
  const known = rows.filter(row => property.target[row] !== null);
  const falling = [...known].sort((a, b) => property.predicted[b] - property.predicted[a]);
  const positives = known.filter(row => property.target[row] === 1).length;
  const points = [{ x: 0, y: 0, threshold: 1 }];
  let right = 0, wrong = 0;
  falling.forEach((row, k) => {
    if (property.target[row] === 1) right += 1;
    else wrong += 1;
    const threshold = property.predicted[row];
    if (threshold === property.predicted[falling[k + 1]]) return;
    points.push({ x: wrong / (known.length - positives), y: right / positives, threshold });
  });
  return points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
}

class Roc extends Chart {
  constructor(name, property, rows, color) {
    const axis = label => ({ label, low: -0.02, high: 1.02 });
    super(name, axis("false positives"), axis("true positives"));
    Object.assign(this, { points: rocPoints(property, rows), color });
  }

  paint(context) {
    context.setLineDash([4, 4]);
    this.curve(context, [[0, 0], [1, 1]], theme("--cell"));
    context.setLineDash([]);
    this.curve(context, this.points.map(({ x, y }) => [x, y]), theme(this.color));
    this.base.dataset.points = this.points.length;
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
    this.tip(this.pixel(point.x, point.y),
      make("b", {}, `probability ${number(point.threshold, 3)} or more`),
      `true positives ${number(point.y, 3)}`, `false positives ${number(point.x, 3)}`);
  }
}
