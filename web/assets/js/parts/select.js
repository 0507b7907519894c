// Choosing several videos of the library: ranges by Shift, all by one press, "x" for the one with
// the focus. The checkboxes and the bar work without this; it adds the count and the shortcuts.
import { isShortcut } from "./keys.js";
import { announce } from "./toasts.js";

const boxes = () => [...document.querySelectorAll("#videos .pick input")];
let last; // id of the video that was chosen or released last

document.addEventListener("click", (event) => {
  const box = event.target.closest?.(".pick input");
  if (box) {
    if (event.shiftKey) range(box);
    last = box.value;
    count();
  }
  const picks = event.target.closest?.("[data-picks]");
  if (!picks) return;
  for (const each of boxes()) each.checked = picks.dataset.picks === "all";
  count();
  if (picks.dataset.picks !== "all") document.querySelector("#videos h2 a")?.focus();
});

document.addEventListener("keydown", (event) => {
  if (!isShortcut(event) || (event.key !== "x" && event.key !== "Escape")) return;
  if (event.key === "Escape") {
    if (!boxes().some((box) => box.checked) || document.querySelector("dialog[open]")) return;
    for (const box of boxes()) box.checked = false;
    return count();
  }
  const box = document.activeElement.closest?.(".card")?.querySelector(".pick input");
  if (!box) return;
  event.preventDefault();
  box.checked = !box.checked;
  last = box.value;
  count();
});

function range(box) {
  const all = boxes();
  const from = all.findIndex(({ value }) => value === last);
  const to = all.indexOf(box);
  if (from < 0) return;
  for (const each of all.slice(Math.min(from, to), Math.max(from, to) + 1)) each.checked = box.checked;
}

function count() {
  announce(tell(), { newest: true });
}

/** How many are chosen, in the bar, and as words. */
function tell() {
  const chosen = boxes().filter((box) => box.checked).length;
  const words = chosen === 1 ? "1 video chosen" : `${chosen || "No"} videos chosen`;
  const place = document.querySelector("#batch [data-count]");
  if (place) place.textContent = words;
  return words;
}

// Back by the browser's memory, and after cards were renewed, the boxes are as they were.
addEventListener("pageshow", tell);
document.addEventListener("htmx:after:swap", tell);
