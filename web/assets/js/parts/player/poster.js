// The dialog that changes the poster: the moment the player is at, a picture of the storyboard, a
// picture of one's own, or what the box finds best. Its forms work without script, but for the
// picture of one's own.
import { toast } from "../toasts.js";
import { picture } from "./source.js";
import { clock } from "./timeline.js";

const MOST_BYTES = 20_000_000;
const TYPES = ["image/jpeg", "image/png", "image/webp"];
let shown; // the address of the picture that is shown before it is sent
let chosen; // its file

export function bindPoster() {
  document.addEventListener("dialog:opened", ({ target }) => {
    const body = target.querySelector("[data-poster]");
    if (body) prepare(body);
  });
  document.addEventListener("submit", (event) => {
    const body = event.target.closest("#dialog [data-poster]");
    if (!body) return;
    event.preventDefault();
    const fields = new URLSearchParams(new FormData(event.target, event.submitter));
    send(body, event.target.action, { method: "POST", body: fields });
  });
  document.addEventListener("close", forget, true);
}

function prepare(body) {
  const video = document.querySelector("video[data-player]");
  if (video?.readyState >= 2 && video.currentTime) {
    const place = body.querySelector("[data-now]");
    place.replaceChildren(picture(video, 320));
    place.hidden = false;
    const [input, button] = ["#poster-at", "[data-moment]"].map((name) => body.querySelector(name));
    const plain = button.textContent;
    input.value = video.currentTime.toFixed(1);
    button.textContent = `Use ${clock(video.currentTime)}, where the player is`;
    input.addEventListener("input", () => {
      button.textContent = plain;
      place.hidden = true; // it shows another moment
    });
  }
  const own = body.querySelector("[data-own]");
  own.hidden = false;
  const input = own.querySelector("input");
  input.addEventListener("change", () => choose(body, input.files[0]));
  own.querySelector("button").addEventListener("click", () => sendOwn(body));
  const dialog = body.closest("dialog");
  if (dialog.dataset.takes) return;
  dialog.dataset.takes = "";
  // Pictures dropped here are no uploads of videos.
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    dialog.addEventListener(name, (event) => {
      const here = dialog.querySelector("[data-poster]");
      if (!here) return;
      event.preventDefault();
      event.stopPropagation();
      here.querySelector("[data-own]").toggleAttribute("data-over", name === "dragover");
      if (name === "drop") choose(here, event.dataTransfer.files[0]);
    });
  }
}

function choose(body, file) {
  forget();
  const preview = body.querySelector("[data-own] img");
  preview.hidden = true;
  body.querySelector("[data-own] button").hidden = true;
  tell(body, "");
  if (!file) return;
  if (!TYPES.includes(file.type)) {
    return tell(body, "This is no JPEG, PNG or WebP picture. Choose another file.");
  }
  if (file.size > MOST_BYTES) {
    return tell(body, "This picture is larger than 20 MB. Save it smaller, or choose another one.");
  }
  chosen = file;
  shown = URL.createObjectURL(file);
  preview.onload = () => {
    preview.hidden = false;
    body.querySelector("[data-own] button").hidden = false;
  };
  preview.onerror = () => tell(body, "This picture can't be read. Choose another one.");
  preview.src = shown;
}

function forget() {
  if (shown) URL.revokeObjectURL(shown);
  shown = chosen = undefined;
}

function sendOwn(body) {
  if (chosen) send(body, body.dataset.poster, { method: "PUT", body: chosen, headers: { "Content-Type": chosen.type } });
}

function tell(body, sentence) {
  const place = body.querySelector("[role=alert]");
  place.textContent = sentence;
  place.hidden = !sentence;
}

async function send(body, url, request) {
  const buttons = body.querySelectorAll("button");
  for (const button of buttons) button.setAttribute("aria-busy", "true");
  const { "X-CSRF-Token": token } = JSON.parse(document.body.getAttribute("hx-headers:inherited"));
  const headers = { Accept: "application/json", "X-CSRF-Token": token, ...request.headers };
  const answer = await fetch(url, { ...request, headers, redirect: "manual" }).catch(() => null);
  for (const button of buttons) button.removeAttribute("aria-busy");
  for (const form of body.querySelectorAll("form")) delete form.dataset.sent;
  if (answer?.ok || answer?.type === "opaqueredirect") {
    body.closest("dialog").close();
    toast("The new poster comes in a moment.");
    document.body.dispatchEvent(new CustomEvent(body.dataset.then));
    return;
  }
  const problem = await answer?.json().catch(() => null);
  tell(body, problem?.detail ?? "The box can't be reached right now. Try again in a moment.");
}
