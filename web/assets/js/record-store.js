// A worker that writes a recording to the browser's private folder, chunk by chunk, each forced to
// disk: what was written survives a crash of the page or of the whole browser. Only workers may
// open a file like this.
let file;

const acts = {
  async open({ id }) {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("recordings", { create: true });
    const handle = await folder.getFileHandle(id, { create: true });
    file = await handle.createSyncAccessHandle();
  },
  write({ chunk }) {
    const bytes = new Uint8Array(chunk);
    const at = file.getSize();
    const written = file.write(bytes, { at });
    if (written < bytes.length) {
      file.truncate(at);
      throw new DOMException("short write", "QuotaExceededError");
    }
    file.flush();
  },
  close() {
    file?.close();
    file = undefined;
  },
};

// One after another: a chunk must not overtake the one before it.
let last = Promise.resolve();

addEventListener("message", ({ data }) => {
  last = last.then(async () => {
    try {
      await acts[data.act](data);
      postMessage({ number: data.number });
    } catch (error) {
      postMessage({ number: data.number, problem: error.name });
    }
  });
});
