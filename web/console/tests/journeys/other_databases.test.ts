/** PostgreSQL and MariaDB: parameters by name, exact values, plans that change nothing, transactions and their isolation. */

import { database } from "@remote-services/client/stubs/database";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeClient, startBrowser, Tab } from "./place.ts";

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => { await browser.close(); });

const BIG = "9223372036854775807";
const EXPLAIN_ADVICE = "outside a transaction explain changes nothing: begin one, explain in it, and roll it back";

async function write(page: Page, sql: string): Promise<void> {
  await page.getByRole("textbox", { name: "SQL" }).fill(sql);
}

async function press(page: Page, button: string): Promise<void> {
  await page.getByRole("button", { name: button, exact: true }).click();
}

function cell(page: Page, text: string) {
  return page.getByRole("gridcell", { name: text, exact: true });
}

function alert(page: Page, text: string) {
  return page.getByRole("alert").filter({ hasText: text });
}

describe.each([
  { name: "postgres", bytes: "BYTEA", cast: (value: string) => `${value}::numeric(40, 10)`, plansChanges: true },
  { name: "maria", bytes: "BLOB", cast: (value: string) => `CAST(${value} AS DECIMAL(40, 10))`, plansChanges: false },
])("$name", ({ name, bytes, cast, plansChanges }) => {
  const ask = async (sql: string): Promise<unknown[][]> => {
    await using client = makeClient();
    return (await client.service(database).query({ database: name, sql })).rows;
  };
  const insert = async (height: string): Promise<void> => {
    await using client = makeClient();
    await client.service(database).execute({ database: name, sql: `INSERT INTO station VALUES (${BIG}, '', ${height}, NULL)` });
  };
  beforeAll(async () => {
    await using client = makeClient();
    const stub = client.service(database);
    for (const sql of [
      "DROP TABLE IF EXISTS station",
      `CREATE TABLE station (id BIGINT PRIMARY KEY, name VARCHAR(40) NOT NULL, height_m NUMERIC(40, 10), data ${bytes})`,
    ]) await stub.execute({ database: name, sql });
  });

  test("parameters by name, NULL apart from an empty text, and a statement that fails", async () => {
    const tab = await Tab.enter(browser, { hash: `#/database/${name}` });
    const { page } = tab;
    await page.getByTitle("station", { exact: true }).waitFor();
    await write(page, `SELECT ${cast(":price")} AS price, '' AS empty, NULL AS missing, ':no' AS word`);
    await page.getByLabel("Type of :price").selectOption("decimal");
    await page.getByLabel(":price", { exact: true }).fill("0.10");
    await press(page, "Run");
    await cell(page, "0.1000000000").waitFor();
    expect(await page.getByRole("gridcell").allTextContents()).toEqual(["0.1000000000", "''", "NULL", ":no"]);
    expect(await page.locator(".grid-cell.null").count()).toBe(1);
    await write(page, "SELECT * FROM nowhere");
    await press(page, "Run");
    await alert(page, "nowhere").filter({ hasText: "SQLSTATE" }).waitFor();
    await tab.close();
  });

  test("the plan of a change never changes data outside a transaction, and in one it can be undone", async () => {
    await using client = makeClient();
    await client.service(database).execute({ database: name, sql: "DELETE FROM station" });
    await insert("1");
    const rows = "SELECT id, height_m FROM station";
    const before = JSON.stringify(await ask(rows), (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
    const now = async (): Promise<string> => JSON.stringify(await ask(rows), (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
    const tab = await Tab.enter(browser, { hash: `#/database/${name}`, scheme: "dark" });
    const { page } = tab;
    await page.getByTitle("station", { exact: true }).waitFor();
    for (const change of ["INSERT INTO station VALUES (2, 'new', 2, NULL)", "UPDATE station SET height_m = 2", "DELETE FROM station"]) {
      await write(page, change);
      await press(page, "Explain");
      if (plansChanges) await page.getByLabel("Plan").filter({ hasText: /(?:Insert|Update|Delete) on station/ }).waitFor();
      else await alert(page, EXPLAIN_ADVICE).waitFor();
      await press(page, "Close this result");
      await press(page, "Measure");
      await alert(page, EXPLAIN_ADVICE).waitFor();
      await press(page, "Close this result");
      expect(await now()).toBe(before);
    }
    await page.getByLabel("Isolation").selectOption("serializable");
    await press(page, "Begin a transaction");
    await page.getByText(`${name}, serializable`).waitFor();
    await press(page, "Measure");
    await page.getByLabel("Plan").filter({ hasText: /actual time|r_rows/ }).waitFor();
    await write(page, "SELECT count(*) AS stations FROM station");
    await press(page, "Run");
    await cell(page, "0").waitFor();
    await tab.picture(`database-${name}-dark`);
    await press(page, "Roll back");
    await page.getByText("Rolled back.").waitFor();
    expect(await now()).toBe(before);
    await tab.close();
  });
});
