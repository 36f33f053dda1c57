/** The messages on the wire, and the events that a session reports. */

import { RemoteProtocolError, type RpcError, type WireError } from "../errors.js";

/** What goes with a call besides its parameters. */
export interface CallContext {
  readonly ttl_ms?: number;
  readonly key?: string;
  readonly attempt?: number;
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** The parameters of a call, by name or by position. */
export type Params = Readonly<Record<string, unknown>> | readonly unknown[] | null | undefined;

/** The id of a call of the other side. */
export type MessageId = number | string | bigint | null;

/** A call of the other side that has no answer yet. */
export interface IncomingCall {
  readonly id: MessageId;
  readonly method: string;
  readonly params: Params;
  readonly ctx: CallContext;
}

/** What the other side has done. */
export type SessionEvent =
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: WireError }
  | { readonly kind: "progress"; readonly id: number; readonly progress: Progress }
  | { readonly kind: "call"; readonly call: IncomingCall }
  | { readonly kind: "notification"; readonly method: string; readonly params: Params }
  | { readonly kind: "cancel"; readonly call: IncomingCall }
  | { readonly kind: "items"; readonly stream: string; readonly items: readonly unknown[] }
  | { readonly kind: "end"; readonly stream: string; readonly error: WireError | undefined }
  | { readonly kind: "credit"; readonly stream: string }
  | { readonly kind: "unwanted"; readonly stream: string }
  | { readonly kind: "violation"; readonly error: RpcError };

/** How far a call has come. */
export interface Progress {
  readonly done: number;
  readonly total?: number | undefined;
  readonly message?: string | undefined;
}

/** Makes the event for a rule that the other side has broken. */
export function violation(message: string): SessionEvent {
  return { kind: "violation", error: new RemoteProtocolError(message) };
}
