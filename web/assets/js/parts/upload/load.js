// The door to uploads for all other parts of the pages. The panel's code (and its library) is
// loaded when it is needed: by a drop, on the upload page, or because uploads are unfinished.
import { toast } from "../toasts.js";

const AGAIN_MS = [500, 1000, 2000, 4000, 8000, 15_000];
let loading;

/** The page's <upload-panel>; null where nobody may upload. */
export const findPanel = () => document.querySelector("upload-panel");

/** The <upload-panel>, ready to take files; null where there is none. */
export function loadPanel() {
  const panel = findPanel();
  if (!panel) return Promise.resolve(null);
  loading ??= fetchCode(panel.dataset.script);
  return loading.then(() => panel);
}

/** Without a network files can't be sent, but what was dropped is not forgotten. */
async function fetchCode(script) {
  for (let tries = 0; ; tries += 1) {
    try {
      // A failure is kept by the browser for that address: with another mark it asks anew.
      return await import(tries ? `${script}#${tries}` : script);
    } catch {
      if (tries === 1) toast("Uploads begin once the network is back.");
      await new Promise((resolve) => {
        setTimeout(resolve, AGAIN_MS[Math.min(tries, AGAIN_MS.length - 1)]);
        addEventListener("online", resolve, { once: true });
      });
    }
  }
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
