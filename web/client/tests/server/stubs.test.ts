import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { Duration, Exact, type Client, type Subprotocol } from "../../src/index.js";
import { database, DatabaseProgrammingError } from "../../src/stubs/database.js";
import { hardware } from "../../src/stubs/hardware.js";
import { ProgramNotFound, programs } from "../../src/stubs/programs.js";
import { makeClient } from "./place.js";

const builtinUrl = process.env["TEST_BUILTIN_URL"] ?? "";

describe.each<Subprotocol>(["rpc.v1.msgpack", "rpc.v1.json"])("the built-in services over %s", (subprotocol) => {
  let client: Client;

  beforeAll(() => {
    client = makeClient({ subprotocol, url: builtinUrl });
  });
  afterAll(async () => {
    await client.close();
  });

  test("a program runs, with bytes in and out", async () => {
    const service = client.service(programs);
    const done = await service.run({ argv: ["cat"], input: new Uint8Array([0, 255, 10]) });
    expect(done.stdout).toEqual(new Uint8Array([0, 255, 10]));
    expect(done.status.code).toBe(0);
    await expect(service.get({ id: "nobody" })).rejects.toThrow(ProgramNotFound);
    const output: number[] = [];
    for await (const event of service.stream({ argv: ["printf", "abc"] })) {
      if (event.output !== null) output.push(...event.output.data);
    }
    expect(new TextDecoder().decode(new Uint8Array(output))).toBe("abc");
  });

  test("a database gives exact values, and takes them", async () => {
    const service = client.service(database);
    const params = { big: 2n ** 63n - 1n, raw: new Uint8Array([1, 255]), absent: null, text: "Zoë", half: 0.5 };
    const sql = "SELECT :big AS big, :raw AS raw, :absent AS absent, :text AS text, :half AS half";
    const result = await service.query({ database: "main", sql, params });
    expect(result.columns.map((column) => column.name)).toEqual(Object.keys(params));
    expect(result.rows).toEqual([Object.values(params)]);
    await expect(service.query({ database: "main", sql: "SELEC 1" })).rejects.toThrow(DatabaseProgrammingError);
    await service.execute({ database: "main", sql: "CREATE TABLE IF NOT EXISTS t (at DATETIME, cost DECIMAL(10, 2))" });
    const values = [new Exact("datetime", "2026-11-23T07:47:32.000001"), new Exact("decimal", "1.50")];
    await service.execute({ database: "main", sql: "INSERT INTO t VALUES (?, ?)", params: values });
    const stored = await service.query({ database: "main", sql: "SELECT at, cost FROM t" });
    expect(stored.rows[0]).toHaveLength(2);
    let count = 0;
    const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n";
    for await (const page of service.stream({ database: "main", sql: numbers, page_rows: 700 })) count += page.rows.length;
    expect(count).toBe(5000);
  });

  test("the machine is described", async () => {
    const service = client.service(hardware);
    const memory = await service.memory();
    expect(memory.total_bytes).toBeGreaterThan(1024);
    const { processes } = await service.processes({ limit: 5 });
    expect(processes.length).toBeGreaterThan(0);
  });
});

test("lengths of time are read as they are written", () => {
  for (const duration of [new Duration(1, 30, 5), new Duration(-1, 1, 1), new Duration(0, 0, 0), new Duration(-3, 0, 0)]) {
    expect(Duration.parse(duration.toString())).toEqual(duration);
  }
  expect(Duration.parse("P1DT2H3M4.5S")).toEqual(new Duration(1, 7384, 500_000));
  expect(() => Duration.parse("1 day")).toThrow("no length of time");
});
