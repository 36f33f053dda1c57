/** The bridge in a page, or in a worker of it. */

import type { ServiceStub } from "../src/index.js";
import { serve } from "./bridge.js";

/** Runs the bridge. What follows the `#` of the address says where, and has the addresses of the bridge and the server,
 * and the token. */
export function run(stubs: Readonly<Record<string, ServiceStub<unknown>>>): void {
  const [where, bridge = "", url = "", token = ""] = decodeURIComponent(location.hash.slice(1)).split(" ");
  const isPage = typeof document !== "undefined";
  if (where === "page" || !isPage) void serve(stubs, bridge, url, token);
  else new Worker(`main.mjs${location.hash}`, { type: "module" });
}
