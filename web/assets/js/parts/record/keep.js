// Recordings on this device: the bytes in the browser's private folder, what is known of them in
// localStorage. A recording that a tab is still making is marked by a lock of that tab.
const PREFIX = "recording:";

export class Kept {
  #worker;
  #number = 0;
  #waiting = new Map();
  #release;

  /** Make a file for the recording `about` ({id, name, type, started}). Throws when it can't be. */
  static async make(script, about) {
    const kept = new Kept();
    kept.about = about;
    kept.#worker = new Worker(script, { type: "module" });
    kept.#worker.addEventListener("message", ({ data }) => kept.#answer(data));
    kept.#worker.addEventListener("error", () => kept.#fail());
    navigator.locks.request(PREFIX + about.id, () => new Promise((done) => (kept.#release = done)));
    try {
      await kept.#ask({ act: "open", id: about.id });
    } catch (error) {
      kept.#end();
      throw error;
    }
    kept.note({});
    return kept;
  }

  /** Append a Blob, durably. */
  async write(blob) {
    const chunk = await blob.arrayBuffer();
    await this.#ask({ act: "write", chunk }, [chunk]);
  }

  /** Remember more about it: how long it is, where it was sent. */
  note(more) {
    Object.assign(this.about, more);
    localStorage.setItem(PREFIX + this.about.id, JSON.stringify(this.about));
  }

  /** Nothing more will be written; the file can be read now. */
  async close() {
    await this.#ask({ act: "close" }).catch(() => {});
    this.#end();
  }

  #end() {
    this.#worker.terminate();
    this.#release?.();
  }

  #ask(message, transfer = []) {
    const number = (this.#number += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.#worker.postMessage({ ...message, number }, transfer);
    });
  }

  #answer({ number, problem }) {
    const { resolve, reject } = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (problem) reject(Object.assign(new Error(problem), { name: problem }));
    else resolve();
  }

  #fail() {
    for (const { reject } of this.#waiting.values()) reject(new Error("no worker"));
    this.#waiting.clear();
  }
}

async function folder() {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle("recordings", { create: true });
}

/** What earlier visits have left behind: [{about, file}], oldest first. */
export async function findUnsent() {
  const names = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  if (!names.length) return [];
  const { held } = await navigator.locks.query();
  const busy = new Set(held.map((lock) => lock.name));
  const found = [];
  for (const name of names.filter((key) => !busy.has(key))) {
    const about = JSON.parse(localStorage.getItem(name));
    const file = await read(about).catch(() => null);
    if (file?.size) found.push({ about, file });
    else await drop(about); // it had only begun
  }
  return found.sort((a, b) => a.about.started - b.about.started);
}

/** The recording as a File with a name for people. */
export async function read(about) {
  const handle = await (await folder()).getFileHandle(about.id);
  const file = await handle.getFile();
  return new File([file], about.name, { type: about.type, lastModified: about.started });
}

export async function drop(about) {
  localStorage.removeItem(PREFIX + about.id);
  await (await folder()).removeEntry(about.id).catch(() => {});
}
