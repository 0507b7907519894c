// Times as the recording page writes them.
const two = (number) => String(Math.floor(number)).padStart(2, "0");

/** 75.3 → "1:15" */
export function clock(seconds) {
  const hours = Math.floor(seconds / 3600);
  const minutes = (seconds % 3600) / 60;
  const rest = `${two(seconds % 60)}`;
  return hours ? `${hours}:${two(minutes)}:${rest}` : `${Math.floor(minutes)}:${rest}`;
}

/** 240 → "4 min" */
export function spoken(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** "Screen recording 2026-11-21 14.05", fit for a file's name, too */
export function titleAt(date) {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `Screen recording ${day} ${two(date.getHours())}.${two(date.getMinutes())}`;
}
