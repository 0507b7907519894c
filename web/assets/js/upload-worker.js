// Makes SHA-256 digests of Blobs aside of the page, a few megabytes at a time.
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

const PART = 4 << 20;
const jobs = new Map(); // number → {most, wake, stopped}

addEventListener("message", ({ data }) => {
  const { number, blob, most, stop } = data;
  if (blob) {
    jobs.set(number, { most, wake() {} });
    make(number, blob);
    return;
  }
  const job = jobs.get(number);
  if (!job) return; // done already
  if (stop) job.stopped = true;
  else job.most = most;
  job.wake();
});

async function make(number, blob) {
  const job = jobs.get(number);
  const hash = sha256.create();
  try {
    for (let at = 0; at < blob.size; at += PART) {
      while (at >= job.most && !job.stopped) await new Promise((wake) => (job.wake = wake));
      if (job.stopped) return;
      hash.update(new Uint8Array(await blob.slice(at, at + PART).arrayBuffer()));
    }
    postMessage({ number, hex: bytesToHex(hash.digest()) });
  } catch {
    postMessage({ number, hex: "" }); // moved or changed: whoever sends it says so
  } finally {
    jobs.delete(number);
  }
}
