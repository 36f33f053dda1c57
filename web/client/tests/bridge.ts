/** Lets a program in another language use this client, in node, in a page and in a worker: calls come as lines, and what
 * comes of them goes as lines. Values are tagged on both ways, so that nothing of them is lost. `tests/web/bridge.py` is
 * the other side. */

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

/** Performs one line, and gives the line with what came of it. */
export type Perform = (line: string) => Promise<string>;

/** Makes what performs lines.
 * @param stubs - the stubs of the services that may be called, by name.
 * @param url - the address of the server.
 * @param token - says who is calling. */
export function makePerformer(
  stubs: Readonly<Record<string, ServiceStub<unknown>>>, url: string, token: string,
): { perform: Perform; close(): Promise<void> } {
  const clients = new Map<Subprotocol, Client>();

  async function act({ form, service, method, params, isStream }: Wish): Promise<unknown> {
    const client = clients.get(form) ?? new Client(url, { token, subprotocol: form });
    clients.set(form, client);
    const stub = stubs[service];
    if (stub === undefined) throw new Error(`no stub of ${service}`);
    const call = (client.service(stub) as Methods)[method];
    if (call === undefined) throw new Error(`no method ${method}`);
    const answer = call(fromTagged(params));
    if (!isStream) return await answer;
    const items: unknown[] = [];
    for await (const item of answer) items.push(item);
    return items;
  }

  return {
    async perform(line) {
      const wish = jsonForm.decode(line)[0] as Wish;
      let outcome: Record<string, unknown>;
      try {
        outcome = { id: wish.id, result: toTagged(await act(wish), false) };
      } catch (error) {
        outcome = { id: wish.id, error: error instanceof RpcError ? error.toWire() : { message: String(error) } };
      }
      return jsonForm.encode(outcome).data as string;
    },
    async close() {
      await Promise.all([...clients.values()].map((client) => client.close()));
    },
  };
}
