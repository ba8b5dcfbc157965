// Pointing, clicking and sorting in a report.

const result = { title: document.querySelector("h1").textContent, tiles: texts(".tile .value"),
    notes: texts(".tile .note"), points: {}, tips: {},
    heads: texts("h2") };
for (const panel of all(".panel")) {
    result.points[panel.className] = +(panel.querySelector("canvas")?.dataset.points ?? 0);
}
result.curves = +document.querySelector(".learning canvas").dataset.points;
result.elements = rows("elements");
result.systems = rows("systems");
result.sizes = rows("sizes");
result.skipped = texts("table.skipped td");
result.changed = texts("table.settings tr.changed td:first-child");
result.cells = texts(".cell.known, .cell.few").length;
result.worst = rows("worst").map(row => row[0]);

const panel = document.querySelector(".panel.test canvas:last-of-type");
let place = null;
sweep(panel, 5, (lines, x, y) => {
    if (!lines.length) return;
    result.tips[lines[0]] = lines.slice(1);
    if (lines[0].endsWith(` ${result.worst[0]}`)) place ??= [x, y];
});
if (place) {
    panel.dispatchEvent(new MouseEvent("click", { clientX: place[0], clientY: place[1] }));
    result.pinned = rows("pinned").map(row => row[0]);
}
result.epochs = tipsOf(".learning", 1000);

// The other way round, and another structure.
const picture = () => document.querySelector(".structure canvas")?.toDataURL();
const structure = document.querySelector(".structure canvas");
result.atoms = +(structure?.dataset.atoms ?? 0);
result.bonds = +(structure?.dataset.bonds ?? 0);
document.querySelector("table.worst th:last-child button").click();
result.rising = rows("worst").map(row => row[0]);
const before = picture();
document.querySelector("table.worst tbody tr").click();
await frame();
result.shown = document.querySelector(".structure .title").textContent;
result.changes = picture() !== before;
return result;
