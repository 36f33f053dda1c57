/** A group of three nodes: the roster while one is killed, the pages of another node, and commands on many. */

import { programs } from "@remote-services/client/stubs/programs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { act, AWAY, makeClient, Network, startBrowser, Tab, visitorToken as watcherToken } from "./place.ts";

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => { await browser.close(); });

function rowOf(page: Page, name: string) {
  return page.locator(".nodes tbody tr").filter({ has: page.getByRole("checkbox", { name, exact: true }) });
}

function foldOf(page: Page, title: string) {
  return page.getByRole("article", { name: title, exact: true });
}

async function countPrograms(node: string): Promise<number> {
  await using client = makeClient();
  await using there = client.node(node);
  return (await there.service(programs).list()).filter((each) => each.running).length;
}

test("the roster tells what becomes of a node, and a terminal there goes on when its server was killed and is back", async () => {
  const network = await new Network().begin();
  const tab = await Tab.enter(browser, { hash: "#/machines", through: network });
  const { page } = tab;
  await page.getByText("3 up", { exact: true }).waitFor();
  await rowOf(page, "db-1").getByText("this server").waitFor();
  await rowOf(page, "web-2").getByText("zone=us").waitFor();
  await rowOf(page, "web-2").getByText(/^\d+\.\d\d$|^load \d+\.\d\d$/).waitFor();
  await tab.picture("machines-light");

  const other = await Tab.enter(browser, { scheme: "dark", hash: "#/programs" });
  await other.page.keyboard.press("n");
  expect(await other.page.evaluate(() => document.activeElement?.id)).toBe("node");
  await other.page.getByLabel("Node", { exact: true }).selectOption("web-2");
  await other.page.getByText("owner via db-1 · from-db-1").waitFor();
  expect(new URL(other.page.url()).hash).toBe("#/@web-2/programs");
  expect(await other.page.title()).toBe("Programs · web-2 · remote-services");
  await other.page.getByLabel("Program and arguments").fill("cat");
  await other.page.getByRole("button", { name: "Start" }).click();
  await other.page.getByText("keys go to the program").waitFor();
  await other.page.keyboard.type("before\n");
  await other.page.locator(".xterm-rows").getByText("before").first().waitFor();
  // While the way to the server is lost, the page says so; what happens then is seen when it is back.
  await network.end();
  await page.getByText("The connection is lost: this is how the nodes were then.").waitFor();
  await act("kill");
  await network.begin();
  await rowOf(page, "web-2").getByText("died", { exact: true }).waitFor();
  await page.getByText("2 up, 1 died", { exact: true }).waitFor();
  await other.page.getByRole("alert").filter({ hasText: "The node web-2 cannot be reached" }).waitFor();
  await tab.picture("machines-died-light");
  await other.picture("machines-node-away-dark");
  await act("start");
  await page.getByText("3 up", { exact: true }).waitFor();
  await other.page.getByText("connected", { exact: true }).waitFor();
  await other.page.getByText("keys go to the program").waitFor();
  await other.page.locator(".xterm-helper-textarea").focus();
  await other.page.keyboard.type("after\n");
  // The terminal echoes what is typed, and cat says it again.
  await expect.poll(async () => (await other.page.locator(".xterm-rows").textContent() ?? "").match(/before|after/g)).toEqual(["before", "before", "after", "after"]);
  expect(await countPrograms("web-2")).toBe(1);
  await other.page.getByRole("button", { name: "Kill …" }).click();
  await other.page.getByRole("button", { name: "Kill the tree" }).click();
  await expect.poll(() => countPrograms("web-2")).toBe(0);
  await other.close(AWAY);
  await tab.close(AWAY);
  await network.end();
});

test("the pages are those of the node that is chosen, also after a reload", async () => {
  const tab = await Tab.enter(browser, { hash: "#/machines" });
  const { page } = tab;
  await page.getByRole("link", { name: "web-1", exact: true }).click();
  await page.getByText("owner via db-1 · from-db-1").waitFor();
  await page.locator("table.processes tbody tr").first().waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("p");
  await page.getByLabel("Program and arguments").fill("cat");
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText("keys go to the program").waitFor();
  await page.keyboard.type("typed at web-1\n");
  await page.locator(".xterm-rows").getByText("typed at web-1").first().waitFor();
  expect([await countPrograms("web-1"), await countPrograms("db-1")]).toEqual([1, 0]);
  await page.reload();
  await page.locator(".xterm-rows").getByText("typed at web-1").first().waitFor();
  await page.getByLabel("Node", { exact: true }).selectOption({ label: "db-1 (this server)" });
  await page.getByText("Nothing runs, and nothing that has ended is kept.").waitFor();
  await page.goBack();
  await page.locator(".xterm-rows").waitFor();
  await page.getByRole("button", { name: "Kill …" }).click();
  await page.getByRole("button", { name: "Kill the tree" }).click();
  await page.getByText("It has ended, with everything that it had started.").waitFor();
  expect(await countPrograms("web-1")).toBe(0);
  await page.getByRole("link", { name: "Services", exact: true }).click();
  await page.getByRole("link", { name: "hello", exact: true }).click();
  await page.getByRole("button", { name: "Call" }).click();
  await page.getByLabel("Result").filter({ hasText: "owner via db-1" }).waitFor();
  await tab.go("#/@nobody/overview");
  await page.getByRole("alert").filter({ hasText: "nobody" }).waitFor();
  await page.getByRole("link", { name: "Show Overview of this server" }).click();
  await page.getByRole("heading", { name: "Processes" }).waitFor();
  await tab.close();
});

test("a command runs on those that are selected; what is alike is shown once, and cancelling ends it", async () => {
  const tab = await Tab.enter(browser, { hash: "#/machines", scheme: "dark" });
  const { page } = tab;
  const command = page.getByLabel("Program and arguments");
  await command.fill("sh -c 'echo release ${RELEASE:-2026.11}'");
  await page.getByRole("button", { name: "Run" }).click();
  await foldOf(page, "db-1,web-1 (2)").getByText("release 2026.11").waitFor();
  await foldOf(page, "web-2").getByText("release 2026.10").waitFor();
  await page.getByText("3 of 3 nodes have ended").waitFor();
  await page.getByLabel("Selector").fill("role=web");
  await command.fill("sh -c 'echo to both; test -z \"$RELEASE\" || exit 3'");
  await page.keyboard.press("Enter");
  await foldOf(page, "web-1").getByText("ok", { exact: true }).waitFor();
  await foldOf(page, "web-2").getByText("error", { exact: true }).waitFor();
  await foldOf(page, "web-2").getByText("code 3", { exact: true }).waitFor();
  await page.getByText("2 of 2 nodes have ended").waitFor();
  await page.getByText("Each node", { exact: true }).click();
  await tab.picture("machines-outcomes-dark");
  await page.getByLabel("Selector").fill("role=nothing");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "role=nothing" }).waitFor();

  await page.getByRole("checkbox", { name: "web-1", exact: true }).check();
  await page.getByRole("checkbox", { name: "db-1", exact: true }).check();
  await command.fill("sh -c 'echo begun; exec sleep 600'");
  await page.keyboard.press("Enter");
  await foldOf(page, "db-1,web-1 (2)").getByText("begun").waitFor();
  expect([await countPrograms("web-1"), await countPrograms("db-1"), await countPrograms("web-2")]).toEqual([1, 1, 0]);
  await page.getByRole("button", { name: "Cancel" }).click();
  await foldOf(page, "db-1,web-1 (2)").getByText("cancelled", { exact: true }).waitFor();
  await expect.poll(async () => [await countPrograms("web-1"), await countPrograms("db-1")]).toEqual([0, 0]);
  await tab.close();
});

test("a role that may see the nodes alone is told what it may not, and so is each node's answer; all of it fits a phone", async () => {
  const tab = await Tab.enter(browser, { secret: watcherToken, hash: "#/machines", width: 360, height: 740 });
  const { page } = tab;
  await page.getByText("3 up", { exact: true }).waitFor();
  await page.getByText("Your role lacks the permission rpc.connect_node").waitFor();
  expect(await page.getByRole("link", { name: "web-1", exact: true }).count()).toBe(0);
  expect(await page.getByLabel("Node", { exact: true }).isDisabled()).toBe(true);
  await tab.picture("machines-phone");
  await page.getByRole("button", { name: "role=web" }).first().click();
  await page.getByLabel("Program and arguments").fill("id");
  await page.keyboard.press("Enter");
  await page.getByText("2 of 2 nodes have ended").waitFor();
  await page.getByText("2 refused", { exact: true }).waitFor();
  await page.getByText("it has not run").first().waitFor();
  await page.getByText("Each node", { exact: true }).click();
  await page.getByRole("region", { name: "Outcome of each node" }).scrollIntoViewIfNeeded();
  await tab.picture("machines-refused-phone");
  await tab.go("#/@web-1/overview");
  await page.getByRole("alert").filter({ hasText: "rpc.connect_node" }).waitFor();
  await tab.close();
});
