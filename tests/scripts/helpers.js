// What the scripts of several pages use. They run in the page, as the body of an async function.

const all = selector => [...document.querySelectorAll(selector)];
const texts = selector => all(selector).map(element => element.textContent);
const rows = table => all(`table.${table} tbody tr`).map(
    row => [...row.cells].map(cell => cell.dataset.value));
const send = (canvas, type, x, y) => canvas.dispatchEvent(
    new PointerEvent(type, { clientX: x, clientY: y, bubbles: true }));

// The pointer goes all over a canvas; after each step `note` gets the tip's lines and the place.
const sweep = (canvas, step, note) => {
    const box = canvas.getBoundingClientRect();
    for (let x = box.left; x < box.right; x += 5)
        for (let y = box.top; y < box.bottom; y += step) {
            send(canvas, "pointermove", x, y);
            note(texts(".tip div"), x, y);
        }
};
// What is said on the way: lines by the first line.
const tipsOf = (selector, step) => {
    const tips = {};
    sweep(document.querySelector(`${selector} canvas:last-of-type`), step, lines => {
        if (lines.length) tips[lines[0]] = lines.slice(1);
    });
    return tips;
};

await frame();
