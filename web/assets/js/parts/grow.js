// Lists that grow: <ul id=… data-grows="live:videos">. On that event the page's own address is
// asked again, and what is new in the list is put in its place; what is there stays as it is
// (each item renews itself). Somebody who has scrolled down gets a button instead of a jump.
import htmx from "htmx.org";
import { caughtUp, fellBehind } from "./behind.js";

const SCROLLED_PX = 240;

for (const name of ["live:videos", "live:jobs", "live:posts"]) {
  document.body.addEventListener(name, () => {
    for (const list of document.querySelectorAll(`[data-grows="${name}"]`)) grow(list);
  });
}

let button;

async function grow(list) {
  if (new URLSearchParams(location.search).has("after")) return; // not the first page
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer || answer.status >= 500) return fellBehind(list);
  caughtUp(list);
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = [...(page.getElementById(list.id)?.children ?? [])];
  const added = fresh.filter((item) => !document.getElementById(item.id));
  if (!added.length) return;
  if (list.children.length && scrollY > SCROLLED_PX) offer(list, added.length);
  else insert(list, fresh);
}

function insert(list, fresh) {
  let before = list.firstElementChild;
  for (const item of fresh) {
    const here = document.getElementById(item.id);
    if (here) {
      before = here.nextElementSibling;
    } else {
      const node = document.adoptNode(item);
      list.insertBefore(node, before);
      htmx.process(node);
    }
  }
  list.hidden = false;
  for (const wrap of document.querySelectorAll(`[data-with="${list.id}"]`)) wrap.hidden = false;
  const nothing = document.getElementById("nothing");
  if (nothing) nothing.hidden = true;
}

function offer(list, count) {
  button?.remove();
  button = document.createElement("button");
  button.type = "button";
  button.className = "button primary news";
  button.textContent = count === 1 ? "1 new" : `${count} new`;
  button.addEventListener("click", () => {
    button.remove();
    scrollTo({ top: 0 });
    grow(list);
  });
  document.body.append(button);
}
