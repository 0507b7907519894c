// Handles of dropped files, kept so that Resume after a reload is one click (Chromium).
const open = new Promise((resolve) => {
  const request = indexedDB.open("uploads", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("handles");
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => resolve(null); // a private window: then there are no handles
});

async function store(mode, act) {
  const db = await open;
  if (!db) return undefined;
  return new Promise((resolve) => {
    const request = act(db.transaction("handles", mode).objectStore("handles"));
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(undefined);
  });
}

export const keepHandle = (key, handle) => store("readwrite", (s) => s.put(handle, key));
export const findHandle = (key) => store("readonly", (s) => s.get(key));
export const dropHandle = (key) => store("readwrite", (s) => s.delete(key));

/** The file behind a handle; null when the person (or the browser) doesn't allow it. */
export async function fileOf(handle, { ask }) {
  try {
    let allowed = (await handle.queryPermission?.({ mode: "read" })) ?? "granted";
    if (allowed === "prompt" && ask) allowed = await handle.requestPermission({ mode: "read" });
    return allowed === "granted" ? await handle.getFile() : null;
  } catch {
    return null; // moved or deleted
  }
}
