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

/** "6 h", "1 h 5 min", "4 min", "20 s" */
export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}

export const percent = (part) => `${part >= 1 ? 100 : Math.min(99, Math.floor(part * 100))} %`;

export const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;
