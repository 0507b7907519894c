// What an answer of the server means for an upload; pure.

const AGAIN_S = [1, 2, 4, 8, 15, 30]; // the last again and again
const ROOM_S = 30;
// Timed out, another request took over or is at it, a body that was garbled on its way, too many.
const PASSING = new Set([408, 409, 423, 425, 429, 460]);

const WORDS = {
  401: "You are signed out. Sign in again in another tab, then press Retry; nothing is lost.",
  403: "You may not upload here. Ask your admin for the editor's role.",
  404: "The box doesn't know this upload any more. Press Retry to send the file from its beginning.",
  410: "The box has ended this upload. Press Retry to send the file from its beginning.",
  413: "The box takes no files of this size. Export it smaller.",
  other: "The box refused this upload. Press Retry; if that doesn't help, tell your admin.",
};

/**
 * `act`: "again" and "room" go on by themselves after `wait_s`, "anew" begins from the first byte,
 * "stop" needs the person. `say`: the sentence to show; the server's own where it gave one.
 *
 * `status` 0: no answer at all. `tries`: how often it has failed in a row. `ended`: what the
 * server says has become of the upload (expired, lost, …).
 */
export function judge({ status, text = "", retryAfter, tries = 0, ended = "" }) {
  const wait_s = retryAfter || AGAIN_S[Math.min(tries, AGAIN_S.length - 1)];
  const say = told(text);
  if (!status) return { act: "again", wait_s, say: "" };
  if (status === 507) return { act: "room", wait_s: retryAfter || ROOM_S, say };
  if (status >= 500 || PASSING.has(status)) {
    const busy = status === 429 || status === 503;
    return { act: "again", wait_s, say: busy ? say : "" };
  }
  // Nobody decided against this file: it was idle for too long, or the disk lost it.
  const forgotten = status === 404 || (status === 410 && ["expired", "lost"].includes(ended));
  if (forgotten && tries < 2) return { act: "anew", wait_s: 0, say };
  return { act: "stop", say: say || WORDS[status] || WORDS.other };
}

/** The server's own sentence: a problem document's detail, or plain text; "" for anything else. */
export function told(text) {
  try {
    return String(JSON.parse(text).detail ?? "");
  } catch {
    const line = text.trim();
    return line.length < 400 && !line.includes("<") ? line : "";
  }
}
