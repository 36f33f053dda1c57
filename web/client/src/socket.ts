/** A WebSocket as a link: that of a browser, of Node 22 and later, or any other with the same interface. */

import { msgpackForm } from "./codec/msgpack.js";
import { jsonForm } from "./codec/json.js";
import type { Form, Frame, Subprotocol } from "./codec/form.js";
import { ConnectFailed } from "./errors.js";
import type { Link } from "./wire/peer.js";

/** What this client needs of a WebSocket. */
export interface Socket {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  readonly protocol: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

/** Makes WebSockets, as the browser's own class does. */
export type SocketClass = new (url: string, protocols: string[]) => Socket;

const OPEN = 1;

const forms: Readonly<Record<Subprotocol, Form>> = { "rpc.v1.msgpack": msgpackForm, "rpc.v1.json": jsonForm };

/** What a link tells its owner. */
export interface LinkOwner {
  received(frame: Frame): void;
  /** The connection has ended. It is called once. */
  ended(reason: string): void;
}

/** The link over one WebSocket. */
export class SocketLink implements Link {
  owner: LinkOwner | undefined;
  #isOver = false;

  constructor(
    readonly socket: Socket,
    readonly form: Form,
  ) {
    socket.onmessage = (event: { data: string | ArrayBuffer }) => {
      this.owner?.received(typeof event.data === "string" ? event.data : new Uint8Array(event.data));
    };
    socket.onclose = (event: { code: number; reason: string }) => {
      this.abandon(`${event.code.toString()} ${event.reason}`.trim());
    };
    socket.onerror = () => undefined; // `close` follows, and says as much.
  }

  get bufferedAmount(): number {
    return this.socket.bufferedAmount;
  }

  get isOpen(): boolean {
    return !this.#isOver && this.socket.readyState === OPEN;
  }

  send(frame: Frame): void {
    this.socket.send(frame as string | Uint8Array<ArrayBuffer>);
  }

  close(code: number, reason: string): void {
    this.socket.close(code, reason);
  }

  /** Closes the socket, and counts as ended at once: a browser reports the end of a connection whose other side does
   * not read only after a minute. */
  abandon(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.socket.readyState <= OPEN) this.socket.close(1000);
    this.owner?.ended(reason);
  }
}

/** Connects.
 * @param url - the address of the WebSocket.
 * @param subprotocols - the forms to offer, the best one first.
 * @throws ConnectFailed: there is no connection. A browser does not tell why. */
export function dial(
  url: string, subprotocols: readonly Subprotocol[], socketClass: SocketClass, timeoutMs: number,
): Promise<SocketLink> {
  return new Promise((resolve, reject) => {
    let socket: Socket;
    try {
      socket = new socketClass(url, [...subprotocols]);
    } catch (error) {
      reject(new ConnectFailed(`${url}: this is no address of a WebSocket`, { retryable: false, cause: error }));
      return;
    }
    socket.binaryType = "arraybuffer";
    const fail = (why: string, retryable = true): void => {
      clearTimeout(timer);
      socket.onopen = socket.onclose = null;
      socket.onerror = () => undefined;
      socket.close();
      reject(new ConnectFailed(`${url}: ${why}`, { retryable }));
    };
    const timer = setTimeout(() => {
      fail(`no connection within ${timeoutMs.toString()} ms`);
    }, timeoutMs);
    socket.onclose = (event: { code: number; reason: string }) => {
      fail(`no connection could be made (${`${event.code.toString()} ${event.reason}`.trim()})`);
    };
    socket.onerror = () => undefined;
    socket.onopen = () => {
      clearTimeout(timer);
      const form = (forms as Record<string, Form | undefined>)[socket.protocol];
      if (form === undefined) fail("the server speaks none of our forms of the wire", false);
      else resolve(new SocketLink(socket, form));
    };
  });
}
