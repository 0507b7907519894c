// What each platform would refuse: the twin of tasks/publish/rules.py, over the same rules.json.
// Words included, both are held to tests/tasks/publish/vectors/rules.json.
import { findHashtags, findMentions, measure } from "./counting.js";

const LINK = /\{([a-z][a-z0-9]*)_url\}/g;
const SHAPE_SLACK = 0.01;

const finding = (field, code, message, must = true) => ({ field, code, message, must });

/** With links as long as they may become in the place of those that aren't known yet. */
export const withSampleLinks = (rules, text) =>
  text.replace(LINK, (whole, platform) => rules[platform]?.link ?? whole);

/** The platforms whose links a text asks for, each once. */
export const linksIn = (text) => [...new Set([...text.matchAll(LINK)].map((match) => match[1]))];

export const check = (rules, platform, texts, facts) => [
  ...checkTexts(rules, platform, texts),
  ...checkMedia(rules, platform, facts),
];

export function checkTexts(rules, platform, texts) {
  const rule = rules[platform] ?? {};
  const whole = Object.fromEntries(
    Object.entries(texts).map(([field, text]) => [field, withSampleLinks(rules, text)]),
  );
  const found = [];
  const limits = Object.entries(rule.texts ?? {});
  for (const [field, limit] of limits) {
    if (limit.or && !whole[field]?.trim()) whole[field] = whole[limit.or] ?? ""; // goes out instead
  }
  for (const [field, limit] of limits) {
    if (field in whole) found.push(...checkField(field, whole[field], limit));
  }
  return [...found, ...checkCounts(rule, whole)];
}

function checkField(field, text, limit) {
  const found = [];
  const called = limit.called ?? field.replaceAll("_", " ");
  if (limit.required && !text.trim()) {
    found.push(finding(field, "empty", `The ${called} is empty; this platform needs one.`));
  }
  const length = measure(text, limit.unit);
  if (length > limit.max) {
    const unit = limit.unit === "bytes" ? "bytes" : "characters";
    found.push(finding(field, "too_long", `The ${called} has ${length} ${unit}; ${limit.max} are allowed.`));
  }
  const bad = [...new Set([...text].filter((sign) => (limit.forbidden ?? "").includes(sign)))].sort();
  if (bad.length) {
    found.push(finding(field, "forbidden", `The ${called} may not contain ${bad.join(" or ")}.`));
  }
  return found;
}

function checkCounts(rule, texts) {
  const shown = [texts.description ?? ""];
  if (rule.texts?.title) shown.unshift(texts.title ?? "");
  const found = [];
  for (const [kind, find] of [["hashtags", findHashtags], ["mentions", findMentions]]) {
    if (!rule[kind]) continue;
    const count = shown.reduce((sum, text) => sum + find(text).length, 0);
    const { max, must, then } = rule[kind];
    if (count <= max) continue;
    const message = then
      ? `The text has ${count} ${kind}, more than ${max}. ${then}`
      : `The text has ${count} ${kind}; ${max} are allowed.`;
    found.push(finding("description", `too_many_${kind}`, message, must));
  }
  return found;
}

/** What the platform minds about a file: `size_bytes`, `duration_s`, `width`, `height`. */
export function checkMedia(rules, platform, facts) {
  const rule = rules[platform] ?? {};
  const faults = (rule.media ?? []).map((form) => mediaFaults(form, rule.label, facts));
  const found = [];
  if (faults.length && faults.every((ofForm) => ofForm.length)) {
    for (const [code, message] of faults.at(-1)) found.push(finding("media", code, message));
  }
  for (const { over_s, note } of rule.notes ?? []) {
    if ((facts.duration_s ?? 0) > over_s) found.push(finding("media", "note", note, false));
  }
  return found;
}

function mediaFaults(form, label, { size_bytes: size = 0, ...facts }) {
  const found = [];
  const seconds = facts.duration_s ?? 0;
  const [width, height] = [facts.width ?? 0, facts.height ?? 0];
  if (size > (form.max_bytes ?? Infinity)) {
    const most = Math.floor(form.max_bytes / 1e6);
    found.push(["too_large", `The file has ${Math.ceil(size / 1e6)} MB; ${label} takes ${most} MB.`]);
  }
  if (seconds > (form.max_duration_s ?? Infinity)) {
    const [have, most] = [clock(Math.ceil(seconds)), clock(form.max_duration_s)];
    found.push(["too_long_video", `The video lasts ${have}; ${label} takes at most ${most}.`]);
  }
  if (seconds > 0 && seconds < (form.min_duration_s ?? 0)) {
    const [have, least] = [clock(Math.floor(seconds)), clock(form.min_duration_s)];
    found.push(["too_short_video", `The video lasts ${have}; ${label} takes no shorter one than ${least}.`]);
  }
  if (!width || !height) return found;
  const [across, down] = form.shape ?? [width, height];
  if (Math.abs(width * down - height * across) > SHAPE_SLACK * height * across) {
    found.push(["wrong_shape", `The picture isn't ${across}:${down}.`]);
  }
  const ratio = width / height;
  if (ratio < (form.min_ratio ?? 0) || ratio > (form.max_ratio ?? Infinity)) {
    found.push(["wrong_shape", `${width} × ${height} are too long a strip for ${label}.`]);
  }
  if (width < (form.min_width ?? 0) || height < (form.min_height ?? 0)) {
    const least = `${form.min_width} × ${form.min_height}`;
    found.push(["too_small", `${width} × ${height} are too few pixels; ${label} wants ${least}.`]);
  }
  return found;
}

/** "1:30", "1:02:00". */
export function clock(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** What is wrong with the links that the texts for `platform` ask for. `asked`: each platform that
 * the post goes to → the platforms whose links its texts ask for. */
export function checkLinks(rules, platform, texts, asked) {
  const found = [];
  for (const [field, text] of Object.entries(texts)) {
    for (const other of linksIn(text)) {
      const wrong = checkLink(rules, platform, other, asked);
      if (wrong) found.push(finding(field, ...wrong));
    }
  }
  return found;
}

function checkLink(rules, platform, other, asked) {
  const name = `{${other}_url}`;
  if (!rules[other]?.link) {
    return ["unknown_link", `There is no link ${name}: it goes out as it stands here.`, false];
  }
  const { label } = rules[other];
  if (other === platform) {
    return ["own_link", `${name} isn't known before the post is out, so its own text can't have it.`];
  }
  if (!(other in asked)) return ["no_account_for_link", `${name} needs ${label} among the accounts.`];
  if (leadsTo(other, platform, asked)) {
    return ["links_in_circle", `${name} waits for ${label}, and ${label} waits for this one. Take one link out.`];
  }
  return null;
}

function leadsTo(start, end, asked) {
  const [seen, open] = [new Set(), [start]];
  while (open.length) {
    for (const after of asked[open.pop()] ?? []) {
      if (after === end) return true;
      if (!seen.has(after)) open.push(after);
      seen.add(after);
    }
  }
  return false;
}
