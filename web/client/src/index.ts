/** The client of remote-services for browsers and Node. */

export { Batch } from "./batch.js";
export { Client } from "./client.js";
export type { ConnectionState, StateListener } from "./connector.js";
export {
  Group, type EventNews, type FollowOptions, type GroupEvent, type GroupNode, type GroupPolicy, type GroupService, type GroupTarget,
  type Outcome,
} from "./group.js";
export { Outcomes } from "./outcomes.js";
export type { BrowserSession, CallOptions, ClientOptions, Secret } from "./options.js";
export type { Socket, SocketClass } from "./socket.js";
export type { Subprotocol } from "./codec/form.js";
export { RpcStream } from "./stream.js";
export { defineService, type ServiceStub, type StubMethod } from "./stub.js";
export type { Shape } from "./shapes.js";
export type { Handler, HandlerContext } from "./wire/handlers.js";
export type { CallContext, Params, Progress } from "./wire/messages.js";
export type { Source } from "./wire/upload.js";
export { Duration, Exact, FrozenSet, Tuple, type TextKind } from "./values/kinds.js";
export { loadRows } from "./values/rows.js";
export { fromTagged, toTagged } from "./values/tagged.js";
export {
  Busy, Cancelled, ConnectFailed, ConnectionClosed, ConnectionLost, DeadlineExceeded, InternalError, InvalidParams,
  InvalidRequest, LocalProtocolError, MethodNotFound, NotSent, ParseError, PermissionDenied, ProtocolError,
  RemoteProtocolError, RpcError, ServiceError, SlowConsumer, TooLarge, TransportError, Unauthenticated, Unavailable,
} from "./errors.js";
export type { ErrorClass, ErrorFacts, Executed, FieldError, WireError } from "./errors.js";
