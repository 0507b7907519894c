// The player: keys, the timeline with its pictures and its sound, the version that plays, and the
// choice of a poster. The browser's own controls stay. Loaded on pages that have a player.
import { bindKeys } from "./parts/player/keys.js";
import { bindPoster } from "./parts/player/poster.js";
import { follow } from "./parts/player/source.js";
import { Timeline } from "./parts/player/timeline.js";

let timeline;

/** Looks at what the page says now: at first, and whenever its player was fetched anew. */
function look() {
  const part = document.getElementById("player");
  const video = part?.querySelector("video[data-player]");
  if (!video || !part.dataset.playing) return;
  const playing = JSON.parse(part.dataset.playing);
  if (part.dataset.poster && video.getAttribute("poster") !== part.dataset.poster) {
    video.poster = part.dataset.poster;
  }
  follow(video, playing, part.querySelector("[data-plays]"));
  const scrub = part.querySelector(".scrub");
  if (scrub && timeline?.root !== scrub) {
    timeline?.end();
    timeline = new Timeline(scrub, video);
  }
  timeline?.show(playing);
}

bindKeys();
bindPoster();
look();
document.addEventListener("htmx:after:swap", look);
document.addEventListener("page:shown", look);
