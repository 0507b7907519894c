// How fast an upload goes and how long it still takes; pure, times in milliseconds.
const WINDOW_MS = 5000; // speed is the mean over so long
const ESTIMATE_AFTER_MS = 5000;
const SMOOTH = 0.15;

export class Pace {
  #samples = [];
  #began;
  #even = 0; // the speed that estimates are made of: slower to change than the one shown

  reset() {
    this.#samples = [];
    this.#began = undefined;
    this.#even = 0;
  }

  add(at, sent) {
    this.#began ??= at;
    this.#samples.push({ at, sent });
    while (at - this.#samples[0].at > WINDOW_MS) this.#samples.shift();
    const { speed } = this;
    if (speed) this.#even = this.#even ? this.#even + SMOOTH * (speed - this.#even) : speed;
  }

  /** Bytes a second over the last moments; 0 until it can be told. */
  get speed() {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (!first || last.at - first.at < 1000) return 0;
    return Math.max(0, ((last.sent - first.sent) / (last.at - first.at)) * 1000);
  }

  /** Seconds for `bytes` more; undefined for the first moments, when any number would be a guess. */
  left(bytes) {
    const last = this.#samples.at(-1);
    if (!this.#even || last.at - this.#began < ESTIMATE_AFTER_MS) return undefined;
    return bytes / this.#even;
  }
}
