// The form that makes a post while somebody types: counters and findings at once, by the same rules
// as the server, which is asked a moment later and has the last word.
import { checkLinks, checkTexts, linksIn, withSampleLinks } from "./rules.js";
import { measure } from "./counting.js";

const form = () => document.getElementById("post-form");
const rulesOf = (root) => JSON.parse(root.querySelector("#post-rules").textContent);
const value = (root, name) => root.elements.namedItem(name)?.value ?? "";

/** What goes out to each chosen account: its own texts, else those of all. */
export function draftsOf(root) {
  const shared = {
    title: value(root, "title"),
    description: value(root, "description"),
    first_comment: value(root, "comment"),
  };
  const chosen = [...root.querySelectorAll("input[name=accounts]:checked")];
  return chosen.map(({ value: id, dataset: { platform } }) => {
    const own = {
      title: value(root, `title:${id}`).trim(),
      description: value(root, `description:${id}`).trim(),
      first_comment: value(root, `option:${id}:first_comment`).trim(),
    };
    const texts = Object.fromEntries(Object.keys(own).map((name) => [name, own[name] || shared[name]]));
    const tags = value(root, `option:${id}:tags`);
    return { id, platform, texts: tags ? { ...texts, tags } : texts };
  });
}

function count(root, rules) {
  for (const [field, name] of [["title", "title"], ["description", "description"], ["first_comment", "comment"]]) {
    for (const shown of root.querySelectorAll(`#post-${field}-count [data-platform]`)) {
      const { label, texts } = rules[shown.dataset.platform];
      const used = measure(withSampleLinks(rules, value(root, name)), texts[field].unit);
      shown.textContent = `${label} ${used} of ${texts[field].max}`;
      if (used > texts[field].max) shown.dataset.tone = "bad";
      else delete shown.dataset.tone;
    }
  }
}

/** What is wrong with the texts appears and goes at once; the rest is the server's to say. */
function judge(root, rules) {
  const drafts = draftsOf(root);
  const asked = {};
  for (const { platform, texts } of drafts) {
    asked[platform] = [...(asked[platform] ?? []), ...Object.values(texts).flatMap(linksIn)];
  }
  for (const { id, platform, texts } of drafts) {
    const card = document.getElementById(`account-${id}`)?.querySelector(".card");
    if (!card) continue; // just chosen: the server's answer brings it
    const found = [...checkTexts(rules, platform, texts), ...checkLinks(rules, platform, texts, asked)];
    const wrong = new Set(found.filter(({ must }) => must).map(({ message }) => message));
    for (const item of card.querySelectorAll("[data-tone=bad]:is([data-field=title], [data-field=description], [data-field=first_comment], [data-field=tags])")) {
      const text = item.querySelector("span").textContent;
      const still = [...wrong].find((message) => text.includes(message));
      if (still) wrong.delete(still);
      else item.remove();
    }
    for (const message of wrong) {
      const item = document.createElement("li");
      item.className = "finding";
      item.dataset.tone = "bad";
      item.dataset.field = "title";
      item.append(Object.assign(document.createElement("span"), { textContent: message }));
      card.prepend(item);
    }
  }
}

function renew(root) {
  const rules = rulesOf(root);
  count(root, rules);
  judge(root, rules);
}

let lastText; // where a link is put: the text that was typed into last
document.addEventListener("focusin", ({ target }) => {
  if (target.closest?.("#post-form") && target.matches("textarea")) lastText = target;
});

document.addEventListener("input", ({ target }) => {
  const root = target.closest?.("#post-form");
  if (root) renew(root);
});
// What was typed while this file was fetched.
if (form()) renew(form());

let pressed; // in the form that is about to be replaced: where the focus goes then
document.addEventListener("htmx:after:swap", () => {
  if (pressed) document.querySelector(pressed)?.focus();
  pressed = undefined;
});

document.addEventListener("click", ({ target }) => {
  const fix = target.closest?.("#post-form [name=fix]");
  if (fix) pressed = `#account-${CSS.escape(fix.value.split(" ")[0])} input[name=accounts]`;
  if (target.closest?.("#post-form [formaction]:not([name])")) pressed = "#post-title";
  const button = target.closest?.("[data-inserts]");
  if (button) insert(button.dataset.inserts);
  const moment = target.closest?.("[data-cover-at]");
  if (moment) chooseMoment(moment.closest("[data-cover]"));
});

function insert(text) {
  const field = lastText?.isConnected ? lastText : form().elements.namedItem("description");
  const { selectionStart: at, selectionEnd: end } = field;
  const space = at > 0 && !/\s/.test(field.value[at - 1]) ? " " : "";
  field.setRangeText(space + text, at, end, "end");
  // Both, as after typing and leaving: what is asked about the text before it is given up.
  for (const type of ["input", "change"]) field.dispatchEvent(new Event(type, { bubbles: true }));
  field.focus();
}

document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-cover-file]") && target.files[0]) {
    const [picture] = target.files;
    chooseCover(target.closest("[data-cover]"), picture, picture.type);
  }
});

function chooseMoment(box) {
  const at = Number(box.querySelector("[data-moment]").value.replace(",", "."));
  chooseCover(box, JSON.stringify({ at_s: at }), "application/json");
}

/** The picture is sent and made at once; the form then only names it. */
async function chooseCover(box, body, type) {
  const problem = box.querySelector(".problem");
  problem.hidden = true;
  box.setAttribute("aria-busy", "true");
  try {
    const { "X-CSRF-Token": token } = JSON.parse(document.body.getAttribute("hx-headers:inherited"));
    const headers = { "Content-Type": type, "X-CSRF-Token": token, Accept: "application/json" };
    const made = await ask(box.dataset.cover, { method: "POST", body, headers });
    await isThere(`${box.dataset.cover}/${made.cover_id}`);
    const field = form().elements.namedItem(box.dataset.field);
    field.value = made.cover_id;
    field.dispatchEvent(new Event("change", { bubbles: true })); // the server shows how it looks
  } catch (error) {
    problem.textContent = error instanceof TypeError ? "The box can't be reached right now. Try again in a moment." : error.message;
    problem.hidden = false;
  } finally {
    box.removeAttribute("aria-busy");
  }
}

async function ask(url, how) {
  const answer = await fetch(url, how);
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail);
  return said;
}

/** Until the cover is made; a minute at most. Throws with the reason when it can't be. */
async function isThere(url) {
  for (let pause = 100, waited = 0; waited < 60_000; waited += pause, pause = Math.min(2 * pause, 2000)) {
    const { state, error } = await ask(url, { headers: { Accept: "application/json" } });
    if (state === "ready") return;
    if (state === "failed") throw new Error(error);
    await new Promise((go) => setTimeout(go, pause));
  }
  throw new Error("The cover takes too long to be made. Choose it again in a moment.");
}
