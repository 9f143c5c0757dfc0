// One image at a time: Enter accepts, typing corrects, Esc skips, Ctrl Z takes the last label back.
"use strict";

const KEY = "digitwise-session";
const SVG = "http://www.w3.org/2000/svg";
let session = sessionStorage.getItem(KEY);
let alphabet = sessionStorage.getItem(`${KEY}-alphabet`) || "";
let card = null;
let filledIn = "";
let busy = false;

const post = (action, content) => ask(`/labels/${action}`, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content),
});

async function openSession() {
  const opened = await post("session", {});
  session = opened.session;
  alphabet = opened.alphabet;
  sessionStorage.setItem(KEY, session);
  sessionStorage.setItem(`${KEY}-alphabet`, alphabet);
}

// Sends one action and shows the image that comes next. What could not be sent stays on the page.
async function act(action, content = {}) {
  if (busy) return;
  busy = true;
  setProblem("");
  try {
    if (!session) await openSession();
    const answer = await post(action, { session, ...content });
    show(answer);
    if (answer.notice) setProblem(`${answer.notice}.`);
  } catch (error) {
    await recover(action, error);
  }
  busy = false;
}

async function recover(action, error) {
  try {
    if (error.status === 404) await openSession(); // the server was started again; numbers may have changed
    if (error.status === 404 || (error.status === 409 && action === "add")) show(await post("next", { session }));
    if (error.status === 404 && action === "next") return;
  } catch (second) {
    setProblem(`${second.message}.`);
    return;
  }
  setProblem(action === "add" ? `Not saved: ${error.message}.` : `${error.message}.`);
}

function setProblem(sentence) {
  byId("problem").hidden = !sentence;
  byId("problem").textContent = sentence;
}

function show(answer) {
  card = answer.card;
  byId("desk").hidden = card === null;
  byId("done").hidden = card !== null;
  byId("progress").hidden = false;
  showProgress(answer.progress);
  showCurve(answer.agreement);
  if (card === null) {
    const { skipped } = answer.progress;
    byId("done-text").textContent = skipped ? `${skipped} images were skipped.` : "";
    byId("again").hidden = !skipped;
    (skipped ? byId("again") : byId("undo-done")).focus();
    return;
  }
  byId("picture").src = `/labels/image/${card.number}`;
  byId("name").textContent = card.name;
  filledIn = card.label ?? (card.reading && card.reading.code) ?? "";
  byId("text").value = filledIn;
  byId("chips").replaceChildren(...(card.reading ? chips(card.reading.characters, "span") : []));
  showHint();
  byId("text").focus();
  byId("text").select();
}

function showProgress(progress) {
  const { images, labelled, unreadable, looked_at: lookedAt, skipped } = progress;
  byId("bar").max = Math.max(1, images - unreadable);
  byId("bar").value = labelled;
  const parts = [`${labelled} of ${images} labelled`];
  if (skipped) parts.push(`${skipped} skipped`);
  if (unreadable) parts.push(`${unreadable} cannot be read`);
  if (lookedAt < images) parts.push(`${lookedAt} checked so far: the order may still change`);
  byId("counts").textContent = parts.join(" · ");
}

function showHint() {
  const unknown = alphabet ? [...new Set(byId("text").value)].filter((c) => !alphabet.includes(c) && c !== " ") : [];
  byId("hint").textContent = unknown.length
    ? `The model does not know ${unknown.join(" ")} yet.`
    : card && card.label !== null ? "The label that this image had." : "";
}

function drawn(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// How often the readings were right, block by block of labels.
function showCurve(blocks) {
  const figure = byId("curve");
  figure.hidden = blocks.length < 2;
  if (figure.hidden) return;
  const [width, height, left, bottom] = [560, 150, 64, 22];
  const last = blocks.at(-1);
  const x = (labels) => left + ((width - left - 8) * labels) / last.labels;
  const y = (share) => 14 + (height - bottom - 14) * (1 - share);
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Agreement by number of labels" });
  for (const share of [0, 0.5, 1]) {
    picture.append(drawn("path", { class: "axis", d: `M${left} ${y(share)}H${width - 8}` }));
    picture.append(drawn("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`));
  }
  picture.append(drawn("text", { x: width - 8, y: height - 5, "text-anchor": "end" }, `${last.labels} labels`));
  picture.append(drawn("path", { class: "line", d: blocks.map((b, n) => `${n ? "L" : "M"}${x(b.labels)} ${y(b.share)}`).join("") }));
  for (const block of blocks) picture.append(drawn("circle", { cx: x(block.labels), cy: y(block.share), r: 3 }));
  const size = blocks[0].labels;
  figure.replaceChildren(picture, element("figcaption", `Share of readings that were right, for every ${size} labels. The least `
    + `certain come first, so it rises by itself. Of the last ${size}, ${Math.round(last.share * size)} were right: where `
    + "nearly all are, more labels like these hardly help this model."));
}

function listen() {
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (card) act("add", { number: card.number, text: byId("text").value });
  });
  byId("text").addEventListener("input", showHint);
  byId("skip").addEventListener("click", () => { if (card) act("skip", { number: card.number }); });
  for (const id of ["undo", "undo-done"]) byId(id).addEventListener("click", () => act("undo"));
  byId("again").addEventListener("click", () => act("unskip"));
  document.addEventListener("keydown", (event) => {
    const isEdited = card !== null && byId("text").value !== filledIn;
    if (event.key === "Escape" && card) {
      event.preventDefault();
      act("skip", { number: card.number });
    } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !isEdited) {
      event.preventDefault(); // with a text that was typed, Ctrl Z is the browser's own
      act("undo");
    }
  });
}

async function start() {
  listen();
  try {
    const { labels } = await ask("/about");
    byId("no-folder").hidden = labels !== null;
    if (labels !== null) await act("next");
  } catch (error) {
    setProblem(error.message);
  }
}

start();
