/** A connection with the node whose pages are shown, through the server. */

import { ConnectFailed, PermissionDenied, RpcError, type Client } from "@remote-services/client";
import { useEffect, useState } from "preact/hooks";
import { askEntry, noteState, tell, type Entry, type Link } from "./connection.ts";
import { Store } from "./store.ts";

/** Whether the node answers. `waiting`: it has not yet, and is called again and again. `refused`: it does not want to. */
export type NodeAnswer =
  | { readonly kind: "waiting"; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "in"; readonly entry: Entry };

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/** Errors that calling again does not mend. */
function isFinal(error: unknown): boolean {
  return error instanceof PermissionDenied || (error instanceof RpcError && error.type === "NodeAmbiguous");
}

/** Keeps a connection with a node. A client comes back by itself when the way to its server was lost, but not when the server says that the node is
 * gone: then this calls it again and again. */
export class NodeConnection {
  readonly answer = new Store<NodeAnswer>({ kind: "waiting", reason: "" });
  readonly link = new Store<Link>({ state: "idle", since: Date.now(), reason: "" });
  readonly #client: Client;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #isAsking = false;
  #isClosed = false;

  /**
   * @param server - leads to the node.
   * @param name - the name or id of the node. */
  constructor(server: Entry, readonly name: string) {
    this.#client = server.client.node(name);
    this.#client.watch((state, error) => {
      noteState(this.link, state, error);
      if (state === "lost" && error !== undefined && !(error instanceof ConnectFailed)) this.#wait();
    });
    void this.#ask();
  }

  /** Calls it now, if it does not answer: something has changed. */
  hurry(): void {
    if (this.#isClosed || this.link.value.state === "connected") return;
    clearTimeout(this.#timer);
    this.#pauseMs = FIRST_PAUSE_MS;
    if (!this.#isAsking) void this.#ask();
  }

  /** Ends it. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    void this.#client.close();
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    try {
      await this.#client.connect();
      const entry = await askEntry(this.#client, this.link, this.name);
      this.#pauseMs = FIRST_PAUSE_MS;
      if (!this.#isClosed) this.answer.set({ kind: "in", entry });
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isAsking = false;
    }
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    if (isFinal(error)) {
      this.answer.set({ kind: "refused", reason: tell(error) });
      return;
    }
    // Pages that are there stay, and say that the connection is lost.
    if (this.answer.value.kind !== "in") this.answer.set({ kind: "waiting", reason: tell(error) });
    this.#wait();
  }

  #wait(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { if (!this.#isAsking) void this.#ask(); }, this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }
}

/** Keeps a connection with a node for as long as its pages are shown; undefined for the server itself. */
export function useNode(server: Entry, name: string): NodeConnection | undefined {
  const [connection, setConnection] = useState<NodeConnection>();
  useEffect(() => {
    if (name === "") return undefined;
    const made = new NodeConnection(server, name);
    setConnection(made);
    return () => {
      made.close();
      setConnection(undefined);
    };
  }, [server.client, name]);
  return connection?.name === name ? connection : undefined;
}
