// What the box takes at this moment. Asked for shortly before files are judged; where that isn't
// possible (guests, no network), what the page was told when it was made.
const FRESH_MS = 5000;
let kept;
let at = -Infinity;

/** `{max_bytes, max_duration_s, room_bytes, exact_originals}`; what isn't known is missing. */
export async function findLimits({ dataset }, { again = false } = {}) {
  if (!again && performance.now() - at < FRESH_MS) return kept;
  const told = {
    max_bytes: Number(dataset.limit) || undefined,
    max_duration_s: Number(dataset.longest) || undefined,
    exact_originals: "exact" in dataset,
  };
  const asked =
    dataset.limitsUrl &&
    (await fetch(dataset.limitsUrl, { headers: { Accept: "application/json" } })
      .then((answer) => (answer.ok ? answer.json() : null))
      .catch(() => null));
  if (asked) at = performance.now();
  return (kept = { ...told, ...asked });
}
