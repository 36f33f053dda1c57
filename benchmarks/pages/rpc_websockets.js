// rpc-websockets in a page, as its README has it.

import { Client } from "rpc-websockets";
import { given, offer } from "./measure.js";

const client = new Client(given.url);
await new Promise((resolve) => client.on("open", resolve));
offer({ add: (one, other) => client.call("add", [one, other]) });
globalThis.isReady = true;
