// Moving posts in the schedule: by drag, by keys and by the menu; each can be undone. The page works
// without this: the menu's forms do the same. Loaded by pages that have an element with data-module.
import { isShortcut } from "./parts/keys.js";
import { sendForm } from "./parts/send.js";
import { announce, toast } from "./parts/toasts.js";

const calendar = () => document.getElementById("calendar");

async function move(plan, fields) {
  const url = `/schedule/${plan}/move`;
  const link = `plan-link-${plan}`;
  // It stays with the post, which moves to another place: parts/focus.js.
  const shown = document.getElementById(link);
  if (shown?.closest(".plan").contains(document.activeElement)) shown.focus();
  try {
    const clocks = calendar().dataset.clocks;
    const { said, undo } = await sendForm(url, { clocks, ...fields });
    announce(said, { newest: true });
    toast(said, undo ? { undo: () => move(plan, undo) } : {});
  } catch ({ message }) {
    toast(message, { tone: "bad" });
    announce(message, { newest: true });
  }
  document.body.dispatchEvent(new CustomEvent("live:posts"));
}

// By the menu

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-move]") || !event.submitter) return;
  event.preventDefault();
  const { plan } = form.closest("[data-plan]").dataset;
  form.closest("details").open = false;
  document.getElementById(`plan-link-${plan}`)?.focus();
  move(plan, { [event.submitter.name]: event.submitter.value });
});

// By keys

const STEPS = { ArrowLeft: "day:-1", ArrowRight: "day:1" };
const UP_DOWN = { month: ["week:-1", "week:1"], week: ["hour:-1", "hour:1"], list: ["hour:-1", "hour:1"] };

document.addEventListener("keydown", (event) => {
  if (!calendar() || !isShortcut(event)) return;
  const plan = document.activeElement?.closest?.(".plan");
  if (event.shiftKey && plan && "moves" in plan.dataset) {
    const [up, down] = UP_DOWN[calendar().dataset.view];
    const by = { ...STEPS, ArrowUp: up, ArrowDown: down }[event.key];
    if (!by) return;
    event.preventDefault();
    move(plan.dataset.plan, { by });
  } else if (event.key === "m" && plan) {
    const menu = plan.querySelector("details.menu");
    if (!menu) return;
    event.preventDefault();
    menu.open = true;
    menu.querySelector(".menu-items :is(a, button)")?.focus();
  } else if (!event.shiftKey && event.key.startsWith("Arrow") && !event.target.closest("details[open]")) {
    const links = [...document.querySelectorAll(".plan-link")];
    const at = links.indexOf(document.activeElement);
    const back = event.key === "ArrowLeft" || event.key === "ArrowUp";
    const next = links[at < 0 ? 0 : at + (back ? -1 : 1)];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
});

// By drag

const KIND = "application/x-plan";
let over;

function mark(place) {
  if (over === place) return;
  over?.removeAttribute("data-over");
  place?.setAttribute("data-over", "");
  over = place;
}

const dragged = (event) => event.dataTransfer?.types.includes(KIND);
const place = (event) => event.target.closest?.("[data-spot], [data-day]");

document.addEventListener("dragstart", (event) => {
  const plan = event.target.closest?.(".plan[data-moves]");
  if (!plan) return;
  event.dataTransfer.setData(KIND, plan.dataset.plan);
  event.dataTransfer.effectAllowed = "move";
  plan.setAttribute("data-dragged", "");
});
document.addEventListener("dragend", ({ target }) => {
  target.closest?.(".plan")?.removeAttribute("data-dragged");
  mark(undefined);
});
document.addEventListener("dragover", (event) => {
  if (!dragged(event)) return;
  mark(place(event));
  if (over) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!dragged(event)) return;
  event.preventDefault();
  const target = place(event);
  const plan = event.dataTransfer.getData(KIND);
  mark(undefined);
  if (!target || target.contains(document.getElementById(`plan-${plan}`))) return;
  move(plan, target.dataset.spot ? { at: target.dataset.spot } : { day: target.dataset.day });
});
