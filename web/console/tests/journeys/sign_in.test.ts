/** Signing in and out, and what the console says while the server is away. */

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AWAY, makeAddress, makeClient, origin, required, startBrowser, Tab, act, token, visitorToken } from "./place.ts";

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => { await browser.close(); });

interface SessionInfo {
  readonly id: string;
  readonly principal: string;
}

async function listSessions(): Promise<SessionInfo[]> {
  await using client = makeClient();
  return await client.call<SessionInfo[]>("rpc.list_sessions");
}

test("a ticket signs a tab in, once", async () => {
  const before = (await listSessions()).length;
  const address = await makeAddress();
  const tab = await Tab.open(browser);
  await tab.page.goto(address);
  await tab.page.getByText("connected", { exact: true }).waitFor();
  await tab.page.getByText("owner · owner").waitFor();
  expect(tab.page.url()).not.toContain("ticket");
  expect(await tab.page.evaluate(() => history.length)).toBeLessThanOrEqual(2);
  expect((await listSessions()).length).toBe(before + 1);
  await tab.page.reload();
  await tab.page.getByText("owner · owner").waitFor();
  expect((await listSessions()).length).toBe(before + 1);

  const other = await Tab.open(browser);
  await other.page.goto(address);
  await other.page.getByRole("alert").waitFor();
  expect(await other.page.getByRole("alert").textContent()).toMatch(/this ticket was used before.*look at the sessions.*get a new ticket: `rpcserver console`/);
  expect(await other.page.evaluate(() => sessionStorage.length)).toBe(0);
  await other.picture("sign-in-light");
  // A new one can be opened in the same tab, which loads no page.
  await other.page.goto(await makeAddress());
  await other.page.getByText("owner · owner").waitFor();
  expect(other.page.url()).not.toContain("ticket");
  await other.page.getByRole("button", { name: "Sign out" }).click();
  await other.page.getByLabel("Token").waitFor();
  await other.close();

  await tab.page.getByRole("button", { name: "Sign out" }).click();
  await tab.page.getByLabel("Token").waitFor();
  expect((await listSessions()).length).toBe(before);
  expect(await tab.page.evaluate(() => sessionStorage.length)).toBe(0);
  await tab.page.reload();
  await tab.page.getByLabel("Token").waitFor();
  await tab.close();
});

test("a token signs in and is not kept; a wrong one and a wrong ticket do not", async () => {
  const tab = await Tab.open(browser, { scheme: "dark", width: 360, height: 740 });
  await tab.page.goto(`${origin}/#ticket=rpcticket_wrong`);
  await tab.page.getByRole("alert").filter({ hasText: "there is no such ticket: get a new ticket: `rpcserver console`" }).waitFor();
  await tab.page.getByLabel("Token").fill("wrong");
  await tab.page.keyboard.press("Enter");
  await tab.page.getByRole("alert").filter({ hasText: "token" }).waitFor();
  await tab.picture("sign-in-dark-phone");
  await tab.page.getByLabel("Token").fill(token);
  await tab.page.keyboard.press("Enter");
  await tab.page.getByText("connected", { exact: true }).waitFor();
  const kept = await tab.page.evaluate(() => JSON.stringify([Object.entries(sessionStorage), Object.entries(localStorage)]));
  expect(kept).not.toContain(token);
  expect(kept).toContain("rpcsession_");
  await tab.close();
});

test("a ticket that has expired says so, how long it was good, and what to do", async () => {
  const strict = required("TEST_STRICT_URL");
  const tab = await Tab.open(browser, { server: strict });
  await tab.page.goto(await makeAddress(token, strict));
  await tab.page.getByRole("alert").filter({ hasText: "this ticket was good for 0.001 s, which are over: get a new ticket: `rpcserver console`" }).waitFor();
  expect(await tab.page.evaluate(() => sessionStorage.length)).toBe(0);
  await tab.picture("sign-in-expired-light");
  await tab.close();
});

test("a session that was revoked leads back to the door, with the reason", async () => {
  const before = new Set((await listSessions()).map((each) => each.id));
  const tab = await Tab.enter(browser);
  const own = (await listSessions()).find((each) => !before.has(each.id));
  await using client = makeClient();
  expect(await client.call("rpc.revoke_session", { session_id: own?.id ?? "" })).toBe(true);
  await tab.page.getByRole("alert").waitFor();
  await tab.page.getByLabel("Token").waitFor();
  expect(await tab.page.evaluate(() => sessionStorage.length)).toBe(0);
  await tab.close(AWAY);
});

test("while the server is away the console says so, and goes on when it is back", async () => {
  const tab = await Tab.enter(browser, { hash: "#/services/rpc.ping" });
  await tab.page.getByRole("button", { name: "Call" }).waitFor();
  await act("stop");
  await tab.page.getByText(/reconnecting since/).waitFor();
  await tab.page.getByText(/The connection is lost/).waitFor();
  await tab.picture("connection-lost");
  // A call that was never sent waits, and is made when the server is back.
  await tab.page.getByRole("button", { name: "Call" }).click();
  await tab.page.getByText("running", { exact: true }).waitFor();
  await act("start");
  await tab.page.getByText("connected", { exact: true }).waitFor();
  await tab.page.getByLabel("Result").getByText('"pong"').waitFor();
  await tab.close(AWAY);
});

test("keys go everywhere, and the theme has a switch", async () => {
  const tab = await Tab.enter(browser);
  await tab.page.keyboard.press("?");
  await tab.page.getByRole("dialog").waitFor();
  await tab.picture("keys");
  await tab.page.keyboard.press("Escape");
  await tab.page.getByRole("dialog").waitFor({ state: "detached" });
  await tab.page.keyboard.press("g");
  await tab.page.keyboard.press("s");
  await tab.page.getByRole("heading", { name: "Services" }).waitFor();
  await tab.page.keyboard.press("/");
  await tab.page.getByLabel("Search methods").waitFor();
  expect(await tab.page.evaluate(() => document.activeElement?.id)).toBe("search");
  await tab.page.keyboard.press("Escape");
  const shade = (): Promise<string> => tab.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await shade();
  await tab.page.getByRole("button", { name: "Theme: as the system" }).click();
  await tab.page.getByRole("button", { name: "Theme: light" }).click();
  await tab.page.getByRole("button", { name: "Theme: dark" }).waitFor();
  expect(await shade()).not.toBe(light);
  await tab.page.reload();
  await tab.page.getByRole("button", { name: "Theme: dark" }).waitFor();
  await tab.close();
});

test("whoever has no role for it is told so", async () => {
  const tab = await Tab.enter(browser, { secret: visitorToken, hash: "#/services/programs.run" });
  await tab.page.getByText("it needs the permission programs.run").waitFor();
  expect(await tab.page.getByRole("button", { name: "Call" }).isDisabled()).toBe(true);
  await tab.picture("not-allowed");
  await tab.close();
});
