// The door to uploads for all other parts of the pages. The panel's code (and its library) is
// loaded when it is needed: by a drop, on the upload page, or because uploads are unfinished.
let loading;

/** The page's <upload-panel>; null where nobody may upload. */
export const findPanel = () => document.querySelector("upload-panel");

/** The <upload-panel>, ready to take files; null where there is none. */
export function loadPanel() {
  const panel = findPanel();
  if (!panel) return Promise.resolve(null);
  loading ??= import(panel.dataset.script);
  return loading.then(() => panel);
}

/**
 * Put files into the tray and send them, as if they had been dropped.
 *
 * `source`: "browser" or "recording"; `title`: instead of the file's name.
 * → [{done, url, video}] of those that can be sent: `done` is fulfilled with the video's id once
 * all bytes are on the box, and rejected when the person cancels it; a failure can be retried.
 */
export async function addFiles(files, { source, title } = {}) {
  return (await loadPanel())?.addFiles(files, { source, title }) ?? [];
}

/**
 * An upload that grows while it is sent: `{push(blob), finish({title}), abort(), done, url, video}`.
 *
 * Its length is told at the end. `url`: goes on with an upload that an earlier page began; all
 * blobs are then pushed again from the first, and what the box has is skipped. `onurl(url)` is
 * called once the address is known: whoever keeps the blobs keeps it, too. null where there is no
 * panel.
 */
export async function addStream({ name, type, source, title, url, onurl }) {
  return (await loadPanel())?.addStream({ name, type, source, title, url, onurl }) ?? null;
}
