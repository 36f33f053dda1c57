/** Lets a program in another language use this client, in node, in a page and in a worker. Both sides send messages over
 * a WebSocket of their own: wishes and what comes of them, and whatever happens meanwhile. Values are tagged on both ways,
 * so that nothing of them is lost. `tests/web/bridge.py` is the other side. */

import { jsonForm } from "../src/codec/json.js";
import {
  Client, fromTagged, Group, Outcomes, RpcError, toTagged, type CallOptions, type GroupEvent, type GroupPolicy, type Outcome,
  type Params, type Progress, type RpcStream, type ServiceStub, type Subprotocol,
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
  /** The nodes of a group: a selector, or names; everyone where not given. */
  readonly nodes: string | readonly string[] | undefined;
  readonly policy: GroupPolicy | undefined;
  /** What came of a group call, as the other side calls it. */
  readonly outcomes: number;
  /** What a batch has, and whether it is discarded in the end. */
  readonly entries: readonly { readonly method: string; readonly params: unknown; readonly wantsAnswer: boolean }[];
  readonly discards: boolean;
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
  readonly #outcomes = new Map<number, Outcomes>();
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

  /** Sends a batch. Returns what has become of each call. */
  async batch(wish: Wish): Promise<unknown> {
    const batch = this.#client(wish.client).batch(this.#options(wish));
    const answers: Promise<unknown>[] = [];
    for (const { method, params, wantsAnswer } of wish.entries) {
      if (wantsAnswer) answers.push(batch.call(method, fromTagged(params) as Params));
      else batch.notify(method, fromTagged(params) as Params);
    }
    if (wish.discards) batch.discard();
    const sent = wish.discards ? undefined : await batch.send().catch(tellError);
    const ended = answers.map((answer) => answer.then((result) => ({ result }), (error: unknown) => ({ error: tellError(error) })));
    return { sent: sent ?? null, calls: await Promise.all(ended) };
  }

  /** Calls a method at many nodes. */
  group(wish: Wish): void {
    const { params, options } = { params: fromTagged(wish.params) as Params, options: this.#options(wish) };
    const group = this.#group(wish);
    let made: unknown;
    if (wish.by === "name") made = group.call(wish.method, params, options);
    else {
      const stub = this.stubs[wish.service];
      if (stub === undefined) throw new Error(`no stub of ${wish.service}`);
      made = (group.service(stub) as Record<string, (params: Params, options: CallOptions) => unknown>)[wish.method]?.(params, options);
    }
    if (made instanceof Outcomes) this.#outcomes.set(wish.id, made);
    else this.#streams.set(wish.id, told(made as RpcStream<GroupEvent>));
  }

  /** Streams what happens at many nodes. */
  events(wish: Wish): void {
    const params = fromTagged(wish.params) as Params;
    this.#streams.set(wish.id, told(this.#group(wish).events(wish.method, params, this.#options(wish))));
  }

  /** Reads the outcomes of a group call one by one. */
  each({ id, outcomes }: Wish): void {
    this.#streams.set(id, told(this.#outcomesOf(outcomes)));
  }

  /** Waits for all outcomes of a group call. */
  async all({ outcomes }: Wish): Promise<unknown> {
    return (await this.#outcomesOf(outcomes)).map(plain);
  }

  /** Tells what is known of a group call. */
  known({ outcomes }: Wish): unknown {
    const { nodes, ok, failed, missing } = this.#outcomesOf(outcomes);
    return { nodes: nodes.map(({ name }) => name), ok: ok.map(plain), failed: failed.map(plain), missing: missing.map(({ name }) => name) };
  }

  /** Ends a group call. */
  async leave({ outcomes }: Wish): Promise<void> {
    await this.#outcomesOf(outcomes).close();
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

  #outcomesOf(id: number): Outcomes {
    const outcomes = this.#outcomes.get(id);
    if (outcomes === undefined) throw new Error(`no outcomes ${id.toString()}`);
    return outcomes;
  }

  #group({ client, nodes, policy }: Wish): Group {
    const given = this.#client(client);
    return nodes === undefined ? given.everyone(policy) : given.group(nodes, policy);
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

/** Makes data of an error. */
function tellError(error: unknown): { readonly error: object; readonly class: string } {
  const said = error instanceof RpcError ? error.toWire() : { code: 0, message: String(error), data: {} };
  return { error: said, class: error instanceof Error ? error.constructor.name : "" };
}

/** Makes data of what happens at a node. */
function plain(event: GroupEvent): unknown {
  if (event.kind !== "outcome" || event.error === undefined) return event;
  return { ...event, error: tellError(event.error) };
}

/** Makes data of all that happens. */
async function* told(events: AsyncIterable<GroupEvent | Outcome>): AsyncGenerator {
  for await (const event of events) yield plain(event);
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
      tell({ id: wish.id, ...tellError(error) });
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
