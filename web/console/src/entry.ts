/** What pages use of the connection. */

import type { Client } from "@remote-services/client";
import { useEffect, useState } from "preact/hooks";
import { link, signIn, type Entry } from "./connection.ts";
import { useStore } from "./store.ts";

/** Returns what is known of the server; only pages call it, which are shown to whoever is signed in. */
export function useEntry(): Entry {
  const state = useStore(signIn);
  if (state.kind !== "in") throw new Error("nobody is signed in");
  return state.entry;
}

/** An answer, as far as it is there. The last one stays while the connection is lost. */
export interface Answer<T> {
  readonly value?: T;
  readonly error?: unknown;
}

/** Asks the server, and again whenever the connection is back.
 * @param ask - makes the call.
 * @param inputs - what the question depends on. */
export function useAnswer<T>(ask: (client: Client, signal: AbortSignal) => Promise<T>, inputs: readonly unknown[]): Answer<T> {
  const { client } = useEntry();
  const isConnected = useStore(link).state === "connected";
  const [answer, setAnswer] = useState<Answer<T>>({});
  useEffect(() => {
    if (!isConnected) return undefined;
    const abort = new AbortController();
    ask(client, abort.signal).then(
      (value) => { if (!abort.signal.aborted) setAnswer({ value }); },
      (error: unknown) => { if (!abort.signal.aborted) setAnswer((before) => ({ ...before, error })); },
    );
    return () => { abort.abort(); };
  }, [client, isConnected, ...inputs]);
  return answer;
}
