// Which version plays: what somebody chose, else the best there is. A better one that arrives
// takes over at the same moment, with the last picture standing until it is there.
let said; // what the page said last: {sources, chosen}

export function follow(video, playing, list) {
  const wanted = list?.value ?? playing.chosen;
  said = playing;
  if (list && !list.dataset.bound) {
    list.dataset.bound = "";
    list.addEventListener("change", () => {
      remember(list.value);
      settle(video, list.value, true);
    });
  }
  settle(video, wanted, false);
}

/** The address says what plays, so that a reload plays the same. */
function remember(name) {
  const address = new URL(location.href);
  if (name) address.searchParams.set("play", name);
  else address.searchParams.delete("play");
  history.replaceState(history.state, "", address);
}

function settle(video, wanted, asked) {
  const source = said.sources.find(({ name }) => name === wanted) ?? said.sources[0];
  const now = new URL(video.src).pathname + new URL(video.src).search;
  if (!source || source.url === now) return;
  const still = said.sources.find(({ url }) => url === now);
  // Nobody is interrupted for a picture that is hardly better than what plays.
  if (!asked && !video.paused && still && still.name !== "preview") {
    video.addEventListener("pause", () => settle(video, wanted, false), { once: true });
    return;
  }
  change(video, source.url);
}

function change(video, url) {
  const { currentTime, paused, playbackRate, src } = video;
  const still = hold(video);
  const back = () => {
    video.src = src; // it can't be played after all
    resume();
  };
  const resume = () => {
    if (currentTime) video.currentTime = currentTime;
    video.playbackRate = playbackRate;
    if (!paused) video.play().catch(() => {});
  };
  video.addEventListener("loadedmetadata", resume, { once: true });
  video.addEventListener(currentTime ? "seeked" : "loadeddata", () => still?.remove(), { once: true });
  video.addEventListener("error", back, { once: true });
  video.addEventListener("playing", () => video.removeEventListener("error", back), { once: true });
  video.src = url;
}

/** The picture that is shown now, over the player; undefined when there is none yet. */
function hold(video) {
  if (video.readyState < 2 || !video.currentTime) return undefined;
  const still = picture(video, video.clientWidth * devicePixelRatio);
  still.className = "still";
  video.after(still);
  return still;
}

/** What the player shows now, `width` pixels wide. */
export function picture(video, width) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width);
  canvas.height = Math.round((width * video.videoHeight) / (video.videoWidth || 1));
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas;
}
