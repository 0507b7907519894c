// Files may be dropped and pasted anywhere, and chosen on some pages; all end in the tray.
import { itemsOf } from "./upload/folders.js";
import { findPanel, loadPanel } from "./upload/load.js";

const UNFINISHED = /^tus::/;

function start(panel) {
  const veil = document.createElement("div");
  veil.className = "drop-veil";
  veil.textContent = "Drop to upload";
  veil.hidden = true;
  document.body.append(veil);
  let depth = 0;

  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const show = (shown) => (veil.hidden = !shown);

  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth += 1;
    show(true);
    loadPanel();
  });
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("dragleave", (event) => {
    if (hasFiles(event)) show((depth = Math.max(0, depth - 1)) > 0);
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show((depth = 0) > 0);
    take(itemsOf(event.dataTransfer));
  });

  addEventListener("paste", (event) => {
    if (event.target.closest?.("input, textarea, [contenteditable]")) return;
    const items = itemsOf(event.clipboardData);
    if (!items.length) return;
    event.preventDefault();
    take(items);
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches?.("input[type=file][data-upload]")) chosen(event.target);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-chooses-folder]")) chooseFolder();
  });

  const unfinished = Object.keys(localStorage).some((key) => UNFINISHED.test(key));
  if (unfinished || "eager" in panel.dataset || location.pathname === "/upload") loadPanel();
}

const take = async (items) => (await loadPanel()).take(items);

function chosen(input) {
  const items = [...input.files].map((file) => ({ file }));
  input.value = "";
  take(items);
}

/** Not in the page from the start: without script it could send nothing. */
function chooseFolder() {
  const input = Object.assign(document.createElement("input"), { type: "file", webkitdirectory: true });
  input.addEventListener("change", () => chosen(input));
  input.click();
}

if (findPanel()) start(findPanel());
