/** The connection of the console with its server: who is signed in, and what the connection does. */

import { Client, ConnectFailed, RpcError, type ConnectionState } from "@remote-services/client";
import { Store } from "./store.ts";
import { keepSession, readSession, takeTicket, type KeptSession } from "./tickets.ts";

/** Who the server takes us for. */
export interface Principal {
  readonly name: string;
  readonly method: string;
  readonly role: string | null;
}

/** What the console knows of a server that has let it in, or of another node of its group. */
export interface Entry {
  readonly client: Client;
  /** What its connection does. */
  readonly link: Store<Link>;
  /** The name or id of the node; empty for the server itself. */
  readonly node: string;
  readonly server: string;
  readonly principal: Principal;
  readonly permissions: ReadonlySet<string>;
  /** Whether it is a node of a group. */
  readonly hasGroup: boolean;
}

/** Whether somebody is signed in. `waiting`: there is a session, and the server was not reached yet. */
export type SignIn =
  | { readonly kind: "out"; readonly reason: string }
  | { readonly kind: "waiting"; readonly reason: string }
  | { readonly kind: "in"; readonly entry: Entry };

/** What the connection does, since when, and the last failure. */
export interface Link {
  readonly state: ConnectionState;
  readonly since: number;
  readonly reason: string;
}

/** A way to sign in. */
export type Credential =
  | { readonly ticket: string }
  | { readonly token: string }
  | { readonly session: KeptSession };

interface HelloAnswer {
  readonly server: string;
  readonly principal: Principal | null;
  readonly has_group: boolean;
}

export const signIn = new Store<SignIn>({ kind: "waiting", reason: "" });
export const link = new Store<Link>({ state: "idle", since: Date.now(), reason: "" });

let current: Client | undefined;
let session: KeptSession | undefined;

/** The address of the server: the folder of the page, so that a prefix of a proxy stays. */
function address(): string {
  return new URL(".", location.href).href;
}

/** The address of the server's WebSocket. */
export function socketAddress(): string {
  return address().replace(/^http/, "ws");
}

/** The address of the document that everybody may read; undefined if there is none. The server says so in the page. */
export function publicDocument(): string | undefined {
  return document.querySelector<HTMLLinkElement>("link[rel=service-desc]")?.href;
}

/** Signs in with what this tab has: a ticket in its address, or its session. */
export async function begin(): Promise<void> {
  const ticket = takeTicket(location, history);
  const kept = readSession(sessionStorage);
  if (ticket !== undefined) await enter({ ticket });
  else if (kept !== undefined) await enter({ session: kept });
  else signIn.set({ kind: "out", reason: "" });
}

/** Signs in anew whenever somebody opens the address of a ticket in this tab: that loads no page. */
export function followTickets(): void {
  addEventListener("hashchange", () => {
    const ticket = takeTicket(location, history);
    if (ticket !== undefined) void enter({ ticket });
  });
}

/** Signs in. A token is exchanged for a session at once, and not kept. */
export async function enter(credential: Credential): Promise<void> {
  await current?.close();
  signIn.set({ kind: "waiting", reason: "" });
  if ("token" in credential) {
    const ticket = await exchange(credential.token);
    if (ticket !== undefined) await connect(makeClient({ ticket }));
    return;
  }
  if ("session" in credential) session = credential.session;
  await connect(makeClient("ticket" in credential ? credential : { session: credential.session.secret }));
}

/** Makes a ticket with a token; undefined if the server refuses it. */
async function exchange(token: string): Promise<string | undefined> {
  let client: Client | undefined;
  try {
    client = new Client(address(), { token });
    const { ticket } = await client.call<{ ticket: string }>("rpc.create_ticket");
    return ticket;
  } catch (error) {
    signIn.set({ kind: "out", reason: tell(error) });
    return undefined;
  } finally {
    await client?.close();
  }
}

function makeClient(secret: { readonly ticket: string } | { readonly session: string }): Client {
  return new Client(address(), {
    ...secret,
    onSession: ({ id, secret: made }) => {
      session = { id, secret: made };
      keepSession(sessionStorage, session);
    },
    log: (text) => {
      link.set({ ...link.value, reason: text });
    },
  });
}

const LONGEST_PAUSE_MS = 10_000;

/** Connects; as long as the server cannot be reached, tries again. */
async function connect(client: Client): Promise<void> {
  current = client;
  client.watch((state, error) => {
    if (current !== client) return;
    noteState(link, state, error);
    if (state === "lost" && error !== undefined && !(error instanceof ConnectFailed) && !isPassing(error)) refuse(error);
  });
  for (let pauseMs = 500; current === client; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      await client.connect();
      signIn.set({ kind: "in", entry: await askEntry(client, link, "") });
      return;
    } catch (error) {
      if (!isPassing(error)) {
        refuse(error);
        return;
      }
      signIn.set({ kind: "waiting", reason: tell(error) });
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/** Asks whom a client talks to, and what the caller may do there.
 * @throws RpcError: in the promise. */
export async function askEntry(client: Client, store: Store<Link>, node: string): Promise<Entry> {
  const [hello, permissions] = await Promise.all([
    client.call<HelloAnswer>("rpc.hello"),
    client.call<string[]>("rpc.list_permissions"),
  ]);
  const principal = hello.principal ?? { name: "nobody", method: "none", role: null };
  return { client, link: store, node, server: hello.server, principal, permissions: new Set(permissions), hasGroup: hello.has_group };
}

/** Tells whether a failure may be over in a while. */
function isPassing(error: unknown): boolean {
  return error instanceof RpcError && error.retryable;
}

/** Notes what a connection does. */
export function noteState(store: Store<Link>, state: ConnectionState, error: RpcError | undefined): void {
  const before = store.value;
  const isTrouble = (each: ConnectionState): boolean => each === "lost" || each === "connecting";
  // What is not repaired yet began when the connection was lost, and not with the newest attempt.
  const since = isTrouble(before.state) && isTrouble(state) ? before.since : Date.now();
  store.set({ state, since, reason: error?.message ?? (state === "connected" ? "" : before.reason) });
}

/** The server has refused the session: only somebody can help. */
function refuse(error: unknown): void {
  const client = current;
  forget();
  signIn.set({ kind: "out", reason: tell(error) });
  void client?.close();
}

function forget(): void {
  current = undefined;
  session = undefined;
  keepSession(sessionStorage, undefined);
}

/** Signs out: the session ends on the server, too. */
export async function leave(): Promise<void> {
  const client = current;
  const id = session?.id;
  try {
    if (client !== undefined && id !== undefined) {
      current = undefined; // The server closes the connection: that is no loss.
      await client.call("rpc.revoke_session", { session_id: id }, { timeoutMs: 5000 });
    }
  } catch {
    // The answer may be lost with the connection, which ends with the session.
  }
  forget();
  signIn.set({ kind: "out", reason: "" });
  await client?.close();
}

/** Returns what an error says to a person. */
export function tell(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
