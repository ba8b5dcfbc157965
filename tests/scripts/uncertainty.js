// The uncertainty in a report: error bars on and off, what points say, and the tables.

const result = { values: texts(".tile .value"), notes: texts(".tile .note"),
    worst: rows("worst"), networks: rows("networks"),
    note: document.querySelector(".card:has(.spread) .head .muted").textContent };
const parity = document.querySelector(".panel.test canvas");
const bars = () => [+parity.dataset.bars, parity.toDataURL()];
const [shown, before] = bars();
document.querySelector("input[name=bars][value=off]").click();
const [hidden, after] = bars();
result.bars = [shown, hidden, before !== after];
result.points = all(":is(.spread, .coverage) canvas:first-child").map(canvas => +canvas.dataset.points);
result.parity = tipsOf(".panel.test", 6);
result.spread = tipsOf(".panel.spread", 6);
result.coverage = tipsOf(".panel.coverage", 15);
return result;
