/** Makes calls over a client's connection, and again over another one if the first has not sent them. */

import type { Connector } from "./connector.js";
import { errorOf, NotSent, type ErrorClass } from "./errors.js";
import { contextOf, DEFAULT_DEADLINE_MS, timeoutOf, type CallOptions } from "./options.js";
import { RpcStream } from "./stream.js";
import type { Inbox } from "./wire/inbox.js";
import type { Params } from "./wire/messages.js";
import type { Peer, PeerCall } from "./wire/peer.js";
import type { Source } from "./wire/upload.js";

/** What is known of a method. Nothing but its name has to be. */
export interface Method {
  readonly name: string;
  /** The deadline where the caller gives none, in milliseconds. */
  readonly deadlineMs?: number;
  /** The names of the parameters that are streams, and what is sent of an item. */
  readonly uploads?: Readonly<Record<string, (item: unknown, isPacked: boolean) => unknown>>;
  /** Whether the answer is a stream. */
  readonly isStream?: boolean;
  /** Whether only the newest item of the answered stream counts. */
  readonly isLatest?: boolean;
  /** The classes of the errors that it declares. */
  readonly errors?: Readonly<Record<string, ErrorClass>>;
  /** Makes what is sent of the parameters. */
  readonly dump?: (params: Params, isPacked: boolean) => Params;
  /** Reads a result, or an item of the answered stream. */
  readonly load?: (value: unknown, isPacked: boolean) => unknown;
}

/** The calls of one client. */
export class Calls {
  constructor(
    readonly connector: Connector,
    readonly defaults: CallOptions,
  ) {}

  /** Calls a method.
   * @param first - the connection that is tried first; the client's where not given.
   * @throws RpcError: in the promise. */
  async call(method: Method, params: Params, options: CallOptions = {}, first?: Peer): Promise<unknown> {
    const [peer, value] = await this.#perform(method, params, { ...this.defaults, ...options }, false, first);
    return method.load === undefined ? value : method.load(value, peer.session.form.packed);
  }

  /** Sends a notification.
   * @throws RpcError: in the promise. It could not be sent. */
  async notify(method: string, params: Params, options: CallOptions = {}): Promise<void> {
    const all = { ...this.defaults, ...options };
    const until = performance.now() + timeoutOf(all, DEFAULT_DEADLINE_MS);
    const peer = await this.connector.peer(until, all.signal, all.resend !== false);
    peer.notify(method, params);
  }

  /** Makes a stream that calls a method when it is read. */
  stream(method: Method, params: Params, options: CallOptions = {}): RpcStream<unknown> {
    let isPacked = false;
    return new RpcStream({
      begin: async () => {
        const [peer, inbox] = await this.#perform(method, params, { ...this.defaults, ...options }, true);
        isPacked = peer.session.form.packed;
        return inbox as Inbox;
      },
      load: (item) => (method.load === undefined ? item : method.load(item, isPacked)),
      errors: method.errors,
    });
  }

  async #perform(
    method: Method, params: Params, options: CallOptions, isStream: boolean, first?: Peer,
  ): Promise<readonly [Peer, unknown]> {
    const timeoutMs = timeoutOf(options, method.deadlineMs ?? DEFAULT_DEADLINE_MS);
    const until = performance.now() + timeoutMs;
    for (let next = first; ; next = undefined) {
      const live = next ?? (this.connector.live?.isWritable === true ? this.connector.live : undefined);
      const peer = live ?? await this.connector.peer(until, options.signal, options.resend !== false);
      const leftMs = timeoutOf({ timeoutMs: until - performance.now() }, timeoutMs);
      try {
        return [peer, await peer.call(makeCall(method, params, options, leftMs, isStream, peer.session.form.packed))];
      } catch (error) {
        // It was not sent, and no item of its streams was taken: it may be sent again.
        const mayRetry = options.resend !== false && this.connector.options.reconnect !== false;
        if (!(error instanceof NotSent) || !mayRetry) throw error;
      }
    }
  }
}

function makeCall(
  method: Method, params: Params, options: CallOptions, leftMs: number, isStream: boolean, isPacked: boolean,
): PeerCall {
  const given = params === undefined || method.dump === undefined ? params : method.dump(params, isPacked);
  return {
    method: method.name,
    params: given,
    ctx: contextOf(options, leftMs),
    timeoutMs: leftMs,
    signal: options.signal,
    progress: options.progress,
    reads: isStream ? { window: options.window, isLatest: method.isLatest === true } : undefined,
    uploads: method.uploads === undefined ? undefined : sourcesOf(method.uploads, params, isPacked),
    toError: method.errors === undefined ? undefined : (error) => errorOf(error, method.errors),
  };
}

function sourcesOf(
  uploads: NonNullable<Method["uploads"]>, params: Params, isPacked: boolean,
): NonNullable<PeerCall["uploads"]> {
  const named = (params ?? {}) as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    Object.entries(uploads)
      .filter(([name]) => named[name] !== undefined)
      .map(([name, dump]) => [
        name,
        { source: named[name] as Source, dump: (item: unknown): unknown => dump(item, isPacked) },
      ]),
  );
}
