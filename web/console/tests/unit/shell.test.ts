/** The frame of the console: addresses, tickets, keys, figures. */

import { expect, test } from "vitest";
import { formatBytes, formatDuration } from "../../src/format.ts";
import { hashOf, place, readPlace } from "../../src/routes.ts";
import { matchKeys, type Shortcut } from "../../src/shortcuts.ts";
import { follow, Store } from "../../src/store.ts";
import { keepSession, readSession, takeTicket } from "../../src/tickets.ts";

class MemoryStorage {
  readonly #values = new Map<string, string>();
  getItem(key: string): string | null { return this.#values.get(key) ?? null; }
  setItem(key: string, value: string): void { this.#values.set(key, value); }
  removeItem(key: string): void { this.#values.delete(key); }
}

test("an address leads to a page, and back", () => {
  expect(readPlace(hashOf("services", "programs.run"), false)).toEqual({ node: "", page: "services", rest: "programs.run" });
  expect(readPlace(hashOf("services", "ä/b %"), false).rest).toBe("ä/b %");
  expect(readPlace("#/nowhere", true)).toEqual({ node: "", page: "services", rest: "" });
  expect(readPlace("#/services/%", false).rest).toBe("%");
});

test("an address leads to the page of a node, and links stay at the node", () => {
  const hash = hashOf("programs", "id/1", "db 1/ä");
  expect(readPlace(hash, false)).toEqual({ node: "db 1/ä", page: "programs", rest: "id/1" });
  expect(readPlace("#/@db-1/nowhere", false)).toEqual({ node: "db-1", page: "overview", rest: "" });
  place.set(readPlace(hash, false));
  expect(hashOf("services")).toBe("#/@db%201%2F%C3%A4/services");
  expect(hashOf("services", "", "")).toBe("#/services");
  place.set(readPlace("", false));
});

test("a ticket is taken out of the address", () => {
  const replaced: unknown[] = [];
  const history = { replaceState: (_state: unknown, _title: string, url: unknown) => replaced.push(url) } as unknown as History;
  const place = (hash: string) => ({ hash, pathname: "/rpc/", search: "" }) as Location;
  expect(takeTicket(place("#ticket=rpcticket_a-b_c"), history)).toBe("rpcticket_a-b_c");
  expect(replaced).toEqual(["/rpc/"]);
  expect(takeTicket(place("#/services"), history)).toBeUndefined();
  expect(replaced.length).toBe(1);
});

test("a session is kept and forgotten; what is no session is none", () => {
  const storage = new MemoryStorage() as unknown as Storage;
  keepSession(storage, { id: "1", secret: "s" });
  expect(readSession(storage)).toEqual({ id: "1", secret: "s" });
  keepSession(storage, undefined);
  expect(readSession(storage)).toBeUndefined();
  storage.setItem("remote-services.session", "{");
  expect(readSession(storage)).toBeUndefined();
});

test("keys may be two, one after the other", () => {
  const act = (): void => undefined;
  const shortcuts: Shortcut[] = [{ keys: "g s", text: "", act }, { keys: "?", text: "", act }];
  expect(matchKeys("", "g", shortcuts)).toEqual({ found: undefined, open: "g" });
  expect(matchKeys("g", "s", shortcuts).found?.keys).toBe("g s");
  expect(matchKeys("g", "?", shortcuts).found?.keys).toBe("?");
  expect(matchKeys("", "s", shortcuts)).toEqual({ found: undefined, open: "" });
});

test("figures are for people", () => {
  expect([formatBytes(0), formatBytes(1536), formatBytes(2 ** 40), formatBytes(null)]).toEqual(["0 B", "1.50 KiB", "1.00 TiB", "–"]);
  expect([formatDuration(0), formatDuration(3725), formatDuration(90_000), formatDuration(60)]).toEqual(["0 s", "1 h 2 min", "1 d 1 h", "1 min"]);
});

test("whoever follows a store learns what has changed before", () => {
  const store = new Store(1);
  store.set(2);
  const seen: number[] = [];
  const end = follow(store, 1, (value) => seen.push(value));
  store.set(3);
  end();
  store.set(4);
  follow(store, 4, (value) => seen.push(value));
  expect(seen).toEqual([2, 3]);
});

test("a store tells of each new value until nobody listens", () => {
  const store = new Store(1);
  const seen: number[] = [];
  const end = store.watch((value) => seen.push(value));
  store.set(2);
  store.set(2);
  end();
  store.set(3);
  expect(seen).toEqual([2]);
});
