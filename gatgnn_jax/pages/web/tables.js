// Sortable tables, and the elements everything on the page is made of.

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") element.style.cssText = value;  // an attribute may be forbidden
    else element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const formula = text => text.split(/(\d+)/).filter(Boolean).map(
  part => /^\d/.test(part) ? make("sub", {}, part) : part);

const plain = name => name.replaceAll("_", " ");
const isClass = property => property.task === "classification";
const count = value => value.toLocaleString("en");
const several = (n, what) => `${count(n)} ${what}${n === 1 ? "" : "s"}`;
const meter = share => make("span", { class: "meter" },
  make("i", { style: `width:${100 * clamp(share, 0, 1)}%` }));
const pad = (...contents) => make("div", { class: "pad" }, ...contents);
const card = (title, note, ...contents) => make("section", { class: "card" },
  make("div", { class: "head" }, make("h2", {}, title), make("span", { class: "muted" }, note)),
  ...contents);
// Tables may be wider than a phone and higher than a card: these scroll, by keyboard too.
const scroller = (name, ...contents) => make("div",
  { class: "scroll tall", tabindex: 0, role: "region", "aria-label": name }, ...contents);
const swatch = color => make("span", { class: "swatch", style: `background:${css(color)}` });

// What was drawn in other colours is drawn anew: for the dark, and for paper.
const onLook = draw => ["(prefers-color-scheme: dark)", "print"].forEach(
  look => matchMedia(look).addEventListener("change", draw));

// Of buttons that belong together Tab reaches one; arrow keys lead from there to the others.
const oneStop = (box, stop = null) => [...box.querySelectorAll(".pick")].forEach((button, k) => {
  button.tabIndex = (stop ? button === stop : k === 0) ? 0 : -1;
});
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10,
  Home: -Infinity, End: Infinity };
function roving(box) {
  box.addEventListener("focusin", event => {
    if (event.target.matches(".pick")) oneStop(box, event.target);
  });
  box.addEventListener("keydown", event => {
    const step = STEPS[event.key];
    if (!step || !event.target.matches(".pick")) return;
    event.preventDefault();
    const buttons = [...box.querySelectorAll(".pick")];
    buttons[clamp(buttons.indexOf(event.target) + step, 0, buttons.length - 1)].focus();
  });
}
const pick = (attributes, ...contents) =>
  make("button", { type: "button", class: "pick", ...attributes }, ...contents);
const chooseRow = (row, chosen) => {
  row.classList.toggle("chosen", chosen);
  row.querySelector(".pick")?.setAttribute("aria-pressed", chosen);
};

// A column: { name, value: row => number or text, cell: row => contents, text: aligned left,
// down: falling order first, pick: a button }. `sorted` { by, down } outlives the table.
function fillTable(table, title, note, columns, rows, sorted, attributes = () => ({})) {
  const body = make("tbody");
  const fill = () => {
    const { by, down } = sorted;
    const order = [...rows].sort((a, b) => {
      const [x, y] = [columns[by].value(a), columns[by].value(b)];
      return (typeof x === "string" ? x.localeCompare(y) : x - y) * (down ? -1 : 1);
    });
    const contents = (column, row) => {
      const own = [column.cell(row)].flat();
      return column.pick ? [pick({}, ...own)] : own;
    };
    body.replaceChildren(...order.map(row => make("tr", attributes(row), ...columns.map(column =>
      make("td", { "data-value": column.value(row), class: column.text ? "text" : "" },
        ...contents(column, row))))));
    oneStop(body);
    heads.forEach((head, k) => {
      if (k === by) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };
  roving(body);
  const sort = by => {
    sorted.down = sorted.by === by ? !sorted.down : Boolean(columns[by].down);
    sorted.by = by;
    fill();
  };
  const heads = columns.map((column, k) => make("th", { class: column.text ? "text" : "" },
    make("button", { type: "button", onclick: () => sort(k) }, column.name)));
  table.replaceChildren(make("caption", {}, `${title} `, make("span", {}, note)),
    make("thead", {}, make("tr", {}, ...heads)), body);
  fill();
}

// The same without a title, which its card has.
const table = (kind, ...rest) => {
  const made = make("table", { class: kind });
  fillTable(made, "", "", ...rest);
  made.caption.remove();
  return made;
};
