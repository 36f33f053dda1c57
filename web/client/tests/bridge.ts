/** Lets a program in another language use this client: it reads calls, a line each, and writes what comes of them. Values
 * are tagged on both ways, so that nothing of them is lost. `tests/web/bridge.py` is the other side. */

import { createInterface } from "node:readline";

import { jsonForm } from "../src/codec/json.js";
import { Client, fromTagged, RpcError, toTagged, type ServiceStub, type Subprotocol } from "../src/index.js";

/** What one line asks for. */
interface Wish {
  readonly id: number;
  readonly form: Subprotocol;
  readonly service: string;
  readonly method: string;
  /** The parameters, tagged. */
  readonly params: unknown;
  readonly isStream: boolean;
}

type Methods = Record<string, (params: unknown) => Promise<unknown> & AsyncIterable<unknown>>;

/** Runs the bridge until its input ends.
 * @param stubs - the stubs of the services that may be called, by name. */
export async function run(stubs: Readonly<Record<string, ServiceStub<unknown>>>): Promise<void> {
  const { TEST_SERVER_URL: url, TEST_SERVER_TOKEN: token } = process.env;
  const clients = new Map<Subprotocol, Client>();

  async function perform({ form, service, method, params, isStream }: Wish): Promise<unknown> {
    const client = clients.get(form) ?? new Client(url, { token, subprotocol: form });
    clients.set(form, client);
    const stub = stubs[service];
    if (stub === undefined) throw new Error(`no stub of ${service}`);
    const act = (client.service(stub) as Methods)[method];
    if (act === undefined) throw new Error(`no method ${method}`);
    const answer = act(fromTagged(params));
    if (!isStream) return await answer;
    const items: unknown[] = [];
    for await (const item of answer) items.push(item);
    return items;
  }

  for await (const line of createInterface({ input: process.stdin })) {
    const wish = jsonForm.decode(line)[0] as Wish;
    let outcome: Record<string, unknown>;
    try {
      outcome = { id: wish.id, result: toTagged(await perform(wish), false) };
    } catch (error) {
      outcome = { id: wish.id, error: error instanceof RpcError ? error.toWire() : { message: String(error) } };
    }
    process.stdout.write(`${jsonForm.encode(outcome).data as string}\n`);
  }
  await Promise.all([...clients.values()].map((client) => client.close()));
}
