// What tus-js-client reads from: a whole Blob, or one that grows.

/** Reader of a Blob; slices are handles, not bytes, so nothing is held in memory. */
export const wholeBlob = (blob) => ({
  size: blob.size,
  slice: async (from, to) => ({ value: blob.slice(from, to), done: to >= blob.size }),
  close() {},
});

const MOST = 8 << 20; // bytes in one request: what is acknowledged needn't be kept

/** A queue of Blobs, read from where the server is; what it has acknowledged is let go. */
export class Growing {
  #blobs = [];
  #from = 0; // offset of the first byte that is still held
  #ended = false;
  #wake = () => {};
  size = null; // for tus-js-client: not known
  total = 0;

  push(blob) {
    this.#blobs.push(blob);
    this.total += blob.size;
    this.#wake();
  }

  finish() {
    this.#ended = true;
    this.#wake();
  }

  /** Whoever waits for bytes waits for ever: nothing more is sent. */
  stop() {
    this.#wake = () => {};
  }

  /** Whatever there is from `from` on; waits while there is nothing. */
  async slice(from) {
    if (from < this.#from) {
      this.broken = "The box has lost bytes of this recording. Upload it again as a file.";
      throw new Error(this.broken);
    }
    while (this.total <= from && !this.#ended) {
      this.idle = true; // nothing is there to be sent: silence is no sign of trouble
      await new Promise((resolve) => (this.#wake = resolve));
    }
    this.idle = false;
    while (this.#blobs.length && this.#from + this.#blobs[0].size <= from) {
      this.#from += this.#blobs.shift().size;
    }
    const value = new Blob(this.#blobs).slice(from - this.#from, from - this.#from + MOST);
    // What is done without a byte is said by an empty request, which only brings the length.
    const done = this.#ended && from + value.size >= this.total;
    return { value: value.size ? value : null, done };
  }

  close() {}
}
