// One file on its way: tus-js-client underneath, our own patience with networks above it.
import { Upload, defaultOptions } from "tus-js-client";
import { dropHandle, fileOf, findHandle, keepHandle } from "./handles.js";

const RETRY_S = [1, 2, 4, 8, 15, 30]; // the last again and again
const PASSING = new Set([408, 409, 423, 425, 429]); // and all of 5xx but 507
const WINDOW_MS = 5000; // speed is the mean over so long

export const storage = defaultOptions.urlStorage;
export const endpoint = "/files";

/** The same file gives the same name, on any day: name, type, size and time of change. */
export const fingerprint = (file) =>
  ["upload", file.name, file.type, file.size, file.lastModified].join("-");

/**
 * state: waiting (its turn) → sending ⇄ paused | offline → done | failed;
 * missing: begun before a reload, its file is not at hand.
 */
export class Transfer extends EventTarget {
  state = "waiting";
  sent = 0;
  problem = "";
  video = ""; // address of the video's page, once the server has told it
  file = null;
  handle = null;
  #tus = null;
  #failures = 0;
  #timer;
  #samples = [];

  /** From a file that was dropped or chosen. */
  static of(file, handle) {
    const made = new Transfer();
    Object.assign(made, { file, handle, name: file.name, size: file.size });
    made.key = fingerprint(file);
    return made;
  }

  /** From what an earlier page has left: `entry` of tus-js-client's storage. */
  static async left(entry) {
    const made = new Transfer();
    made.key = entry.urlStorageKey.match(/^tus::(.*)::\d+$/)?.[1] ?? "";
    made.name = entry.metadata.filename;
    made.size = entry.size;
    made.state = "missing";
    made.entry = entry;
    made.handle = (await findHandle(made.key)) ?? null;
    return made;
  }

  /** Send, or go on where it stopped. */
  async start() {
    clearTimeout(this.#timer);
    this.#set("sending");
    this.#samples = [];
    if (!this.#tus) await this.#prepare();
    this.#tus.start();
  }

  async #prepare() {
    if (this.handle) await keepHandle(this.key, this.handle);
    const { file } = this;
    this.#tus = new Upload(file, {
      endpoint,
      fingerprint: async () => this.key,
      metadata: { filename: file.name, filetype: file.type },
      retryDelays: null,
      removeFingerprintOnSuccess: true,
      onUploadUrlAvailable: () => this.#changed(),
      onAfterResponse: (_, response) => this.#belongsTo(response.getHeader("Appliance-Video-Id")),
      onProgress: (sent) => this.#progress(sent),
      onSuccess: () => this.#done(),
      onError: (error) => this.#failed(error),
    });
    const [earlier] = await this.#tus.findPreviousUploads();
    if (earlier) this.#tus.resumeFromPreviousUpload(earlier);
  }

  pause() {
    clearTimeout(this.#timer);
    this.#tus?.abort();
    this.#set("paused");
  }

  /** Ask the server how much it has; false when it doesn't know this upload any more. */
  async look() {
    const headers = { "Tus-Resumable": "1.0.0" };
    const answer = await fetch(this.entry.uploadUrl, { method: "HEAD", headers }).catch(() => null);
    if (answer?.status === 404 || answer?.status === 410) return false;
    this.sent = Number(answer?.headers.get("Upload-Offset") ?? 0);
    this.#belongsTo(answer?.headers.get("Appliance-Video-Id"));
    return true;
  }

  #belongsTo(video) {
    if (video) this.video = `/videos/${video}`;
  }

  /** After a reload: with the kept handle, or a file chosen again. False: it isn't to be had. */
  async resumeWith({ file, ask = false }) {
    const found = file ?? (this.handle && (await fileOf(this.handle, { ask })));
    if (!found) return false;
    if (fingerprint(found) !== this.key) {
      // Chosen anew, the time of change may differ by what a sync program did; name and size not.
      if (found.name !== this.name || found.size !== this.size) {
        this.problem = `That is another file. Choose “${this.name}”, as it was.`;
        this.#changed();
        return false;
      }
    }
    this.problem = "";
    this.file = found;
    return true;
  }

  /** Give it up; the server forgets it, too. */
  async cancel() {
    clearTimeout(this.#timer);
    await this.forget();
    const url = this.#tus?.url ?? this.entry?.uploadUrl;
    this.#tus?.abort();
    if (url) await Upload.terminate(url, { retryDelays: null }).catch(() => {});
  }

  async forget() {
    await dropHandle(this.key);
    for (const entry of await storage.findUploadsByFingerprint(this.key)) {
      await storage.removeUpload(entry.urlStorageKey);
    }
  }

  /** Bytes a second over the last moments; 0 until it can be told. */
  get speed() {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (!first || last.at - first.at < 1000) return 0;
    return Math.max(0, ((last.sent - first.sent) / (last.at - first.at)) * 1000);
  }

  #progress(sent) {
    const at = performance.now();
    // Never backwards on the screen: after a break the server may have less than was sent.
    this.sent = Math.max(this.sent, sent);
    this.#failures = 0;
    this.#samples.push({ at, sent });
    while (at - this.#samples[0].at > WINDOW_MS) this.#samples.shift();
    this.#changed();
  }

  async #done() {
    this.sent = this.size;
    await dropHandle(this.key);
    this.#set("done");
  }

  #failed(error) {
    const status = error.originalResponse?.getStatus() ?? 0;
    if (this.state !== "sending") return;
    if (!status || (status >= 500 && status !== 507) || PASSING.has(status)) {
      const wait = RETRY_S[Math.min(this.#failures++, RETRY_S.length - 1)];
      this.#timer = setTimeout(() => this.start(), wait * 1000);
      this.#set("offline");
      return;
    }
    if (status === 404 || status === 410) {
      // The server has given this upload up (it was idle too long): begin anew.
      this.#tus = null;
      if (this.#failures++ < 2) {
        this.forget().then(() => this.start());
        return;
      }
    }
    this.problem = SENTENCES[status] ?? told(error) ?? SENTENCES.other;
    this.#set("failed");
  }

  #set(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

const SENTENCES = {
  401: "You are signed out. Sign in again, then press Resume; nothing is lost.",
  403: "You may not upload. Ask your admin for the editor's role.",
  507: "The box has no room for this file. Free some space, then press Resume.",
  other: "The box refused this upload. Press Resume to try again.",
};

/** The server's own sentence: a problem document's detail, or plain text. */
function told(error) {
  const body = error.originalResponse?.getBody() ?? "";
  try {
    return JSON.parse(body).detail;
  } catch {
    return body.length < 300 && !body.includes("<") && body.trim() ? body.trim() : undefined;
  }
}
