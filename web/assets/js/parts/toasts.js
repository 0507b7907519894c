// Short messages that go by themselves; never the only place where something is said.
const MAX = 3;
const STAYS_MS = 6000;

/** Show `text`. `undo`: what Undo does. `tone: "bad"` stays until it is closed. */
export function toast(text, { undo, tone, label = "Undo" } = {}) {
  const place = document.getElementById("toasts");
  if (!place) return;
  const box = document.createElement("div");
  box.className = "toast";
  if (tone) box.dataset.tone = tone;
  const words = document.createElement("p");
  words.textContent = text;
  words.dir = "auto";
  box.append(words);
  if (undo) box.append(button(label, "button small", () => (undo(), box.remove())));
  box.append(button("✕", "button quiet small", () => box.remove(), "Close"));
  place.append(box);
  while (place.children.length > MAX) place.firstElementChild.remove();
  if (tone !== "bad") leave(box);
  return box;
}

function button(text, className, action, label) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = className;
  element.textContent = text;
  if (label) element.setAttribute("aria-label", label);
  element.addEventListener("click", action);
  return element;
}

function leave(box) {
  let timer;
  const start = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (box.matches(":hover, :focus-within")) start();
      else box.remove();
    }, STAYS_MS);
  };
  start();
}

const said = [];
let saying;

/** For screen readers, politely; what comes within two seconds is said together, or of several
 * counts only the `newest`. */
export function announce(text, { newest } = {}) {
  if (newest) said.length = 0;
  said.push(text);
  saying ??= setTimeout(() => {
    const place = document.getElementById("status");
    if (place) place.textContent = said.join(" ");
    said.length = 0;
    saying = undefined;
  }, 2000);
}
