/** The client. */

import { Batch } from "./batch.js";
import { Calls } from "./calls.js";
import { Connector, type ConnectionState, type StateListener } from "./connector.js";
import { ConnectFailed } from "./errors.js";
import { follow, Group, type EventNews, type FollowOptions, type GroupPolicy } from "./group.js";
import { addressOf, type CallOptions, type ClientOptions } from "./options.js";
import { makeProxy } from "./proxy.js";
import type { RpcStream } from "./stream.js";
import type { ServiceStub } from "./stub.js";
import type { Handler } from "./wire/handlers.js";
import type { Params } from "./wire/messages.js";

/** Calls the services of a server, and offers services to it, over one connection.
 *
 * ```ts
 * const client = new Client("wss://server.example:8765", { token });
 * const sum = await client.call<number>("desk.add", [1, 2]);
 * for await (const number of client.stream<number>("desk.count", { to: 10 })) console.log(number);
 * ```
 */
export class Client {
  readonly #connector: Connector;
  readonly #calls: Calls;
  readonly #options: ClientOptions;
  readonly #offers = new Map<string, Handler>();

  /**
   * @param url - `ws://host:port` or `wss://host:port`, or several, of which any will do; in a page, the server that it came
   *   from where not given.
   * @param options - see {@link ClientOptions}.
   * @throws ConnectFailed: the URL cannot be used, or the token must not be sent there.
   */
  constructor(url?: string | readonly string[], options: ClientOptions = {}) {
    const urls = typeof url === "string" || url === undefined ? [url] : url;
    if (urls.length === 0) throw new ConnectFailed("url: give one at least", { retryable: false });
    this.#options = options;
    this.#connector = new Connector(urls.map(addressOf), options, this.#offers);
    this.#calls = new Calls(this.#connector, { timeoutMs: options.timeoutMs });
  }

  /** The address of the server. */
  get url(): string {
    return this.#connector.address;
  }

  /** What the connection is doing. */
  get state(): ConnectionState {
    return this.#connector.state;
  }

  /** Calls a function with each new state of the connection. Returns what ends it. */
  watch(listener: StateListener): () => void {
    return this.#connector.watch(listener);
  }

  /** Connects now, rather than at the first call.
   * @throws RpcError: in the promise. The server cannot be reached, or refuses. */
  async connect(options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {}): Promise<this> {
    // By default a little longer than one attempt takes, so that the attempt itself says what is wrong.
    const timeoutMs = options.timeoutMs ?? this.#connector.connectTimeoutMs * 3 + 1000;
    await this.#connector.peer(performance.now() + timeoutMs, options.signal, true);
    return this;
  }

  /** Closes the connection, and makes no other. Calls under way fail with `ConnectionLost`. What was sent before arrives
   * first, if the server reads it within `timeoutMs` (5 s); after that, this side counts the connection as closed. */
  async close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    await this.#connector.close(options.timeoutMs);
  }

  /** Closes the connection, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Calls a method.
   * @param method - the full name, such as `programs.run`.
   * @param params - by name (an object) or by position (an array).
   * @throws RpcError: in the promise. The subclass says how the call has failed. */
  async call<T = unknown>(method: string, params?: Params, options?: CallOptions): Promise<T> {
    return (await this.#calls.call({ name: method }, params, options)) as T;
  }

  /** Sends a notification: the method runs, but the server sends no answer, not even an error.
   * @throws RpcError: in the promise. It could not be sent. */
  async notify(method: string, params?: Params, options?: CallOptions): Promise<void> {
    await this.#calls.notify(method, params, options);
  }

  /** Calls a method that answers with a stream. The call is made when the stream is read. */
  stream<T = unknown>(method: string, params?: Params, options?: CallOptions): RpcStream<T> {
    return this.#calls.stream({ name: method }, params, options) as RpcStream<T>;
  }

  /** Calls a method whose parameters have streams: arrays, generators, or anything else that can be iterated over.
   * @param streams - the names of these parameters.
   * @throws RpcError: in the promise. */
  async upload<T = unknown>(
    method: string, params: Readonly<Record<string, unknown>>, streams: readonly string[], options?: CallOptions,
  ): Promise<T> {
    const uploads = Object.fromEntries(streams.map((name) => [name, (item: unknown): unknown => item]));
    return (await this.#calls.call({ name: method, uploads }, params, options)) as T;
  }

  /** Makes a batch: several calls and notifications that leave together, in one frame.
   * @param options - those of each call; the deadline is that of all together. */
  batch(options: CallOptions = {}): Batch {
    return new Batch(this.#calls, options);
  }

  /** Returns the methods of a service: of a stub that `rpcserver stubs --language typescript` has written, or, by its
   * name, of any service. Each takes its parameters and then options. Without a stub, an answer is awaited, and a stream
   * iterated over. */
  service<T>(stub: ServiceStub<T>): T;
  service<T extends object>(name: string): T;
  service(service: ServiceStub<unknown> | string): unknown {
    return typeof service === "string" ? makeProxy(this.#calls, service) : service.bind(this.#calls);
  }

  /** Makes a client of another node of the server's group, which the server leads to. It has a connection of its own: close
   * it, too.
   * @param name - the name or the id of the node. */
  node(name: string): Client {
    const { ticket } = this.#options;
    const options = { ...this.#options, node: name, ticket: undefined };
    if (ticket === undefined) return new Client(this.#connector.addresses, options);
    const session = async (): Promise<string> => {
      if (this.#connector.credentials.sessionSecret === undefined) await this.connect(); // A ticket is good once.
      return this.#connector.credentials.sessionSecret ?? "";
    };
    return new Client(this.#connector.addresses, { ...options, session });
  }

  /** Returns nodes of the server's group that are called together.
   * @param nodes - a selector, such as `role=web`, or names and ids.
   * @param policy - in which order and how many at a time. */
  group(nodes: string | readonly string[], policy?: GroupPolicy): Group {
    return new Group(this.#calls, typeof nodes === "string" ? { selector: nodes } : { names: nodes }, policy);
  }

  /** Returns all nodes of the server's group, or the server alone where it has none. */
  everyone(policy?: GroupPolicy): Group {
    return new Group(this.#calls, { everyone: true }, policy);
  }

  /** Follows events of the server's services.
   * @param events - their full names, such as `programs.program_ended`; all that the caller may follow where not given. */
  subscribe(events?: readonly string[], options?: FollowOptions): RpcStream<EventNews> {
    return follow(this.#calls, undefined, events, options);
  }

  /** Offers methods to the server, on this connection and on those that follow it. Nothing keeps the connection but the
   * client: connect, if no call of yours does.
   * @param service - the name before the dot.
   * @param methods - the functions by the names of their methods.
   * @returns what ends the offer. */
  offer(service: string, methods: Readonly<Record<string, Handler>>): () => void {
    for (const [name, handler] of Object.entries(methods)) this.#offers.set(`${service}.${name}`, handler);
    return () => {
      for (const name of Object.keys(methods)) this.#offers.delete(`${service}.${name}`);
    };
  }
}
