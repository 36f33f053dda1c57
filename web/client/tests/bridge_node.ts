/** The bridge in node: lines come from standard input. */

import { createInterface } from "node:readline";

import type { ServiceStub } from "../src/index.js";
import { makePerformer } from "./bridge.js";

/** Runs the bridge until its input ends. */
export async function run(stubs: Readonly<Record<string, ServiceStub<unknown>>>): Promise<void> {
  const { TEST_SERVER_URL: url = "", TEST_SERVER_TOKEN: token = "" } = process.env;
  const performer = makePerformer(stubs, url, token);
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${await performer.perform(line)}\n`);
  }
  await performer.close();
}
