/** How a client connects, and what goes with a call. */

import { checkWindow } from "./wire/credit.js";
import type { Subprotocol } from "./codec/form.js";
import { ConnectFailed, DeadlineExceeded } from "./errors.js";
import type { SocketClass } from "./socket.js";
import type { CallContext, Progress } from "./wire/messages.js";

/** A secret, or a function that gives it for each connection. */
export type Secret = string | (() => string | Promise<string>);

/** A session for which a ticket was exchanged. */
export interface BrowserSession {
  readonly id: string;
  readonly secret: string;
  /** How long it is good for, in seconds from now. */
  readonly expiresInS: number;
}

/** What a client may be told. */
export interface ClientOptions {
  /** Proves who is calling. It is sent by `rpc.authenticate`, the first message of each connection. */
  readonly token?: Secret | undefined;
  /** In place of a token: it is exchanged for a session, once, by the first connection. */
  readonly ticket?: Secret | undefined;
  /** In place of a token: the secret of a session, for which a ticket was exchanged before. */
  readonly session?: Secret | undefined;
  /** Called with the session for which the ticket was exchanged. The client keeps its secret in memory only. */
  readonly onSession?: ((session: BrowserSession) => void) | undefined;
  /** The node of the server's group that answers in the server's place. */
  readonly node?: string | undefined;
  /** Send the token also where neither TLS nor this machine keeps it from others. */
  readonly allowTokenInClear?: boolean | undefined;
  /** The deadline of each call, in milliseconds; that of the method (60 s unless it says otherwise) where not given. */
  readonly timeoutMs?: number | undefined;
  /** How long connecting may take, in milliseconds. */
  readonly connectTimeoutMs?: number | undefined;
  /** The only form of the wire to offer; the best that both sides speak where not given. */
  readonly subprotocol?: Subprotocol | undefined;
  /** How long the server may be silent before it is pinged, in milliseconds; 0 for no pings. */
  readonly pingIntervalMs?: number | undefined;
  /** How long a ping may stay without an answer, in milliseconds. */
  readonly pingTimeoutMs?: number | undefined;
  /** Connect again when the connection is lost. */
  readonly reconnect?: boolean | undefined;
  /** The class of WebSockets; the global one where not given. */
  readonly WebSocket?: SocketClass | undefined;
  /** Gets a line for each rule that the server breaks, and for each bug in a function of yours; `console.warn` where
   * not given. */
  readonly log?: ((text: string, error?: unknown) => void) | undefined;
}

/** What goes with a call. */
export interface CallOptions {
  /** Cancels the call on the server. */
  readonly signal?: AbortSignal | undefined;
  /** The deadline, in milliseconds from now. */
  readonly timeoutMs?: number | undefined;
  /** Called with how far the call has come. */
  readonly progress?: ((progress: Progress) => void) | undefined;
  /** Identifies the call for deduplication. */
  readonly key?: string | undefined;
  /** For a stream, the items that the server may be ahead of the reader. */
  readonly window?: number | undefined;
  /** The span of a trace that the call belongs to, as W3C Trace Context writes it. */
  readonly traceparent?: string | undefined;
  /** What else the tracing systems say, as W3C Trace Context writes it. */
  readonly tracestate?: string | undefined;
  /** Whether a call that was never sent may be sent over another connection; it may where not given. */
  readonly resend?: boolean | undefined;
}

/** How long a call may take if nobody says otherwise, in milliseconds. */
export const DEFAULT_DEADLINE_MS = 60_000;

const LONGEST_MS = 30 * 86_400_000;

/** Returns how long a call may take, in milliseconds.
 * @throws DeadlineExceeded: no time is left. */
export function timeoutOf(options: CallOptions, otherwiseMs: number): number {
  checkWindow(options.window);
  const timeoutMs = options.timeoutMs ?? otherwiseMs;
  if (!(timeoutMs > 0)) throw new DeadlineExceeded("timeoutMs: no time is left for this call", { executed: "no" });
  return Math.min(timeoutMs, LONGEST_MS);
}

/** Returns what a call tells the server besides its parameters. */
export function contextOf(options: CallOptions, timeoutMs: number): CallContext {
  const ttl = Math.max(Math.round(timeoutMs), 1);
  const { key, traceparent, tracestate } = options;
  return {
    ttl_ms: ttl,
    ...(key === undefined ? {} : { key }),
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
  };
}

const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;

/** Returns the address of the WebSocket.
 * @param url - as the program has it; the server that the page came from where not given.
 * @throws ConnectFailed: there is none. */
export function addressOf(url: string | undefined): string {
  const place = (globalThis as { location?: { href: string; pathname: string } }).location;
  let address: URL;
  try {
    address = new URL(url ?? rootOf(place?.pathname ?? "/"), place?.href);
  } catch (error) {
    throw new ConnectFailed("url: must be ws://host:port or wss://host:port", { retryable: false, cause: error });
  }
  address.protocol = address.protocol.replace(/^http/, "ws");
  address.hash = "";
  return address.href;
}

/** Returns the path of a server that has a page at another path: its pages are at `/`, `/docs` and `/services/NAME/`, all
 * of them below `listen.path_prefix` where it is set. */
export function rootOf(pathname: string): string {
  return pathname.replace(/\/services\/.*$/, "/").replace(/[^/]*$/, "");
}

/** Makes sure that a secret may be sent to an address.
 * @throws ConnectFailed: others could read it on its way. */
export function checkSecrecy(address: string, options: ClientOptions): void {
  const { protocol, hostname } = new URL(address);
  const { token, ticket, session } = options;
  if ((token ?? ticket ?? session) === undefined || protocol !== "ws:" || LOOPBACK.test(hostname)) return;
  if (options.allowTokenInClear === true) return;
  const text = `${address}: the token, ticket or session would be sent in clear to another machine: use wss://, or allowTokenInClear`;
  throw new ConnectFailed(text, { retryable: false });
}
