// Sends a file as tus-js-client does in Node, and prints its address.
// node send_by_tus_js.mjs FILE URL TOKEN CHUNK_BYTES PARALLEL
import { createReadStream } from "node:fs";
import { Upload } from "tus-js-client";

const [path, url, token, chunkBytes, parallel] = process.argv.slice(2);
const upload = new Upload(createReadStream(path), {
  endpoint: `${url}/files`,
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: path.split("/").pop() },
  chunkSize: Number(chunkBytes),
  parallelUploads: Number(parallel),
  // As many tries as the tests have cuts; any progress starts the count anew.
  retryDelays: Array(60).fill(100),
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess() {
    console.log(upload.url);
  },
});
upload.start();
