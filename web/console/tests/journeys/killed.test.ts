/** A server that is killed under open terminals and logs: what goes on without it, what ends with it, and what the page says of each. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { programs, type ProgramInfo } from "@remote-services/client/stubs/programs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { act, AWAY, makeClient, required, startBrowser, Tab } from "./place.ts";

const folder = required("TEST_FOLDER");

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => { await browser.close(); });

async function listPrograms(secret?: string): Promise<ProgramInfo[]> {
  await using client = makeClient(secret);
  return await client.service(programs).list();
}

async function countSessions(): Promise<number> {
  await using client = makeClient();
  return (await client.call<unknown[]>("rpc.list_sessions")).length;
}

async function start(page: Page, command: string, inTerminal = true): Promise<string> {
  await page.getByLabel("Program and arguments").fill(command);
  if (!inTerminal) await page.getByLabel("in a terminal").uncheck();
  await page.getByRole("button", { name: "Start" }).click();
  await page.locator(".xterm-rows").waitFor();
  return decodeURIComponent(new URL(page.url()).hash.replace("#/programs/", ""));
}

function lines(page: Page, text: string | RegExp) {
  return page.locator(".xterm-rows > div").filter({ hasText: text });
}

/** Something that programs wait for, and what they say when they have seen it. */
function signal(name: string): { readonly command: string; readonly give: () => Promise<void> } {
  const [asked, answered] = [join(folder, `${name}.asked`), join(folder, `${name}.answered`)];
  return {
    command: `until [ -e ${asked} ]; do sleep 0.05; done; echo ${name} came; touch ${answered}`,
    give: async () => {
      writeFileSync(asked, "");
      await expect.poll(() => existsSync(answered), { timeout: 20_000 }).toBe(true);
    },
  };
}

/** Whether a process runs: one that has ended, and whose end nobody has taken note of yet, does not. */
function isAlive(pid: number): boolean {
  try {
    const state = readFileSync(`/proc/${String(pid)}/stat`, "utf8").split(") ").at(-1);
    return state?.startsWith("Z") === false;
  } catch {
    return false;
  }
}

test("what was started here outlives a server that is killed: nothing that it writes or is sent meanwhile is lost or doubled", async () => {
  const [first, second] = [signal("first"), signal("second")];
  const tab = await Tab.enter(browser, { hash: "#/programs" });
  const log = await Tab.enter(browser, { hash: "#/programs", width: 360, height: 740, scheme: "dark" });
  const { page } = tab;
  const id = await start(page, "bash --norc --noprofile");
  await page.getByText("keys go to the program").waitFor();
  await page.keyboard.type("echo be$((1 + 1))fore");
  await page.keyboard.press("Enter");
  await lines(page, /^be2fore\s*$/).waitFor();
  await page.keyboard.type(`clear; ${first.command}`);
  await page.keyboard.press("Enter");
  await lines(page, /be2fore/).first().waitFor({ state: "detached" });
  await start(log.page, `sh -c 'echo the log begins; ${second.command}; exit 4'`, false);
  await lines(log.page, "the log begins").waitFor();
  const before = await listPrograms();
  const sessions = await countSessions();

  await act("kill");
  await page.getByText(/reconnecting since/).waitFor();
  await page.getByRole("alert").filter({ hasText: "The connection is lost. Programs that were started here go on" }).waitFor();
  await page.getByText("keys wait for the connection").waitFor();
  await first.give();
  await second.give();
  await page.keyboard.type("echo typed$((2 + 1))away");
  await page.keyboard.press("Enter");
  await tab.picture("programs-server-killed-light");
  await log.picture("programs-server-killed-phone");
  await act("start");
  await page.getByText("connected", { exact: true }).waitFor();
  await page.getByText("keys go to the program").waitFor();
  await lines(page, /^typed3away\s*$/).waitFor();
  await page.keyboard.type("echo after$((3 + 1))");
  await page.keyboard.press("Enter");
  await lines(page, /^after4\s*$/).waitFor();
  expect([await lines(page, /^first came\s*$/).count(), await lines(page, /^typed3away\s*$/).count()]).toEqual([1, 1]);
  await lines(log.page, "second came").waitFor();
  await log.page.getByText("code 4").first().waitFor();
  expect(await lines(log.page, /the log begins|second came/).count()).toBe(2);
  expect((await listPrograms()).map((each) => [each.id, each.pid]).sort()).toEqual(before.map((each) => [each.id, each.pid]).sort());
  // By the sessions that these tabs had.
  expect(await countSessions()).toBe(sessions);

  await page.setViewportSize({ width: 800, height: 700 });
  const columns = async (): Promise<number> => (await listPrograms()).find((each) => each.id === id)?.terminal?.columns ?? 0;
  const wide = before.find((each) => each.id === id)?.terminal?.columns ?? 0;
  await expect.poll(columns).toBeLessThan(wide);
  await page.keyboard.type("exit 3");
  await page.keyboard.press("Enter");
  await page.getByText("code 3").first().waitFor();
  await tab.check();
  await tab.close(AWAY);
  await log.close(AWAY);
});

test("what ends with the server is shown as gone, with what it has written", async () => {
  await using client = makeClient();
  const stub = client.service(programs);
  const program = await stub.start({ argv: ["sh", "-c", "echo it has begun; exec sleep 600"], terminal: { rows: 24, columns: 80 }, on_disconnect: "kill" });
  const tab = await Tab.enter(browser, { hash: `#/programs/${encodeURIComponent(program.id)}` });
  const list = await Tab.enter(browser, { hash: "#/programs", width: 360, height: 740 });
  const { page } = tab;
  await lines(page, "it has begun").waitFor();
  await list.page.locator(".programs").getByText("it has begun").waitFor();
  await act("kill");
  await page.getByText(/reconnecting since/).waitFor();
  await act("start");
  await page.getByText("connected", { exact: true }).waitFor();
  await page.getByRole("alert").filter({ hasText: "The server knows nothing of this program any more" }).waitFor();
  await page.getByText("gone", { exact: true }).waitFor();
  await lines(page, "it has begun").waitFor();
  expect(await page.getByRole("button", { name: "Kill …" }).count()).toBe(0);
  await expect.poll(() => isAlive(program.pid), { timeout: 20_000 }).toBe(false);
  await list.page.getByText("connected", { exact: true }).waitFor();
  await list.page.locator(".programs").getByText("it has begun").waitFor({ state: "detached" });
  await tab.picture("programs-gone-light");
  await page.getByRole("link", { name: "← all programs" }).click();
  await page.getByRole("heading", { name: "Programs" }).waitFor();
  await tab.close(AWAY);
  await list.close(AWAY);
});

test("a server that takes the session no more is signed in to anew, at the same terminal", async () => {
  const tab = await Tab.enter(browser, { hash: "#/programs" });
  const { page } = tab;
  await start(page, "cat");
  await page.getByText("keys go to the program").waitFor();
  await page.keyboard.type("typed before\n");
  await lines(page, "typed before").nth(1).waitFor();
  const another = `another-${"0".repeat(32)}`;
  await act("kill");
  await page.getByText(/reconnecting since/).waitFor();
  await act("start", new TextEncoder().encode(another));
  await page.getByRole("alert").filter({ hasText: "the credentials that this session was made with have ended" }).waitFor();
  await tab.check();
  await page.getByLabel("Token").fill(another);
  await page.keyboard.press("Enter");
  await page.getByText("keys go to the program").waitFor();
  await lines(page, "typed before").nth(1).waitFor();
  await page.locator(".xterm-helper-textarea").focus();
  await page.keyboard.type("typed after\n");
  await lines(page, "typed after").nth(1).waitFor();
  expect(await lines(page, /typed/).count()).toBe(4);
  await page.getByRole("button", { name: "Kill …" }).click();
  await page.getByRole("button", { name: "Kill the tree" }).click();
  await page.getByText("It has ended, with everything that it had started.").waitFor();
  expect((await listPrograms(another)).filter((each) => each.running)).toEqual([]);
  await tab.close(AWAY);
});
