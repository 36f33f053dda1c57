/** What pages use of the connection. */

import type { Client } from "@remote-services/client";
import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import type { Entry } from "./connection.ts";
import { useStore } from "./store.ts";

/** What the pages below it show: the server, or another node. */
export const EntryContext = createContext<Entry | undefined>(undefined);

/** Returns what is known of the server, or of the node, that the page shows. */
export function useEntry(): Entry {
  const entry = useContext(EntryContext);
  if (entry === undefined) throw new Error("nobody is signed in");
  return entry;
}

/** Returns whether there is a connection with what the page shows. */
export function useIsConnected(): boolean {
  return useStore(useEntry().link).state === "connected";
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
  const isConnected = useIsConnected();
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
