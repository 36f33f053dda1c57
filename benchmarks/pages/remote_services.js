// This project's client, as its README has it.

import { Client } from "@remote-services/client";
import { given, offer } from "./measure.js";

const client = new Client(given.url, { token: given.token });
await client.connect();
offer({
  add: (one, other) => client.call("calc.add", [one, other]),
  read: async (count, take) => {
    for await (const item of client.stream("calc.count", [count])) take(item);
  },
});
globalThis.isReady = true;
