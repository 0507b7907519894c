// Keys of the player, on top of the browser's own controls.
import { isShortcut } from "../keys.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
const PICTURE_S = 1 / 30; // about one picture; nobody tells a script how many there are a second
const find = () => document.querySelector("video[data-player]");

const step = (seconds) => (video) => {
  video.currentTime = Math.min(video.duration || 0, Math.max(0, video.currentTime + seconds));
};
const speed = (direction) => (video) => {
  const at = SPEEDS.indexOf(video.playbackRate);
  video.playbackRate = SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at + direction))] ?? 1;
};
const play = (video) => (video.paused ? video.play().catch(() => {}) : video.pause());

const KEYS = {
  " ": play,
  k: play,
  j: step(-10),
  l: step(10),
  ArrowLeft: step(-5),
  ArrowRight: step(5),
  ",": (video) => video.paused && step(-PICTURE_S)(video),
  ".": (video) => video.paused && step(PICTURE_S)(video),
  m: (video) => (video.muted = !video.muted),
  f: (video) => (document.fullscreenElement ? document.exitFullscreen() : video.requestFullscreen()),
  c: (video) => {
    for (const track of video.textTracks) track.mode = track.mode === "showing" ? "hidden" : "showing";
  },
  "<": speed(-1),
  ">": speed(1),
};

export function bindKeys() {
  document.addEventListener("keydown", (event) => {
    const video = find();
    // On a button or link, space and Enter are that button's; on the player itself, the browser's.
    if (!video || !KEYS[event.key] || !isShortcut(event)) return;
    if (event.target === video || event.target.closest("a, button, summary, [role=button]")) return;
    event.preventDefault();
    KEYS[event.key](video);
  });
}
