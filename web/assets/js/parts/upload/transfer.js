// One file on its way: tus-js-client underneath, our own patience with networks above it.
import BaseUpload from "tus-js-client/lib/upload.js";
import HttpStack from "tus-js-client/lib/browser/httpStack.js";
import { judge, told } from "./answers.js";
import { Digest } from "./digest.js";
import { dropHandle, fileOf, findHandle, keepHandle } from "./handles.js";
import { moveIndex, VERSION } from "./index_move.js";
import { Pace } from "./pace.js";
import * as records from "./records.js";
import { Growing, wholeBlob } from "./sources.js";

const AHEAD = 64 << 20; // the digest reads what was just sent, which is still in memory
const UNREADABLE =
  "The file was moved, renamed or changed while it was sent. Press Retry to choose it again and begin anew.";
const SILENT_MS = 45_000; // a dead line is not always said to be dead
const page = crypto.getRandomValues(new Uint32Array(2)).join("-"); // this page, of all tabs

/**
 * state: checking → waiting (its turn) → sending ⇄ paused | offline | room → done | failed.
 * missing: begun before a reload, its file is not at hand. elsewhere: another tab sends it.
 * Without a file at all: refused (before a byte was sent), same (sent before; the person decides).
 */
export class Transfer extends EventTarget {
  state = "waiting";
  sent = 0;
  problem = "";
  file = null;
  stream = null;
  handle = null;
  left = null; // what is remembered of it, once the box has given it an address
  pace = new Pace();
  #panel;
  #tus = null;
  #body = null;
  #digest = null;
  #print; // of the file that is sent, or the promise of it
  #letGo = () => {};
  #failures = 0;
  #timer;
  #silence;

  constructor(panel, about) {
    super();
    this.#panel = panel;
    Object.assign(this, { id: crypto.getRandomValues(new Uint32Array(4)).join("-"), source: "" }, about);
    /** Fulfilled with the video's id; rejected when the person gives it up. */
    this.done = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.done.catch(() => {}); // whoever wants to know has a copy of its own
  }

  /** From a file that was dropped or chosen. */
  static of(panel, file, handle, { source = "", title } = {}) {
    const { name, size, type } = file;
    return new Transfer(panel, { file, handle, name, size, type, source, title });
  }

  /** Of something that is still being made; `url`: it goes on with what is on the box already. */
  static growing(panel, { name, type, source, title, url }) {
    const made = new Transfer(panel, { stream: new Growing(), name, size: 0, type, source, title });
    if (url) made.left = { id: made.id, url };
    return made;
  }

  /** From what an earlier page has left. */
  static async from(panel, left) {
    const { id, name, size, type, title, source, video } = left;
    const about = { id, left, name, size, type, title, source, video, state: "missing" };
    const made = new Transfer(panel, about);
    made.handle = (await findHandle(id)) ?? null;
    return made;
  }

  get url() {
    return this.left?.url ?? "";
  }

  /** Of all bytes, 0–1; how long something is that still grows, nobody knows. */
  get part() {
    if (this.state === "done") return 1;
    return this.size ? Math.min(1, this.sent / this.size) : 0;
  }

  /** Whether it moves, or will by itself. */
  get busy() {
    return ["waiting", "sending", "offline", "room"].includes(this.state);
  }

  /** Send, or go on where it stopped. */
  async start() {
    clearTimeout(this.#timer);
    this.#set("sending");
    this.pace.reset();
    this.problem = "";
    try {
      if (this.gone) await this.#forgetThere(); // nothing of it is left: from the first byte
      this.gone = false;
      if (!(await this.#hold())) return;
      if (!this.#tus) await this.#prepare();
      if (!this.url && this.#panel.dataset.grantUrl) await this.#askGrant();
    } catch (error) {
      return this.#failed(error);
    }
    if (this.state !== "sending") return; // paused or cancelled meanwhile
    this.#tus.url = this.url || null;
    // With an address at hand it must never begin anew by itself: only judge() decides that.
    this.#tus.options.endpoint = this.url ? null : new URL("/files", location).href;
    this.#watch();
    this.#tus.start();
  }

  /** Whether another tab works on it now; then this one waits for its turn. */
  async watch() {
    const { held } = (await navigator.locks?.query()) ?? {};
    if (held?.some(({ name }) => name === records.lockOf(this.id))) await this.#hold();
  }

  /** Only one tab works on an upload. False: another does; this one goes on when that is closed. */
  async #hold() {
    if (this.held || this.stream) return true;
    const free = await this.#lock({ now: true });
    if (free) return true;
    this.#set("elsewhere");
    this.#lock({ now: false }).then(() => this.#freed());
    return false;
  }

  #lock(how) {
    return records.alone(
      this.id,
      () => {
        this.held = true;
        return new Promise((resolve) => (this.#letGo = resolve));
      },
      how,
    );
  }

  #freed() {
    if (this.state !== "elsewhere") return this.#release();
    if (!records.findOne(this.id)) {
      this.#release();
      this.#set("ended"); // the other tab has finished or cancelled it
    } else if (this.file) this.start();
    else this.#set("missing");
  }

  #release() {
    this.held = false;
    this.#letGo();
  }

  async #prepare() {
    if (this.stream) this.#body = this.stream;
    else {
      await this.#arrange();
      this.size = this.#body.size;
      if (this.handle) await keepHandle(this.id, this.handle);
    }
    const body = this.#body;
    this.#tus = new BaseUpload(body, {
      ...BaseUpload.defaultOptions,
      httpStack: new HttpStack(),
      fileReader: { openFile: async () => this.stream ?? wholeBlob(body) },
      uploadLengthDeferred: Boolean(this.stream),
      fingerprint: async () => null,
      storeFingerprintForResuming: false,
      metadata: this.#metadata(),
      retryDelays: null,
      onUploadUrlAvailable: () => this.#began(this.#tus.url),
      onAfterResponse: (_, response) => this.#belongsTo(response.getHeader("Appliance-Video-Id")),
      onProgress: (sent) => this.#progress(sent),
      onSuccess: () => this.#done(),
      onError: (error) => this.#failed(error),
    });
  }

  /** What is sent: the file, or the same with its index in front. */
  async #arrange() {
    const kept = this.left;
    const wanted = kept ? kept.moved === VERSION : this.iso && !this.exact;
    this.#body = (wanted && (await moveIndex(this.file).catch(() => null))) || this.file;
    this.moved = this.#body !== this.file;
    // An update of the page may arrange it differently: such halves don't belong together.
    const changed = kept && ((kept.moved ?? 0) !== (this.moved ? VERSION : 0) || kept.length !== this.#body.size);
    if (changed) await this.#forgetThere();
    this.#digest?.stop();
    // Guests have nobody to tell it to: that takes a session.
    this.#digest = this.#panel.dataset.grantUrl ? null : new Digest(this.#body, AHEAD);
  }

  #metadata() {
    const { name, type, title, source, moved } = this;
    const told = { filename: name, filetype: type || "application/octet-stream" };
    if (title) told.title = title;
    if (source) told.source = source;
    if (moved) told.indexmoved = "1";
    return told;
  }

  /** The box gave it an address: from now on it can go on after a reload. */
  async #began(url) {
    if (this.left?.holder === page && this.left.url === url) return;
    const { id, name, type, title, source, size, moved, video } = this;
    this.left = {
      ...{ id, url, name, type, title, source, video, at: Date.now() },
      ...{ size: this.file?.size, modified: this.file?.lastModified, length: size },
      ...{ moved: moved ? VERSION : 0, print: this.left?.print, holder: page },
      grant: this.#panel.dataset.grantUrl,
    };
    this.onurl?.(url);
    this.#changed();
    if (this.stream) return; // whoever makes it keeps its bytes, and its address
    records.keep(this.left);
    const { left } = this;
    this.#print = left.print ?? records.printOf(this.file);
    left.print = await this.#print;
    if (records.findOne(id)) records.keep(left);
  }

  async #askGrant() {
    const { name, size, type, moved } = this;
    const token = this.#panel.csrf;
    const answer = await fetch(this.#panel.dataset.grantUrl, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json", ...token },
      body: JSON.stringify({
        ...{ filename: name, file_size: size, content_type: type || "application/octet-stream" },
        ...(moved && { index_moved: true }),
      }),
    });
    const text = await answer.text();
    if (!answer.ok) throw { status: answer.status, text, retryAfter: retryAfter(answer.headers) };
    const { upload_url: url, video_id: video } = JSON.parse(text);
    this.video = video;
    // The box may know itself by another name; this page talks to the one it came from.
    await this.#began(new URL(new URL(url, location).pathname, location).href);
  }

  /** The line is dead, whatever the browser thinks: ask anew. */
  cut() {
    if (this.state !== "sending") return;
    this.#tus?.abort();
    this.#failed({});
  }

  #watch() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      if (this.stream?.idle) this.#watch();
      else this.cut();
    }, SILENT_MS);
  }

  pause() {
    clearTimeout(this.#timer);
    this.#tus?.abort();
    this.#set("paused");
  }

  /** The file was changed on the disk: what was chosen instead is sent from its first byte. */
  async replace(file) {
    await this.#forgetThere();
    this.#tus = null;
    Object.assign(this, { file, size: file.size, sent: 0, changed: false, handle: null });
  }

  /** Nothing of it was sent, and nothing will be. */
  giveUp() {
    this.reject(new Error(this.problem || "This file was not sent."));
  }

  /** Another title for what was begun under its file's name. */
  async rename(title) {
    this.title = title;
    if (!this.video) await this.done.catch(() => {});
    await fetch(`/api/v1/videos/${this.video}`, {
      method: "PATCH",
      headers: { "Content-Type": "application/json", ...this.#panel.csrf },
      body: JSON.stringify({ title }),
    }).catch(() => {}); // the file's name stays; it can be changed on the video's page
  }

  /** Ask the server how much it has; → what it says of an upload that can't go on, else "". */
  async look() {
    const headers = { "Tus-Resumable": "1.0.0" };
    const answer = await fetch(this.url, { method: "HEAD", headers }).catch(() => null);
    if (answer?.status === 404 || answer?.status === 410) return "gone";
    this.sent = Number(answer?.headers.get("Upload-Offset") ?? 0);
    this.#belongsTo(answer?.headers.get("Appliance-Video-Id"));
    const whole = this.sent > 0 && this.sent === Number(answer?.headers.get("Upload-Length"));
    return whole ? "whole" : "";
  }

  #belongsTo(video) {
    if (!video || video === this.video) return;
    this.video = video;
    if (this.left) this.left.video = video;
  }

  /** After a reload: with the kept handle, or a file chosen again. False: it isn't to be had. */
  async resumeWith({ file, ask = false }) {
    const found = file ?? (this.handle && (await fileOf(this.handle, { ask })));
    if (!found) return false;
    if (!(await records.isSame(this.left ?? this, found))) {
      this.problem = file
        ? `That is another file. Choose “${this.name}”, as it was.`
        : `“${this.name}” was changed since. Cancel this upload and send it anew.`;
      this.#changed();
      return false;
    }
    this.problem = "";
    this.file = found;
    return true;
  }

  /** Give it up; the server forgets it, too. */
  async cancel() {
    clearTimeout(this.#timer);
    this.stream?.stop();
    this.#digest?.stop();
    this.#tus?.abort();
    this.reject(new Error("This upload was cancelled."));
    await this.#forgetThere();
    await this.forget();
  }

  async #forgetThere() {
    const { url } = this;
    this.left = null;
    records.forget(this.id);
    const headers = { "Tus-Resumable": "1.0.0" };
    if (url) await fetch(url, { method: "DELETE", headers }).catch(() => {});
  }

  async forget() {
    records.forget(this.id);
    this.#release();
    await dropHandle(this.id);
  }

  #progress(sent) {
    // Never backwards on the screen: after a break the server may have less than was sent.
    this.sent = Math.max(this.sent, sent);
    if (this.stream?.ended) this.size = this.stream.total;
    this.#failures = 0;
    this.#watch();
    this.pace.add(performance.now(), sent);
    this.#digest?.upTo(sent + AHEAD);
    this.#changed();
  }

  async #done() {
    if (this.stream) this.size = this.stream.total;
    this.sent = this.size;
    clearTimeout(this.#silence); // all has arrived, so nothing is to be waited for any more
    const { left, video } = this;
    const print = await this.#print; // a small file can have arrived before it is known
    if (print && video) records.keepDone({ ...left, print, video });
    this.resolve(video);
    this.#set("done");
    await this.forget();
    if (this.#digest && video) {
      this.#digest.upTo(Infinity);
      const sha256 = await this.#digest.hex;
      if (sha256) await this.#tellDigest(sha256);
    }
  }

  /** What was sent, byte for byte; the box compares it with what it has. */
  async #tellDigest(sha256) {
    await fetch(`/api/v1/videos/${this.video}/upload/complete`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...this.#panel.csrf },
      body: JSON.stringify({ success: true, sha256 }),
      keepalive: true,
    }).catch(() => {}); // only a second look; the box has checked what it wrote
  }

  async #failed(error) {
    if (this.state !== "sending") return;
    const answer = error.originalResponse;
    const status = error.status ?? answer?.getStatus() ?? 0;
    const text = error.text ?? answer?.getBody() ?? "";
    const verdict = judge({
      status,
      text,
      retryAfter: error.retryAfter ?? Number(answer?.getHeader("Retry-After")),
      ended: answer?.getHeader("Appliance-Upload-State") ?? "",
      tries: this.#failures++,
    });
    if (this.stream?.broken) return this.#stop(this.stream.broken);
    if (verdict.act === "again" && this.file && !(await this.#readable())) {
      this.changed = true;
      return this.#stop(UNREADABLE);
    }
    if (this.state !== "sending") return;
    this.gone = status === 404 || status === 410;
    if (verdict.act === "stop") {
      return this.#stop((this.gone && !text && this.url && (await this.#why())) || verdict.say);
    }
    if (this.#takenOver()) return this.#set("elsewhere");
    if (verdict.act === "anew") await this.#forgetThere();
    this.problem = verdict.say;
    this.#timer = setTimeout(() => this.start(), verdict.wait_s * 1000);
    this.#set(verdict.act === "room" ? "room" : verdict.act === "anew" ? "sending" : "offline");
  }

  /** Answers to HEAD have no words; to this one, which brings nothing, they have. */
  async #why() {
    const headers = {
      ...{ "Tus-Resumable": "1.0.0", "Upload-Offset": "0" },
      "Content-Type": "application/offset+octet-stream",
    };
    const answer = await fetch(this.url, { method: "PATCH", headers }).catch(() => null);
    return answer?.status === 410 ? told(await answer.text()) : "";
  }

  #stop(problem) {
    this.problem = problem;
    this.#set("failed");
  }

  async #readable() {
    return this.file.slice(0, 1).arrayBuffer().then(() => true, () => false);
  }

  /** Without locks: whether another tab has gone on with this upload since. */
  #takenOver() {
    if (this.stream) return false;
    const kept = this.left && records.findOne(this.id);
    return Boolean(kept) && kept.holder !== page;
  }

  #set(state) {
    this.state = state;
    if (state !== "sending") clearTimeout(this.#silence);
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

// Only what a fetch says itself; tus-js-client has its own kind of answers.
const retryAfter = (headers) => Number(headers.get("Retry-After")) || 0;
