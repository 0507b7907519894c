// How amounts are written; the same rules as web/words.py.
export function size(bytes) {
  if (bytes < 1000) return bytes === 1 ? "1 byte" : `${Math.round(bytes)} bytes`;
  let amount = bytes;
  for (const unit of ["kB", "MB", "GB"]) {
    amount /= 1000;
    if (amount < 999.5) {
      if (unit === "kB" || amount >= 100) return `${amount.toFixed(0)} ${unit}`;
      return `${amount.toFixed(unit === "GB" && amount < 10 ? 2 : 1)} ${unit}`;
    }
  }
  return `${(amount / 1000).toFixed(2)} TB`;
}

export function timeLeft(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 10) return "a few seconds left";
  if (seconds < 55) return `about ${Math.round(seconds / 10) * 10} s left`;
  if (seconds < 3300) return `about ${Math.max(1, Math.round(seconds / 60))} min left`;
  return `about ${(seconds / 3600).toFixed(1).replace(/\.0$/, "")} h left`;
}

export const percent = (part) => `${part >= 1 ? 100 : Math.min(99, Math.floor(part * 100))} %`;
