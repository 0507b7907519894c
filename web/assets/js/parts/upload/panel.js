// <upload-panel>: the tray with all uploads of this browser, on every page.
import { announce, toast } from "../toasts.js";
import { problemWith } from "./check.js";
import { dropHandle } from "./handles.js";
import { fingerprint, storage, Transfer } from "./transfer.js";
import { percent, size, timeLeft } from "./words.js";

const AT_ONCE = 2;
const UNDO_MS = 6000;
const ESTIMATE_AFTER_MS = 5000;

/** An element: make("button.small", {title: "…"}, "text", child). */
function make(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = Object.assign(document.createElement(tag), properties);
  element.className = classes.join(" ");
  element.append(...children);
  return element;
}

export class UploadPanel extends HTMLElement {
  #items = []; // {transfer, row, parts, since}
  #head;
  #bar;
  #list;
  #toggle;
  #drawing = false;

  async connectedCallback() {
    if (this.#list) return;
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", "Uploads");
    this.#head = make("span");
    this.#toggle = make("button.button.quiet.small", { type: "button" }, "Hide");
    this.#toggle.setAttribute("aria-expanded", "true");
    this.#toggle.addEventListener("click", () => this.#fold(!this.#list.hidden));
    this.#bar = make("progress.bar", { max: 1, value: 0 });
    this.#bar.setAttribute("aria-label", "All uploads");
    this.#list = make("ul.uploads");
    this.append(make("div.tray-head", {}, this.#head, this.#toggle), this.#bar, this.#list);
    addEventListener("offline", () => this.#draw());
    addEventListener("online", () => {
      for (const { transfer } of this.#items) if (transfer.state === "offline") transfer.start();
    });
    addEventListener("beforeunload", (event) => {
      const lost = this.#items.some(({ transfer }) => transfer.state === "sending" && !transfer.handle);
      if (lost) event.preventDefault();
    });
    await this.#recall();
    this.dataset.ready = "";
  }

  /** Whether bytes are moving: then links must not tear the page down. */
  get busy() {
    return this.#items.some(({ transfer }) => ["sending", "offline", "waiting"].includes(transfer.state));
  }

  /** Files that were dropped or chosen: [{file, handle?: Promise}]. */
  async take(chosen) {
    for (const { file, handle } of chosen) {
      const found = handle ? await handle.catch(() => null) : null;
      if (found?.kind === "directory") {
        toast(`“${found.name}” is a folder. Open it and drop the videos themselves.`, { tone: "bad" });
        continue;
      }
      if (file) await this.#add(file, found);
    }
    this.#next();
  }

  async #add(file, handle) {
    const key = fingerprint(file);
    const same = this.#items.find(
      ({ transfer }) => transfer.key === key && !["done", "failed"].includes(transfer.state),
    );
    if (same) {
      if (same.transfer.state === "missing") await this.#goOn(same, { file });
      else toast(`“${file.name}” is on its way already.`);
      return;
    }
    const transfer = Transfer.of(file, handle);
    const item = this.#show(transfer);
    transfer.problem = problemWith(file, Number(this.dataset.limit));
    if (transfer.problem) {
      transfer.state = "failed";
      item.refused = true;
    }
    this.#draw();
  }

  /** What an earlier page has left unfinished. */
  async #recall() {
    for (const entry of await storage.findAllUploads()) {
      const transfer = await Transfer.left(entry);
      if (!(await transfer.look())) {
        await transfer.forget(); // it was idle for too long: the server has removed it
        continue;
      }
      this.#show(transfer);
      // Where the browser still lets us read the file, it just goes on.
      if (transfer.handle && (await transfer.resumeWith({ ask: false }))) transfer.state = "waiting";
    }
    this.#draw();
    this.#next();
  }

  #show(transfer) {
    const parts = {
      title: make("strong", { dir: "auto", title: transfer.name }, transfer.name),
      size: make("span"),
      bar: make("progress.bar", { max: 1 }),
      words: make("p"),
      buttons: make("span.row"),
    };
    parts.bar.setAttribute("aria-label", `Upload of ${transfer.name}`);
    const row = make(
      "li",
      {},
      make("div.name", {}, parts.title, parts.size),
      parts.bar,
      make("div.state", {}, parts.words, parts.buttons),
    );
    const item = { transfer, row, parts, shown: "" };
    transfer.addEventListener("change", () => this.#changed(item));
    this.#items.push(item);
    this.#list.append(row);
    this.hidden = false;
    return item;
  }

  #changed(item) {
    const { transfer } = item;
    if (transfer.state !== item.was) {
      if (transfer.state === "sending") item.since = performance.now();
      if (transfer.state === "done") announce(`${transfer.name} is uploaded.`);
      item.was = transfer.state;
      queueMicrotask(() => this.#next());
    }
    this.#draw();
  }

  /** Start what waits, a few at a time. */
  #next() {
    let room = AT_ONCE - this.#items.filter((i) => ["sending", "offline"].includes(i.transfer.state)).length;
    for (const { transfer } of this.#items) {
      if (room > 0 && transfer.state === "waiting") {
        room -= 1;
        transfer.start();
      }
    }
  }

  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    setTimeout(() => {
      this.#drawing = false;
      for (const item of this.#items) drawItem(item, this.#actions(item));
      this.#drawHead();
    }, 100);
  }

  #drawHead() {
    const live = this.#items.filter(({ gone, refused }) => !gone && !refused);
    const done = live.filter(({ transfer }) => transfer.state === "done");
    const moving = live.filter(({ transfer }) => ["sending", "offline", "waiting"].includes(transfer.state));
    // A failed file doesn't hold the sum up.
    const counted = [...done, ...moving];
    const total = counted.reduce((sum, { transfer }) => sum + transfer.size, 0);
    const sent = counted.reduce((sum, { transfer }) => sum + transfer.sent, 0);
    const part = total ? sent / total : 0;
    this.#bar.value = part;
    this.#bar.hidden = !moving.length;
    const open = this.#items.filter(({ gone }) => !gone);
    this.dataset.state = moving.length ? "busy" : "rest";
    if (moving.length) {
      const at = Math.min(done.length + 1, counted.length);
      this.#head.textContent =
        counted.length === 1 ? `Uploading, ${percent(part)}` : `Uploading ${at} of ${counted.length}, ${percent(part)}`;
    } else if (open.some(({ transfer }) => ["missing", "paused"].includes(transfer.state))) {
      this.#head.textContent = "Unfinished uploads";
    } else if (done.length) {
      this.#head.textContent = done.length === 1 ? "1 video uploaded" : `${done.length} videos uploaded`;
    } else {
      this.#head.textContent = "Uploads";
    }
    this.hidden = !this.#items.length; // what was cancelled stays until Undo is over
    const finished = open.length && open.every(({ transfer, refused }) => transfer.state === "done" || refused);
    if (finished) this.#toggle.textContent = "Close";
    else this.#toggle.textContent = this.#list.hidden ? "Show" : "Hide";
    this.#toggle.setAttribute("aria-expanded", String(!this.#list.hidden));
    this.#toggle.dataset.closes_all = finished ? "yes" : "";
  }

  #fold(hide) {
    if (this.#toggle.dataset.closes_all) {
      for (const item of [...this.#items]) this.#remove(item);
    } else this.#list.hidden = hide;
    this.#draw();
  }

  #remove(item) {
    item.row.remove();
    this.#items = this.#items.filter((other) => other !== item);
    this.#draw();
  }

  /** What a person can do about an upload in this state: [label, what, class?]. */
  #actions(item) {
    const { transfer } = item;
    const cancel = ["Cancel", () => this.#cancel(item), "quiet"];
    if (item.gone) return [["Undo", () => this.#undo(item)]];
    if (item.refused) return [["Remove", () => this.#remove(item), "quiet"]];
    switch (transfer.state) {
      case "waiting":
        return [cancel];
      case "sending":
      case "offline":
        return [["Pause", () => transfer.pause()], cancel];
      case "paused":
        return [["Resume", () => transfer.start()], cancel];
      case "failed":
        return [["Resume", () => transfer.start()], cancel];
      case "missing":
        return [
          transfer.handle
            ? ["Resume", () => this.#goOn(item, { ask: true })]
            : ["Choose the same file", () => this.#chooseAgain(item)],
          cancel,
        ];
      default:
        return transfer.video ? [["Open", () => (location.href = transfer.video)]] : [];
    }
  }

  async #goOn(item, how) {
    const { transfer } = item;
    if (await transfer.resumeWith(how)) {
      transfer.start();
    } else if (how.ask) {
      // The browser can't read it any more: then by choosing it again.
      await dropHandle(transfer.key);
      transfer.handle = null;
    }
    this.#draw();
  }

  #chooseAgain(item) {
    const input = make("input", { type: "file", accept: "video/*" });
    input.addEventListener("change", () => input.files[0] && this.#goOn(item, { file: input.files[0] }));
    input.click();
  }

  #cancel(item) {
    const { transfer } = item;
    item.before = transfer.state;
    if (["sending", "offline"].includes(transfer.state)) transfer.pause();
    item.gone = true;
    transfer.state = transfer.state === "waiting" ? "paused" : transfer.state;
    item.timer = setTimeout(async () => {
      this.#remove(item);
      await transfer.cancel();
    }, UNDO_MS);
    this.#draw();
    item.row.querySelector("button")?.focus();
  }

  #undo(item) {
    clearTimeout(item.timer);
    item.gone = false;
    if (["sending", "offline", "waiting"].includes(item.before)) item.transfer.start();
    else item.transfer.state = item.before;
    this.#draw();
  }
}

function drawItem(item, actions) {
  const { transfer, parts } = item;
  parts.size.textContent = size(transfer.size);
  parts.bar.value = transfer.size ? transfer.sent / transfer.size : 0;
  parts.bar.hidden = Boolean(item.refused || transfer.state === "done");
  if (transfer.state === "sending") delete parts.bar.dataset.tone;
  else parts.bar.dataset.tone = "neutral";
  item.row.dataset.state = item.gone ? "cancelled" : transfer.state;
  parts.words.textContent = sentence(item);
  const bad = transfer.problem && ["failed", "missing"].includes(transfer.state);
  if (bad) parts.words.dataset.tone = "bad";
  else delete parts.words.dataset.tone;
  const labels = actions.map(([label]) => label).join();
  if (labels === item.shown) return; // the same buttons stay, and keep the focus
  const focused = parts.buttons.contains(document.activeElement);
  item.shown = labels;
  parts.buttons.replaceChildren(
    ...actions.map(([label, act, look = ""]) => {
      const button = make(`button.button.small${look && "."}${look}`, { type: "button" }, label);
      button.setAttribute("aria-label", `${label}: ${transfer.name}`);
      button.addEventListener("click", act);
      return button;
    }),
  );
  if (focused) parts.buttons.firstElementChild?.focus();
  if (transfer.video && parts.title.tagName !== "A") {
    const link = make("a", { href: transfer.video, dir: "auto", title: transfer.name }, transfer.name);
    parts.title.replaceWith(link);
    parts.title = link;
  }
}

function sentence({ transfer, gone, since }) {
  const part = transfer.size ? transfer.sent / transfer.size : 0;
  if (gone) return "Cancelled";
  switch (transfer.state) {
    case "waiting":
      return "Waiting for its turn";
    case "sending": {
      const { speed } = transfer;
      const words = [percent(part)];
      if (speed) words.push(`${size(speed)}/s`);
      if (speed && performance.now() - since > ESTIMATE_AFTER_MS) {
        words.push(timeLeft((transfer.size - transfer.sent) / speed));
      }
      return words.join(", ");
    }
    case "offline":
      return navigator.onLine
        ? `${percent(part)}. The box doesn't answer. It goes on by itself.`
        : `${percent(part)}. Waiting for the network. It goes on by itself.`;
    case "paused":
      return `Paused at ${percent(part)}`;
    case "missing":
      return (
        transfer.problem ||
        (transfer.handle
          ? `Stopped at ${percent(part)}`
          : `Stopped at ${percent(part)}. Choose the same file to go on.`)
      );
    case "failed":
      return transfer.problem;
    default:
      return "Uploaded";
  }
}
