// <record-panel>: choose, record, look, send. The markup is the page's; this shows one step of it.
import { announce, toast } from "../toasts.js";
import { addFiles, addStream } from "../upload/load.js";
import { size } from "../upload/words.js";
import { canRecord, capture, NotAllowed } from "./capture.js";
import { drop, findUnsent, Kept, read } from "./keep.js";
import { clock, spoken, titleAt } from "./words.js";

const TICK_MS = 200;
const SILENT_MS = 6000;
const AUDIBLE = 0.15;
const UNDO_MS = 6000;

export class RecordPanel extends HTMLElement {
  #taking; // {capture, kept, stream, elapsed, since, heardAt, bytes}
  #made; // {about, file, stream}
  #timer;

  connectedCallback() {
    if (!canRecord()) return this.#show("unsupported");
    this.#part("start").addEventListener("click", () => this.#start());
    this.#part("pause").addEventListener("click", () => this.#pause());
    this.#part("stop").addEventListener("click", () => this.#stop());
    this.#part("send").addEventListener("submit", (event) => (event.preventDefault(), this.#send()));
    this.#part("save").addEventListener("click", () => save(this.#made.file));
    this.#part("discard").addEventListener("click", () => this.#discard());
    this.#part("again").addEventListener("click", () => this.#show("setup"));
    addEventListener("beforeunload", (event) => this.recording && event.preventDefault());
    this.#show("setup");
    this.#listUnsent();
    this.dataset.ready = "";
  }

  /** Whether leaving the page would end a recording. */
  get recording() {
    return Boolean(this.#taking);
  }

  #part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }

  #show(step) {
    for (const section of this.querySelectorAll("[data-step]")) {
      section.hidden = section.dataset.step !== step;
    }
    this.querySelector(`[data-step="${step}"] [data-focus]`)?.focus();
  }

  #say(part, text) {
    const place = this.#part(part);
    place.hidden = !text;
    place.querySelector("p").textContent = text;
  }

  // Recording

  async #start() {
    this.#say("problem", "");
    const start = this.#part("start");
    start.disabled = true;
    try {
      const source = await capture({
        microphone: this.#part("microphone").checked,
        sound: this.#part("sound").checked,
      });
      await this.#record(source);
    } catch (error) {
      if (!(error instanceof NotAllowed)) throw error;
      this.#say("problem", error.message);
    } finally {
      start.disabled = false;
    }
  }

  async #record(source) {
    const started = new Date();
    const about = {
      id: crypto.randomUUID(),
      started: started.getTime(),
      type: source.recorder.mimeType,
      title: titleAt(started),
      name: `${titleAt(started)}.${source.recorder.mimeType.includes("mp4") ? "mp4" : "webm"}`,
      duration_s: 0,
    };
    const taking = { source, about, bytes: 0, elapsed: 0, since: performance.now(), heardAt: performance.now() };
    taking.kept = await Kept.make(this.dataset.store, about).catch(() => null);
    if (!taking.kept) taking.chunks = []; // a private window: in memory, and said so
    this.#taking = taking;
    if (this.#part("meanwhile").checked) await this.#sendMeanwhile(taking);
    taking.written = Promise.resolve();
    source.recorder.addEventListener("dataavailable", ({ data }) => this.#take(taking, data));
    source.recorder.addEventListener("stop", () => this.#ended(taking), { once: true });
    source.stream.getVideoTracks()[0].addEventListener("ended", () => this.#stop());
    source.start();
    const view = this.#part("view");
    view.srcObject = source.stream;
    view.play().catch(() => {});
    this.#part("level").hidden = !source.heard;
    this.#part("pause").textContent = "Pause";
    this.#warn(taking);
    this.#show("recording");
    announce("Recording.");
    this.#timer = setInterval(() => this.#tick(taking), TICK_MS);
  }

  /** The tray sends what is recorded while more is. */
  async #sendMeanwhile(taking) {
    const { name, type, title } = taking.about;
    const onurl = (url) => taking.kept?.note({ url });
    taking.stream = await addStream({ name, type, title, source: "recording", onurl });
  }

  #take(taking, chunk) {
    if (!chunk.size) return;
    taking.bytes += chunk.size;
    // In this order: the box never has more than this device, so each can go on from the other.
    taking.written = taking.written
      .then(() => this.#keep(taking, chunk))
      .then(() => taking.stream?.push(chunk));
    if (taking.bytes > Number(this.dataset.limit)) {
      toast(`The recording has reached ${size(taking.bytes)}, the most that the box takes. It was stopped.`);
      this.#stop();
    }
  }

  async #keep(taking, chunk) {
    if (taking.chunks) return void taking.chunks.push(chunk);
    try {
      await taking.kept.write(chunk);
      taking.kept.note({ duration_s: elapsed(taking) });
    } catch {
      // No room on this device: what is there stays, the rest goes on in memory.
      taking.chunks = [await taking.kept.close().then(() => read(taking.about)), chunk];
      taking.full = true;
      this.#warn(taking);
    }
  }

  #warn(taking) {
    const { source } = taking;
    const words = [];
    if (source.microphoneRefused) {
      words.push("The browser doesn't give the microphone; allow it for this site. The picture is recorded without your voice.");
    }
    if (taking.full) words.push("This device has no room left. Stop soon: from here on the recording is lost if the page closes.");
    else if (!taking.kept) words.push("This browser can't save while recording. Keep the page open until the recording is sent.");
    this.#say("warning", words.join(" "));
  }

  #tick(taking) {
    this.#part("time").textContent = clock(elapsed(taking));
    this.#part("kept").textContent = size(taking.bytes);
    const level = taking.source.level();
    this.#part("meter").value = level;
    if (level > AUDIBLE || taking.paused || !taking.source.heard) taking.heardAt = performance.now();
    this.#part("silent").hidden = performance.now() - taking.heardAt < SILENT_MS;
  }

  #pause() {
    const taking = this.#taking;
    const { recorder } = taking.source;
    if (taking.paused) {
      recorder.resume();
      taking.since = performance.now();
    } else {
      recorder.pause();
      taking.elapsed = elapsed(taking);
    }
    taking.paused = !taking.paused;
    this.#part("pause").textContent = taking.paused ? "Go on" : "Pause";
    this.#part("state").textContent = taking.paused ? "Paused" : "Recording";
    this.#part("badge").dataset.tone = taking.paused ? "neutral" : "live";
    announce(taking.paused ? "Paused." : "Recording.");
  }

  #stop() {
    const recorder = this.#taking?.source.recorder;
    if (recorder && recorder.state !== "inactive") recorder.stop();
  }

  async #ended(taking) {
    clearInterval(this.#timer);
    taking.elapsed = elapsed(taking);
    taking.paused = true;
    taking.source.stop();
    this.#part("view").srcObject = null;
    await taking.written;
    if (!taking.full) await taking.kept?.close();
    taking.kept?.note({ duration_s: taking.elapsed });
    taking.about.duration_s = taking.elapsed;
    const { about, chunks, stream } = taking;
    const file = chunks ? new File(chunks, about.name, { type: about.type }) : await read(about);
    this.#taking = undefined;
    if (!file.size) {
      stream?.abort();
      await drop(about);
      this.#say("problem", "Nothing was recorded: it was stopped before the first second.");
      return this.#show("setup");
    }
    this.#review({ about, file, stream });
    announce("Recording stopped.");
  }

  // What to do with it

  #review(made) {
    this.#made = made;
    const film = this.#part("film");
    film.src = URL.createObjectURL(made.file);
    film.addEventListener("loadedmetadata", () => findEnd(film), { once: true });
    this.#part("about").textContent = `${clock(made.about.duration_s)}, ${size(made.file.size)}`;
    this.#part("title").value = made.about.title;
    this.#show("review");
  }

  #leaveReview() {
    const film = this.#part("film");
    URL.revokeObjectURL(film.src);
    film.removeAttribute("src");
    film.load();
    this.#made = undefined;
  }

  async #send() {
    const made = this.#made;
    const title = this.#part("title").value.trim() || made.about.title;
    this.#leaveReview();
    this.#show("sent");
    await deliver(made, title);
  }

  #discard() {
    const made = this.#made;
    this.#leaveReview();
    this.#show("setup");
    const later = setTimeout(() => forget(made), UNDO_MS);
    toast(`“${made.about.title}” was discarded.`, {
      undo: () => {
        clearTimeout(later);
        if (!this.recording) this.#review(made);
      },
    });
  }

  // What earlier visits have left

  async #listUnsent() {
    const list = this.#part("unsent");
    const found = await findUnsent();
    list.replaceChildren(...found.map((item) => this.#unsentRow(item)));
    this.#part("unsent-box").hidden = !found.length;
  }

  #unsentRow(item) {
    const row = this.#part("unsent-row").content.firstElementChild.cloneNode(true);
    const part = (name) => row.querySelector(`[data-is="${name}"]`);
    const { about, file } = item;
    part("words").textContent = `“${about.title}”: ${spoken(about.duration_s)}, ${size(file.size)}`;
    for (const name of ["upload", "save", "discard"]) {
      part(name).setAttribute("aria-label", `${part(name).textContent}: ${about.title}`);
    }
    part("upload").addEventListener("click", async () => {
      this.#forgetRow(row);
      await deliver(item, about.title);
    });
    part("save").addEventListener("click", () => save(file));
    part("discard").addEventListener("click", () => {
      row.hidden = true;
      const later = setTimeout(() => (this.#forgetRow(row), forget(item)), UNDO_MS);
      toast(`“${about.title}” was discarded.`, {
        undo: () => (clearTimeout(later), (row.hidden = false)),
      });
    });
    return row;
  }

  #forgetRow(row) {
    row.remove();
    this.#part("unsent-box").hidden = !this.#part("unsent").children.length;
  }
}

const elapsed = (taking) =>
  taking.elapsed + (taking.paused ? 0 : (performance.now() - taking.since) / 1000);

/** Through the tray; the copy on this device goes once all of it has arrived. */
async function deliver({ about, file, stream }, title) {
  let sent = stream;
  if (!sent && about.url) {
    // A page that is gone had begun: what the box has of it needn't be sent again.
    sent = await addStream({ ...about, title, source: "recording" });
    sent.push(file);
  }
  if (sent) sent.finish({ title });
  else [sent] = await addFiles([file], { source: "recording", title });
  sent?.done.then(
    () => drop(about),
    () => {},
  );
}

async function forget({ about, stream }) {
  if (stream) await stream.abort();
  else if (about.url) {
    const headers = { "Tus-Resumable": "1.0.0" };
    await fetch(about.url, { method: "DELETE", headers }).catch(() => {});
  }
  await drop(about);
}

function save(file) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(file),
    download: file.name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Recorders don't write how long it is; a jump behind the end makes the browser find out. */
function findEnd(film) {
  if (film.duration !== Infinity) return;
  film.addEventListener("durationchange", () => (film.currentTime = 0), { once: true });
  film.currentTime = 1e9;
}
