/** What the page of the arena needs of a client, over a bare WebSocket: benchmarks/arena.py shows it in the place of client.js. */

export class PermissionDenied extends Error {}
export class ServiceError extends Error {}
export class Unauthenticated extends Error {}

export class Client {
  state = "connected";
  #socket = new WebSocket(location.origin.replace("http", "ws"));
  #items = [];
  #wake = () => undefined;

  constructor() {
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => {
      this.#items.push(new Uint8Array(data));
      this.#wake();
    };
  }

  watch(listener) {
    listener("connected");
  }

  async notify(_, [bytes]) {
    this.#socket.send(bytes);
  }

  async *stream() {
    for (;;) {
      if (this.#items.length === 0) await new Promise((resolve) => (this.#wake = resolve));
      yield* this.#items.splice(0);
    }
  }
}
