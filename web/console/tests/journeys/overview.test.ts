/** The overview: the host, charts over a lost network, processes in order, and a signal. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { hardware } from "@remote-services/client/stubs/hardware";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AWAY, makeClient, Network, startBrowser, Tab, visitorToken } from "./place.ts";

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => { await browser.close(); });

test("the host, its charts and its processes", async () => {
  await using client = makeClient();
  const host = await client.service(hardware).host();
  const tab = await Tab.enter(browser);
  await tab.page.getByRole("heading", { name: host.hostname }).waitFor();
  await tab.page.locator("[data-chart=cpu] canvas").waitFor();
  await tab.page.getByRole("img", { name: /Processors over the last hour, now busy \d/ }).waitFor();
  await tab.page.getByRole("img", { name: /Memory over the last hour, now in use \d/ }).waitFor();
  await tab.page.getByRole("meter", { name: "Processor 0" }).waitFor();
  const { cores } = await client.service(hardware).cpu();
  await tab.page.locator("[data-chart=cpu]").getByText(new RegExp(`each of ${String(cores.length)} \\d+ to \\d+ %`)).waitFor();
  await tab.page.getByRole("button", { name: /^PID/ }).click();
  await tab.page.locator("table.processes tbody tr:first-child td:first-child").getByText("1", { exact: true }).waitFor();
  expect(await tab.page.locator("th[aria-sort]").textContent()).toContain("PID");
  await tab.picture("overview-light");
  await tab.close();
});

test("a process gets a signal", async () => {
  const child = spawn("sleep", ["600"]);
  const ended = once(child, "exit");
  const tab = await Tab.enter(browser, { scheme: "dark" });
  const { page } = tab;
  await page.getByLabel("Find a process").fill(String(child.pid));
  await page.getByRole("button", { name: `Signal ${String(child.pid)}`, exact: true }).click();
  await page.getByRole("dialog").waitFor();
  await tab.picture("overview-signal-dark");
  await page.getByRole("button", { name: "Send" }).click();
  const [, signal] = (await ended) as [number | null, string | null];
  expect(signal).toBe("SIGTERM");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByLabel("Find a process").fill("");
  await page.locator("table.processes tbody tr").nth(3).waitFor();
  await tab.picture("overview-dark");
  await tab.close();
});

test("the charts go on after the network was away", async () => {
  const network = await new Network().begin();
  const tab = await Tab.enter(browser, { through: network });
  const chart = tab.page.getByRole("img", { name: /Processors over the last hour, now busy \d/ });
  await chart.waitFor();
  await network.end();
  await tab.page.getByText(/reconnecting since/).waitFor();
  await network.begin();
  await tab.page.getByText("connected", { exact: true }).waitFor();
  const before = await tab.page.locator("table.processes").textContent();
  await expect.poll(() => tab.page.locator("table.processes").textContent(), { timeout: 15_000 }).not.toBe(before);
  await chart.waitFor();
  await tab.close(AWAY);
  await network.end();
});

test("a phone shows all of it; a role without processes is told so", async () => {
  const tab = await Tab.enter(browser, { width: 360, height: 740, secret: visitorToken });
  await tab.page.getByRole("img", { name: /Processors over the last hour, now busy \d/ }).waitFor();
  await tab.page.getByText("it needs the permission hardware.processes").waitFor();
  await tab.picture("overview-phone");
  await tab.close();
});
