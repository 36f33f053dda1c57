/** Databases: statements and their parameters, values, rows that are kept packed, the place of rows, files. */

import { writeFileSync } from "node:fs";
import { Exact } from "@remote-services/client";
import type { Column, ColumnType } from "@remote-services/client/stubs/database";
import { expect, test } from "vitest";
import { arrange, namesOf, quoteName, keyOf } from "../../src/pages/database/catalog.ts";
import { distinctNames, writeCsv, writeJson } from "../../src/pages/database/files.ts";
import { listParameters } from "../../src/pages/database/parameter_fields.tsx";
import { writeParquet } from "../../src/pages/database/parquet.ts";
import { RowStore } from "../../src/pages/database/row_store.ts";
import { Scroller } from "../../src/pages/database/scroller.ts";
import { findPlaceholders, seemsToRead, splitStatements, statementAt } from "../../src/pages/database/sql.ts";
import { leftOf, renewLease } from "../../src/pages/database/transaction.ts";
import { jsonOf, lookOf, readParameter, textOf } from "../../src/pages/database/values.ts";

function column(name: string, type: ColumnType = "any"): Column {
  return { name, type, db_type: null, nullable: null, precision: null, scale: null, exact: true, item: null, dimensions: null, zone: null };
}

function split(text: string, dialect = "sqlite"): string[] {
  return splitStatements(text, dialect).map((each) => each.text);
}

test("statements end at semicolons that are not quoted", () => {
  expect(split("SELECT 1; SELECT 2;\n\n-- the end;")).toEqual(["SELECT 1", "SELECT 2"]);
  expect(split(`SELECT ';''', "a;b", [c;d], \`e;f\` /* ; */; x`)).toEqual([`SELECT ';''', "a;b", [c;d], \`e;f\` /* ; */`, "x"]);
  expect(split("SELECT $$a;b$$, $t$;$$;$t$, E'\\';', x[1]; y", "postgresql")).toEqual(["SELECT $$a;b$$, $t$;$$;$t$, E'\\';', x[1]", "y"]);
  expect(split("SELECT 1 /* a /* b; */ ; */ + 1; y", "postgresql")).toEqual(["SELECT 1 /* a /* b; */ ; */ + 1", "y"]);
  expect(split("SELECT '\\';' # a; b\n, 1; y", "mariadb")).toEqual(["SELECT '\\';' # a; b\n, 1", "y"]);
  expect(split("SELECT 'never closed; x")).toEqual(["SELECT 'never closed; x"]);
});

test("what has a body stays whole", () => {
  const trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END";
  expect(split(`${trigger}; SELECT 1`)).toEqual([trigger, "SELECT 1"]);
  const procedure = "CREATE PROCEDURE p() BEGIN IF x THEN SELECT 1; END IF; CASE y WHEN 1 THEN SELECT 2; END CASE; END";
  expect(split(`${procedure}; SELECT 1`, "mysql")).toEqual([procedure, "SELECT 1"]);
  expect(split("CREATE TABLE a (b INT); BEGIN; COMMIT")).toEqual(["CREATE TABLE a (b INT)", "BEGIN", "COMMIT"]);
});

test("the statement at the cursor", () => {
  const statements = splitStatements("SELECT 1;\n\nSELECT 2;  ", "sqlite");
  expect(statementAt(statements, 3)?.text).toBe("SELECT 1");
  expect(statementAt(statements, 9)?.text).toBe("SELECT 1");
  expect(statementAt(statements, 21)?.text).toBe("SELECT 2");
  expect(statementAt([], 0)).toBeUndefined();
});

test("placeholders are found where they are no text", () => {
  expect(findPlaceholders("SELECT :a, x::int, ':b', :c -- :d\n, :a, y[1:2], \\:e", "postgresql")).toEqual({ names: ["a", "c"], count: 0 });
  expect(findPlaceholders("SELECT ?, '?', ?? , ?3, ?", "sqlite")).toEqual({ names: [], count: 4 });
  expect(listParameters("SELECT :low; SELECT ?, ?; SELECT :low, :high", "sqlite")).toEqual(["low", "high", "1", "2"]);
});

test("words say whether a statement reads", () => {
  for (const text of ["SELECT 1", " -- x\n select replace(a, 'b', 'DELETE')", "WITH n AS (SELECT 1) SELECT * FROM n", "VALUES (1)", "PRAGMA table_info(a)", "(SELECT 1)"]) {
    expect(seemsToRead(text, "sqlite"), text).toBe(true);
  }
  for (const text of ["INSERT INTO a VALUES (1) RETURNING b", "WITH n AS (SELECT 1) DELETE FROM a", "CREATE TABLE a (b)", "PRAGMA user_version = 3", "REPLACE INTO a VALUES (1)", ""]) {
    expect(seemsToRead(text, "sqlite"), text).toBe(false);
  }
});

test("parameters are what was typed, exactly", () => {
  expect(readParameter("a", { kind: "integer", text: " 9223372036854775807" })).toBe(9223372036854775807n);
  expect(readParameter("a", { kind: "integer", text: "-7" })).toBe(-7);
  expect(readParameter("a", { kind: "decimal", text: "0.10" })).toEqual(new Exact("decimal", "0.10"));
  expect(readParameter("a", { kind: "bytes", text: "0x00 ff" })).toEqual(new Uint8Array([0, 255]));
  expect(readParameter("a", { kind: "null", text: "ignored" })).toBeNull();
  expect(readParameter("a", { kind: "text", text: "" })).toBe("");
  expect(readParameter("a", { kind: "boolean", text: "True" })).toBe(true);
  expect(readParameter("a", { kind: "json", text: "[1]" })).toEqual([1]);
  for (const [kind, text] of [["integer", "1.5"], ["float", "x"], ["decimal", "1,5"], ["bytes", "f"], ["boolean", "1"], ["json", "{"]] as const) {
    expect(() => readParameter("low", { kind, text })).toThrow(/^parameter low: /);
  }
});

test("cells are shown as what they are", () => {
  const any = column("x");
  expect(lookOf(null, any)).toEqual({ text: "NULL", look: "null" });
  expect(lookOf("", any)).toEqual({ text: "''", look: "empty" });
  expect(lookOf("NULL", any)).toEqual({ text: "NULL", look: "text" });
  expect(lookOf(9223372036854775807n, any)).toEqual({ text: "9223372036854775807", look: "number" });
  expect(lookOf(2, column("x", "float"))).toEqual({ text: "2.0", look: "number" });
  expect(lookOf(new Exact("decimal", "1.10"), any)).toEqual({ text: "1.10", look: "number" });
  expect(lookOf(new Uint8Array([0, 255]), any)).toEqual({ text: "x'00ff'", look: "bytes" });
  expect(lookOf("a\nb", any).text).toBe("a↵b");
  expect(lookOf(new Uint8Array(100), any).text).toMatch(/… 100 bytes$/);
  expect(textOf({ a: [1n, null] })).toBe('{"a":[1,null]}');
  expect(jsonOf(NaN)).toBe('"NaN"');
});

function numbers(from: number, count: number): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(Array.from({ length: count }, (_, at) => [from + at, `row ${String(from + at)}`])));
}

function readNumbers(packed: Uint8Array): unknown[][] {
  return JSON.parse(new TextDecoder().decode(packed)) as unknown[][];
}

test("rows are found again, wherever they are kept", async () => {
  const store = new RowStore(readNumbers);
  const pages = 400;
  for (let page = 0; page < pages; page++) expect(store.add(numbers(page * 1000, 1000))).toBe(true);
  expect(store.count).toBe(pages * 1000);
  expect(store.bytes).toBeGreaterThan(4 * 1024 * 1024);
  expect(store.row(0)).toEqual([0, "row 0"]);
  for (const row of [399_999, 123_456, 249_999, 250_000, 999]) {
    await store.prepare(row, row + 1);
    expect(store.row(row)).toEqual([row, `row ${String(row)}`]);
  }
  expect(store.row(400_000)).toBeUndefined();
  for (let row = 0; row < 400_000; row += 20_000) await store.prepare(row, row);
  expect(store.row(399_999), "only some pages are ready").toBeUndefined();
  let sum = 0;
  for await (const rows of store.all()) sum += rows.length;
  expect(sum).toBe(400_000);
});

test("a result has so many bytes at most", () => {
  const store = new RowStore(readNumbers, 100);
  expect(store.add(numbers(0, 3))).toBe(true);
  expect(store.add(numbers(3, 1000))).toBe(false);
  expect(store.count).toBe(3);
});

test("a scroll bar reaches each of a million rows", () => {
  const scroller = new Scroller(26);
  scroller.resize(1_000_000, 520);
  expect(scroller.spacerPx).toBe(8_000_000);
  scroller.scroll(100);
  expect(scroller.topPx).toBe(100);
  scroller.scroll(8_000_000 - 520);
  expect(scroller.range()).toEqual([999_980, 999_999]);
  scroller.scroll(8_000_000 - 620);
  expect(scroller.topPx, "a small step is as large as it says").toBe(26_000_000 - 520 - 100);
  scroller.scroll(4_000_000);
  expect(scroller.range()[0]).toBeGreaterThan(490_000);
  expect(scroller.range()[0]).toBeLessThan(510_000);
  const scrollPx = scroller.reveal(777_777);
  scroller.scroll(scrollPx);
  expect(scroller.range()).toEqual([777_758, 777_777]);
  scroller.scroll(0);
  expect(scroller.range()).toEqual([0, 19]);
});

test("a short table has a plain scroll bar", () => {
  const scroller = new Scroller(26);
  scroller.resize(10, 520);
  expect([scroller.spacerPx, ...scroller.range()]).toEqual([260, 0, 9]);
  scroller.resize(100, 520);
  scroller.scroll(26);
  expect(scroller.range()).toEqual([1, 20]);
  expect(scroller.yOf(1)).toBe(26);
  scroller.resize(0, 520);
  expect(scroller.range()).toEqual([0, -1]);
});

test("the catalog names what can be completed", () => {
  const own = [{ name: "item", kind: "table", schema: null }] as const;
  const schemas = arrange(own, [
    { schema: "other", tables: [{ name: "price", kind: "view", schema: "other" }] },
    { schema: "main", tables: own },
  ]);
  expect(schemas.map((each) => [each.name, each.isDefault])).toEqual([["main", true], ["other", false]]);
  const info = { columns: [{ name: "id" }, { name: "label" }] } as never;
  const names = namesOf({ isLoading: false, problem: "", problems: new Map(), schemas, details: new Map([[keyOf("main", "item"), info]]) });
  expect(names).toEqual({ item: ["id", "label"], other: { price: [] } });
  expect([quoteName("plain", "sqlite"), quoteName('My "x"', "postgresql"), quoteName("a`b", "mysql")]).toEqual(["plain", '"My ""x"""', "`a``b`"]);
});

test("a lease ends at the earlier of its two ends", () => {
  const info = { id: "t", database: "main", readonly: false, isolation: null, idle_s: 30, total_s: 40 };
  const open = { info, state: "active", idleEndMs: 30_000, totalEndMs: 40_000 } as const;
  expect(leftOf(open, 10_000)).toEqual({ idleS: 20, totalS: 30 });
  expect(leftOf(renewLease(open, "active", 20_000), 20_000)).toEqual({ idleS: 20, totalS: 20 });
  expect(leftOf(open, 50_000)).toEqual({ idleS: 0, totalS: 0 });
});

const COLUMNS = [
  column("id", "integer"), column("id", "integer"), column("label", "text"), column("data", "bytes"), column("price", "decimal"), column("share", "float"),
  column("good", "boolean"), column("day", "date"), column("moment", "datetime"), column("instant", "datetime_tz"), column("mixed"), column("none"),
];
const ROWS: unknown[][] = [
  [1, 9223372036854775807n, 'a "b"\r\n', new Uint8Array([0, 255]), new Exact("decimal", "-12.30"), 2, true, new Exact("date", "2024-02-29"),
    new Exact("datetime", "2024-02-29T12:34:56.123456"), new Exact("datetime", "1969-12-31T23:00:00+02:00"), "x", null],
  [-2, -9223372036854775808n, "", new Uint8Array(), new Exact("decimal", "1E+2"), NaN, false, new Exact("date", "0099-01-01"), null, null, 7, null],
  [null, null, null, null, null, null, null, null, null, null, null, null],
];

async function* pages(width = COLUMNS.length): AsyncGenerator<unknown[][]> {
  await Promise.resolve();
  const rows = ROWS.map((row) => row.slice(0, width));
  yield rows.slice(0, 2);
  yield rows.slice(2);
}

test("CSV and JSON keep NULL apart from an empty text", async () => {
  expect(distinctNames(COLUMNS).slice(0, 3)).toEqual(["id", "id_2", "label"]);
  const lines = (await (await writeCsv(COLUMNS.slice(0, 6), pages(6))).text()).split("\r\n");
  expect(lines.slice(0, 2).join("\r\n")).toBe('id,id,label,data,price,share\r\n1,9223372036854775807,"a ""b""');
  expect(lines[2]).toBe('",\\x00ff,-12.30,2.0');
  expect(lines.slice(3)).toEqual(['-2,-9223372036854775808,"",\\x,1E+2,NaN', ",,,,,", ""]);
  const json = await (await writeJson(COLUMNS.slice(0, 5), pages(5))).text();
  expect(json).toContain('{"id":1,"id_2":9223372036854775807,"label":"a \\"b\\"\\r\\n","data":"\\\\x00ff","price":"-12.30"}');
  expect((JSON.parse(json) as unknown[]).length).toBe(3);
});

test("Parquet has a type for each column", async () => {
  const bytes = new Uint8Array(await (await writeParquet(COLUMNS, () => pages())).arrayBuffer());
  const signs = (part: Uint8Array): string => String.fromCharCode(...part);
  expect([signs(bytes.subarray(0, 4)), signs(bytes.subarray(-4))]).toEqual(["PAR1", "PAR1"]);
  // tests/web/test_console.py reads it with pyarrow.
  const path = process.env["TEST_PARQUET"];
  if (path !== undefined) writeFileSync(path, bytes);
});
