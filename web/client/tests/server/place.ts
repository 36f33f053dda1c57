/** Where the server of these tests is, a client of it, and a way to it that can be cut. */

import { connect, createServer, type AddressInfo, type Server, type Socket as TcpSocket } from "node:net";

import { WebSocket } from "ws";

import { Client, type ClientOptions, type SocketClass } from "../../src/index.js";

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: tests/web/test_client.py starts the server and sets it`);
  return value;
}

export const url = required("TEST_SERVER_URL");
export const token = required("TEST_SERVER_TOKEN");

/** The class of WebSockets that is no browser's: this client takes any. */
export const WsSocket = WebSocket as unknown as SocketClass;

/** Makes a client of the server. */
export function makeClient(options: ClientOptions & { readonly url?: string | readonly string[] } = {}): Client {
  return new Client(options.url ?? url, { token, WebSocket: WsSocket, ...options });
}

/** Waits until something happens. */
export class Happening<T = void> {
  readonly promise: Promise<T>;
  happen!: (value: T) => void;

  constructor() {
    this.promise = new Promise((resolve) => (this.happen = resolve));
  }
}

/** Relays to the server. It can cut its connections, and stop listening. */
export class Relay {
  readonly #pairs = new Set<readonly [TcpSocket, TcpSocket]>();
  #server: Server | undefined;
  #port = 0;
  /** Whether what comes is swallowed in both directions: the network is gone, and nobody is told. */
  isDeaf = false;
  #isPaused = false;
  /** How many connections there were. */
  connections = 0;

  get url(): string {
    return `ws://127.0.0.1:${this.#port.toString()}`;
  }

  async start(): Promise<this> {
    const { hostname, port } = new URL(url);
    this.#server = createServer((near) => {
      this.connections++;
      const far = connect(Number(port), hostname);
      if (this.#isPaused) near.pause();
      const pair = [near, far] as const;
      this.#pairs.add(pair);
      for (const [from, to] of [pair, [far, near] as const]) {
        from.on("data", (data) => {
          if (!this.isDeaf) to.write(data);
        });
        from.on("error", () => to.destroy());
        from.on("close", () => {
          to.destroy();
          this.#pairs.delete(pair);
        });
      }
    });
    const server = this.#server;
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
    return this;
  }

  /** Reads nothing from clients: what they send stays in their sockets. */
  pause(): void {
    this.#isPaused = true;
    for (const [near] of this.#pairs) near.pause();
  }

  /** Reads again. */
  resume(): void {
    this.#isPaused = false;
    for (const [near] of this.#pairs) near.resume();
  }

  /** Cuts all connections. */
  cut(): void {
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  /** Cuts all connections, and accepts none. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.cut();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }
}
