/** The bridge in node. */

import type { ServiceStub } from "../src/index.js";
import { serve } from "./bridge.js";

/** Runs the bridge until the other side closes it. */
export async function run(stubs: Readonly<Record<string, ServiceStub<unknown>>>): Promise<void> {
  const { TEST_BRIDGE_URL: bridge = "", TEST_SERVER_URL: url = "", TEST_SERVER_TOKEN: token = "" } = process.env;
  await serve(stubs, bridge, url, token);
  process.exit(0);
}
