// The behaviour of every page. Without it all pages work by links and forms.
import htmx from "htmx.org";
import "./parts/menus.js";
import "./parts/dialogs.js";
import "./parts/focus.js";
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
// What a page needs beyond this file says so itself, in whole pages, swaps and dialogs.
const loadModules = () => {
  const modules = [...document.querySelectorAll("[data-module]")].map(({ dataset }) => dataset.module);
  if (document.querySelector("video[data-player]")) modules.push(document.body.dataset.player);
  return Promise.all(modules.map((module) => import(module)));
};
document.addEventListener("page:shown", loadModules);
document.addEventListener("htmx:after:swap", loadModules);
document.addEventListener("dialog:opened", loadModules);
window.htmx = htmx;
loadModules().finally(() => (document.documentElement.dataset.ready = ""));
