// Reads the images that are dropped, pasted or chosen, a few at a time.
"use strict";

const AT_A_TIME = 4;
const MOST_CARDS = 300;
let about = { max_bytes: Infinity };
const waiting = [];
let running = 0;
let finished = 0;

function add(files) {
  waiting.push(...files);
  while (running < AT_A_TIME && waiting.length) readNext();
}

async function readNext() {
  running += 1;
  const file = waiting.shift();
  const card = newCard(file.name);
  try {
    if (file.size > about.max_bytes) {
      throw new Error(`the file has ${file.size.toLocaleString("en")} bytes; ${about.max_bytes.toLocaleString("en")} are allowed`);
    }
    const headers = { "Content-Type": "application/octet-stream" };
    const reading = await ask("/read?show=1", { method: "POST", body: file, headers });
    fill(card, reading);
    suspended(reading.promise_suspended);
  } catch (error) {
    card.querySelector(".text").prepend(element("p", error.message, "error"));
  }
  running -= 1;
  finished += 1;
  byId("status").textContent = running + waiting.length
    ? `${finished} read, ${running + waiting.length} to go` : `${finished} read`;
  if (waiting.length) readNext();
}

function newCard(name) {
  const card = element("article", "", "reading");
  const text = element("div", "", "text");
  text.append(element("p", name, "file"));
  card.append(text);
  byId("readings").prepend(card);
  if (byId("readings").childElementCount > MOST_CARDS) byId("readings").lastElementChild.remove();
  return card;
}

function fill(card, reading) {
  const text = card.querySelector(".text");
  if (reading.code === null) {
    text.prepend(element("p", reading.error, "error"));
    return;
  }
  const codes = element("p", "", "codes");
  const code = element("bdi", reading.code || "(nothing)");
  codes.append(code, element("span", `confidence ${percent(reading.confidence)}`), decision(reading.accepted));
  const row = element("div", "", "chips");
  const buttons = chips(reading.characters, reading.looked ? "button" : "div");
  row.append(...buttons);
  text.prepend(codes, row);
  if (reading.label !== undefined) {
    const right = reading.label === reading.code;
    text.append(element("p", right ? "right" : `wrong: it shows ${reading.label}`, right ? "accepted" : "refused"));
    card.classList.toggle("wrong", !right);
  }
  card.prepend(picture(reading, buttons));
}

function decision(accepted) {
  if (accepted === null) return element("span", "no threshold");
  return element("span", accepted ? "✓ accepted" : "✗ not accepted", accepted ? "accepted" : "refused");
}

// The image as the network was given it, with colours over the columns that it looked at for each character.
function picture(reading, buttons) {
  const box = element("div", "", "picture");
  const image = element("img");
  image.src = reading.picture;
  image.alt = `Image read as ${reading.code}`;
  box.append(image);
  if (!reading.looked || !reading.looked.length) return box;
  const canvas = element("canvas");
  canvas.width = reading.looked[0].length;
  canvas.height = 1;
  box.append(canvas);
  const show = (only) => paint(canvas, reading.looked, only);
  show(null);
  buttons.forEach((button, number) => {
    button.type = "button";
    button.style.borderBottomColor = color(number);
    button.title = "Show where the network looked for this character";
    for (const event of ["focus", "pointerenter", "click"]) button.addEventListener(event, () => show(number));
    for (const event of ["blur", "pointerleave"]) button.addEventListener(event, () => show(null));
  });
  return box;
}

function paint(canvas, looked, only) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, 1);
  looked.forEach((shares, number) => {
    if (only !== null && only !== number) return;
    const most = Math.max(...shares, 1e-6);
    shares.forEach((share, column) => {
      context.fillStyle = color(number, (0.45 * share) / most);
      context.fillRect(column, 0, 1, 1);
    });
  });
}

function suspended(sentence) {
  byId("suspended").hidden = !sentence;
  byId("suspended").firstElementChild.textContent = sentence || "";
}

async function takeExamples() {
  byId("examples").disabled = true;
  try {
    const { readings, split, promise_suspended } = await ask("/examples");
    for (const reading of readings) fill(newCard(`from the ${split} split`), reading);
    byId("status").textContent = `${readings.length} images of the ${split} split read`;
    suspended(promise_suspended);
  } catch (error) {
    byId("status").textContent = error.message;
  }
  byId("examples").disabled = false;
}

function listen() {
  const drop = byId("drop");
  // Over the whole page: a file that is dropped beside the area would replace the page otherwise.
  document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (about.model) add(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => { if (about.model) add(event.clipboardData.files); });
  byId("files").addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
  byId("examples").addEventListener("click", takeExamples);
  byId("suspended").querySelector("button").addEventListener("click", async () => {
    await ask("/promise/resume", { method: "POST" });
    suspended("");
  });
}

async function start() {
  listen();
  try {
    about = await ask("/about");
  } catch (error) {
    byId("status").textContent = error.message;
    return;
  }
  byId("to-labels").hidden = about.labels === null;
  byId("no-model").hidden = about.model;
  byId("drop").hidden = !about.model;
  byId("limits").textContent = "PNG, JPEG, BMP, GIF or WEBP, up to "
    + `${(about.max_bytes / 2 ** 20).toFixed(0)} MB and ${(about.max_pixels / 1e6).toFixed(0)} megapixels. Nothing is stored.`
    + (about.max_error === null ? "" : ` Of the accepted readings at most ${100 * about.max_error} % are wrong.`);
  byId("examples").hidden = about.examples === null;
  byId("examples").textContent = `Take some of the ${about.examples} split`;
  suspended(about.promise_suspended);
}

start();
