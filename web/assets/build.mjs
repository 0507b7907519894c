// Bundles web/assets into the folder given as the only argument; run by hatch_build.py.
//
// Every file directly in js/, css/ or img/ is an entry: templates may ask for it by its plain name
// ("main.js"), which manifest.json maps to the hashed one. Parts that are only imported live deeper.
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const assets = dirname(fileURLToPath(import.meta.url));
const outdir = resolve(process.argv[2]);

const entryPoints = ["js", "css", "img"]
  .map((folder) => join(assets, folder))
  .filter((folder) => existsSync(folder))
  .flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true })
      .filter((file) => file.isFile() && !file.name.startsWith("."))
      .map((file) => join(folder, file.name)),
  );

const { metafile } = await build({
  entryPoints,
  outdir,
  absWorkingDir: assets,
  bundle: true,
  splitting: true,
  minify: true,
  metafile: true,
  format: "esm",
  // tus-js-client's own way to read addresses is 4 kB for browsers that had no URL class.
  alias: { "url-parse": join(assets, "js/parts/upload/native_url.js") },
  target: ["chrome123", "firefox128", "safari17.5"],
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".svg": "copy", ".png": "copy", ".jpg": "copy", ".webp": "copy", ".ico": "copy" },
  legalComments: "none", // the whole licences are written below
  logLevel: "warning",
}).catch(() => process.exit(1)); // esbuild has said where the fault is

const manifest = {};
for (const [path, output] of Object.entries(metafile.outputs)) {
  const entry = output.entryPoint && resolve(assets, output.entryPoint);
  if (!entryPoints.includes(entry)) continue; // a chunk: only bundles name it
  const name = basename(entry);
  if (manifest[name]) throw new Error(`Two entries are called ${name}: rename one.`);
  manifest[name] = relative(outdir, resolve(assets, path));
}
writeFileSync(join(outdir, "manifest.json"), JSON.stringify(manifest, null, 2) + "\n");

// Whose code is in the bundles: "…/node_modules/<name>/…", with or without a scope.
const packages = new Set(
  Object.keys(metafile.inputs)
    .map((path) => resolve(assets, path).match(/^.*\/node_modules\/(@[^/]+\/)?[^/]+/)?.[0])
    .filter(Boolean),
);
const licences = [...packages].sort().map((folder) => {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(folder, file), "utf8").trim() : license;
  return `${name} ${version}\n\n${text}\n`;
});
writeFileSync(join(outdir, "LICENSES.txt"), licences.join("\n" + "-".repeat(80) + "\n\n"));
