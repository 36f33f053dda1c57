/** The bridge in a browser: a page has the function `perform`, which does its work there or in a worker. */

import type { ServiceStub } from "../src/index.js";
import { makePerformer, type Perform } from "./bridge.js";

interface Place {
  perform?: Perform;
  onmessage?: (event: MessageEvent<string>) => void;
  postMessage(line: string): void;
}

/** Runs the bridge. What follows the `#` of the address says where, and has the address and the token of the server. */
export function run(stubs: Readonly<Record<string, ServiceStub<unknown>>>): void {
  const place = globalThis as unknown as Place;
  const [where, url = "", token = ""] = decodeURIComponent(location.hash.slice(1)).split(" ");
  if (where === "page" || typeof document === "undefined") {
    const { perform } = makePerformer(stubs, url, token);
    if (where === "page") place.perform = perform;
    else place.onmessage = (event) => void perform(event.data).then((line) => { place.postMessage(line); });
    return;
  }
  const worker = new Worker(`main.mjs${location.hash}`, { type: "module" });
  place.perform = (line) =>
    new Promise((resolve, reject) => {
      worker.onmessage = (event: MessageEvent<string>) => { resolve(event.data); };
      worker.onerror = (event) => { reject(new Error(event.message)); };
      worker.postMessage(line);
    });
}
