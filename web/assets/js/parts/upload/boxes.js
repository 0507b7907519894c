// The boxes of MP4 and MOV files, read in small slices.
// Source: ISO/IEC 14496-12 §4.2 (box), §8.2.2 (mvhd); QuickTime File Format, "Atoms".

const MOST_BOXES = 64;

const view = async (blob, from, length) =>
  new DataView(await blob.slice(from, from + length).arrayBuffer());
export const typeAt = (data, at) =>
  String.fromCharCode(data.getUint8(at), data.getUint8(at + 1), data.getUint8(at + 2), data.getUint8(at + 3));

/**
 * A box whose header is at `at` of `data`, which holds the file from `base` on, to its `end`.
 * → `{type, start, body, end, cut}` in bytes of the file, or null for what can't be a box.
 * `cut`: it ends behind the file's end.
 */
export function boxAt(data, at, base, end) {
  if (at + 8 > data.byteLength) return null;
  const start = base + at;
  let [size, body] = [data.getUint32(at), 8];
  const type = typeAt(data, at + 4);
  if (size === 1) {
    if (at + 16 > data.byteLength) return null;
    [size, body] = [Number(data.getBigUint64(at + 8)), 16];
  }
  const open = size === 0; // to the end of the file
  if (open) size = end - start;
  if (size < body || !Number.isSafeInteger(size)) return null;
  return { type, start, body: start + body, end: start + size, open, cut: start + size > end };
}

/**
 * The boxes of the first level; `whole` false: the file isn't made of boxes to its end.
 * Stops at the first fragment: those can be thousands.
 */
export async function readBoxes(file) {
  const boxes = [];
  let at = 0;
  while (at < file.size && boxes.length < MOST_BOXES) {
    const box = boxAt(await view(file, at, 16), 0, at, file.size);
    if (!box) return { boxes, whole: false };
    boxes.push(box);
    if (box.type === "moof" || box.cut) return { boxes, whole: false };
    at = box.end;
  }
  return { boxes, whole: at === file.size };
}

/** Boxes within bytes `from`–`to` of `data`; null when they don't fill it exactly. */
export function children(data, from, to) {
  const found = [];
  for (let at = from; at < to; ) {
    // Old QuickTime ends some lists with four zeros.
    if (to - at === 4 && data.getUint32(at) === 0) break;
    const box = boxAt(data, at, 0, to);
    if (!box || box.cut || box.open) return null;
    found.push(box);
    at = box.end;
  }
  return found;
}

/** Seconds that the index promises; 0 when it doesn't say (fragmented files, say). */
export async function durationOf(file, moov) {
  // The header is the first box of the index in all that we have seen.
  const data = await view(file, moov.body, 256);
  const box = boxAt(data, 0, 0, data.byteLength);
  if (box?.type !== "mvhd" || box.cut) return 0;
  const long = data.getUint8(box.body) === 1;
  const at = box.body + (long ? 20 : 12);
  const scale = data.getUint32(at);
  const units = long ? Number(data.getBigUint64(at + 4)) : data.getUint32(at + 4);
  const unknown = !scale || units >= (long ? Number.MAX_SAFE_INTEGER : 0xffffffff);
  return unknown ? 0 : units / scale;
}
