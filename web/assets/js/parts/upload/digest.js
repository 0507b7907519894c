// SHA-256 in a worker: crypto.subtle can't be fed piece by piece, and isn't there on plain HTTP.
let worker;
let number = 0;
const asked = new Map(); // number → resolve

function start() {
  const script = document.querySelector("upload-panel").dataset.worker;
  worker = new Worker(script, { type: "module" });
  worker.addEventListener("message", ({ data }) => {
    asked.get(data.number)?.(data.hex);
    asked.delete(data.number);
  });
  worker.addEventListener("error", () => {
    for (const resolve of asked.values()) resolve("");
    asked.clear();
    worker = null; // it could not be loaded; the next may
  });
}

/** The digest of a Blob that is made bit by bit, as far as `upTo` allows. */
export class Digest {
  constructor(blob, most = Infinity) {
    if (!worker) start();
    this.number = number += 1;
    /** Fulfilled with 64 hex digits; "" when the blob can't be read any more. */
    this.hex = new Promise((resolve) => asked.set(this.number, resolve));
    worker.postMessage({ number: this.number, blob, most });
  }

  upTo(most) {
    worker?.postMessage({ number: this.number, most });
  }

  stop() {
    worker?.postMessage({ number: this.number, stop: true });
    asked.get(this.number)?.("");
    asked.delete(this.number);
  }
}

export const digestOf = (blob) => new Digest(blob).hex;
