/** Reading about methods without signing in, where the server's configuration opens that, and only there. */

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeClient, origin, required, startBrowser, Tab, token } from "./place.ts";

/** A server that lets everybody read about one service. */
const server = required("TEST_RECORDED_URL");

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => { await browser.close(); });

interface Discovery {
  readonly methods: readonly { readonly name: string; readonly summary: string }[];
}

test("whoever is not signed in reads about what is open, and can call nothing", async () => {
  await using client = makeClient(token, server);
  const known = (await client.call<Discovery>("rpc.discover")).methods;
  const open = known.filter((each) => each.name.startsWith("hardware."));
  expect(open.length).toBeGreaterThan(3);
  expect(known.length).toBeGreaterThan(open.length);
  const tab = await Tab.open(browser, { server });
  const sockets: string[] = [];
  const paths: string[] = [];
  tab.page.on("websocket", (socket) => sockets.push(socket.url()));
  tab.page.on("request", (request) => paths.push(new URL(request.url()).pathname));
  await tab.page.goto(`${server}/docs`);
  await tab.page.getByRole("heading", { name: "hardware", exact: true }).waitFor();
  const shown = await tab.page.getByRole("navigation", { name: "Methods" }).getByRole("link").allTextContents();
  expect(shown.map((text) => text.replace(/(event|stream)$/, "")).sort()).toEqual(open.map((each) => each.name.replace("hardware.", "")).sort());
  await tab.page.getByLabel("Search methods").fill("snapshot");
  await tab.page.getByRole("link", { name: "snapshot", exact: true }).click();
  await tab.page.getByText(open.find((each) => each.name === "hardware.snapshot")?.summary ?? "?").first().waitFor();
  await tab.page.getByRole("button", { name: "Shell", exact: true }).click();
  await tab.page.getByLabel("The call in Shell").filter({ hasText: `--url ${server.replace("http", "ws")}/ call hardware.snapshot` }).waitFor();
  expect(await tab.page.getByRole("button", { name: /^(Call|Open the stream)$/ }).count()).toBe(0);
  await tab.picture("docs-light");
  expect(sockets).toEqual([]);
  expect(paths).toContain("/openrpc.json");

  await tab.page.goto(`${server}/docs#/services/database.query`);
  await tab.page.getByText("There is no method database.query about which everybody may read.").waitFor();
  // Whoever signs in is where they were, with all that the role gives.
  await tab.page.goto(`${server}/docs#/services/hardware.snapshot`);
  await tab.page.getByRole("link", { name: "Sign in", exact: true }).last().click();
  await tab.page.getByRole("link", { name: "Read about the methods" }).waitFor();
  await tab.page.getByLabel("Token").fill(token);
  await tab.page.keyboard.press("Enter");
  await tab.page.getByText("connected", { exact: true }).waitFor();
  await tab.page.getByRole("button", { name: "Call", exact: true }).click();
  await tab.page.getByLabel("Result").waitFor();
  expect(sockets.length).toBeGreaterThan(0);
  await tab.close();
});

test("it fits a phone, and the dark", async () => {
  const tab = await Tab.open(browser, { server, width: 360, height: 740, scheme: "dark" });
  await tab.page.goto(`${server}/docs`);
  await tab.page.getByRole("heading", { name: "hardware", exact: true }).waitFor();
  await tab.picture("docs-dark-phone");
  await tab.close();
});

test("where the configuration opens nothing, /docs wants a token", async () => {
  const tab = await Tab.open(browser);
  await tab.page.goto(`${origin}/docs`);
  await tab.page.getByLabel("Token").waitFor();
  expect(await tab.page.getByRole("link", { name: "Read about the methods" }).count()).toBe(0);
  expect(await tab.page.evaluate(async () => (await fetch("./openrpc.json", { method: "HEAD" })).status)).toBe(404);
  await tab.close(/404/);
});
