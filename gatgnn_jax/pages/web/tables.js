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

const meter = share => make("span", { class: "meter" },
  make("i", { style: `width:${100 * clamp(share, 0, 1)}%` }));
const swatch = color => make("span", { class: "swatch", style: `background:${css(color)}` });

// A column: { name, value: row => number or text, cell: row => contents,
// text: aligned left, down: falling order first }. `sorted` { by, down } outlives the table.
function fillTable(table, title, note, columns, rows, sorted, attributes = () => ({})) {
  const body = make("tbody");
  const fill = () => {
    const { by, down } = sorted;
    const order = [...rows].sort((a, b) => {
      const [x, y] = [columns[by].value(a), columns[by].value(b)];
      return (typeof x === "string" ? x.localeCompare(y) : x - y) * (down ? -1 : 1);
    });
    body.replaceChildren(...order.map(row => make("tr", attributes(row), ...columns.map(column =>
      make("td", { "data-value": column.value(row), class: column.text ? "text" : "" },
        ...[column.cell(row)].flat())))));
    heads.forEach((head, k) => {
      if (k === by) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };
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
