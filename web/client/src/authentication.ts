/** Proves who is calling: a browser can set no header, so `rpc.authenticate` is the first message of a connection. */

import { DeadlineExceeded, isRecord } from "./errors.js";
import type { ClientOptions } from "./options.js";
import { DEFAULT_LIMITS, type SessionLimits } from "./wire/limits.js";
import type { Peer } from "./wire/peer.js";

/** Sends the token, if there is one, and asks for the limits of the server.
 * @throws RpcError: the server refuses, or does not answer. */
export async function greet(peer: Peer, options: ClientOptions, timeoutMs: number): Promise<void> {
  const ctx = { ttl_ms: timeoutMs };
  const { token } = options;
  if (token !== undefined) {
    const secret = typeof token === "function" ? await token() : token;
    await peer.call({ method: "rpc.authenticate", params: { token: secret }, ctx, timeoutMs });
  }
  try {
    const hello = await peer.call({ method: "rpc.hello", params: undefined, ctx, timeoutMs });
    peer.session.limits = limitsOf(hello);
  } catch (error) {
    if (error instanceof DeadlineExceeded) throw error;
    peer.log("rpc.hello has failed: the limits of the server are not known", error);
  }
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
