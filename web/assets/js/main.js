// The behaviour of every page. Without it all pages work by links and forms.
import htmx from "htmx.org";
import "./parts/menus.js";
import "./parts/dialogs.js";
import "./parts/keys.js";
import "./parts/cards.js";
import "./parts/drop.js";
import "./parts/forms.js";
import "./parts/grow.js";
import "./parts/select.js";
import "./parts/visit.js";
import { startLive } from "./parts/live.js";
import { toast } from "./parts/toasts.js";

document.addEventListener("htmx:error", ({ detail }) => {
  if (detail.ctx?.sourceElement?.dataset.quiet !== undefined) return; // a live region: it comes again
  toast("The box can't be reached right now. Try again in a moment.", { tone: "bad" });
});

if (document.body.dataset.live) startLive(document.body.dataset.live);
const player = () => {
  if (document.querySelector("video[data-player]")) import(document.body.dataset.player);
  for (const { dataset } of document.querySelectorAll("[data-script]")) import(dataset.script);
};
player();
document.addEventListener("page:shown", player);
document.addEventListener("htmx:after:swap", player);
document.addEventListener("dialog:opened", player);
document.documentElement.dataset.ready = "";
window.htmx = htmx;
