// The page of `python -m gatgnn_jax.serve`: files to the server, its answers to the page.
// Whatever comes from a file is only ever set as text.

const byId = id => document.getElementById(id);
const say = text => { byId("status").textContent = text; };
const answers = make("div", { class: "answers" });
const tables = [];  // of the crystals shown, as CSV without the head

const chosenModels = () => [...byId("models").querySelectorAll(":checked")].map(box => box.value);

async function askServer(name, content) {
  // The server's answer, or why there is none as `error`.
  if (content.size > DATA.limit)
    return { error: `the file is larger than ${DATA.limit / 1e6} MB: is it a structure?` };
  const query = new URLSearchParams([["name", name], ...chosenModels().map(own => ["model", own])]);
  try {
    const response = await fetch(`predict?${query}`, { method: "POST", body: content });
    return await response.json();
  } catch {
    return { error: "the server does not answer: is it still running?" };
  }
}

async function predict(files) {
  // [name, content] of each, one after another.
  if (!chosenModels().length) return say("Choose a model first.");
  let done = 0, first = null, refused = 0;
  for (const [name, content] of files) {
    say(files.length > 1 ? `Predicting ${name}, ${done + 1} of ${files.length} …` : "Predicting …");
    const { crystals = [], skipped = [], error } = await askServer(name, content);
    const bad = [...skipped, ...(error ? [[name, error]] : [])];
    const results = [...crystals.map(answered), ...bad.map(pair => refusal(...pair))];
    answers.append(...results);
    first ??= results[0];
    done += 1;
    refused += bad.length;
  }
  for (const id of ["save", "clear"]) byId(id).hidden = !answers.childElementCount;
  byId("save").hidden ||= !tables.length;
  const predicted = `${tables.length} predicted`;
  say(refused ? `${predicted}; ${refused} refused, with the reason below.` : `${predicted}.`);
  first?.scrollIntoView({ block: "start" });
  first?.querySelector("h2").focus({ preventScroll: true });
}

const refusal = (name, reason) => make("section", { class: "crystal refused" },
  make("h2", { tabindex: -1 }, `${name} is refused`), make("p", {}, reason));

function valueCard(value, group, choose) {
  const input = make("input", { type: "radio", name: group, onchange: choose });
  const line = (kind, ...text) => make("span", { class: kind }, ...text);
  return make("label", {}, input, make("span", {},
    line("name", value.property, ...(value.model.replaceAll("_", " ") === value.property
      ? [] : [make("span", { class: "muted" }, ` · ${value.model}`)])),
    line("value", value.value, make("small", {}, ` ${value.unit}`)),
    line("note", value.interval ? `90 %: ${value.interval}` : "no interval known"),
    ...(value.warning ? [line("warning", `⚠ ${value.warning}`)] : [])));
}

function shown(explained) {
  // The crystal in 3-D: it puts itself at the end of the page, from where it is taken.
  show(explained);
  return document.querySelector("main").lastElementChild;
}

let groups = 0;
function answered(crystal) {
  // A crystal's values; what the chosen one rests on; its model's attention.
  const group = `closer-${groups += 1}`;
  const closer = make("div"), attention = make("div");
  const look = value => {
    closer.replaceChildren(evidence(value));
    const explained = crystal.explained[value.model];
    attention.replaceChildren(explained ? shown(explained)
      : make("p", {}, `${value.model} has no attention to show.`));
  };
  const cards = crystal.values.map(value => valueCard(value, group, () => look(value)));
  const card = make("section", { class: "crystal" },
    make("div", { class: "head" },
      make("h2", { tabindex: -1 }, ...formula(crystal.formula)),
      make("span", { class: "muted" }, `${crystal.id} · ${crystal.atoms} atoms`)),
    make("div", { class: "values", role: "radiogroup", "aria-label": "look closer at" }, ...cards),
    closer);
  tables.push(crystal.csv);
  cards[0].querySelector("input").checked = true;
  look(crystal.values[0]);
  return make("div", { class: "answer" }, card, attention);
}

function save() {
  const text = `${DATA.columns.join()}\n${tables.join("")}`;
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  make("a", { href: address, download: "predictions.csv" }).click();
  URL.revokeObjectURL(address);
}

function clearAnswers() {
  answers.replaceChildren();
  tables.length = 0;
  byId("save").hidden = byId("clear").hidden = true;
  say("");
  byId("text").focus();
}

function start() {
  const named = list => [...list].map(file => [file.name, file]);
  for (const [name, text] of DATA.examples)
    byId("examples").append(make("button", { type: "button", onclick: () => {
      byId("text").value = text;
      predict([[name, new Blob([text])]]);
    } }, name));
  for (const [name] of DATA.models) {
    const box = make("input", { type: "checkbox", value: name });
    box.checked = true;
    byId("models").append(make("label", {}, box, name));
  }
  byId("ask").addEventListener("submit", event => {
    event.preventDefault();
    const text = byId("text").value;
    if (text.trim()) predict([["pasted", new Blob([text])]]);
    else say("Paste a crystal first, choose a file, or click an example.");
  });
  byId("files").addEventListener("change", async event => {
    await predict(named(event.target.files));
    event.target.value = "";  // so that the same file may be chosen again
  });
  byId("save").addEventListener("click", save);
  byId("clear").addEventListener("click", clearAnswers);
  const drag = (type, over, act = () => {}) => document.addEventListener(type, event => {
    event.preventDefault();
    document.body.classList.toggle("dragging", over);
    act(event);
  });
  drag("dragover", true);
  drag("dragleave", false);
  drag("drop", false, event => predict(named(event.dataTransfer.files)));
  document.querySelector("main").append(answers);
}

start();
