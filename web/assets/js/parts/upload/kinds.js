// What a file is, by its first bytes; pure. Names and types that somebody declared prove nothing.

/** How much of a file's beginning is looked at, in bytes. */
export const HEAD = 64 << 10;

const IMAGE_BRANDS = /^(hei[cfmsx]|he[im]c|mif1|msf1|avi[fs]|crx )/;
const NO_VIDEO = [
  [/^\x89PNG|^\xff\xd8\xff|^GIF8|^BM.{4}\0\0\0\0|^II\*\0|^MM\0\*|^8BPS|^RIFF.{4}WEBP/s, "a picture"],
  [/^%PDF-|^\xef\xbb\xbf%PDF-/, "a PDF"],
  [/^PK(\x03\x04|\x05\x06)|^Rar!\x1a|^7z\xbc\xaf|^\x1f\x8b|^BZh|^\xfd7zXZ|^.{257}ustar/s, "an archive"],
  [/^MZ|^\x7fELF|^\xcf\xfa\xed\xfe/, "a program"],
  [/^ID3|^fLaC|^RIFF.{4}WAVE|^\xff[\xe2\xe3\xf1\xf2\xf3\xf9-\xfb]|^#!AMR|^MThd/s, "sound only"],
  [/^\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1/, "a document"],
];
const VIDEO = [
  [/^\x1a\x45\xdf\xa3/, (head) => (head.slice(0, 200).includes("webm") ? "WebM" : "MKV")],
  [/^RIFF.{4}AVI /s, "AVI"],
  [/^FLV\x01/, "FLV"],
  [/^(G.{187}){3}|^(.{4}G.{187}){3}/s, "MPEG-TS"],
  [/^\0\0\x01[\xba\xb3]/, "MPEG"],
];
// Known, but the box has no reader for them (tasks/probe/facts.py).
const UNREADABLE = [
  [/^\x30\x26\xb2\x75\x8e\x66\xcf\x11/, "WMV"],
  [/\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02/, "MXF"], // may have a run-in before it
  [/^\.RMF/, "RealMedia"],
];
const OLD_MOV = /^(moov|mdat|wide|free|skip|pnot)$/;
const ENDINGS = /\.(mp4|m4v|mov|qt|mkv|webm|avi|mpe?g|m2ts?|m2v|mts|ts|vob|mod|tod|flv|f4v|3gp|3g2|ogv|divx|dv)$/i;

/**
 * `{name, iso}` of a video (`iso`: made of MP4 boxes), `{not}` what it is instead,
 * `{unreadable}` a format that the box can't read, or null: can't be told.
 */
export function kindOf(bytes) {
  const head = latin1(bytes);
  if (head.slice(4, 8) === "ftyp") return isoKind(head.slice(8, 12));
  if (OLD_MOV.test(head.slice(4, 8))) return { name: "MOV", iso: true };
  if (head.startsWith("OggS")) {
    return /theora|\x01video|OVP80|BBCD/.test(head) ? { name: "Ogg" } : { not: "sound only" };
  }
  for (const [magic, name] of VIDEO) {
    if (magic.test(head)) return { name: typeof name === "string" ? name : name(head) };
  }
  for (const [magic, name] of NO_VIDEO) if (magic.test(head)) return { not: name };
  for (const [magic, name] of UNREADABLE) if (magic.test(head)) return { unreadable: name };
  if (bytes.length >= 64 && bytes.every((byte) => byte === 0)) return { not: "zeros" };
  return isText(bytes) ? { not: "text" } : null;
}

function isoKind(brand) {
  if (IMAGE_BRANDS.test(brand)) return { not: "a picture" };
  if (/^M4[AB] /.test(brand)) return { not: "sound only" };
  if (/^3g[2eghprs]/.test(brand)) return { name: "3GP", iso: true };
  return { name: brand === "qt  " ? "MOV" : "MP4", iso: true };
}

/** Why a file of this kind isn't sent, as a sentence; "" when it may be a video. */
export function problemOfKind(kind, { name, type }) {
  if (kind?.name) return "";
  if (kind?.unreadable) {
    return `The box can't read ${kind.unreadable}. Export the video as MP4, then send that.`;
  }
  if (kind?.not === "zeros") {
    return "This file holds nothing but zeros at its beginning: its copy was cut off. Copy it again.";
  }
  if (kind?.not) return `This is no video file: it holds ${kind.not}. Choose the video itself.`;
  // Its bytes say nothing; then its name may.
  if (ENDINGS.test(name) || type.startsWith("video/")) return "";
  return "This is no video file. The box takes MP4, MOV, MKV, WebM, AVI and the like.";
}

// TextDecoder's "latin1" is windows-1252: it turns 0x80–0x9f into other characters.
const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

/** UTF-8 or UTF-16 with a mark, and no control characters but those of lines. */
function isText(bytes) {
  if (!bytes.length) return false;
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) return true;
  // The end may have been cut within a character.
  const text = new TextDecoder("utf-8").decode(bytes.subarray(0, 4096), { stream: true });
  return !/[\0-\x08\x0b\x0e-\x1a\x1c-\x1f\ufffd]/.test(text);
}
