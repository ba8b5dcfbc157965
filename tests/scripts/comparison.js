// Runs side by side: what is drawn, and a crystal chosen in the table.

const result = { heads: texts("h2"), shown: rows("side-by-side"),
    points: all(".learning canvas:first-child, .against canvas:first-child").map(
        own => +own.dataset.points) };
const over = document.querySelector(".against canvas:last-of-type");
const before = over.toDataURL();
document.querySelector("table.side-by-side .pick").click();
result.changes = over.toDataURL() !== before;
return result;
