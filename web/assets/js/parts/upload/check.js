// What can be said about a file before a byte is sent. The server looks again, at the bytes.
import { size } from "./words.js";

const ENDINGS =
  /\.(mp4|m4v|mov|qt|mkv|webm|avi|mpe?g|m2ts|mts|ts|wmv|flv|f4v|3gp|3g2|ogv|mxf|vob|divx)$/i;

/** Why this file can't be sent, as a sentence; "" when it can. */
export function problemWith(file, limit) {
  if (file.size === 0) return "This file is empty. Choose the one that holds the video.";
  if (!file.type.startsWith("video/") && !ENDINGS.test(file.name)) {
    return "This is no video file. The box takes MP4, MOV, MKV, WebM, AVI and the like.";
  }
  if (limit && file.size > limit) {
    return `This file has ${size(file.size)}; the box takes up to ${size(limit)}. Export it smaller.`;
  }
  return "";
}
