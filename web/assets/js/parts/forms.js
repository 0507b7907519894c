// Small improvements of forms; each works without them.
document.addEventListener("submit", (event) => {
  // A second press while the first is on its way does nothing (the server's key guards, too).
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "";
  event.submitter?.setAttribute("aria-busy", "true");
});

// Back from the next page, the form is fresh again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
document.addEventListener("htmx:finally:request", ({ target }) => {
  delete target.dataset?.sent;
  for (const busy of target.querySelectorAll?.("[aria-busy]") ?? []) busy.removeAttribute("aria-busy");
});

document.addEventListener("change", (event) => {
  // A choice that sends its form: sort orders.
  if (event.target.matches("[data-sends]")) event.target.form.requestSubmit();
});

document.addEventListener("input", (event) => {
  // "37 of 100" under a text that has a limit.
  const counter = document.querySelector(`[data-counts="${CSS.escape(event.target.id ?? "")}"]`);
  if (!counter || !event.target.id) return;
  const used = [...event.target.value].length;
  const limit = Number(counter.dataset.limit);
  counter.textContent = limit ? `${used} of ${limit}` : `${used}`;
  if (limit && used > limit) counter.dataset.tone = "bad";
  else delete counter.dataset.tone;
});

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copies]");
  if (!copy) return;
  await navigator.clipboard.writeText(document.getElementById(copy.dataset.copies).textContent.trim());
  const label = copy.textContent;
  copy.textContent = copy.dataset.done ?? "Copied";
  setTimeout(() => (copy.textContent = label), 2000);
});

/** What a fresh piece of page needs: the list of problems takes the focus; buttons that only work
 * with script, and are hidden in the markup, appear. */
function prepare(root) {
  for (const element of root.querySelectorAll("[data-script-only]")) element.hidden = false;
  const problems = root.querySelector("[data-autofocus]:not([data-focused])");
  if (problems) problems.dataset.focused = "";
  problems?.focus();
}

// Somebody new is most likely in the zone that the browser is in.
const zone = document.querySelector('.plain input[name="time_zone"][value="UTC"]');
if (zone) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

prepare(document);
document.addEventListener("page:shown", ({ detail }) => prepare(detail));
document.addEventListener("htmx:after:swap", () => prepare(document));
