/** Lets a program in another language use this client, in node, in a page and in a worker. Both sides send messages over
 * a WebSocket of their own: wishes and what comes of them, and whatever happens meanwhile. Values are tagged on both ways,
 * so that nothing of them is lost. `tests/web/bridge.py` is the other side. */

import { jsonForm } from "../src/codec/json.js";
import {
  Client, fromTagged, RpcError, toTagged, type CallOptions, type Params, type Progress, type RpcStream,
  type ServiceStub, type Subprotocol,
} from "../src/index.js";
import { makeDesk } from "./desk.js";

/** What the other side wants. Which members a wish has depends on what it is for. */
interface Wish {
  readonly id: number;
  readonly act: Exclude<keyof Acts, "stubs" | "url" | "token" | "tell" | "answer">;
  readonly client: string;
  readonly form: Subprotocol;
  /** Whether the client offers the desk. */
  readonly offers: boolean;
  readonly service: string;
  readonly method: string;
  /** How the method is known: by a stub, by the name of its service, or not at all. */
  readonly by: "stub" | "service" | "name";
  readonly params: unknown;
  /** Parameters that are streams, and what the other side calls their sources. */
  readonly uploads: Readonly<Record<string, number>>;
  readonly options: unknown;
  readonly wantsProgress: boolean;
  readonly signal: string | undefined;
  readonly stream: number;
  /** Whether the garbage collector is to run. */
  readonly collects: boolean;
}

interface Question {
  readonly resolve: (item: unknown) => void;
  readonly reject: (error: Error) => void;
}

type Methods = Record<string, (params: unknown, options: CallOptions) => Promise<unknown> & AsyncIterable<unknown>>;

type Stubs = Readonly<Record<string, ServiceStub<unknown>>>;

/** What can be wished for. */
class Acts {
  readonly #clients = new Map<string, Client>();
  readonly #streams = new Map<number, AsyncIterator<unknown> & { open?(): Promise<unknown> }>();
  readonly #signals = new Map<string, AbortController>();
  readonly #questions = new Map<number, Question>();
  #lastQuestion = 0;

  constructor(
    readonly stubs: Stubs,
    readonly url: string,
    readonly token: string,
    readonly tell: (message: object) => void,
  ) {}

  make({ client, form, offers }: Wish): void {
    const log = (text: string, error?: unknown): void => {
      this.tell({ log: error instanceof Error ? `${text} ${error.message}` : text });
    };
    const made = new Client(this.url, { token: this.token, subprotocol: form, log });
    this.#clients.set(client, made);
    if (offers) made.offer("desk", makeDesk(made, (event) => { this.tell({ event, client }); }));
  }

  async close({ client }: Wish): Promise<void> {
    await this.#client(client).close();
  }

  state({ client }: Wish): unknown {
    const { state, url } = this.#client(client);
    return { state, url };
  }

  async call(wish: Wish): Promise<unknown> {
    return await this.#invoke(wish);
  }

  async notify(wish: Wish): Promise<void> {
    await this.#client(wish.client).notify(wish.method, fromTagged(wish.params) as Params);
  }

  stream(wish: Wish): void {
    const items = wish.by === "name"
      ? this.#client(wish.client).stream(wish.method, fromTagged(wish.params) as Params, this.#options(wish))
      : this.#invoke(wish);
    this.#streams.set(wish.id, (items as AsyncIterable<unknown>)[Symbol.asyncIterator]());
  }

  async open({ stream }: Wish): Promise<void> {
    await this.#stream(stream).open?.();
  }

  async next({ stream }: Wish): Promise<unknown> {
    const next = await this.#stream(stream).next();
    return next.done === true ? [] : [next.value];
  }

  async end({ stream }: Wish): Promise<void> {
    await this.#stream(stream).return?.();
  }

  /** Forgets a stream without ending it: the garbage collector has to find it. */
  async forget({ stream, collects }: Wish): Promise<void> {
    const forgotten = new WeakRef(this.#stream(stream));
    this.#streams.delete(stream);
    while (collects && forgotten.deref() !== undefined) {
      await new Promise((resolve) => setTimeout(resolve)); // What one turn of the loop holds is free in the next.
      (globalThis as { gc?: () => void }).gc?.();
    }
  }

  abort({ signal }: Wish): void {
    this.#controller(signal ?? "").abort();
  }

  /** Takes what the other side says to a question for an item. */
  answer(question: number, outcome: { readonly items?: unknown; readonly failure?: string }): void {
    const asked = this.#questions.get(question);
    this.#questions.delete(question);
    if (outcome.failure === undefined) asked?.resolve(fromTagged(outcome.items));
    else asked?.reject(new Error(outcome.failure));
  }

  // --- the parts ---

  #client(name: string): Client {
    const client = this.#clients.get(name);
    if (client === undefined) throw new Error(`no client ${name}`);
    return client;
  }

  #stream(id: number): AsyncIterator<unknown> & { open?(): Promise<unknown> } {
    const stream = this.#streams.get(id);
    if (stream === undefined) throw new Error(`no stream ${id.toString()}`);
    return stream;
  }

  #controller(name: string): AbortController {
    const controller = this.#signals.get(name) ?? new AbortController();
    this.#signals.set(name, controller);
    return controller;
  }

  #options({ id, options, wantsProgress, signal }: Wish): CallOptions {
    return {
      ...(fromTagged(options) as CallOptions),
      ...(wantsProgress ? { progress: (report: Progress) => { this.tell({ progress: id, report }); } } : {}),
      ...(signal === undefined ? {} : { signal: this.#controller(signal).signal }),
    };
  }

  /** Begins a call. It may be awaited, or iterated over. */
  #invoke(wish: Wish): Promise<unknown> | RpcStream<unknown> {
    const { by, service, method, uploads } = wish;
    const client = this.#client(wish.client);
    const options = this.#options(wish);
    const given = withSymbols(fromTagged(wish.params));
    const sources = Object.entries(uploads).map(([name, source]) => [name, this.#items(source)] as const);
    const params = sources.length === 0 ? given : { ...(given as object), ...Object.fromEntries(sources) };
    if (by === "name" || (by === "service" && sources.length > 0)) {
      const name = by === "name" ? method : `${service}.${method}`;
      if (sources.length === 0) return client.call(name, params as Params, options);
      return client.upload(name, params as Record<string, unknown>, Object.keys(uploads), options);
    }
    const stub = this.stubs[service];
    if (stub === undefined) throw new Error(`no stub of ${service}`);
    const methods = by === "stub" ? (client.service(stub) as Methods) : client.service<Methods>(service);
    const act = methods[method];
    if (act === undefined) throw new Error(`no method ${method}`);
    return act(params, options);
  }

  async *#items(source: number): AsyncGenerator {
    try {
      for (;;) {
        const items = (await this.#ask(source, "next")) as unknown[];
        if (items.length === 0) return;
        yield items[0];
      }
    } finally {
      await this.#ask(source, "close");
    }
  }

  async #ask(source: number, what: "next" | "close"): Promise<unknown> {
    const question = ++this.#lastQuestion;
    const answer = new Promise<unknown>((resolve, reject) => this.#questions.set(question, { resolve, reject }));
    this.tell({ question, source, what });
    return await answer;
  }
}

/** Puts something that cannot be sent where the other side has written its name. */
function withSymbols(params: unknown): unknown {
  return Array.isArray(params) ? params.map((each) => (each === "$symbol" ? Symbol("x") : (each as unknown))) : params;
}

/** Serves the other side until it closes.
 * @param stubs - the stubs of the services that may be called, by name.
 * @param bridge - the address of the other side.
 * @param url - the address of the server.
 * @param token - says who is calling. */
export async function serve(stubs: Stubs, bridge: string, url: string, token: string): Promise<void> {
  const socket = new WebSocket(bridge);
  const tell = (message: object): void => {
    if (socket.readyState === WebSocket.OPEN) socket.send(jsonForm.encode(message).data as string);
  };
  const acts = new Acts(stubs, url, token, tell);

  async function perform(wish: Wish): Promise<void> {
    try {
      tell({ id: wish.id, result: toTagged((await acts[wish.act](wish)) ?? null, false) });
    } catch (error) {
      const told = error instanceof RpcError ? error.toWire() : { code: 0, message: String(error), data: {} };
      tell({ id: wish.id, error: told, class: error instanceof Error ? error.constructor.name : "" });
    }
  }

  await new Promise<void>((resolve) => {
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      const message = jsonForm.decode(data)[0] as Wish & { readonly answer?: number };
      if (message.answer === undefined) void perform(message);
      else acts.answer(message.answer, message as { items?: unknown; failure?: string });
    };
    socket.onclose = () => { resolve(); };
  });
}
