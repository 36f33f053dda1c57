/** The errors that a call can fail with: the one table of codes, and a class for each (docs/protocol.md, "Errors"). */

/** Whether the handler of a failed call has run: no, yes (it has begun at least), or unknown. */
export type Executed = "no" | "yes" | "unknown";

/** What is wrong with one field of the input. */
export interface FieldError {
  readonly loc?: readonly (string | number)[];
  readonly msg?: string;
  readonly type?: string;
}

/** What an error knows besides its message. */
export interface ErrorFacts {
  readonly executed?: Executed | undefined;
  readonly retryable?: boolean | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly errors?: readonly FieldError[] | undefined;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  readonly code?: number | undefined;
  readonly type?: string | undefined;
  readonly cause?: unknown;
}

/** An error object as it is on the wire (JSON-RPC 2.0, section 5.1). */
export interface WireError {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** The root of all errors of calls. */
export class RpcError extends Error {
  static readonly code: number = -32603;
  static readonly executed: Executed = "unknown";
  static readonly retryable: boolean = false;

  /** The number of the error on the wire. */
  readonly code: number;
  /** The name of the error on the wire. */
  readonly type: string;
  /** Whether the handler has run. */
  readonly executed: Executed;
  /** Whether the same call may succeed later without a change. */
  readonly retryable: boolean;
  /** How long to wait before the next try, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** For invalid input, an entry for each wrong field. */
  readonly errors: readonly FieldError[];
  /** The values of the fields that a service declares for its error. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    const cls = new.target;
    this.type = facts.type ?? errorNames.get(cls) ?? cls.name;
    this.name = this.type;
    this.code = facts.code ?? cls.code;
    this.executed = facts.executed ?? cls.executed;
    this.retryable = facts.retryable ?? cls.retryable;
    this.retryAfterMs = facts.retryAfterMs;
    this.errors = facts.errors ?? [];
    this.details = facts.details ?? {};
  }

  /** Makes the error object for the wire. */
  toWire(): WireError {
    const data: Record<string, unknown> = { type: this.type, executed: this.executed, retryable: this.retryable };
    if (this.retryAfterMs !== undefined) data["retry_after_ms"] = this.retryAfterMs;
    if (this.errors.length > 0) data["errors"] = this.errors;
    if (Object.keys(this.details).length > 0) data["details"] = this.details;
    return { code: this.code, message: this.message.slice(0, 2000), data };
  }
}

/** A side has broken the rules of the protocol. */
export class ProtocolError extends RpcError {
  static override readonly executed: Executed = "no";
}

/** This side has tried something that the protocol does not allow now. */
export class LocalProtocolError extends ProtocolError {}

/** The other side has sent something that the protocol does not allow now. */
export class RemoteProtocolError extends ProtocolError {}

/** The frame is not valid JSON or MessagePack. */
export class ParseError extends ProtocolError {
  static override readonly code = -32700;
}

/** The message is not a JSON-RPC 2.0 request or response. */
export class InvalidRequest extends ProtocolError {
  static override readonly code = -32600;
}

/** No method has this name. */
export class MethodNotFound extends RpcError {
  static override readonly code = -32601;
  static override readonly executed: Executed = "no";
}

/** The parameters do not fit the method. */
export class InvalidParams extends RpcError {
  static override readonly code = -32602;
  static override readonly executed: Executed = "no";
}

/** The handler failed in a way that it does not declare. */
export class InternalError extends RpcError {
  static override readonly code = -32603;
}

/** Credentials are missing or wrong. */
export class Unauthenticated extends RpcError {
  static override readonly code = -32001;
  static override readonly executed: Executed = "no";
}

/** The caller is known, but may not do this. */
export class PermissionDenied extends RpcError {
  static override readonly code = -32002;
  static override readonly executed: Executed = "no";
}

/** A limit was reached before the call began. */
export class Busy extends RpcError {
  static override readonly code = -32003;
  static override readonly executed: Executed = "no";
  static override readonly retryable = true;
}

/** The call's time was over before its answer was there. */
export class DeadlineExceeded extends RpcError {
  static override readonly code = -32004;
}

/** A message is larger than the limit. */
export class TooLarge extends RpcError {
  static override readonly code = -32005;
}

/** The server is stopping, or the service is not running. */
export class Unavailable extends RpcError {
  static override readonly code = -32006;
  static override readonly executed: Executed = "no";
  static override readonly retryable = true;
}

/** The reader of a stream fell behind, and the stream's policy is to close. */
export class SlowConsumer extends RpcError {
  static override readonly code = -32007;
  static override readonly executed: Executed = "yes";
}

/** The caller cancelled the call. */
export class Cancelled extends RpcError {
  static override readonly code = -32800;
}

/** The connection could not be made, or was lost. Never sent. */
export class TransportError extends RpcError {
  static override readonly retryable: boolean = true;
}

/** No connection could be made. */
export class ConnectFailed extends TransportError {
  static override readonly executed: Executed = "no";
}

/** The call never left this side. */
export class NotSent extends TransportError {
  static override readonly executed: Executed = "no";
}

/** The connection broke while the call was under way: what came of it is not known. */
export class ConnectionLost extends TransportError {}

/** This side has closed the connection. */
export class ConnectionClosed extends TransportError {
  static override readonly executed: Executed = "no";
  static override readonly retryable = false;
}

/** The root of the errors that a service declares. */
export class ServiceError extends RpcError {
  static override readonly code = -32000;
  static override readonly executed: Executed = "yes";
}

/** A class of errors. */
export type ErrorClass = new (message: string, facts?: ErrorFacts) => RpcError;

/** The names of the classes, which a minifier must not change. */
const errorNames = new Map<unknown, string>(
  Object.entries({
    RpcError, ProtocolError, LocalProtocolError, RemoteProtocolError, ParseError, InvalidRequest, MethodNotFound,
    InvalidParams, InternalError, Unauthenticated, PermissionDenied, Busy, DeadlineExceeded, TooLarge, Unavailable,
    SlowConsumer, Cancelled, TransportError, ConnectFailed, NotSent, ConnectionLost, ConnectionClosed, ServiceError,
  }).map(([name, cls]) => [cls, name]),
);

const classesByCode = new Map<number, ErrorClass>(
  [
    ParseError, InvalidRequest, MethodNotFound, InvalidParams, InternalError, Unauthenticated, PermissionDenied, Busy,
    DeadlineExceeded, TooLarge, Unavailable, SlowConsumer, Cancelled, ServiceError,
  ].map((cls) => [cls.code, cls]),
);

/** Makes the error for an error object that has arrived. `declared` has the classes that the method declares, by their
 * names on the wire. */
export function errorOf(wire: WireError, declared?: Readonly<Record<string, ErrorClass>>): RpcError {
  const data = isRecord(wire.data) ? wire.data : {};
  const executed = data["executed"];
  const name = typeof data["type"] === "string" ? data["type"] : undefined;
  const after = data["retry_after_ms"];
  const known = name !== undefined && declared !== undefined && Object.hasOwn(declared, name) ? declared[name] : undefined;
  const cls = known ?? classesByCode.get(wire.code) ?? RpcError;
  return new cls(wire.message, {
    executed: executed === "no" || executed === "yes" || executed === "unknown" ? executed : undefined,
    retryable: typeof data["retryable"] === "boolean" ? data["retryable"] : undefined,
    retryAfterMs: typeof after === "number" ? after : undefined,
    errors: Array.isArray(data["errors"]) ? data["errors"].filter(isRecord) : [],
    details: isRecord(data["details"]) ? data["details"] : {},
    code: wire.code,
    type: name,
  });
}

/** Tells whether a value is an object with members. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads an error object. One that is malformed becomes one that says so. */
export function wireErrorOf(value: unknown): WireError {
  if (!isRecord(value) || typeof value["code"] !== "number") {
    return { code: -32603, message: "the other side's error object is malformed" };
  }
  const { message } = value;
  return { code: value["code"], message: typeof message === "string" ? message : "", data: value["data"] };
}

/** Returns the text of whatever was thrown. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
