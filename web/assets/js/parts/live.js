// Live pages: one stream of events for the page, turned into DOM events on <body>.
//
// An event about a video becomes "live:video-ID", which that video's region waits for to fetch
// itself anew (hx-trigger="live:video-ID from:body"). The stream is only a hint that something
// changed; what is shown always comes from the server's pages.
//
// fetch, not EventSource: it can send Last-Event-ID on a new stream, sees the comments that prove
// the line is alive, and takes events of every name.
import { catchUp, isBehind, namesOf, watchRegions } from "./behind.js";
import { announce } from "./toasts.js";

const GAP_MS = 500; // at most two fetches a second for each name
const SILENCE_MS = 40_000; // the server says something each 15 s
const PILL_AFTER_MS = 4000;
const FIRST_POLL_MS = 3000;
const LONGEST_POLL_MS = 60_000;

let url;
let last = "";
let stop; // AbortController of the open stream
let down = true;
let failures = 0;
let pillTimer;
let pollTimer;

export function startLive(address) {
  url = address;
  last = document.body.dataset.liveFrom ?? "";
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  addEventListener("offline", () => {
    down = true;
    showPill(true);
  });
  addEventListener("online", () => {
    close(); // a stream from before may never say that it is dead
    if (!document.hidden) open();
    catchUp();
  });
  watchRegions(dispatch, () => (isBehind() ? trouble() : calm()));
  if (!document.hidden) open();
}

function close() {
  stop?.abort();
  stop = undefined;
  clearTimeout(pillTimer);
  pillTimer = undefined;
}

async function open() {
  if (stop) return;
  const control = (stop = new AbortController());
  let watchdog;
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => control.abort("silent"), SILENCE_MS);
  };
  try {
    alive();
    const headers = { Accept: "text/event-stream" };
    if (last) headers["Last-Event-ID"] = last;
    const answer = await fetch(url, { headers, signal: control.signal, cache: "no-store" });
    if (answer.status === 401 || answer.status === 403) return signedOut();
    if (!answer.ok) throw new Error(answer.status);
    await read(answer.body, () => {
      alive();
      if (down) connected(); // not before the first words: a proxy may say yes and hold them back
    });
  } catch {
    // Told below: the stream ended, whatever the reason.
  } finally {
    clearTimeout(watchdog);
  }
  if (stop !== control) return; // closed on purpose
  stop = undefined;
  down = true;
  failures += 1;
  trouble();
  if (failures === 2) poll(FIRST_POLL_MS);
  const wait = Math.min(15_000, 500 * 2 ** Math.min(failures, 5)) * (0.75 + Math.random() / 2);
  setTimeout(() => document.hidden || open(), wait);
}

function connected() {
  failures = 0;
  down = false;
  clearTimeout(pollTimer);
  calm();
}

/** Without a stream the page asks by itself, ever less often. */
function poll(pause) {
  clearTimeout(pollTimer);
  pollTimer = setTimeout(() => {
    if (!document.hidden) resync();
    poll(Math.min(LONGEST_POLL_MS, pause * 2));
  }, pause);
}

function trouble() {
  pillTimer ??= setTimeout(() => showPill(true), PILL_AFTER_MS);
}

/** Hides the pill once the stream is open and all regions show the newest. */
function calm() {
  if (down || isBehind()) return;
  clearTimeout(pillTimer);
  pillTimer = undefined;
  showPill(false);
  document.documentElement.dataset.live = "on";
}

function signedOut() {
  // Not ours to fix: the next click leads to the sign-in page.
  showPill(true);
}

function showPill(shown) {
  const pill = document.getElementById("connection");
  if (pill) pill.hidden = !shown;
  if (shown) delete document.documentElement.dataset.live;
}

async function read(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) take(block);
  }
}

function take(block) {
  let type = "message";
  let data = "";
  for (const line of block.split("\n")) {
    const [, name, value] = line.match(/^([^:]+): ?(.*)$/) ?? [];
    if (name === "id") last = value;
    else if (name === "event") type = value;
    else if (name === "data") data += value;
  }
  if (type === "resync") return resync();
  if (!data) return;
  const event = JSON.parse(data);
  for (const name of namesFor(type, event)) dispatch(name);
  // For the tray, which is no region that fetches itself.
  if (type === "upload.looked") document.dispatchEvent(new CustomEvent("upload:looked", { detail: event }));
  if (event.kind === "in_flight") document.dispatchEvent(new CustomEvent("upload:encoded", { detail: event }));
  tell(type, event);
}

function namesFor(type, event) {
  const [kind, id] = (event.subject ?? "").split(":");
  const names = new Set();
  if (id) names.add(`live:${kind}-${id}`);
  if (event.video_id) names.add(`live:video-${event.video_id}`);
  if (event.post_id) names.add(`live:post-${event.post_id}`);
  if (kind === "job") names.add("live:jobs");
  if (kind === "post" || kind === "target" || event.post_id) names.add("live:posts");
  if (kind === "account" || kind === "posting") names.add("live:accounts");
  if (kind === "alert" || kind === "alert_channel" || event.kind === "alert") names.add("live:alerts");
  if (kind === "backup" || kind === "system") names.add("live:system");
  if (kind === "guest_link") names.add("live:guest-links");
  if (["video.created", "video.trashed", "video.restored"].includes(type)) names.add("live:videos");
  // An upload begins, gets on or ends; the last two also as a change of its video.
  if (type.startsWith("upload.") || kind === "upload" || kind === "video") names.add("live:uploads");
  // Counts of the library's filters change with states only, not with progress.
  if (kind === "video") names.add("live:counts");
  return names;
}

const waiting = new Map(); // name → timer; a name in here was dispatched a moment ago
const again = new Set();

function dispatch(name) {
  if (waiting.has(name)) {
    again.add(name);
    return;
  }
  document.body.dispatchEvent(new CustomEvent(name));
  waiting.set(
    name,
    setTimeout(() => {
      waiting.delete(name);
      if (again.delete(name)) dispatch(name);
    }, GAP_MS),
  );
}

/** Too much was missed: everything on the page that is live fetches itself. */
function resync() {
  const names = new Set();
  for (const element of document.querySelectorAll("[hx-trigger*='live:'], [data-grows]")) {
    for (const name of namesOf(element)) names.add(name);
  }
  for (const list of document.querySelectorAll("[data-grows]")) names.add(list.dataset.grows);
  for (const name of names) dispatch(name);
}

const ENDS = {
  "video.ready": "is ready",
  "video.failed": "failed",
  "post.completed": "was posted",
  "post.partial": "was posted in part",
  "post.failed": "could not be posted",
};

/** Only ends are announced, and only of what is on the page. */
function tell(type, event) {
  if (!ENDS[type]) return;
  const id = (event.subject ?? "").replace(":", "-");
  const title = document.getElementById(id)?.dataset.title;
  if (title) announce(`${title} ${ENDS[type]}.`);
}
