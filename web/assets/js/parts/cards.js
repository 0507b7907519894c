// Arrow keys move between the videos of the library; "p" posts the one with the focus.
import { isShortcut } from "./keys.js";
import { openDialog } from "./dialogs.js";

document.addEventListener("keydown", (event) => {
  if (!isShortcut(event)) return;
  const links = [...document.querySelectorAll("#videos h2 a")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  if (event.key === "p" && at >= 0) {
    const { post } = links[at].closest(".card").dataset;
    if (!post) return;
    event.preventDefault();
    openDialog(post, links[at]);
    return;
  }
  const next = neighbour(links, at, event.key);
  if (next === undefined) return;
  event.preventDefault();
  links[next].focus();
  links[next].closest(".card").scrollIntoView({ block: "nearest" });
});

function neighbour(links, at, key) {
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(key)) return undefined;
  if (at < 0) return key === "ArrowRight" || key === "ArrowDown" ? 0 : undefined;
  const top = (index) => links[index].closest(".card").offsetTop;
  const columns = links.findIndex((_, index) => top(index) !== top(0));
  const row = columns > 0 ? columns : links.length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[key];
  return links[at + step] ? at + step : undefined;
}
