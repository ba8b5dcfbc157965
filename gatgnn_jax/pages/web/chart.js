// Axes on a canvas, with a second one above for what is pointed at.
//
// An axis: { label, low, high, log }.

const theme = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function ticks({ low, high, log }, count) {
  const step = 10 ** Math.floor(Math.log10((high - low) / count));
  const wide = [1, 2, 5, 10].map(k => k * step).find(k => (high - low) / k <= count);
  const linear = Array.from({ length: count + 2 },
    (_, k) => +((Math.ceil(low / wide - 1e-9) + k) * wide).toPrecision(12));
  const decades = [...Array(24).keys()].map(k => k - 12);
  const within = values => values.filter(v => v >= low && v <= high);
  if (!log) return within(linear);
  const choices = [[1], [1, 3], [1, 2, 5]].map(
    digits => within(decades.flatMap(d => digits.map(k => +(k * 10 ** d).toPrecision(3)))));
  const round = choices.findLast(values => values.length <= count + 1) ?? choices[0];
  return round.length > 2 ? round : within(linear);
}
const axisOf = (values, { label, log = false, margin = 0.04 }) => {
  const scale = log ? Math.log10 : v => v, back = log ? v => 10 ** v : v => v;
  const shown = values.filter(v => v !== null && (!log || v > 0)).map(scale);
  let [low, high] = [shown.reduce((a, b) => Math.min(a, b), Infinity),
    shown.reduce((a, b) => Math.max(a, b), -Infinity)];
  if (!shown.length) [low, high] = [0, 1];
  const extra = margin * (high - low) || 0.5;
  return { label, log, low: back(low - extra), high: back(high + extra) };
};

class Chart {
  constructor(name, x, y) {
    Object.assign(this, { name, x, y, left: 58, right: 12, top: 10, bottom: 44 });
    this.base = make("canvas", { role: "img", "aria-label": name });
    this.over = make("canvas", { role: "slider", tabindex: 0, "aria-label": `${name}, one by one`,
      "aria-valuemin": 0, "aria-valuenow": 0, "aria-valuemax": 0, "aria-valuetext": "none" });
    this.box = make("div", { class: "chart" }, this.base, this.over);
    new ResizeObserver(() => this.draw()).observe(this.box);
    onLook(() => this.draw());
    for (const type of ["pointermove", "pointerdown"]) this.over.addEventListener(type, event => {
      if (this.width) this.pointAt(this.find(...this.spot(event)));  // there may be no axes yet
    });
    this.over.addEventListener("pointerleave", event => {
      if (event.pointerType !== "touch") this.pointAt(null);  // a finger leaves as soon as it taps
    });
    this.over.addEventListener("keydown", event => this.key(event));
    this.over.addEventListener("blur", () => this.pointAt(null));
  }

  tell(words) {  // what the picture shows, for those who do not see it
    this.base.setAttribute("aria-label", `${this.name}: ${words}`);
  }

  key(event) {
    // Arrows go from point to point, as subclasses `order()` them; Enter is a click.
    const points = this.ordered ??= this.order();
    const step = STEPS[event.key];
    if (["Enter", " "].includes(event.key) && this.at !== undefined) this.press(points[this.at]);
    else if (step && points.length && this.width)
      this.at = clamp((this.at ?? (step > 0 ? -1 : points.length)) + step, 0, points.length - 1);
    else return;
    event.preventDefault();
    this.pointAt(points[this.at]);
    const lines = [...this.box.querySelectorAll(".tip > div")].map(line => line.textContent);
    for (const [name, value] of [["max", points.length], ["now", this.at + 1],
      ["text", lines.join(", ")]]) this.over.setAttribute(`aria-value${name}`, value);
  }

  press() {}

  spot(event) {
    const box = this.over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  pixel(x, y) {
    const share = ({ low, high, log }, v) => log
      ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low);
    return [this.left + this.width * share(this.x, x),
      this.top + this.height * (1 - share(this.y, y))];
  }

  // The row whose place is nearest to a pixel, no more than `least` away; null: none.
  nearest(rows, px, py, least) {
    let nearest = null;
    for (const row of rows) {
      const [x, y] = this.place(row);
      const away = Math.hypot(x - px, y - py);
      if (away < least) [nearest, least] = [row, away];
    }
    return nearest;
  }

  prepare(canvas) {
    const [width, height] = [this.box.clientWidth, this.box.clientHeight];
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.width = width - this.left - this.right;
    this.height = height - this.top - this.bottom;
    return context;
  }

  draw() {
    if (!this.box.clientWidth) return;
    const context = this.prepare(this.base);
    this.axes(context);
    context.save();
    context.beginPath();
    context.rect(this.left, this.top, this.width, this.height);
    context.clip();
    this.paint(context);
    context.restore();
    this.pointAt(null);
  }

  axes(context) {
    const { left, top, width, height } = this;
    context.font = "12px Inter, system-ui, sans-serif";
    context.lineWidth = 1;
    context.strokeStyle = theme("--line");
    context.fillStyle = theme("--muted");
    const line = (...ends) => {
      context.beginPath();
      ends.forEach(([x, y]) => context.lineTo(Math.round(x) + 0.5, Math.round(y) + 0.5));
      context.stroke();
    };
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const value of ticks(this.x, clamp(Math.floor(width / 46), 3, 10))) {
      const [x] = this.pixel(value, this.y.low);
      line([x, top], [x, top + height]);
      context.fillText(text(value), x, top + height + 7);
    }
    context.fillText(this.x.label, left + width / 2, top + height + 25);
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of ticks(this.y, clamp(Math.floor(height / 46), 3, 10))) {
      const [, y] = this.pixel(this.x.low, value);
      line([left, y], [left + width, y]);
      context.fillText(text(value), left - 8, y);
    }
    context.save();
    context.translate(11, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(this.y.label, 0, 0);
    context.restore();
  }

  line(context, points, color, width = 1.6) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.beginPath();
    points.forEach(point => context.lineTo(...this.pixel(...point)));
    context.stroke();
  }

  dot(context, [x, y], color, radius = 4) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = color;
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = theme("--card");
    context.stroke();
  }

  tip([x, y], ...lines) {
    this.box.querySelector(".tip")?.remove();
    if (!lines.length) return;
    const share = clamp(100 * x / this.box.clientWidth, 0, 100);  // so that it stays inside
    const [top, up] = y > 110 ? [y - 12, -100] : [y + 14, 0];
    this.box.append(make("div", { class: "tip",
      style: `left:${x}px;top:${top}px;transform:translate(-${share}%,${up}%)` },
      ...lines.map(line => make("div", {}, ...[line].flat()))));
  }
}

const text = value => {
  const size = Math.abs(value);
  const plain = size >= 1e5 || (size > 0 && size < 1e-4) ? value.toExponential(0) : `${value}`;
  return plain.replace("-", "−");
};
const number = (value, digits = 4) =>
  value === null ? "–" : (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-4)
    ? value.toExponential(digits - 1) : value.toPrecision(digits)).replace("-", "−");

class Curves extends Chart {
  // Several curves over the same x, on a log scale; the values under the pointer.
  // lines: [{ name, color, values }]; mark: the point of a vertical line, or null; title of an x.
  constructor(name, xs, lines, x, y, { mark, title }) {
    super(name, x, y);
    Object.assign(this, { xs, lines, mark, title });
  }

  drawn(line) {
    const shown = line.values.map((v, k) => [this.xs[k], v]);
    return shown.filter(([, v]) => v > 0);
  }

  paint(context) {
    for (const line of this.lines) this.line(context, this.drawn(line), theme(line.color));
    this.base.dataset.points = this.lines.reduce((n, line) => n + this.drawn(line).length, 0);
    const { mark, y } = this;
    if (!mark) return;
    context.setLineDash([4, 4]);
    this.line(context, [[mark.x, y.low], [mark.x, y.high]], theme("--test"), 1.2);
    context.setLineDash([]);
    if (mark.y > 0) this.dot(context, this.pixel(mark.x, mark.y), theme("--test"), 5);
  }

  order() {
    return [...this.xs.keys()];
  }

  find(px) {
    const away = this.xs.map(x => Math.abs(this.pixel(x, this.y.low)[0] - px));
    return away.indexOf(away.reduce((a, b) => Math.min(a, b), Infinity));
  }

  pointAt(index) {
    const context = this.prepare(this.over);
    if (index === null) return this.tip([0, 0]);
    const known = this.lines.filter(line => line.values[index] > 0);
    for (const line of known)
      this.dot(context, this.pixel(this.xs[index], line.values[index]), theme(line.color));
    const [x] = this.pixel(this.xs[index], this.y.low);
    const ys = known.map(line => this.pixel(this.xs[index], line.values[index])[1]);
    this.tip([x, Math.min(...ys, this.top + this.height)],
      make("b", {}, this.title(this.xs[index])),
      ...this.lines.map(line => `${line.name} ${number(line.values[index] ?? null)}`));
  }
}
