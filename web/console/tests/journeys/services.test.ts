/** The page of services: documentation, forms, calls, streams, cancelling, and the same call elsewhere. */

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeAddress, makeClient, origin, startBrowser, Tab } from "./place.ts";

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => { await browser.close(); });

interface Activity {
  readonly running: readonly { readonly method: string }[];
}

async function isRunning(method: string): Promise<boolean> {
  await using client = makeClient();
  return (await client.call<Activity>("rpc.activity")).running.some((each) => each.method === method);
}

test("a method is found, read about, and called by its form", async () => {
  const tab = await Tab.enter(browser);
  await tab.go("#/services");
  await tab.page.getByLabel("Search methods").fill("programs run");
  await tab.page.getByRole("link", { name: "run", exact: true }).click();
  await tab.page.getByText("Run a program to its end and return its output.").first().waitFor();
  await tab.page.getByLabel("argv").fill("sh\n-c\necho hello; exit 3");
  await tab.page.getByLabel("timeout_s", { exact: true }).fill("no number");
  await tab.page.getByRole("button", { name: "Call" }).click();
  await tab.page.getByText("timeout_s: no number is no number").waitFor();
  await tab.page.getByLabel("timeout_s", { exact: true }).fill("30");
  await tab.page.getByRole("button", { name: "Call" }).click();
  const result = tab.page.getByLabel("Result");
  await result.waitFor();
  const text = await result.textContent();
  expect(text).toContain('"stdout": "hello\\n"');
  expect(text).toContain('"code": 3');
  for (const language of ["TypeScript", "Shell", "JSON", "Python"]) {
    await tab.page.getByRole("button", { name: language, exact: true }).click();
    await tab.page.getByLabel(`The call in ${language}`).filter({ hasText: "echo hello; exit 3" }).waitFor();
  }
  await tab.picture("services-light");
  await tab.close();
});

test("an error of the server names the field; a call that waits is cancelled on the server", async () => {
  const tab = await Tab.enter(browser, { hash: "#/services/programs.run" });
  await tab.page.getByLabel("argv").fill("sleep\n600");
  await tab.page.getByLabel("limits").fill('{"memory_bytes": -5}');
  await tab.page.getByRole("button", { name: "Call" }).click();
  await tab.page.getByRole("alert").filter({ hasText: "InvalidParams" }).waitFor();
  await tab.page.getByLabel("limits").fill("");
  await tab.page.getByRole("button", { name: "Call" }).click();
  await expect.poll(() => isRunning("programs.run")).toBe(true);
  await tab.page.getByRole("button", { name: "Cancel" }).click();
  await tab.page.getByText("cancelled", { exact: true }).waitFor();
  await expect.poll(() => isRunning("programs.run")).toBe(false);
  await tab.close();
});

test("a stream is read, and stopped on the server", async () => {
  const tab = await Tab.enter(browser, { hash: "#/services/hardware.subscribe", scheme: "dark" });
  await tab.page.getByLabel("filter").fill("cpu.percent");
  await tab.page.getByLabel("interval_s").fill("0.2");
  await tab.page.getByRole("button", { name: "Open the stream" }).click();
  await tab.page.getByText(/^[3-9] items/).waitFor();
  await tab.page.getByLabel("Items").filter({ hasText: "cpu.percent" }).waitFor();
  expect(await isRunning("hardware.subscribe")).toBe(true);
  await tab.picture("services-dark");
  await tab.page.getByRole("button", { name: "Stop" }).click();
  await tab.page.getByText("stopped", { exact: true }).waitFor();
  await expect.poll(() => isRunning("hardware.subscribe")).toBe(false);
  await tab.close();
});

test("/docs leads to the services, and all of it fits a phone", async () => {
  const address = await makeAddress();
  const tab = await Tab.open(browser, { width: 360, height: 740 });
  await tab.page.goto(address.replace(`${origin}/`, `${origin}/docs`));
  await tab.page.getByRole("heading", { name: "Services" }).waitFor();
  await tab.picture("services-phone-list");
  await tab.page.getByRole("link", { name: "query", exact: true }).click();
  await tab.page.getByRole("textbox", { name: "database" }).fill("main");
  await tab.page.getByLabel("sql").fill("SELECT 9223372036854775807 AS big");
  await tab.page.getByRole("button", { name: "Call" }).click();
  await tab.page.getByLabel("Result").filter({ hasText: "9223372036854775807" }).waitFor();
  await tab.picture("services-phone");
  await tab.close();
});
