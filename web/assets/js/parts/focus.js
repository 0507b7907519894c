// What has the focus keeps it over live updates: one may take a button away while something is under
// way, or move it, and the focus would be at the start of the page. It comes back by the id.
let kept = "";

document.addEventListener("focusin", ({ target }) => (kept = target.id));
// Who presses beside everything wants the focus nowhere.
document.addEventListener("pointerdown", () => (kept = ""));
document.addEventListener("htmx:after:swap", () => {
  if (kept && document.activeElement === document.body) document.getElementById(kept)?.focus();
});
