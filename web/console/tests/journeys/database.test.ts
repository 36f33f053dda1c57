/** Databases: a million rows, cancelling, exact values and files, errors, several statements with parameters, transactions, completion, and roles. */

import { readFile } from "node:fs/promises";
import { database } from "@remote-services/client/stubs/database";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AWAY, makeClient, Network, required, startBrowser, Tab, visitorToken } from "./place.ts";

/** The token of somebody whose role allows reading databases, and nothing else. */
const readerToken = required("TEST_READER_TOKEN");

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
  await using client = makeClient();
  await client.service(database).script({
    database: "main",
    sql: `DROP TABLE IF EXISTS station; CREATE TABLE station (id INTEGER PRIMARY KEY, name TEXT NOT NULL, height_m REAL);
      DROP TABLE IF EXISTS reading; CREATE TABLE reading (station INTEGER NOT NULL REFERENCES station (id), at TEXT NOT NULL, celsius TEXT);
      DROP VIEW IF EXISTS warm; CREATE VIEW warm AS SELECT * FROM reading WHERE celsius > '20';
      INSERT INTO station VALUES (1, 'north', 12.5), (2, 'south', NULL)`,
  });
});
afterAll(async () => { await browser.close(); });

const ROWS = 1_000_000;
const MANY = `WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ${String(ROWS)})
SELECT x AS number, 'row ' || x AS label, x * 0.5 AS half FROM n`;
const ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";

interface Activity {
  readonly running: readonly { readonly method: string }[];
}

async function runningMethods(): Promise<string[]> {
  await using client = makeClient();
  return (await client.call<Activity>("rpc.activity")).running.map((each) => each.method).filter((each) => each.startsWith("database."));
}

async function ask(sql: string): Promise<unknown[][]> {
  await using client = makeClient();
  return (await client.service(database).query({ database: "main", sql })).rows;
}

async function write(page: Page, sql: string): Promise<void> {
  await page.getByRole("textbox", { name: "SQL" }).fill(sql);
}

function grid(page: Page) {
  return page.getByRole("grid");
}

function cell(page: Page, text: string) {
  return page.getByRole("gridcell", { name: text, exact: true });
}

/** Measures what the page keeps in its memory, without what nobody needs any more. */
async function measureHeap(tab: Tab): Promise<number> {
  const tools = await tab.context.newCDPSession(tab.page);
  await tools.send("HeapProfiler.collectGarbage");
  const { usedSize } = (await tools.send("Runtime.getHeapUsage")) as { usedSize: number };
  await tools.detach();
  return usedSize;
}

test("a million rows are scrolled to their end, and the tab does not grow", async () => {
  const tab = await Tab.enter(browser, { hash: "#/database" });
  const { page } = tab;
  await page.getByTitle("station", { exact: true }).waitFor();
  const before = await measureHeap(tab);
  await write(page, MANY);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText(/^1,000,000 rows, /).waitFor();
  expect(await runningMethods()).toEqual([]);
  await grid(page).focus();
  await page.keyboard.press("Control+End");
  await cell(page, "row 1000000").waitFor();
  await page.getByRole("rowheader", { name: "1000000", exact: true }).waitFor();
  await cell(page, "500000.0").waitFor();
  await tab.picture("database-light");
  await grid(page).evaluate((element) => { element.scrollTop = element.scrollHeight / 2; });
  await page.getByRole("gridcell", { name: /^row (?:49|50)\d{4}$/ }).first().waitFor();
  await grid(page).evaluate((element) => { element.scrollTop = element.scrollHeight; });
  await cell(page, "row 1000000").waitFor();
  expect(await page.getByRole("row").count()).toBeLessThan(80);
  expect(await measureHeap(tab) - before, "bytes that the tab has grown by").toBeLessThan(16 * 1024 * 1024);
  await tab.close();
});

test("a statement that is cancelled stops on the server", async () => {
  const tab = await Tab.enter(browser, { hash: "#/database" });
  const { page } = tab;
  await page.getByTitle("station", { exact: true }).waitFor();
  await write(page, ENDLESS);
  await page.keyboard.press("Control+Enter");
  await expect.poll(runningMethods).toEqual(["database.stream"]);
  await page.getByLabel("Editor").getByRole("button", { name: "Cancel" }).click();
  await page.getByText(/^cancelled after/).waitFor();
  await expect.poll(runningMethods).toEqual([]);
  // Escape does the same to a stream of rows, wherever the focus is.
  await write(page, MANY.replace(String(ROWS), "100000000"));
  await page.getByRole("button", { name: "Run all" }).click();
  await page.getByText(/rows so far/).waitFor();
  await page.keyboard.press("Escape");
  await page.getByText(/^cancelled after [\d,]+ rows/).waitFor();
  await expect.poll(runningMethods).toEqual([]);
  await tab.close();
});

test("values are exact on the screen and in files", async () => {
  const tab = await Tab.enter(browser, { hash: "#/database", scheme: "dark" });
  const { page } = tab;
  await page.getByTitle("station", { exact: true }).waitFor();
  await write(page, "SELECT 9223372036854775807 AS big, :price AS price, '' AS empty, NULL AS missing, x'00ff' AS data, 'NULL' AS word, 0.5 AS half, 'a\nb' AS lines");
  await page.getByLabel("Type of :price").selectOption("decimal");
  await page.getByLabel(":price", { exact: true }).fill("12345678901234567890.10");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await cell(page, "9223372036854775807").waitFor();
  const texts = await page.getByRole("gridcell").allTextContents();
  expect(texts).toEqual(["9223372036854775807", "12345678901234567890.10", "''", "NULL", "x'00ff'", "NULL", "0.5", "a↵b"]);
  expect(await page.locator(".grid-cell.null").allTextContents()).toEqual(["NULL"]);
  await grid(page).focus();
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await page.getByLabel("The value").filter({ hasText: /a\nb/ }).waitFor();
  await page.keyboard.press("Escape");
  await tab.picture("database-dark");
  const save = async (name: string): Promise<Buffer> => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name, exact: true }).click()]);
    return await readFile(await download.path());
  };
  expect((await save("CSV")).toString()).toBe(
    'big,price,empty,missing,data,word,half,lines\r\n9223372036854775807,12345678901234567890.10,"",,\\x00ff,NULL,0.5,"a\nb"\r\n',
  );
  expect((await save("JSON")).toString()).toContain('"big":9223372036854775807,"price":"12345678901234567890.10","empty":"","missing":null');
  expect((await save("Parquet")).subarray(0, 4).toString()).toBe("PAR1");
  await tab.close();
});

test("a statement that fails says why, and is the last", async () => {
  const tab = await Tab.enter(browser, { hash: "#/database" });
  const { page } = tab;
  await page.getByTitle("station", { exact: true }).waitFor();
  await write(page, "SELECT 1 AS one;\nSELECT * FROM nowhere;\nINSERT INTO station VALUES (99, 'never', 0)");
  await page.getByRole("button", { name: "Run all" }).click();
  await page.getByRole("alert").filter({ hasText: "no such table: nowhere" }).waitFor();
  expect(await page.getByLabel("Statements").getByRole("button").count()).toBe(2);
  expect(await ask("SELECT count(*) FROM station WHERE id = 99")).toEqual([[0]]);
  await tab.picture("database-failure-light");
  await page.getByRole("button", { name: /1: SELECT 1 AS one/ }).click();
  await cell(page, "1").waitFor();
  await tab.close();
});

test("parameters, a transaction with its lease, and a lost connection that rolls it back", async () => {
  const network = await new Network().begin();
  const tab = await Tab.enter(browser, { hash: "#/database", through: network });
  const { page } = tab;
  await page.getByTitle("station", { exact: true }).waitFor();
  await write(page, "INSERT INTO station VALUES (?, ?, ?);\nSELECT name FROM station WHERE id = ?");
  await page.getByLabel("Type of ?1").selectOption("integer");
  await page.getByLabel("?1", { exact: true }).fill("7");
  await page.getByLabel("?2", { exact: true }).fill("seventh");
  await page.getByLabel("Type of ?3").selectOption("null");
  await page.getByRole("button", { name: "Begin a transaction" }).click();
  await page.getByText("transaction open").waitFor();
  await page.getByText(/Rolled back in (?:29|30) s if it stays unused; in 10 min in any case|Rolled back in \d+ s if it stays unused; in 9 min/).waitFor();
  await page.getByRole("button", { name: "Run all" }).click();
  await cell(page, "seventh").waitFor();
  expect(await ask("SELECT count(*) FROM station WHERE id = 7"), "nobody else sees it yet").toEqual([[0]]);
  await tab.picture("database-transaction-light");
  await page.getByRole("button", { name: "Renew" }).click();
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByText("Committed.").waitFor();
  expect(await ask("SELECT name, height_m FROM station WHERE id = 7")).toEqual([["seventh", null]]);

  await page.getByRole("button", { name: "Begin a transaction" }).click();
  await page.getByText("transaction open").waitFor();
  await write(page, "DELETE FROM station");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText(/^3 rows changed/).waitFor();
  await network.end();
  await page.getByText("The connection was lost, and the server has rolled the transaction back.").waitFor();
  await network.begin();
  await page.getByText("connected", { exact: true }).waitFor();
  expect(await ask("SELECT count(*) FROM station")).toEqual([[3]]);
  await tab.close(AWAY);
  await network.end();
});

test("a lease that is over, and one that is renewed", async () => {
  const tab = await Tab.enter(browser, { hash: "#/database" });
  const { page } = tab;
  await page.getByTitle("station", { exact: true }).waitFor();
  await page.getByLabel("Database", { exact: true }).selectOption("short");
  await page.getByText("It has no tables.").waitFor();
  await write(page, "CREATE TABLE kept (id INTEGER)");
  await page.getByRole("button", { name: "Begin a transaction" }).click();
  await page.getByText("transaction open").waitFor();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText("The lease is over, and the server has rolled the transaction back.").waitFor();
  await using client = makeClient();
  expect(await client.service(database).tables({ database: "short" })).toEqual([]);
  await page.getByRole("button", { name: "Begin a transaction" }).click();
  await page.getByText("transaction open").waitFor();
  expect(await page.getByLabel("Database", { exact: true }).isDisabled(), "a transaction belongs to one database").toBe(true);
  await page.getByLabel("keep it in use").check();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText(/in [1-6] s in any case/).waitFor(); // Without the renewals it would be over by now.
  await page.getByRole("button", { name: "Commit" }).click();
  await page.getByText("Committed.").waitFor();
  expect(await client.service(database).tables({ database: "short" })).toHaveLength(1);
  await page.getByRole("button", { name: "Read the schema again" }).click();
  await page.getByTitle("kept", { exact: true }).waitFor();
  await tab.close();
});

test("on a phone: tables, completion and a plan", async () => {
  const tab = await Tab.enter(browser, { hash: "#/database", width: 360, height: 740 });
  const { page } = tab;
  const table = page.locator("summary").filter({ hasText: "reading" });
  await table.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "celsius" }).waitFor();
  await page.getByText("station → station(id)").waitFor();
  const editor = page.getByRole("textbox", { name: "SQL" });
  await editor.focus();
  await page.keyboard.type("SELECT * FROM stat");
  await page.getByRole("option", { name: /station/ }).first().click();
  await page.keyboard.type(" WHERE hei");
  await page.getByRole("option", { name: "height_m" }).click();
  await page.keyboard.type(" > 1");
  await page.keyboard.press("Control+Enter");
  await cell(page, "north").waitFor();
  await tab.picture("database-phone");
  await page.getByRole("button", { name: "Explain" }).click();
  await page.getByLabel("Plan").filter({ hasText: /SCAN station/i }).waitFor();
  await tab.picture("database-phone-plan");
  await tab.close();
});

test("a role that reads only, and one that may not even do that, are told so", async () => {
  const reader = await Tab.enter(browser, { hash: "#/database", secret: readerToken, width: 360, height: 740 });
  await reader.page.getByText("You may only read: your role lacks database.execute.").waitFor();
  await reader.page.getByText("it lacks the permission database.schema").waitFor();
  await reader.page.getByText("your role lacks database.transaction").waitFor();
  await write(reader.page, "SELECT name FROM station WHERE id = 1");
  await reader.page.getByRole("button", { name: "Run", exact: true }).click();
  await cell(reader.page, "north").waitFor();
  await write(reader.page, "DELETE FROM station");
  await reader.page.getByRole("button", { name: "Run", exact: true }).click();
  await reader.page.getByRole("alert").filter({ hasText: "database.execute" }).waitFor();
  expect(await ask("SELECT count(*) > 0 FROM station")).toEqual([[1]]);
  await reader.picture("database-reader-phone");
  await reader.close();
  const visitor = await Tab.enter(browser, { hash: "#/database", secret: visitorToken });
  await visitor.page.getByText("it needs the permission database.query").waitFor();
  await visitor.check();
  await visitor.close();
});
