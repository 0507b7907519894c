// Calls the pages' own modules for tests: a line of JSON in, a line of JSON out.
import { createReadStream, openSync, readSync, statSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { createInterface } from "node:readline";

// Node counts the bytes of a Blob in 32 bits (24.19); browsers don't. This one is as lazy as theirs.
class LongBlob {
  constructor(parts, { from = 0, size } = {}) {
    this.parts = parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part));
    this.from = from;
    this.size = size ?? this.parts.reduce((sum, part) => sum + (part.size ?? part.length), 0);
  }

  static file(path) {
    const [handle, { size }] = [openSync(path), statSync(path)];
    const part = { size, read: (from, length) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(handle, bytes, 0, length, from));
    } };
    return new LongBlob([part]);
  }

  slice(from, to = this.size) {
    const [start, end] = [Math.min(from, this.size), Math.min(to, this.size)];
    return new LongBlob(this.parts, { from: this.from + start, size: Math.max(0, end - start) });
  }

  read(from, length) {
    const found = [];
    let at = -this.from;
    for (const part of this.parts) {
      const size = part.size ?? part.length;
      const [start, end] = [Math.max(0, from - at), Math.min(size, from + length - at)];
      if (end > start) found.push(part.read ? part.read(start, end - start) : part.subarray(start, end));
      at += size;
    }
    return Buffer.concat(found);
  }

  async arrayBuffer() {
    return new Uint8Array(this.read(0, this.size)).buffer;
  }

  async text() {
    return this.read(0, this.size).toString();
  }
}
globalThis.Blob = LongBlob;

const upload = new URL("../../web/assets/js/parts/upload/", import.meta.url);
const load = (name) => import(new URL(name, upload));
const [boxes, index, kinds, answers, words, folders, { Pace }, { Growing }] = await Promise.all(
  ["boxes.js", "index_move.js", "kinds.js", "answers.js", "words.js", "folders.js", "pace.js", "sources.js"].map(load),
);
const post = new URL("../../web/assets/js/parts/post/", import.meta.url);
const [rules, counting] = await Promise.all(["rules.js", "counting.js"].map((name) => import(new URL(name, post))));

const calls = {
  // What would be sent for a file: its first `most` bytes to `out`, and how long all of it is.
  async move({ path, out, most }) {
    const moved = await index.moveIndex(LongBlob.file(path));
    if (!moved) return null;
    writeFileSync(out, moved.slice(0, most).read(0, Math.min(most ?? moved.size, moved.size)));
    return { length: moved.size };
  },
  async duration({ path }) {
    const file = LongBlob.file(path);
    const moov = (await boxes.readBoxes(file)).boxes.find(({ type }) => type === "moov");
    return moov ? boxes.durationOf(file, moov) : null;
  },
  async kind({ path, hex, name, type = "" }) {
    let head = Buffer.from(hex ?? "", "hex");
    if (path) head = Buffer.concat(await createReadStream(path, { end: kinds.HEAD - 1 }).toArray());
    const kind = kinds.kindOf(new Uint8Array(head));
    return { kind, problem: kinds.problemOfKind(kind, { name: name ?? basename(path), type }) };
  },
  postRules({ rules: all, vector: { platform, texts, asked, facts } }) {
    const found = texts ? rules.checkTexts(all, platform, texts) : [];
    if (asked) found.push(...rules.checkLinks(all, platform, texts, asked));
    if (facts) found.push(...rules.checkMedia(all, platform, facts));
    return found.map(({ field, code, must, message }) => [field, code, must, message]);
  },
  postCounts: ({ texts }) =>
    texts.map((text) => [
      ...["utf16", "bytes", "tags"].map((unit) => counting.measure(text, unit)),
      counting.findHashtags(text),
      counting.findMentions(text),
    ]),
  judge: (answer) => answers.judge(answer),
  system: ({ names }) => names.filter(folders.isSystem),
  span: ({ seconds }) => words.span(seconds),
  pace({ samples, left }) {
    const pace = new Pace();
    for (const [at, sent] of samples) pace.add(at, sent);
    return { speed: pace.speed, left: pace.left(left) ?? null };
  },
  // Blobs are pushed, `asks` are offsets that are read in turn.
  async grow({ blobs, asks }) {
    const growing = new Growing();
    const read = [];
    const asking = (async () => {
      for (const from of asks) {
        const { value, done } = await growing.slice(from);
        read.push([value ? await value.text() : "", done]);
      }
    })().catch((error) => read.push(error.message));
    for (const text of blobs) {
      growing.push(new Blob([text]));
      await new Promise(setImmediate);
    }
    growing.finish();
    await asking;
    return { read, total: growing.total };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...given } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ answer: (await calls[call](given)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.stack }));
  }
}
