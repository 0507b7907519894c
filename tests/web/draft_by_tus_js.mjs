// Sends a file by the IETF draft, as tus-js-client speaks it (interop version 6).
// node draft_by_tus_js.mjs FILE ENDPOINT TOKEN CHUNK_BYTES
import fs from "node:fs";
import * as tus from "tus-js-client";

const [path, endpoint, token, chunkBytes] = process.argv.slice(2);
const file = fs.readFileSync(path);
const upload = new tus.Upload(file, {
  endpoint,
  protocol: "ietf-draft-05",
  chunkSize: Number(chunkBytes),
  retryDelays: Array(50).fill(20),
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: "by tus-js.mp4" },
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess() {
    console.log(upload.url);
  },
});
upload.start();
