// Measures this client's MessagePack beside msgpackr and @msgpack/msgpack, in one run: node scripts/codecs.mjs

import { Decoder, Encoder } from "@msgpack/msgpack";
import { build } from "esbuild";
import { Packr } from "msgpackr/index-no-eval";

const source = 'export { pack } from "./src/codec/pack.ts"; export { unpack } from "./src/codec/unpack.ts";';
const { outputFiles } = await build({
  stdin: { contents: source, resolveDir: process.cwd() }, bundle: true, format: "esm", write: false,
});
const { pack, unpack } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);

const row = (at) => [at, `name of row ${at}`, at * 1.5, 2 ** 33 + at, null, true];
const values = {
  "a call": { jsonrpc: "2.0", id: 12345, method: "contract.add", params: { a: 1, b: 2 }, ctx: { ttl_ms: 60000 } },
  "500 rows": { jsonrpc: "2.0", method: "rpc.stream.item", params: { stream: "s1", items: Array.from({ length: 500 }, (_, at) => row(at)) } },
  "64 KiB": { jsonrpc: "2.0", method: "rpc.stream.item", params: { stream: "s1", items: [new Uint8Array(65536)] } },
};

const packr = new Packr({ useRecords: false, int64AsType: "auto" });
const encoder = new Encoder({ useBigInt64: true });
const decoder = new Decoder({ useBigInt64: true });
const codecs = {
  "own": [(value) => pack(value).data, unpack],
  "@msgpack/msgpack": [(value) => encoder.encode(value), (bytes) => decoder.decode(bytes)],
  "msgpackr": [(value) => packr.pack(value).slice(), (bytes) => packr.unpack(bytes)],
};

function rate(act) {
  for (let count = 1; ; count *= 2) {
    const begun = performance.now();
    for (let turn = 0; turn < count; turn++) act();
    const ms = performance.now() - begun;
    if (ms > 200) return Math.round((count / ms) * 1000);
  }
}

for (let round = 0; round < 2; round++) { // The first one warms up.
  for (const [what, value] of Object.entries(values)) {
    for (const [name, [encode, decode]] of Object.entries(codecs)) {
      const bytes = new Uint8Array(encode(value));
      const figures = `${rate(() => encode(value))}/s encoded, ${rate(() => decode(bytes))}/s decoded`;
      if (round === 1) console.log(`${what.padEnd(10)}${name.padEnd(18)}${figures}`);
    }
  }
}
for (const value of [2 ** 33, -(2 ** 40), 2 ** 53 - 1, -0, 2n ** 63n, 2n ** 64n]) {
  const text = Object.entries(codecs).map(([name, [encode]]) => {
    try {
      return `${name} ${Buffer.from(encode(value)).toString("hex")}`;
    } catch (error) {
      return `${name} throws ${error.name}`;
    }
  });
  console.log(`${Object.is(value, -0) ? "-0" : value}: ${text.join(", ")}`);
}
