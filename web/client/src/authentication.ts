/** Proves who is calling: a browser can set no header, so `rpc.authenticate` is the first message of a connection. */

import { ConnectFailed, DeadlineExceeded, isRecord, textOf } from "./errors.js";
import type { ClientOptions, Secret } from "./options.js";
import { DEFAULT_LIMITS, type SessionLimits } from "./wire/limits.js";
import type { Peer } from "./wire/peer.js";

/** Who a client is. A ticket is good once, and becomes a session, whose secret stays here. */
export class Credentials {
  #kind: "token" | "ticket" | "session" | undefined;
  #secret: Secret | undefined;

  /** @throws ConnectFailed: more than one of token, ticket and session is given. */
  constructor(readonly options: ClientOptions) {
    for (const kind of ["token", "ticket", "session"] as const) {
      const secret = options[kind];
      if (secret === undefined) continue;
      if (this.#kind !== undefined) throw new ConnectFailed(`${kind}: give it, or ${this.#kind}`, { retryable: false });
      this.#kind = kind;
      this.#secret = secret;
    }
  }

  /** Says who is calling, and asks for the limits of the server.
   * @throws RpcError: the server refuses, or does not answer. */
  async greet(peer: Peer, timeoutMs: number): Promise<void> {
    const ctx = { ttl_ms: timeoutMs };
    if (this.#kind !== undefined) {
      const secret = typeof this.#secret === "function" ? await this.#secret() : this.#secret;
      const params = { [this.#kind]: secret };
      const answer = await peer.call({ method: "rpc.authenticate", params, ctx, timeoutMs });
      this.#keep(answer, peer);
    }
    try {
      const hello = await peer.call({ method: "rpc.hello", params: undefined, ctx, timeoutMs });
      peer.session.limits = limitsOf(hello);
    } catch (error) {
      if (error instanceof DeadlineExceeded) throw error;
      peer.log("rpc.hello has failed: the limits of the server are not known", error);
    }
    const { node } = this.options;
    if (node === undefined) return;
    const answer = await peer.call({ method: "rpc.connect_node", params: { node }, ctx, timeoutMs });
    peer.session.limits = lesserOf(peer.session.limits, answer); // Both the server's and the node's hold.
  }

  /** The secret of the session, if a ticket was exchanged for one, or one was given as text. */
  get sessionSecret(): string | undefined {
    return this.#kind === "session" && typeof this.#secret === "string" ? this.#secret : undefined;
  }

  /** Keeps the session for which a ticket was exchanged: the next connection needs it. */
  #keep(answer: unknown, peer: Peer): void {
    const session = isRecord(answer) ? answer["session"] : undefined;
    if (!isRecord(session)) return;
    const { id, secret, expires_in_s: expiresInS } = session;
    if (typeof secret !== "string") return;
    this.#kind = "session";
    this.#secret = secret;
    try {
      this.options.onSession?.({ id: String(id), secret, expiresInS: Number(expiresInS) });
    } catch (error) {
      peer.log(`onSession has failed: ${textOf(error)}`, error);
    }
  }
}

function lesserOf(limits: SessionLimits, told: unknown): SessionLimits {
  const { message_bytes: bytes, message_nodes: nodes } = isRecord(told) ? told : {};
  return {
    ...limits,
    messageBytes: Math.min(limits.messageBytes, typeof bytes === "number" && bytes > 0 ? bytes : Infinity),
    messageNodes: Math.min(limits.messageNodes, typeof nodes === "number" && nodes > 0 ? nodes : Infinity),
  };
}

function limitsOf(hello: unknown): SessionLimits {
  const told = isRecord(hello) && isRecord(hello["limits"]) ? hello["limits"] : {};
  const { message_bytes: bytes, message_nodes: nodes } = told;
  return {
    ...DEFAULT_LIMITS,
    messageBytes: typeof bytes === "number" ? bytes : DEFAULT_LIMITS.messageBytes,
    messageNodes: typeof nodes === "number" ? nodes : DEFAULT_LIMITS.messageNodes,
  };
}
