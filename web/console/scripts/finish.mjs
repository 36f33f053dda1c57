// Ends a build: adds the client for pages that are built by nothing, compresses each file beside itself, and fails if the
// first load is larger than its budget.

import { readFileSync, readdirSync, rmSync, writeFileSync, copyFileSync } from "node:fs";
import { join, relative } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const BUDGET_BYTES = 250 * 1024;
const FOLDER = process.env.CONSOLE_FOLDER ?? new URL("../../../rpcserver/console_files", import.meta.url).pathname;

const manifest = JSON.parse(readFileSync(join(FOLDER, "manifest.json"), "utf8"));
rmSync(join(FOLDER, "manifest.json"));
copyFileSync(join(FOLDER, "index.html"), join(FOLDER, "docs.html"));
// What stands for both where everybody may read about methods: it names the document (RFC 8631).
const index = readFileSync(join(FOLDER, "index.html"), "utf8");
const description = '<link rel="service-desc" href="./openrpc.json" type="application/json" />';
writeFileSync(join(FOLDER, "public.html"), index.replace("</head>", `  ${description}\n  </head>`));

// At the same address in each version, so that pages of plugins can import it. The console itself has its own.
await build({
  entryPoints: [new URL("../../client/src/index.ts", import.meta.url).pathname],
  outfile: join(FOLDER, "client.js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
});

const compressed = new Map();
for (const entry of readdirSync(FOLDER, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name);
  if (!entry.isFile() || !/\.(html|js|css|svg)$/.test(entry.name)) continue;
  const content = readFileSync(path);
  const packed = gzipSync(content, { level: 9 });
  writeFileSync(`${path}.gz`, packed);
  writeFileSync(`${path}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
  compressed.set(relative(FOLDER, path), packed.length);
}

// What the browser loads before anybody has opened a page: the entry, and what it imports at once.
const first = new Set(["index.html", "icon.svg"]);
function visit(key) {
  const chunk = manifest[key];
  if (first.has(chunk.file)) return;
  first.add(chunk.file);
  for (const style of chunk.css ?? []) first.add(style);
  for (const imported of chunk.imports ?? []) visit(imported);
}
for (const [key, chunk] of Object.entries(manifest)) if (chunk.isEntry) visit(key);

const bytes = [...first].reduce((sum, file) => sum + (compressed.get(file) ?? 0), 0);
for (const [file, size] of [...compressed].sort()) console.log(`${String(size).padStart(8)} ${first.has(file) ? "first" : "later"} ${file}`);
const text = `the console's first load has ${bytes} bytes compressed; ${BUDGET_BYTES} are allowed`;
console.log(text);
if (bytes > BUDGET_BYTES) {
  console.error(`too large: ${text}`);
  process.exit(1);
}
