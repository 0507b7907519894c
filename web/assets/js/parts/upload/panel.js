// <upload-panel>: the tray with all uploads of this browser, on every page.
import { announce, toast } from "../toasts.js";
import { look } from "./check.js";
import { filesOf } from "./folders.js";
import { dropHandle } from "./handles.js";
import { findLimits } from "./limits.js";
import { Pace } from "./pace.js";
import * as records from "./records.js";
import { drawItem, headline, make, NoteRow, rowOf } from "./rows.js";
import { Transfer } from "./transfer.js";
import { count } from "./words.js";

const AT_ONCE = 3;
const UNDO_MS = 6000;
const DRAW_MS = 100;

export class UploadPanel extends HTMLElement {
  #items = []; // {transfer, row, parts, gone, …}
  #head;
  #bar;
  #list;
  #toggle;
  #said;
  #pace = new Pace();
  #drawing = false;
  #over = false; // nothing is left to do: the list can be closed
  #ready;

  connectedCallback() {
    if (this.#list) return;
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", "Uploads");
    this.#head = make("span");
    this.#toggle = make("button.button.quiet.small", { type: "button" }, "Hide");
    this.#toggle.addEventListener("click", () => this.#fold());
    this.#bar = make("progress.bar", { max: 1, value: 0 });
    this.#bar.setAttribute("aria-label", "All uploads");
    this.#list = make("ul.uploads");
    this.append(make("div.tray-head", {}, this.#head, this.#toggle), this.#bar, this.#list);
    if (!document.getElementById("status")) {
      // Guests' pages have no place for what is said to screen readers.
      this.#said = make("p.visually-hidden", { role: "status" });
      this.append(this.#said);
    }
    addEventListener("offline", () => {
      for (const { transfer } of this.#items) transfer.cut();
    });
    addEventListener("online", () => {
      for (const { transfer } of this.#items) if (transfer.state === "offline") transfer.start();
    });
    document.addEventListener("upload:looked", ({ detail }) => this.#looked(detail));
    document.addEventListener("upload:encoded", ({ detail }) => this.#encoded(detail));
    addEventListener("beforeunload", (event) => {
      const lost = ({ state, handle, stream }) => state === "sending" && !handle && !stream;
      if (this.#items.some(({ transfer }) => lost(transfer))) event.preventDefault();
    });
    if (this.dataset.grantUrl) document.addEventListener("htmx:after:swap", () => this.#handOver());
    this.#ready = this.#recall().then(() => (this.dataset.ready = ""));
  }

  /** Whether bytes are moving, or will by themselves: then links must not tear the page down. */
  get busy() {
    return this.#items.some(({ transfer, gone }) => transfer.busy && !gone);
  }

  /** The header that proves that a request comes from this page; none on pages without one. */
  get csrf() {
    const told = document.body.getAttribute("hx-headers:inherited");
    if (this.dataset.csrf) return { "X-CSRF-Token": this.dataset.csrf };
    return told ? JSON.parse(told) : {};
  }

  // Taking files

  /** Files and folders that were dropped, chosen or pasted; see itemsOf() in folders.js. */
  async take(items, how = {}) {
    await this.#ready;
    const hidden = [];
    const others = [];
    const taken = [];
    for await (const found of filesOf(items, (name) => hidden.push(name))) {
      const transfer = await this.#add(found, others, how);
      if (transfer) taken.push(transfer);
      this.#next();
    }
    this.#tellSkipped(hidden, others);
    return taken;
  }

  /** For other parts of the pages; see load.js. */
  addFiles(files, how) {
    return this.take([...files].map((file) => ({ file })), how);
  }

  /** For other parts of the pages; see load.js. */
  addStream(about) {
    if (this.dataset.grantUrl) return null; // guests say the length before the first byte
    const transfer = Transfer.growing(this, about);
    transfer.onurl = about.onurl;
    this.#show(transfer);
    transfer.start();
    return {
      push: (blob) => transfer.stream.push(blob),
      finish: ({ title } = {}) => {
        if (title) transfer.rename(title);
        transfer.stream.finish();
        this.#draw();
      },
      abort: async () => {
        this.#remove(this.#items.find((item) => item.transfer === transfer));
        await transfer.cancel();
      },
      done: transfer.done,
      get url() {
        return transfer.url;
      },
      get video() {
        return transfer.video;
      },
    };
  }

  async #add({ file, handle, path = "" }, others, how) {
    const same = await this.#known(file);
    if (same) {
      const { state } = same.transfer;
      if (state === "missing" || same.left) await this.#goOn(same, { file });
      else if (state === "elsewhere") {
        // Once the other tab is closed (it may be by now), this one needs no second choice.
        const given = await same.transfer.resumeWith({ file });
        if (given && same.transfer.state === "missing") same.transfer.start();
      } else this.#say(`“${file.name}” is on its way already.`);
      return state === "missing" ? same.transfer : null;
    }
    const limits = await findLimits(this);
    const found = await look(file, limits);
    // Cards of cameras are full of other things: those are counted, not listed one by one.
    if (found.other && path) {
      others.push(path);
      return null;
    }
    const transfer = Transfer.of(this, file, handle, how);
    const { iso, problem } = found;
    const about = { iso, problem, exact: limits.exact_originals, state: problem ? "refused" : "checking" };
    Object.assign(transfer, about);
    const item = this.#show(transfer);
    item.passing = found.passing;
    if (!problem) transfer.state = (await this.#sentBefore(transfer)) ? "same" : "waiting";
    this.#changed(item);
    if (found.problem) this.#tell(`${file.name}: ${found.problem}`);
    return found.problem ? null : transfer;
  }

  /** The same file in this list, or left unfinished by another page; undefined: neither. */
  async #known(file) {
    const alike = ({ name, size }) => name === file.name && size === file.size;
    for (const item of this.#items) {
      const { transfer, gone } = item;
      if (gone || !alike(transfer) || ["done", "refused", "same", "ended"].includes(transfer.state)) continue;
      if (transfer.left ? await records.isSame(transfer.left, file) : isTwin(transfer.file, file)) return item;
    }
    for (const left of records.findLeft(this.dataset.grantUrl)) {
      if (this.#items.some(({ transfer }) => transfer.id === left.id)) continue;
      if (!alike(left) || !(await records.isSame(left, file))) continue;
      const item = this.#show(await Transfer.from(this, left));
      item.left = true; // another tab has begun it since this page was opened
      return item;
    }
    return undefined;
  }

  /** What was sent before isn't sent again unasked. */
  async #sentBefore(transfer) {
    if (this.dataset.grantUrl) return false; // guests can't see what is on the box
    const done = await records.findDone(transfer.file);
    if (!done) return false;
    const there = await fetch(`/api/v1/videos/${done.video}`, { headers: { Accept: "application/json" } })
      .then((answer) => answer.ok)
      .catch(() => true);
    if (!there) records.forgetDone(done.video); // deleted since
    transfer.before = done;
    return there;
  }

  #tellSkipped(hidden, others) {
    if (!hidden.length && !others.length) return;
    const words = [
      hidden.length && count(hidden.length, "hidden or system file", "hidden or system files"),
      others.length && count(others.length, "file that is no video", "files that are no videos"),
    ].filter(Boolean);
    this.#note(`Skipped ${words.join(" and ")}.`, [...others, ...hidden]);
  }

  /** What an earlier page has left unfinished. */
  async #recall() {
    const grant = this.dataset.grantUrl;
    for (const left of records.findLeft(grant)) {
      const transfer = await Transfer.from(this, left);
      const found = await transfer.look();
      if (found) {
        // Idle for too long and removed, or all had arrived before the page was closed.
        await transfer.forget();
        continue;
      }
      this.#show(transfer);
      await transfer.watch();
      // Where the browser still lets us read the file, it just goes on.
      const free = transfer.state === "missing" && transfer.handle;
      if (free && (await transfer.resumeWith({ ask: false }))) transfer.state = "waiting";
    }
    this.#draw();
    this.#next();
  }

  // Sending

  /** Start what waits, a few at a time; what grows has a place of its own. */
  #next() {
    const under = this.#items.filter(({ transfer }) => ["sending", "offline"].includes(transfer.state));
    let room = AT_ONCE - under.filter(({ transfer }) => !transfer.stream).length;
    for (const { transfer, gone } of this.#items) {
      if (room > 0 && transfer.state === "waiting" && !gone) {
        room -= 1;
        transfer.start();
      }
    }
  }

  #changed(item) {
    const { transfer } = item;
    if (transfer.state === "ended") return this.#remove(item);
    if (transfer.state !== item.was) {
      if (transfer.state === "done") {
        this.#tell(`${transfer.name} is uploaded.`);
        this.dispatchEvent(new Event("uploaded", { bubbles: true }));
      }
      if (transfer.state === "failed") this.#tell(`${transfer.name} was not uploaded. ${transfer.problem}`);
      item.was = transfer.state;
      queueMicrotask(() => this.#next());
    }
    item.dirty = true;
    this.#draw();
  }

  /** What a person can do about an upload in this state: [label, what, class?]. */
  actions(item) {
    const { transfer } = item;
    const cancel = ["Cancel", () => this.#cancel(item), "quiet"];
    const remove = (label) => [label, () => (transfer.giveUp(), this.#remove(item)), "quiet"];
    if (item.gone) return [["Undo", () => this.#undo(item)]];
    switch (transfer.state) {
      case "refused":
        return item.passing ? [["Retry", () => this.#judgeAgain(item)], remove("Remove")] : [remove("Remove")];
      case "same":
        return [["Upload again", () => this.#queue(item)], remove("Skip")];
      case "waiting":
      case "room":
        return [cancel];
      case "sending":
      case "offline":
        if (transfer.stream) return transfer.stream.ended ? [cancel] : [];
        return [["Pause", () => transfer.pause()], cancel];
      case "paused":
        return [["Resume", () => this.#queue(item)], cancel];
      case "failed":
        if (transfer.changed) return [["Choose the file", () => this.#chooseAgain(item)], cancel];
        return [["Retry", () => this.#queue(item)], cancel];
      case "missing":
        return [
          transfer.handle
            ? ["Resume", () => this.#goOn(item, { ask: true })]
            : ["Choose the same file", () => this.#chooseAgain(item)],
          cancel,
        ];
      default:
        return transfer.state === "done" && transfer.video && transfer.linked
          ? [["Open", () => (location.href = `/videos/${transfer.video}`)]]
          : [];
    }
  }

  /** By a person's hand at once, whatever else is sending. */
  #queue({ transfer }) {
    transfer.start();
  }

  async #judgeAgain(item) {
    const { transfer } = item;
    const { problem, passing } = await look(transfer.file, await findLimits(this, { again: true }));
    Object.assign(transfer, { problem, state: problem ? "refused" : "waiting" });
    item.passing = passing;
    this.#changed(item);
  }

  async #goOn(item, how) {
    const { transfer } = item;
    if (await transfer.resumeWith(how)) transfer.start();
    else if (how.ask) {
      // The browser can't read it any more: then by choosing it again.
      await dropHandle(transfer.id);
      transfer.handle = null;
    }
    this.#changed(item);
  }

  #chooseAgain(item) {
    const input = make("input", { type: "file", accept: "video/*,.mkv,.mts,.m2ts,.avi,.flv" });
    input.addEventListener("change", async () => {
      const [file] = input.files;
      if (!file) return;
      if (!item.transfer.changed) return this.#goOn(item, { file });
      await item.transfer.replace(file);
      this.#queue(item);
    });
    input.click();
  }

  #cancel(item) {
    const { transfer } = item;
    item.before = transfer.state;
    if (transfer.busy) transfer.pause();
    item.gone = true;
    item.timer = setTimeout(async () => {
      this.#remove(item);
      await transfer.cancel();
    }, UNDO_MS);
    this.#changed(item);
  }

  #undo(item) {
    clearTimeout(item.timer);
    item.gone = false;
    const { transfer, before } = item;
    if (["sending", "offline", "room"].includes(before)) transfer.start();
    else transfer.state = before;
    this.#changed(item);
  }

  // Showing

  #show(transfer) {
    transfer.linked = !this.dataset.grantUrl; // guests may not look at the video's page
    const item = { transfer, ...rowOf(transfer), dirty: true };
    transfer.addEventListener("change", () => this.#changed(item));
    this.#items.push(item);
    this.#list.append(item.row);
    this.hidden = false;
    return item;
  }

  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    setTimeout(() => {
      this.#drawing = false;
      for (const item of this.#items) {
        if (item.dirty || item.transfer.busy) drawItem(item, this.actions(item));
        item.dirty = false;
      }
      this.#drawHead();
    }, DRAW_MS);
  }

  #drawHead() {
    const open = this.#items.filter(({ gone }) => !gone);
    const { words, part, moving, over, sent } = headline(open.map(({ transfer }) => transfer), this.#pace);
    if (moving) this.#pace.add(performance.now(), sent);
    else this.#pace.reset();
    this.#bar.value = part;
    this.#bar.hidden = !moving;
    this.dataset.state = moving ? "busy" : "rest";
    this.#head.textContent = words;
    this.hidden = !this.#list.children.length; // what was cancelled stays until Undo is over
    const closes = (this.#over = over && open.length === this.#items.length);
    this.#toggle.textContent = closes ? "Close" : this.#list.hidden ? "Show" : "Hide";
    if (closes) this.#toggle.removeAttribute("aria-expanded");
    else this.#toggle.setAttribute("aria-expanded", String(!this.#list.hidden));
  }

  #fold() {
    if (this.#over) {
      for (const item of [...this.#items]) this.#remove(item);
      this.#list.replaceChildren();
      this.#list.hidden = false;
    } else this.#list.hidden = !this.#list.hidden;
    this.#draw();
  }

  /** A guest's page lists what has arrived itself: it needn't stand in two places. */
  #handOver() {
    for (const item of [...this.#items]) if (item.transfer.state === "done") this.#remove(item);
  }

  #remove(item) {
    if (!item) return;
    const focused = item.row.contains(document.activeElement);
    const near = item.row.nextElementSibling ?? item.row.previousElementSibling;
    item.row.remove();
    this.#items = this.#items.filter((other) => other !== item);
    if (focused) (near?.querySelector("button") ?? this.#toggle).focus();
    this.#draw();
  }

  /** The box has looked into the first bytes; a refusal comes as the answer to what is sent. */
  #looked({ video_id: video, verdict, sentence }) {
    const item = this.#items.find(({ transfer }) => transfer.video === video);
    if (!item || verdict === "refused") return;
    item.transfer.outlook = item.transfer.foreseen = sentence;
    this.#changed(item);
  }

  /** The box encodes what has come so far, or has stopped doing so. */
  #encoded({ video_id: video, state, stage }) {
    const item = this.#items.find(({ transfer }) => transfer.video === video);
    const words = state === "running" && stage ? `${stage}.` : item?.transfer.foreseen;
    if (!item || !words || item.transfer.outlook === words) return;
    item.transfer.outlook = words;
    this.#changed(item);
  }

  #note(words, names) {
    const row = NoteRow(words, names, () => {
      row.remove();
      this.#draw();
    });
    this.#list.append(row);
    this.hidden = false;
    this.#tell(words);
    this.#draw();
  }

  /** A short message; where the page has no place for those, in the list. */
  #say(words) {
    if (!toast(words)) this.#note(words, []);
  }

  #tell(words) {
    if (this.#said) this.#said.textContent = words;
    else announce(words);
  }
}

/** Two handles to one file look alike in all that can be seen without reading. */
const isTwin = (one, other) => one?.lastModified === other.lastModified && one?.type === other.type;
