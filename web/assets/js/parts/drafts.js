// What was typed into a form with data-keeps="name" and not sent is there again next time.
const key = (form) => `draft:${form.dataset.keeps}`;

document.addEventListener("input", (event) => {
  const form = event.target.closest?.("form[data-keeps]");
  if (!form) return;
  const texts = {};
  for (const field of form.querySelectorAll("input.input[name], textarea[name]")) {
    if (field.value !== field.defaultValue) texts[field.name] = field.value;
  }
  localStorage.setItem(key(form), JSON.stringify(texts));
});

/** Put kept texts back into the forms below `root`. */
export function restoreDrafts(root) {
  for (const form of root.querySelectorAll("form[data-keeps]")) {
    const texts = JSON.parse(localStorage.getItem(key(form)) ?? "{}");
    for (const [name, value] of Object.entries(texts)) {
      const field = form.elements.namedItem(name);
      if (!field || field.value === value) continue;
      field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }
}

export const forgetDraft = (name) => localStorage.removeItem(`draft:${name}`);

// A form that is sent without the dialog leaves nothing behind either.
document.addEventListener("submit", ({ target }) => {
  if (target.dataset.keeps && !target.closest("dialog")) forgetDraft(target.dataset.keeps);
});

restoreDrafts(document);
document.addEventListener("page:shown", ({ detail }) => restoreDrafts(detail));
