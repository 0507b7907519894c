// Files may be dropped anywhere. The upload code (and its library) is loaded when it is needed:
// by a drop, on the upload page, or because uploads are unfinished.
const panel = document.querySelector("upload-panel");
const UNFINISHED = /^tus::/;
let loading;

/** The <upload-panel>, ready to take files. */
function load() {
  loading ??= import(panel.dataset.script).then(() => panel);
  return loading;
}

function start() {
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
    load();
  });
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("dragleave", (event) => {
    if (hasFiles(event)) show((depth = Math.max(0, depth - 1)) > 0);
  });
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show((depth = 0) > 0);
    // The items are gone once this task ends: ask for files and handles now, use them later.
    const chosen = [...event.dataTransfer.items]
      .filter((item) => item.kind === "file")
      .map((item) => ({ file: item.getAsFile(), handle: item.getAsFileSystemHandle?.() }));
    (await load()).take(chosen);
  });

  document.addEventListener("change", async (event) => {
    const input = event.target.closest("input[type=file][data-upload]");
    if (!input) return;
    const files = [...input.files];
    input.value = "";
    (await load()).take(files.map((file) => ({ file })));
  });

  const unfinished = Object.keys(localStorage).some((key) => UNFINISHED.test(key));
  if (unfinished || location.pathname === "/upload") load();
}

if (panel) start();
