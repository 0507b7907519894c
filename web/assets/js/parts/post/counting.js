// How platforms count. The twin of tasks/publish/counting.py: the same vectors hold both.
const HASHTAG = /[#＃][^ \t\n\r\f\v!-/:-@[-^`{-~]+/g;
const BEFORE_HASHTAG = /[0-9A-Za-z_&/]/;
const MENTION = /(?<![0-9A-Za-z_.])@[0-9A-Za-z_.]+/g;

const splitTags = (text) =>
  text
    .split(",")
    .map((tag) => tag.trim())
    .filter(Boolean);

const countTags = (text) => {
  const tags = splitTags(text);
  const lengths = tags.map((tag) => tag.length + (tag.includes(" ") ? 2 : 0));
  return lengths.reduce((sum, length) => sum + length, 0) + Math.max(0, tags.length - 1);
};

const UNITS = {
  chars: (text) => [...text].length,
  utf16: (text) => text.length,
  bytes: (text) => new TextEncoder().encode(text).length,
  tags: countTags,
};

/** How long a text is, in a unit of the rules. */
export const measure = (text, unit) => UNITS[unit](text);

/** Each as it stands in the text, "#" included. */
export function findHashtags(text) {
  const found = [];
  let lastEnd = -1;
  for (const match of text.matchAll(HASHTAG)) {
    const free = match.index === 0 || !BEFORE_HASHTAG.test(text[match.index - 1]);
    if (!free && match.index !== lastEnd) continue; // "#a#b" are two
    found.push(match[0]);
    lastEnd = match.index + match[0].length;
  }
  return found;
}

/** "@name", but not the middle of an address. */
export const findMentions = (text) => text.match(MENTION) ?? [];
