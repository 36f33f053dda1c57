/** The client. */

import { Calls } from "./calls.js";
import { Connector, type ConnectionState, type StateListener } from "./connector.js";
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
  readonly #offers = new Map<string, Handler>();

  /**
   * @param url - `ws://host:port` or `wss://host:port`; in a page, the server that it came from where not given.
   * @param options - see {@link ClientOptions}.
   * @throws ConnectFailed: the URL cannot be used, or the token must not be sent there.
   */
  constructor(url?: string, options: ClientOptions = {}) {
    this.#connector = new Connector(addressOf(url), options, this.#offers);
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

  /** Returns the methods of a service: of a stub that `rpcserver stubs --language typescript` has written, or, by its
   * name, of any service. Each takes its parameters and then options. Without a stub, an answer is awaited, and a stream
   * iterated over. */
  service<T>(stub: ServiceStub<T>): T;
  service<T extends object>(name: string): T;
  service(service: ServiceStub<unknown> | string): unknown {
    return typeof service === "string" ? makeProxy(this.#calls, service) : service.bind(this.#calls);
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
