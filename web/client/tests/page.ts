/** Gives a page the client by the name `rpc`, for tests that drive the page. */

import * as rpc from "../src/index.js";

Object.assign(globalThis, { rpc });
