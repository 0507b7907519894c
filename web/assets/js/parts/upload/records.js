// What this browser remembers of uploads: the unfinished ones, so that they can go on after a
// reload or a crash, and the finished ones, so that nobody sends the same file twice unasked.
import { digestOf } from "./digest.js";

const LEFT = "tus::"; // other parts look whether such a key is there, before they load this code
const DONE = "uploaded";
const MOST_DONE = 300;
const END = 1 << 20;
const SAMPLES = 16;
const SAMPLE = 64 << 10;

const read = (key) => {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null; // not ours, or storage is off
  }
};
const write = (key, value) => {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Full, or off: then a reload has nothing to go on with, and that is all.
  }
};

/** Unfinished uploads that were begun on pages of this kind, oldest first. */
export function findLeft(grant) {
  return Object.keys(localStorage)
    .filter((key) => key.startsWith(LEFT))
    .map(read)
    .filter((left) => left?.url && left.id && left.grant === grant)
    .sort((a, b) => a.at - b.at);
}

export const lockOf = (id) => LEFT + id;
export const findOne = (id) => read(LEFT + id);
export const keep = (left) => write(LEFT + left.id, left);
export const forget = (id) => localStorage.removeItem(LEFT + id);

/** Remember that this file is on the box, as the video with that id. */
export function keepDone({ name, size, modified, print, video }) {
  const done = (read(DONE) ?? []).filter((one) => one.video !== video);
  write(DONE, [...done, { name, size, modified, print, video, at: Date.now() }].slice(-MOST_DONE));
}

/** What was sent of this very file before: `{video, at}`, or undefined. */
export async function findDone(file) {
  const alike = (read(DONE) ?? []).filter(({ size }) => size === file.size);
  if (!alike.length) return undefined;
  const print = await printOf(file);
  return alike.findLast((one) => one.print === print);
}

export const forgetDone = (video) =>
  write(DONE, (read(DONE) ?? []).filter((one) => one.video !== video));

/**
 * A print of the file's bytes: its first and last MiB, samples between, and its size, so that a
 * different file isn't taken for the rest of this one. "" when it can't be read.
 */
export function printOf(file) {
  const parts = [`${file.size}:`, file.slice(0, END), file.slice(Math.max(END, file.size - END))];
  if (file.size > 2 * END) {
    const step = (file.size - 2 * END) / SAMPLES;
    for (let i = 0; i < SAMPLES; i += 1) {
      const from = Math.floor(END + i * step);
      parts.push(file.slice(from, Math.min(from + SAMPLE, file.size - END)));
    }
  }
  return digestOf(new Blob(parts));
}

/** Whether `file` is what the upload was begun with. The time of change alone proves nothing. */
export async function isSame(left, file) {
  if (file.name !== left.name || file.size !== left.size) return false;
  return left.print ? (await printOf(file)) === left.print : file.lastModified === left.modified;
}

/**
 * Run `act` while no other tab works on this upload. Without locks (plain HTTP) at once; then the
 * mark of whoever began last keeps two tabs from fighting, see `holder` in transfer.js.
 * `now`: don't wait for the other tab; → whether it was free.
 */
export function alone(id, act, { now = false } = {}) {
  if (!navigator.locks) return act(), Promise.resolve(true);
  return new Promise((resolve) => {
    navigator.locks.request(lockOf(id), { ifAvailable: now }, (lock) => {
      resolve(Boolean(lock));
      return lock ? act() : undefined; // `act` returns what ends when the upload is let go
    });
  });
}
