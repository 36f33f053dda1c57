/** Nodes of a group that are called together, and the events of nodes. */

import type { Calls, Method } from "./calls.js";
import { errorOf, InvalidParams, wireErrorOf, type Executed, type RpcError } from "./errors.js";
import type { CallOptions } from "./options.js";
import { Outcomes } from "./outcomes.js";
import type { RpcStream } from "./stream.js";
import type { ServiceStub } from "./stub.js";
import type { Params, Progress } from "./wire/messages.js";

/** Which nodes. */
export type GroupTarget =
  | { readonly selector: string }
  | { readonly names: readonly string[] }
  | { readonly everyone: true };

/** In which order and how many nodes are called at a time. */
export interface GroupPolicy {
  readonly parallel?: number;
  readonly batch?: number;
  readonly stop_after_failures?: number;
  readonly canary?: number;
  /** End when so many nodes are `ok`. */
  readonly enough?: number;
  /** Ask one node after another, until one is `ok`. */
  readonly one?: true;
}

/** A node that is asked. */
export interface GroupNode {
  readonly name: string;
  readonly id: string;
  readonly epoch: number;
}

/** What has come of a call at one node. */
export interface Outcome<T = unknown> {
  readonly kind: "outcome";
  readonly name: string;
  readonly id: string | null;
  readonly epoch: number | null;
  /** `ok`, `error`, or why there is no answer. */
  readonly state: string;
  readonly executed: Executed;
  readonly durationS: number;
  /** The result, if the state is `ok`. */
  readonly result: T | undefined;
  /** The error, if there is one. */
  readonly error: RpcError | undefined;
  /** How many items of its stream have come, and how many were lost. */
  readonly items: number;
  readonly itemsLost: number;
}

/** What happens while nodes are called. */
export type GroupEvent<T = unknown> =
  | {
      readonly kind: "start";
      readonly nodes: readonly GroupNode[];
      readonly unknown: readonly string[];
      readonly isSettled: boolean;
    }
  /** Of a node, by its id. */
  | { readonly kind: "item"; readonly node: string; readonly item: T; readonly lost: number }
  | { readonly kind: "progress"; readonly node: string; readonly progress: Progress }
  | Outcome<T>;

/** What is told of an event, or of a node that tells its events. */
export interface EventNews {
  readonly kind: "event" | "lost" | "resync" | "following" | "refused" | "gone";
  readonly node: string;
  readonly id: string;
  readonly event: string | null;
  readonly seq: number | null;
  readonly lost: number;
  readonly value: unknown;
  readonly reason: string | null;
}

/** How events are followed. */
export interface FollowOptions extends CallOptions {
  /** What becomes of events while the reader is slow; `drop_oldest` where not given. */
  readonly policy?: "drop_oldest" | "latest" | "close" | undefined;
  /** How many events may wait at the server. */
  readonly bufferItems?: number | undefined;
}

/** The methods of a service at many nodes: each answers with an outcome for each node, or with the events of its streams. */
export type GroupService<T> = {
  readonly [Name in keyof T]: T[Name] extends (params: infer P, options?: CallOptions) => RpcStream<infer Item>
    ? (params: P, options?: CallOptions) => RpcStream<GroupEvent<Item>>
    : T[Name] extends (params: infer P, options?: CallOptions) => Promise<infer Result>
      ? (params: P, options?: CallOptions) => Outcomes<Result>
      : never;
};

/** Nodes that are called together. */
export class Group {
  constructor(
    readonly calls: Calls,
    readonly target: GroupTarget,
    readonly policy: GroupPolicy | undefined,
  ) {}

  /** Calls a method on all nodes. Wait for all outcomes, or take each as it comes:
   * `for await (const outcome of group.call("desk.add", [1, 2]))`. */
  call<T = unknown>(method: string, params?: Params, options?: CallOptions): Outcomes<T> {
    return new Outcomes(this.events<T>(method, params, options));
  }

  /** Calls a method on all nodes, and returns a stream of what happens: items, progress and outcomes. */
  events<T = unknown>(method: string, params?: Params, options?: CallOptions): RpcStream<GroupEvent<T>> {
    return this.#perform({ name: method }, params, options) as RpcStream<GroupEvent<T>>;
  }

  /** Returns the methods of a service, as its stub has them, for all nodes. */
  service<T>(stub: ServiceStub<T>): GroupService<T> {
    const bound = [...stub.methods].map(([short, method]) => [
      short,
      (params?: Params, options?: CallOptions): unknown => {
        const events = this.#perform(method, params, options);
        return method.isStream === true ? events : new Outcomes(events);
      },
    ]);
    return Object.fromEntries(bound) as GroupService<T>;
  }

  /** Follows events of the nodes, also of those that join later.
   * @param events - their full names; all that the caller may follow where not given. */
  subscribe(events?: readonly string[], options?: FollowOptions): RpcStream<EventNews> {
    return follow(this.calls, this.target, events, options);
  }

  #perform(method: Method, params: Params, options: CallOptions | undefined): RpcStream<GroupEvent> {
    if (method.uploads !== undefined) throw new InvalidParams(`${method.name}: takes streams, so it has one node at a time`);
    const { target, policy } = this;
    const call: Method = {
      name: "rpc.call_nodes",
      ...(method.deadlineMs === undefined ? {} : { deadlineMs: method.deadlineMs }),
      dump: (_, isPacked) => ({
        target,
        method: method.name,
        params: (method.dump === undefined ? params : method.dump(params, isPacked)) ?? {},
        ...(policy === undefined ? {} : { policy }),
      }),
      load: (event, isPacked) => readEvent(event as Record<string, unknown>, method, isPacked),
    };
    return this.calls.stream(call, {}, options) as RpcStream<GroupEvent>;
  }
}

function readEvent(event: Record<string, unknown>, method: Method, isPacked: boolean): GroupEvent {
  const load = (value: unknown): unknown => (method.load === undefined ? value : method.load(value, isPacked));
  const { kind, node } = event;
  if (kind === "item") return { kind, node, item: load(event["item"]), lost: event["lost"] ?? 0 } as GroupEvent;
  if (kind === "progress") {
    const { done, total, message } = event;
    return { kind, node, progress: { done, total, message } } as GroupEvent;
  }
  if (kind === "start") {
    const { nodes, unknown, is_settled: isSettled } = event;
    return { kind, nodes, unknown, isSettled } as GroupEvent;
  }
  const { name, id, epoch, state, executed, error } = event;
  return {
    kind: "outcome", name, id: id ?? null, epoch: epoch ?? null, state, executed,
    durationS: event["duration_s"],
    result: state === "ok" && "result" in event && method.isStream !== true ? load(event["result"]) : undefined,
    error: error == null ? undefined : errorOf(wireErrorOf(error), method.errors),
    items: event["items"] ?? 0,
    itemsLost: event["items_lost"] ?? 0,
  } as Outcome;
}

/** Follows events.
 * @param target - of these nodes; of the server alone where not given.
 * @param events - their full names; all that the caller may follow where not given. */
export function follow(
  calls: Calls, target: GroupTarget | undefined, events: readonly string[] | undefined, options: FollowOptions = {},
): RpcStream<EventNews> {
  const { policy, bufferItems, ...rest } = options;
  const params = {
    ...(events === undefined ? {} : { events }),
    ...(target === undefined ? {} : { target }),
    ...(policy === undefined ? {} : { policy }),
    ...(bufferItems === undefined ? {} : { buffer_items: bufferItems }),
  };
  return calls.stream({ name: "rpc.follow" }, params, rest) as RpcStream<EventNews>;
}
