// Single keys: g l, g p, g c, g j, g s, /, u, r, ?. Off while typing, with a modifier, or by choice.
const off = () => document.documentElement.dataset.shortcuts === "off";
const PLACES = { l: "library", p: "posts", c: "schedule", j: "jobs", s: "settings" };
let went = -Infinity; // when "g" was pressed

/** Whether a key press is a shortcut, and not typing or a command of the browser. */
export function isShortcut(event) {
  if (off() || event.defaultPrevented || event.isComposing) return false;
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  return !event.target.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable], dialog");
}

document.addEventListener("keydown", (event) => {
  if (!isShortcut(event)) return;
  const { key } = event;
  if (performance.now() - went < 1200 && PLACES[key]) {
    event.preventDefault();
    went = -Infinity;
    document.querySelector(`[data-nav="${PLACES[key]}"]`)?.click();
    return;
  }
  went = key === "g" ? performance.now() : -Infinity;
  if (key === "?") {
    document.getElementById("keys")?.showModal();
    event.preventDefault();
    return;
  }
  const target = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.matches("input")) {
    target.focus();
    target.select();
  } else target.click();
});

const list = document.querySelector('[data-opens="keys"]');
if (list) list.hidden = off();
