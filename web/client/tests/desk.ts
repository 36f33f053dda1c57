/** What a client offers in the contract suite, as `tests/contract/test_back.py` has it for the other clients. */

import { InternalError, InvalidParams, ServiceError, type Client, type Handler } from "../src/index.js";

/** Makes the methods of the desk.
 * @param client - the client that offers them.
 * @param tell - told of what happens, by name. */
export function makeDesk(client: Client, tell: (event: string) => void): Record<string, Handler> {
  const numbers = (params: unknown, names: readonly string[]): number[] =>
    names.map((name) => {
      const value = (params as Record<string, unknown>)[name];
      if (typeof value !== "number") throw new InvalidParams(`${name}: must be a number`);
      return value;
    });

  async function* count(n: number): AsyncGenerator<number> {
    for (let number = 0; number < n; number++) yield await Promise.resolve(number);
  }

  return {
    add: (params) => numbers(params, ["a", "b"]).reduce((sum, each) => sum + each),
    inline: (params) => Promise.resolve(-(numbers(params, ["a"])[0] ?? 0)),
    refuse: () => {
      throw new ServiceError("come back later", { type: "NotToday", details: { until: 5 } });
    },
    broken: () => {
      throw new Error("secret");
    },
    wrong: () => Symbol("x"),
    note: () => {
      tell("noted");
    },
    wait: async (_params, { signal }) => {
      tell("began");
      await new Promise((resolve) => {
        signal.addEventListener("abort", resolve);
      });
      tell("stopped");
      return "stopped";
    },
    again: async (params) => await client.call("contract.add", [numbers(params, ["value"])[0], 1]),
    count: (params) => count(numbers(params, ["n"])[0] ?? 0),
    total: async (params, context) => {
      let total = 0;
      for await (const item of context.read((params as { items: unknown }).items)) {
        total += item as number;
        context.progress(total);
      }
      return total;
    },
    first: async (params, context) => {
      for await (const item of context.read((params as { items: unknown }).items)) return item;
      return -1;
    },
    endless: async function* (_params, { signal }) {
      try {
        for (let number = 0; !signal.aborted; number++) yield await Promise.resolve(number);
      } finally {
        tell("stopped");
      }
    },
    fail_later: async function* () {
      yield await Promise.resolve(1);
      throw new InternalError("no more");
    },
  };
}
