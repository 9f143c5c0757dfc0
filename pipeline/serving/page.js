// What both pages need. Text from outside is only ever set as text.
"use strict";

const byId = (id) => document.getElementById(id);

function element(name, content = "", className = "") {
  const made = document.createElement(name);
  made.textContent = content;
  made.className = className;
  return made;
}

const percent = (value) => (value >= 0.9995 && value < 1 ? ">99.9" : (100 * value).toFixed(1)) + " %";

// The answer's JSON; an Error with the server's sentence where it refuses.
async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the server cannot be reached");
  }
  let content = {};
  try {
    content = await response.json();
  } catch {
    // An answer without JSON is one that fails below.
  }
  if (!response.ok) {
    const error = new Error(content.error || `the server answered with status ${response.status}`);
    error.status = response.status;
    throw error;
  }
  return content;
}

const color = (number, alpha = 1) => `hsl(${(number * 137.5 + 210) % 360} 85% 50% / ${alpha})`;

// The characters of a reading with their probabilities; `tag` is p or button.
function chips(characters, tag) {
  return characters.map(({ character, probability }) => {
    const chip = element(tag, "", probability < 0.9 ? "chip unsure" : "chip");
    chip.append(element("b", character), element("i", percent(probability)));
    return chip;
  });
}
