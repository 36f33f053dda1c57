// Fails the build if the whole client is larger than its budget, bundled, minified and compressed. An argument is another
// budget, in bytes.

import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const BUDGET_BYTES = Number(process.argv[2] ?? 20 * 1024);

const { outputFiles } = await build({
  entryPoints: ["src/index.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
});
const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
const text = `the client has ${bytes} bytes compressed, ${outputFiles[0].contents.length} before; ${BUDGET_BYTES} are allowed`;
console.log(text);
if (bytes > BUDGET_BYTES) {
  console.error(`too large: ${text}`);
  process.exit(1);
}
