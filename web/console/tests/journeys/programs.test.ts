/** Programs: a terminal that survives a reload and a server that was away, two tabs and one of them with the keys, logs, and the end of a tree. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { programs, type ProgramInfo } from "@remote-services/client/stubs/programs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AWAY, makeClient, Network, required, startBrowser, Tab } from "./place.ts";

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => { await browser.close(); });

async function listPrograms(): Promise<ProgramInfo[]> {
  await using client = makeClient();
  return await client.service(programs).list();
}

async function start(page: Page, command: string, inTerminal = true): Promise<string> {
  await page.getByLabel("Program and arguments").fill(command);
  if (!inTerminal) await page.getByLabel("in a terminal").uncheck();
  await page.getByRole("button", { name: "Start" }).click();
  await page.locator(".xterm-rows").waitFor();
  return decodeURIComponent(new URL(page.url()).hash.replace("#/programs/", ""));
}

function lines(page: Page, text: string | RegExp) {
  return page.locator(".xterm-rows").getByText(text).first();
}

test("a terminal takes keys, has the size of its place, and survives a reload and a lost network", async () => {
  const network = await new Network().begin();
  const tab = await Tab.enter(browser, { hash: "#/programs", through: network });
  const { page } = tab;
  const id = await start(page, "bash --norc --noprofile");
  await page.getByText("keys go to the program").waitFor();
  await page.keyboard.type("echo $((40 + 2))$((6 * 9)); stty size; printf '\\e[38;2;1;200;3mgreen\\e[0m\\n'");
  await page.keyboard.press("Enter");
  await lines(page, "4254").waitFor();
  // A colour of its own comes by a style, which the policy of the page lets scripts alone set.
  expect(await lines(page, /^green$/).evaluate((element) => getComputedStyle(element).color)).toBe("rgb(1, 200, 3)");
  const info = async (): Promise<ProgramInfo | undefined> => (await listPrograms()).find((each) => each.id === id);
  await expect.poll(async () => (await info())?.terminal?.columns ?? 0).toBeGreaterThan(100);
  const wide = (await info())?.terminal?.columns ?? 0;
  await page.setViewportSize({ width: 800, height: 700 });
  await expect.poll(async () => (await info())?.terminal?.columns ?? wide).toBeLessThan(wide);

  await page.reload();
  await lines(page, "4254").waitFor();
  await page.getByText("keys go to the program").waitFor();
  await network.end();
  await page.getByText(/reconnecting since/).waitFor();
  {
    await using client = makeClient();
    await client.service(programs).control({ id, take: true });
    await client.service(programs).write({ id, data: new TextEncoder().encode("echo while$((1 + 1))away\n") });
  }
  await network.begin();
  await page.getByText("connected", { exact: true }).waitFor();
  await lines(page, "while2away").waitFor();
  await page.getByLabel("Find in the output").fill("4254");
  await page.getByRole("button", { name: "Find" }).click();
  await page.setViewportSize({ width: 1280, height: 800 });
  await tab.picture("programs-terminal-light");

  await page.getByRole("button", { name: "Kill …" }).click();
  await page.getByRole("button", { name: "Kill the tree" }).click();
  await page.getByText("It has ended, with everything that it had started.").waitFor();
  expect((await info())?.running).toBe(false);
  await page.getByRole("button", { name: "Forget" }).click();
  await page.getByRole("heading", { name: "Programs" }).waitFor();
  expect(await info()).toBeUndefined();
  await tab.close(AWAY);
  await network.end();
});

test("of two tabs one has the keys, and the other can take them", async () => {
  const one = await Tab.enter(browser, { hash: "#/programs" });
  const id = await start(one.page, "cat");
  await one.page.getByText("keys go to the program").waitFor();
  const other = await Tab.enter(browser, { hash: `#/programs/${encodeURIComponent(id)}`, scheme: "dark" });
  await other.page.getByText("somebody else has the keys").waitFor();
  await one.page.keyboard.type("from the first\n");
  await lines(other.page, "from the first").waitFor();
  await other.picture("programs-terminal-dark");
  await other.page.getByRole("button", { name: "Take the keys" }).click();
  await other.page.getByText("keys go to the program").waitFor();
  await other.page.keyboard.type("from the other\n");
  await lines(one.page, "from the other").waitFor();
  await one.page.locator(".xterm-helper-textarea").focus();
  await one.page.keyboard.type("refused\n");
  await one.page.getByText("somebody else has the keys").waitFor();
  await other.close();
  await one.close();
  await using client = makeClient();
  await client.service(programs).kill({ id, grace_s: 0 });
});

test("a program without a terminal gets lines from one tab at a time, and the end of its input", async () => {
  const one = await Tab.enter(browser, { hash: "#/programs" });
  const { page } = one;
  await page.getByLabel("Program and arguments").fill("sh -c 'while read -r line; do echo \"got $line\"; done; echo no more; exit 5'");
  await page.getByLabel("in a terminal").uncheck();
  await page.getByLabel("with input").check();
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByLabel("Line for the program").fill("one");
  await page.keyboard.press("Enter");
  await lines(page, "got one").waitFor();
  await page.getByText("The program has taken it.").waitFor();
  const other = await Tab.enter(browser, { hash: new URL(page.url()).hash, width: 360, height: 740, scheme: "dark" });
  await other.page.getByLabel("Line for the program").fill("two words");
  await other.page.keyboard.press("Enter");
  await other.page.getByText("another connection controls").waitFor();
  // The line was not sent, and is still there.
  await other.page.getByRole("button", { name: "Take the input" }).click();
  await other.page.getByText("The input is yours.").waitFor();
  await other.page.getByRole("button", { name: "Send the line" }).click();
  await lines(page, "got two words").waitFor();
  await other.picture("programs-input-phone");
  await other.page.getByRole("button", { name: "End the input" }).click();
  await lines(page, "no more").waitFor();
  await page.getByText("code 5").first().waitFor();
  expect(await page.getByLabel("Line for the program").count()).toBe(0);
  await one.check();
  await other.close();
  await page.getByRole("button", { name: "Forget" }).click();
  await page.getByRole("heading", { name: "Programs" }).waitFor();
  // One that was started without input says so.
  await start(page, "sleep 600", false);
  await page.getByLabel("Line for the program").fill("nobody reads");
  await page.keyboard.press("Enter");
  await page.getByText("takes no more input").waitFor();
  await page.getByRole("button", { name: "Kill …" }).click();
  await page.getByRole("button", { name: "Kill the tree" }).click();
  await page.getByText("It has ended, with everything that it had started.").waitFor();
  await one.close();
});

test("a terminal and a log have each line once, although the page was loaded anew and the network lost in the middle of output", async () => {
  const network = await new Network().begin();
  const end = join(required("TEST_FOLDER"), "end");
  const command = `sh -c 'n=0; until [ -e ${end} ]; do n=$((n + 1)); echo "line $n"; sleep 0.01; done; echo "the end, after $n"'`;
  const tabs = [await Tab.enter(browser, { hash: "#/programs", through: network }), await Tab.enter(browser, { hash: "#/programs", through: network })];
  for (const [index, { page, context }] of tabs.entries()) {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await start(page, command, index === 0);
    await lines(page, /^line \d+$/).waitFor();
  }
  for (const { page } of tabs) {
    await page.reload();
    await lines(page, /^line \d+$/).waitFor();
  }
  await network.end();
  for (const { page } of tabs) await page.getByText(/reconnecting since/).waitFor();
  await network.begin();
  for (const { page } of tabs) await page.getByText("connected", { exact: true }).waitFor();
  writeFileSync(end, "");
  for (const { page } of tabs) {
    await page.bringToFront();
    const last = await lines(page, /^the end, after \d+$/).textContent();
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("All of it is copied.").waitFor();
    const text = await page.evaluate(() => navigator.clipboard.readText());
    const count = Number(/\d+/.exec(last ?? "")?.[0]);
    expect(count).toBeGreaterThan(2);
    expect(text.trim().split("\n").map((each) => each.trim())).toEqual([...Array.from({ length: count }, (_each, index) => `line ${String(index + 1)}`), `the end, after ${String(count)}`]);
    await page.getByRole("button", { name: "Forget" }).click();
    await page.getByRole("heading", { name: "Programs" }).waitFor();
  }
  for (const tab of tabs) await tab.close(AWAY);
  await network.end();
});

test("a log follows its program, and the list tells how it has ended", async () => {
  const tab = await Tab.enter(browser, { hash: "#/programs", width: 360, height: 740 });
  const { page } = tab;
  await start(page, "sh -c 'for n in 1 2 3; do echo line $n; echo problem $n >&2; done; exit 7'", false);
  await lines(page, "line 3").waitFor();
  await lines(page, "problem 3").waitFor();
  await page.getByText("code 7").first().waitFor();
  await tab.picture("programs-log-phone");
  await page.getByRole("link", { name: "← all programs" }).click();
  await page.locator(".programs").getByText("code 7").waitFor();
  await page.getByLabel("Program and arguments").fill("no-such-program");
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByRole("alert").filter({ hasText: "no-such-program" }).waitFor();
  await tab.picture("programs-phone");
  await tab.close();
});
