/** Keeps a connection to one server: makes it, and makes another one when it is lost. */

import { Credentials } from "./authentication.js";
import { Pauses } from "./backoff.js";
import { ConnectFailed, ConnectionClosed, NotSent, RpcError, textOf } from "./errors.js";
import { Heartbeat } from "./heartbeat.js";
import { watchWaking } from "./lifecycle.js";
import { checkSecrecy, type ClientOptions } from "./options.js";
import { dial, type SocketClass, type SocketLink } from "./socket.js";
import type { Offers } from "./wire/handlers.js";
import { DEFAULT_LIMITS } from "./wire/limits.js";
import { abortError, Peer } from "./wire/peer.js";
import { Session } from "./wire/session.js";

/** What a connection is doing. `lost` lasts until there is another one. */
export type ConnectionState = "idle" | "connecting" | "connected" | "lost" | "closed";

/** Called with each new state, and with the error that has led to it. */
export type StateListener = (state: ConnectionState, error: RpcError | undefined) => void;

/** How long the other side may take to answer our close, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;

interface Live {
  readonly peer: Peer;
  readonly link: SocketLink;
  readonly heartbeat: Heartbeat;
}

/** The connection of one client. */
export class Connector {
  state: ConnectionState = "idle";
  readonly #listeners = new Set<StateListener>();
  readonly #pauses = new Pauses();
  readonly credentials: Credentials;
  /** Which of the addresses is the one to use. */
  #current = 0;
  #live: Live | undefined;
  #connecting: Promise<Peer> | undefined;
  #endPause: (() => void) | undefined;
  #failure: RpcError | undefined;
  #wasConnected = false;
  #isClosed = false;
  #unwatch: (() => void) | undefined;

  /**
   * @param addresses - the addresses of the WebSocket: any of them will do.
   * @param options - those of the client.
   * @param offers - what the client offers.
   */
  constructor(
    readonly addresses: readonly string[],
    readonly options: ClientOptions,
    readonly offers: Offers,
  ) {
    for (const address of addresses) checkSecrecy(address, options);
    this.credentials = new Credentials(options);
  }

  /** The address in use. */
  get address(): string {
    return this.addresses[this.#current] ?? "";
  }

  /** How long one attempt to connect may take, in milliseconds. */
  get connectTimeoutMs(): number {
    return this.options.connectTimeoutMs ?? 10_000;
  }

  /** The connection, if it takes calls. */
  get live(): Peer | undefined {
    return this.#live?.peer.isOpen === true ? this.#live.peer : undefined;
  }

  /** Calls a function with each new state. Returns what ends it. */
  watch(listener: StateListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Writes a line for whoever looks after the program. */
  log(text: string, error?: unknown): void {
    if (this.options.log !== undefined) this.options.log(text, error);
    else if (error === undefined) console.warn(`remote-services: ${text}`);
    else console.warn(`remote-services: ${text}`, error);
  }

  /** Returns the connection once it takes output, and makes it first if there is none.
   * @param until - until when to try, on the clock of `performance.now`.
   * @param signal - ends the waiting.
   * @param mayReconnect - whether to make another connection if there was one before.
   * @throws RpcError: in the promise. */
  async peer(until: number, signal: AbortSignal | undefined, mayReconnect: boolean): Promise<Peer> {
    const peer = this.live;
    if (peer !== undefined) {
      return await this.#wait(peer.waitWritable().then(() => peer), until, signal, "the connection took no output");
    }
    if (this.#isClosed) throw new ConnectionClosed("the client is closed");
    if (this.#wasConnected && this.options.reconnect === false) {
      throw new ConnectionClosed("the connection is gone, and reconnect is off");
    }
    if (this.#wasConnected && !mayReconnect) throw new NotSent("the connection has ended");
    return await this.#wait(this.#begin(), until, signal, "no connection could be made");
  }

  async #wait(
    ready: Promise<Peer>, until: number, signal: AbortSignal | undefined, otherwise: string,
  ): Promise<Peer> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let onAbort: (() => void) | undefined;
    const limit = new Promise<never>((_, reject) => {
      const leftMs = until - performance.now();
      if (leftMs < 2 ** 31 - 1) {
        timer = setTimeout(() => {
          const why = this.#failure === undefined ? "" : `: ${this.#failure.message}`;
          reject(new NotSent(`${otherwise} before the deadline${why}`, { cause: this.#failure }));
        }, leftMs);
      }
      onAbort = () => {
        reject(abortError(signal, "no"));
      };
      if (signal?.aborted === true) onAbort();
      signal?.addEventListener("abort", onAbort, { once: true });
    });
    try {
      return await Promise.race([ready, limit]);
    } finally {
      clearTimeout(timer);
      if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    }
  }

  #begin(): Promise<Peer> {
    if (this.#connecting === undefined) {
      this.#unwatch ??= watchWaking(() => {
        this.#wake();
      });
      this.#move("connecting", undefined);
      const connecting = this.#connect();
      this.#connecting = connecting;
      connecting.then(
        () => {
          this.#connecting = undefined;
          if (this.live === undefined) this.#comeBack();
        },
        (error: unknown) => {
          this.#connecting = undefined;
          if (!this.#isClosed) this.#move(this.#wasConnected ? "lost" : "idle", error as RpcError);
        },
      );
    }
    return this.#connecting;
  }

  /** Connects. If there was a connection before, tries again until one is made or the server refuses for good. */
  async #connect(): Promise<Peer> {
    let pauseMs = this.#pauses.beforeFirstMs();
    for (;;) {
      await this.#pause(pauseMs);
      try {
        return await this.#connectAny();
      } catch (error) {
        const failure = error instanceof RpcError ? error : new ConnectFailed(textOf(error), { cause: error });
        if (!this.#wasConnected || !(failure instanceof ConnectFailed) || !failure.retryable) {
          this.#pauses.forgetFailures();
          throw failure;
        }
        this.#failure = failure;
        pauseMs = this.#pauses.afterFailureMs(failure);
        if (!this.#isClosed) this.#move("connecting", failure);
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    if (ms <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endPause = undefined;
  }

  /** Tries each address once, the one that was good last first. */
  async #connectAny(): Promise<Peer> {
    for (let left = this.addresses.length; ; ) {
      try {
        return await this.#connectOnce();
      } catch (error) {
        left--;
        if (left === 0 || !(error instanceof ConnectFailed) || !error.retryable) throw error;
        this.#current = (this.#current + 1) % this.addresses.length;
      }
    }
  }

  async #connectOnce(): Promise<Peer> {
    this.#checkOpen();
    const { options } = this;
    const socketClass = options.WebSocket ?? (globalThis as { WebSocket?: SocketClass }).WebSocket;
    if (socketClass === undefined) {
      throw new ConnectFailed("WebSocket: give a class, since there is no global one here", { retryable: false });
    }
    const subprotocols = options.subprotocol === undefined
      ? (["rpc.v1.msgpack", "rpc.v1.json"] as const)
      : [options.subprotocol];
    const link = await dial(this.address, subprotocols, socketClass, this.connectTimeoutMs);
    const peer = new Peer(new Session(link.form, DEFAULT_LIMITS), link, this.offers, (text, error) => {
      this.log(text, error);
    });
    let reason: string | undefined;
    link.owner = {
      received: (frame) => {
        peer.receive(frame);
      },
      ended: (why) => {
        reason = why;
        peer.linkLost(why);
        this.#onEnd(peer, why);
      },
    };
    try {
      await this.credentials.greet(peer, this.connectTimeoutMs);
      this.#checkOpen();
    } catch (error) {
      link.abandon("the server did not let us in");
      if (reason === undefined || error instanceof ConnectionClosed || !isLoss(error)) throw error;
      throw new ConnectFailed(`${this.address}: the connection ended at once: ${reason}`, { cause: error });
    }
    return this.#adopt(peer, link);
  }

  #adopt(peer: Peer, link: SocketLink): Peer {
    const { pingIntervalMs = 20_000, pingTimeoutMs = 20_000 } = this.options;
    const heartbeat = new Heartbeat(peer, pingIntervalMs, pingTimeoutMs, (why) => {
      link.abandon(why);
    });
    this.#live = { peer, link, heartbeat };
    this.#wasConnected = true;
    this.#failure = undefined;
    this.#pauses.noteConnection();
    this.#move("connected", undefined);
    return peer;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new ConnectionClosed("the client was closed");
  }

  #onEnd(peer: Peer, reason: string): void {
    if (this.#live?.peer !== peer) return;
    this.#live.heartbeat.stop();
    this.#live = undefined;
    this.#pauses.noteLoss(peer.hasReceived);
    if (this.#isClosed) return;
    this.#move("lost", new ConnectFailed(`${this.address}: the connection ended: ${reason}`));
    this.#comeBack();
  }

  /** Connects again by itself, so that the page is ready, and the server finds what is offered. */
  #comeBack(): void {
    if (this.#isClosed || this.options.reconnect === false || this.#connecting !== undefined) return;
    this.#begin().catch(() => undefined); // The state tells, and whoever calls is told.
  }

  /** The page or the network is back: waits for nothing more, and makes sure that the connection lives. */
  #wake(): void {
    this.#endPause?.();
    this.#live?.heartbeat.check();
    if (this.live === undefined && this.#wasConnected) this.#comeBack();
  }

  #move(state: ConnectionState, error: RpcError | undefined): void {
    this.state = state;
    for (const listener of this.#listeners) {
      try {
        listener(state, error);
      } catch (thrown) {
        this.log("a function that watches the connection has failed", thrown);
      }
    }
  }

  /** Closes the connection, and makes no other. What was sent before arrives first, if the other side reads it in time.
   * @param timeoutMs - how long to wait for that, and for the other side's close. */
  async close(timeoutMs = CLOSE_TIMEOUT_MS): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unwatch?.();
    this.#endPause?.();
    if (this.#live !== undefined) await this.#closeLive(this.#live, timeoutMs);
    this.#move("closed", undefined);
  }

  async #closeLive({ peer, link, heartbeat }: Live, timeoutMs: number): Promise<void> {
    heartbeat.stop();
    const { owner } = link;
    const ended = new Promise<void>((resolve) => {
      link.owner = {
        received: (frame) => owner?.received(frame),
        ended: (why) => {
          owner?.ended(why);
          resolve();
        },
      };
    });
    const timer = setTimeout(() => {
      link.abandon("closed by this side");
    }, timeoutMs);
    if (!peer.isWaiting) await peer.waitWritable();
    peer.flush();
    link.close(1000, "");
    await ended;
    clearTimeout(timer);
  }
}

/** Tells whether a call has failed because its connection has ended. */
function isLoss(error: unknown): boolean {
  return error instanceof RpcError && (error.type === "ConnectionLost" || error.type === "NotSent");
}
