// How the list of uploads looks: rows, sentences, the line above them.
import { count, percent, size, timeLeft } from "./words.js";

const MOST_NAMES = 50;

/** An element: make("button.small", {title: "…"}, "text", child). */
export function make(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = Object.assign(document.createElement(tag), properties);
  element.className = classes.join(" ");
  element.append(...children);
  return element;
}

export function rowOf({ name }) {
  const parts = {
    title: make("strong", { dir: "auto", title: name }, name),
    size: make("span"),
    bar: make("progress.bar", { max: 1 }),
    words: make("p"),
    buttons: make("span.row"),
  };
  parts.bar.setAttribute("aria-label", `Upload of ${name}`);
  const row = make(
    "li",
    {},
    make("div.name", {}, parts.title, parts.size),
    parts.bar,
    make("div.state", {}, parts.words, parts.buttons),
  );
  return { row, parts, shown: "" };
}

/** A line about files that are no rows: what was skipped, and its names to unfold. */
export function NoteRow(words, names, close) {
  const button = make("button.button.quiet.small", { type: "button" }, "OK");
  button.addEventListener("click", close);
  const row = make("li.note", {}, make("div.state", {}, make("p", {}, words), button));
  if (names.length) {
    const shown = names.slice(0, MOST_NAMES).map((name) => make("li", { dir: "auto" }, name));
    if (names.length > MOST_NAMES) shown.push(make("li", {}, `and ${names.length - MOST_NAMES} more`));
    row.append(make("details", {}, make("summary", {}, "Which"), make("ul", {}, ...shown)));
  }
  return row;
}

export function drawItem(item, actions) {
  const { transfer, parts } = item;
  const { state, stream, part } = transfer;
  parts.size.textContent = stream && !transfer.size ? "" : size(transfer.size);
  if (stream && !stream.ended) parts.bar.removeAttribute("value");
  else parts.bar.value = part;
  parts.bar.hidden = ["refused", "same", "done"].includes(state);
  if (state === "sending" && !item.gone) delete parts.bar.dataset.tone;
  else parts.bar.dataset.tone = "neutral";
  item.row.dataset.state = item.gone ? "cancelled" : state;
  const words = item.gone ? "Cancelled" : sentence(transfer);
  if (parts.words.textContent !== words) parts.words.textContent = words;
  const bad = transfer.problem && ["failed", "missing", "refused"].includes(state) && !item.gone;
  if (bad) parts.words.dataset.tone = "bad";
  else delete parts.words.dataset.tone;
  drawButtons(item, actions);
  if (transfer.video && state === "done" && parts.title.tagName !== "A" && transfer.linked) {
    const link = make("a", { href: `/videos/${transfer.video}`, dir: "auto", title: transfer.name }, transfer.name);
    parts.title.replaceWith(link);
    parts.title = link;
  }
}

function drawButtons(item, actions) {
  const { transfer, parts } = item;
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
}

/** What is said about one upload. */
export function sentence(transfer) {
  const { state, part, problem } = transfer;
  const at = percent(part);
  switch (state) {
    case "checking":
      return "Looking at the file";
    case "waiting":
      return "Waiting for its turn";
    case "sending":
      return [sending(transfer), transfer.outlook].filter(Boolean).join(". ");
    case "offline": {
      const why = navigator.onLine ? problem || "The box doesn't answer." : "Waiting for the network.";
      return `${at}. ${why} It goes on by itself.`;
    }
    case "room":
      return `Waiting for room on the box. ${problem || "It goes on by itself once there is space."}`;
    case "paused":
      return `Paused at ${at}`;
    case "elsewhere":
      return "Another tab of this browser is sending this file. It goes on here when that is closed.";
    case "missing":
      if (problem) return problem;
      return transfer.handle ? `Stopped at ${at}` : `Stopped at ${at}. Choose the same file to go on.`;
    case "same":
      return `This file is on the box already, sent ${day(transfer.before.at)}.`;
    case "done":
      return transfer.moved ? "Uploaded. The browser put the index in front." : "Uploaded";
    default:
      return problem;
  }
}

function sending({ stream, sent, part, size: whole, pace }) {
  if (stream && !stream.ended) return `Sending while it is recorded, ${size(sent)} so far`;
  const words = [percent(part)];
  const { speed } = pace;
  if (speed) words.push(`${size(speed)}/s`);
  const left = timeLeft(pace.left(whole - sent));
  if (left) words.push(left);
  return words.join(", ");
}

const day = (at) => {
  const days = Math.floor(new Date().setHours(24, 0, 0, 0) / 864e5) - Math.floor(new Date(at).setHours(24, 0, 0, 0) / 864e5);
  if (days < 2) return days ? "yesterday" : "today";
  return `on ${new Date(at).toLocaleDateString(undefined, { day: "numeric", month: "long", year: "numeric" })}`;
};

/**
 * The line above the list: `{words, part, sent, moving, over}`. What failed, was refused or waits
 * for a person doesn't hold the sum up. `over`: nothing is left to do.
 */
export function headline(transfers, pace) {
  const of = (...states) => transfers.filter(({ state }) => states.includes(state));
  const done = of("done");
  const moving = transfers.filter(({ busy }) => busy);
  const counted = [...done, ...moving];
  const total = counted.reduce((sum, transfer) => sum + transfer.size, 0);
  const sent = counted.reduce((sum, { size: whole, part }) => sum + whole * part, 0);
  const part = total ? sent / total : 0;
  const over = !moving.length && transfers.every(({ state }) => ["done", "refused"].includes(state));
  let words = "Uploads";
  const waits = of("paused", "missing", "elsewhere", "failed", "same").length;
  if (moving.length) {
    const which = counted.length === 1 ? "" : ` ${Math.min(done.length + 1, counted.length)} of ${counted.length}`;
    const left = counted.length === 1 ? "" : timeLeft(pace.left(total - sent));
    words = [`Uploading${which}`, percent(part), left].filter(Boolean).join(", ");
  } else if (waits) words = of("failed", "same").length === waits ? `${count(waits, "file needs", "files need")} you` : "Unfinished uploads";
  else if (done.length) words = `${count(done.length, "video", "videos")} uploaded`;
  else if (of("refused").length) words = `${count(of("refused").length, "file was", "files were")} not sent`;
  return { words, part, sent, moving: moving.length > 0, over };
}
