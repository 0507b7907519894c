// Links with data-dialog open their page in the dialog; data-opens shows a dialog of the page.
import htmx from "htmx.org";
import { forgetDraft, restoreDrafts } from "./drafts.js";
import { sendForm } from "./send.js";
import { toast } from "./toasts.js";

let opener; // where the focus goes back to, by id: the element may have been replaced meanwhile

document.addEventListener("click", async (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const close = event.target.closest("[data-closes]");
  if (close) {
    event.preventDefault();
    close.closest("dialog").close();
    return;
  }
  const opens = event.target.closest("[data-opens]");
  if (opens) {
    document.getElementById(opens.dataset.opens).showModal();
    return;
  }
  const link = event.target.closest("a[data-dialog]");
  if (!link || !dialog()) return;
  event.preventDefault();
  await openDialog(link.href, link);
});

const dialog = () => document.getElementById("dialog");

/** Fetch a form page as a fragment and show it. Failing that, go to the page itself. */
export async function openDialog(url, from) {
  opener = from;
  from?.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(url, { headers: { "HX-Request": "true", Accept: "text/html" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    const box = dialog();
    box.innerHTML = await answer.text();
    htmx.process(box);
    box.showModal();
    restoreDrafts(box);
    box.dispatchEvent(new CustomEvent("dialog:opened", { bubbles: true }));
    (box.querySelector("[autofocus]") ?? box.querySelector("h2"))?.focus();
  } catch {
    location.href = url;
  } finally {
    from?.removeAttribute("aria-busy");
  }
}

// A click beside the dialog closes it, as Esc does.
document.addEventListener("mousedown", (event) => {
  if (event.target instanceof HTMLDialogElement && event.target.open) {
    const box = event.target.getBoundingClientRect();
    const inside =
      event.clientX >= box.left &&
      event.clientX <= box.right &&
      event.clientY >= box.top &&
      event.clientY <= box.bottom;
    if (!inside) event.target.close();
  }
});

document.addEventListener(
  "close",
  (event) => {
    if (event.target.id !== "dialog") return;
    const back = opener?.isConnected ? opener : document.getElementById(opener?.id ?? "");
    event.target.replaceChildren();
    back?.focus();
  },
  true,
);

// The server says so in HX-Trigger: {"dialog:done": {say, then, forget, undo}}. `then` is the live
// event that it also causes; shown at once, without waiting for the stream. `undo`: the form that
// takes it back, {url, fields}.
document.addEventListener("dialog:done", ({ detail: { say, then, forget, undo } }) => {
  const show = () => then && document.body.dispatchEvent(new CustomEvent(then));
  const takeBack = () =>
    sendForm(undo.url, undo.fields).then(show, ({ message }) => toast(message, { tone: "bad" }));
  if (forget) forgetDraft(forget);
  dialog().close();
  if (say) toast(say, undo ? { undo: takeBack } : {});
  show();
});
