// Cameras and phones write the index of an MP4 or MOV (`moov`) behind the pictures. Sent in front,
// the box can begin before all is there, and needs no second copy. Only the places where the index
// says in which byte a chunk lies are changed; every byte of picture and sound stays what it is.
// Anything unusual: null, and the file is sent as it is.
// Source: ISO/IEC 14496-12 §8.2.1 (moov), §8.7.2 (dref), §8.7.5 (stco, co64); QuickTime File Format.
import { children, readBoxes } from "./boxes.js";

/** Told apart in what is left of an upload: another version may arrange the bytes otherwise. */
export const VERSION = 1;

const MOST_INDEX = 32 << 20; // bytes of index that are held in memory
const KNOWN = new Set(["ftyp", "free", "skip", "wide", "mdat", "moov", "uuid"]);
// Content credentials vouch for the order of the file's bytes. Source: C2PA 2.1 §A.5.
const C2PA = "d8fec3d61b0e483c92975828877ec481";
const CONTAINERS = new Set(["moov", "trak", "mdia", "minf", "stbl", "dinf"]);
// What programs put in here as they like; only offsets of items would matter.
const NOTES = new Set(["meta", "udta"]);
// Compressed index, fragments, reference movies, offsets of items and of keys: other places that
// would have to be changed, too.
const UNUSUAL = new Set(["cmov", "mvex", "rmra", "iloc", "saio", "meco"]);
const MAX_32 = 0xffffffff;

/** The same video with its index in front, as a Blob of slices and the new index; or null. */
export async function moveIndex(file) {
  const layout = await readLayout(file);
  if (!layout) return null;
  const { moov, ftyp, mdats } = layout;
  const bytes = new Uint8Array(await file.slice(moov.start, moov.end).arrayBuffer());
  const index = patchIndex(bytes, { from: moov.start, front: ftyp.end, mdats });
  if (!index) return null;
  return new Blob(
    [file.slice(0, ftyp.end), index, file.slice(ftyp.end, moov.start), file.slice(moov.end)],
    { type: file.type },
  );
}

async function readLayout(file) {
  const { boxes, whole } = await readBoxes(file);
  if (!whole || boxes[0]?.type !== "ftyp") return null;
  if (boxes.some(({ type, open }) => !KNOWN.has(type) || open)) return null;
  const [moov, second] = boxes.filter(({ type }) => type === "moov");
  const mdats = boxes.filter(({ type }) => type === "mdat");
  if (!moov || second || !mdats.length || moov.start < mdats[0].start) return null;
  if (boxes.filter(({ type }) => type === "ftyp").length > 1) return null;
  if (moov.end - moov.start > MOST_INDEX || moov.body - moov.start !== 8) return null;
  for (const { type, body } of boxes) {
    if (type === "uuid" && (await hex(file.slice(body, body + 16))) === C2PA) return null;
  }
  return { ftyp: boxes[0], moov, mdats };
}

async function hex(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A copy of the index for its new place, or null; pure.
 *
 * `from`: where the index was in the file; `front`: where it goes; `mdats`: `{body, end}` of all
 * media, bytes of the old file.
 */
export function patchIndex(bytes, { from, front, mdats }) {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tables = [];
  if (!collect(data, 0, bytes.length, [], tables) || !tables.length) return null;
  const places = tables.map((table) => readTable(data, table));
  if (places.includes(null)) return null;
  for (const offset of places.flat()) {
    if (!mdats.some(({ body, end }) => offset >= body && offset < end) || offset < front) return null;
  }
  const wider = (grow) =>
    tables.map((table, i) => {
      const most = places[i].reduce((a, b) => Math.max(a, b), 0);
      return !table.wide && most + bytes.length + grow > MAX_32;
    });
  // To widen one table makes the index longer, which may make the next one overflow.
  let widen = wider(0);
  for (;;) {
    const next = wider(growth(tables, widen));
    if (next.every((word, i) => word === widen[i])) break;
    widen = next;
  }
  const length = bytes.length + growth(tables, widen);
  const shift = (offset) => offset + length - (offset > from ? bytes.length : 0);
  return rebuild(bytes, tables, places, widen, shift, length);
}

const growth = (tables, widen) =>
  tables.reduce((sum, table, i) => sum + (widen[i] ? 4 * table.count : 0), 0);

/** Finds all tables of chunks; false: something in here is not what we know. */
function collect(data, from, to, above, tables) {
  const boxes = children(data, from, to);
  if (!boxes) return false;
  for (const box of boxes) {
    if (UNUSUAL.has(box.type)) return false;
    if (NOTES.has(box.type)) {
      if (latin1(data, box).includes("iloc")) return false;
      continue;
    }
    const matters = CONTAINERS.has(box.type) || box.type === "stco" || box.type === "co64";
    if (matters && box.body - box.start !== 8) return false;
    if (box.type === "stco" || box.type === "co64") {
      const wide = box.type === "co64";
      if (box.end - box.body < 8) return false;
      const count = data.getUint32(box.body + 4);
      if (box.end - box.body !== 8 + count * (wide ? 8 : 4)) return false;
      tables.push({ ...box, wide, count, above });
    } else if (box.type === "dref") {
      if (!isInThisFile(data, box)) return false;
    } else if (CONTAINERS.has(box.type)) {
      if (!collect(data, box.body, box.end, [...above, box], tables)) return false;
    }
  }
  return true;
}

/** Whether all that the tracks refer to is in the file itself. Source: §8.7.2, flag 1. */
function isInThisFile(data, dref) {
  const entries = children(data, dref.body + 8, dref.end);
  return Boolean(entries?.length && entries.every((entry) => data.getUint32(entry.body) & 1));
}

const latin1 = (data, { body, end }) =>
  new TextDecoder("latin1").decode(new Uint8Array(data.buffer, data.byteOffset + body, end - body));

function readTable(data, { body, count, wide }) {
  const places = [];
  for (let i = 0; i < count; i += 1) {
    const place = wide ? Number(data.getBigUint64(body + 8 + 8 * i)) : data.getUint32(body + 8 + 4 * i);
    if (!Number.isSafeInteger(place)) return null;
    places.push(place);
  }
  return places;
}

function rebuild(bytes, tables, places, widen, shift, length) {
  const made = new Uint8Array(length);
  const out = new DataView(made.buffer);
  let [read, write] = [0, 0];
  const copyTo = (end) => {
    made.set(bytes.subarray(read, end), write);
    write += end - read;
    read = end;
  };
  const sizes = new Map(); // old place of a box that grows → by how much
  tables.forEach((table, i) => {
    if (!widen[i]) return;
    for (const box of [...table.above, table]) {
      sizes.set(box.start, (sizes.get(box.start) ?? 0) + 4 * table.count);
    }
  });
  const moved = new Map(); // old place of a box header → its new place
  const heads = [...sizes.keys(), ...tables.map(({ start }) => start)].sort((a, b) => a - b);
  for (const start of new Set(heads)) {
    copyTo(start);
    moved.set(start, write);
    const i = tables.findIndex((table) => table.start === start);
    if (i < 0) continue;
    copyTo(tables[i].body + 8);
    const wide = tables[i].wide || widen[i];
    for (const place of places[i]) {
      if (wide) out.setBigUint64(write, BigInt(shift(place)));
      else out.setUint32(write, shift(place));
      write += wide ? 8 : 4;
    }
    if (widen[i]) made.set([0x63, 0x6f, 0x36, 0x34], moved.get(start) + 4); // co64
    read = tables[i].end;
  }
  copyTo(bytes.length);
  for (const [start, grow] of sizes) {
    const at = moved.get(start);
    out.setUint32(at, out.getUint32(at) + grow);
  }
  return made;
}
