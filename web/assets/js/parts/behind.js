// Live regions that could not be fetched anew (no network, a box that restarts) are asked for
// again until it works: the stream has gone on, so no other event would tell them.
const FIRST_MS = 1000;
const LONGEST_MS = 15_000;

const behind = new Map(); // element → { tries, timer }
let renew; // asks for all that waits for an event of this name
let changed;

/** `ask(name)`: fetch anew what waits for that event; `tell()`: a region fell behind or caught up. */
export function watchRegions(ask, tell) {
  renew = ask;
  changed = tell;
  document.addEventListener("htmx:before:response", (event) => {
    const { sourceElement, response } = event.detail.ctx;
    if (!namesOf(sourceElement).length) return;
    if (response.status < 500) return caughtUp(sourceElement);
    event.preventDefault(); // what is shown is old, but better than the words of an error
    fellBehind(sourceElement);
  });
  document.addEventListener("htmx:error", ({ detail }) => {
    const region = detail.ctx?.sourceElement;
    if (region && namesOf(region).length) fellBehind(region);
  });
  document.addEventListener("visibilitychange", () => document.hidden || catchUp());
  document.addEventListener("page:shown", catchUp);
}

/** The events that a region or a growing list waits for. */
export function namesOf(element) {
  if (element.dataset?.grows) return [element.dataset.grows];
  return element.getAttribute?.("hx-trigger")?.match(/live:[\w-]+/g) ?? [];
}

export const isBehind = () => behind.size > 0;

export function fellBehind(region) {
  const { tries = 0, timer } = behind.get(region) ?? {};
  clearTimeout(timer);
  const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(tries, 5)) * (0.75 + Math.random() / 2);
  behind.set(region, { tries: tries + 1, timer: setTimeout(() => document.hidden || ask(region), wait) });
  changed?.();
}

export function caughtUp(region) {
  if (!behind.has(region)) return;
  clearTimeout(behind.get(region).timer);
  behind.delete(region);
  changed?.();
}

/** The network is back: all at once, whatever their turn. */
export function catchUp() {
  for (const region of [...behind.keys()]) ask(region);
}

function ask(region) {
  if (region.isConnected) for (const name of namesOf(region)) renew(name);
  else caughtUp(region); // another page, or something newer is in its place
}
