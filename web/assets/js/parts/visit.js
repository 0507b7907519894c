// While uploads are under way, links and forms change only the content of the page: leaving it
// would stop the bytes. Otherwise the browser does what it always does.
import htmx from "htmx.org";

const LEAVES = /^\/(media|api|public|practice|static|files|sign-out|upload\/.)/;
const busy = () => document.querySelector("upload-panel")?.busy;
let shown = location.pathname + location.search;

/** Where a link or form leads, if it is ours to follow; else undefined. */
function ours(address, element) {
  const url = new URL(address, location.href);
  if (url.origin !== location.origin || LEAVES.test(url.pathname)) return undefined;
  if (element.target || element.hasAttribute("download")) return undefined;
  // Then the browser asks whether to leave, as it does when nothing is uploaded.
  if (document.querySelector("record-panel")?.recording) return undefined;
  return url;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || !busy()) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const url = ours(link.href, link);
  if (!url || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  visit(url);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method === "dialog" || !busy()) return;
  const url = ours(form.action, form);
  if (!url || form.enctype === "multipart/form-data") return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form, event.submitter));
  if (form.method === "post") visit(url, { method: "POST", body: fields });
  else visit(Object.assign(url, { search: fields }));
});

addEventListener("popstate", () => {
  if (location.pathname + location.search === shown) return; // only the part after # changed
  if (busy()) visit(new URL(location.href), {}, { push: false });
  else location.reload();
});

async function visit(url, request = {}, { push = true } = {}) {
  const answer = await fetch(url, { ...request, headers: { Accept: "text/html" } }).catch(() => null);
  const text = answer?.headers.get("content-type")?.startsWith("text/html") && (await answer.text());
  const page = text && new DOMParser().parseFromString(text, "text/html");
  const main = page && page.querySelector(".shell #main");
  if (!main) {
    if (request.method !== "POST") location.href = url; // no page of ours, or nobody answers
    return;
  }
  document.getElementById("main").replaceWith(document.adoptNode(main));
  document.title = page.title;
  for (const link of document.querySelectorAll("[data-nav]")) {
    const current = page.querySelector(`[data-nav="${link.dataset.nav}"][aria-current]`);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (push) history.pushState(null, "", answer.url);
  shown = location.pathname + location.search;
  scrollTo({ top: 0 });
  main.focus({ preventScroll: true });
  htmx.process(main);
  document.dispatchEvent(new CustomEvent("page:shown", { detail: main }));
}
