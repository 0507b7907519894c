// What can be said about a file before a byte is sent. The server looks again, at the bytes.
import { durationOf, readBoxes } from "./boxes.js";
import { HEAD, kindOf, problemOfKind } from "./kinds.js";
import { size, span } from "./words.js";

const PLAYER_MS = 3000;

/**
 * `{problem, passing, other, iso, duration_s}`. `problem`: why it can't be sent, a sentence, ""
 * when it can; `passing`: it may be over later; `other`: it is no video at all. `duration_s`
 * undefined: the file doesn't say.
 */
export async function look(file, limits) {
  const found = await lookInside(file, limits).catch(() => ({
    problem: "The browser can't read this file: it was moved, or you may not open it. Choose it again.",
  }));
  return { problem: "", ...found };
}

async function lookInside(file, limits) {
  const problem = problemOfSize(file, limits);
  if (problem) return problem;
  const kind = kindOf(new Uint8Array(await file.slice(0, HEAD).arrayBuffer()));
  const wrong = problemOfKind(kind, file);
  if (wrong) return { problem: wrong, other: true };
  const layout = kind?.iso ? await lookAtIndex(file) : {};
  if (layout.problem) return layout;
  // The browser's own reader, where the header doesn't tell.
  const duration_s = layout.duration_s || (limits.max_duration_s && (await played(file))) || undefined;
  if (duration_s > limits.max_duration_s) {
    return {
      problem: `This video is ${span(duration_s)} long; the box takes up to ${span(limits.max_duration_s)}. Cut it into parts.`,
    };
  }
  return { iso: Boolean(kind?.iso), duration_s };
}

function problemOfSize(file, { max_bytes, room_bytes, quota_left_bytes }) {
  if (file.size === 0) return { problem: "This file is empty. Choose the one that holds the video." };
  if (file.size > max_bytes) {
    return {
      problem: `This file has ${size(file.size)}; the box takes up to ${size(max_bytes)}. Export it smaller.`,
    };
  }
  if (file.size > room_bytes) {
    return {
      problem: `This file has ${size(file.size)}; the box has room for ${size(room_bytes)}. Delete videos you don't need, then press Retry.`,
      passing: true,
    };
  }
  if (file.size > (quota_left_bytes ?? Infinity)) {
    return {
      problem: `This file has ${size(file.size)}; ${size(quota_left_bytes)} are left of what your videos may take. Empty the bin or delete videos, then press Retry.`,
      passing: true,
    };
  }
  return null;
}

async function lookAtIndex(file) {
  const { boxes, whole } = await readBoxes(file);
  const moov = boxes.find(({ type }) => type === "moov");
  const ends = whole || boxes.at(-1)?.cut;
  if (!moov && ends) {
    return {
      problem: "The index at the end of this video is missing: its recording or its copy was cut off. Copy it again.",
    };
  }
  return { duration_s: moov && !moov.cut ? await durationOf(file, moov) : 0 };
}

/** As long as the browser's player says; undefined when it can't say within a moment. */
function played(file) {
  const video = document.createElement("video");
  video.preload = "metadata";
  video.muted = true;
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, PLAYER_MS);
    const told = () => {
      clearTimeout(timer);
      resolve(Number.isFinite(video.duration) ? video.duration : undefined);
    };
    video.onloadedmetadata = told;
    video.onerror = told;
    video.src = URL.createObjectURL(file);
  }).finally(() => {
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    video.load();
  });
}
