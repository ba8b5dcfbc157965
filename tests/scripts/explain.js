// Turning, zooming, sorting and choosing in an explanation of one crystal.

const canvas = document.querySelector("canvas");
const pixels = () => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const picture = () => canvas.toDataURL();
const box = canvas.getBoundingClientRect();
const point = (type, x, y) => send(
    canvas, type, box.left + x * box.width, box.top + y * box.height);
const weights = () => rows("atoms").map(row => +row[2]);
const result = { pictures: [], sorted: [] };
const note = async () => { await frame(); result.pictures.push(picture()); };

await note();
result.counts = {};
const data = pixels();
for (let k = 0; k < data.length; k += 4) {
    const color = `${data[k]} ${data[k + 1]} ${data[k + 2]}`;
    result.counts[color] = (result.counts[color] ?? 0) + 1;
}
result.copies = +canvas.dataset.atoms;

// Click on a pixel of the first atom's colour.
const colorOfRow = row => getComputedStyle(row.querySelector(".swatch")).backgroundColor;
const color = colorOfRow(document.querySelector("tr[data-atom='0']"));
const rgbOf = k => `rgb(${data[k]}, ${data[k + 1]}, ${data[k + 2]})`;
let pixel = 0;
while (rgbOf(4 * pixel) !== color || rgbOf(4 * pixel + 12) !== color) pixel += 1;
const row = Math.floor(pixel / canvas.width);
const spot = [(pixel % canvas.width) / canvas.width, row / canvas.height];
canvas.setPointerCapture = () => {};  // only real pointers can be captured
point("pointermove", ...spot);
result.tip = document.querySelector(".tip").textContent;
point("pointerdown", ...spot); point("pointerup", ...spot);
await note();
result.clicked = [color, ...[...document.querySelectorAll("tr.chosen")].map(colorOfRow)];
point("pointerdown", 0.5, 0.5); point("pointermove", 0.6, 0.4); point("pointerup", 0.6, 0.4);
await note();
canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -200, cancelable: true }));
await note();
canvas.dispatchEvent(new MouseEvent("dblclick"));
await note();
for (const click of [0, 1]) {
    document.querySelector(".atoms th:nth-child(3) button").click();
    result.sorted.push(weights());
}
document.querySelector("tr[data-atom='1']").click();
document.querySelector("input[value='2']").click();
await note();
result.neighbours = rows("bonds");
result.title = document.querySelector(".bonds caption").textContent;
result.bonds = +canvas.dataset.bonds;
return result;
