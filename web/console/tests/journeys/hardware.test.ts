/** Hardware: devices that come and go, also while the network is away; what sensors, disks and graphics processors tell; a role that may not. */

import { hardware } from "@remote-services/client/stubs/hardware";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { act, AWAY, makeClient, Network, required, startBrowser, Tab, token } from "./place.ts";

/** The address of the console of a recorded machine. */
const recordedOrigin = required("TEST_RECORDED_URL");
/** The token of a visitor there. */
const recordedVisitorToken = required("TEST_RECORDED_VISITOR_TOKEN");

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => {
  await act("interface/remove");
  await browser.close();
});

test("a device comes and goes before one's eyes, and while the network is away", async () => {
  await using client = makeClient();
  const network = await new Network().begin();
  const tab = await Tab.enter(browser, { hash: "#/hardware", through: network });
  const { page } = tab;
  const tree = page.getByRole("tree", { name: "Devices" });
  const news = page.getByRole("log", { name: "Arrivals and departures" });
  await tree.getByRole("treeitem", { name: "lo", exact: true }).waitFor();
  const { reasons } = await client.service(hardware).gpus();
  for (const reason of Object.values(reasons)) await page.getByText(reason).first().waitFor();

  const name = new TextDecoder().decode(await act("interface/add"));
  const line = tree.getByRole("treeitem", { name: new RegExp(name) });
  await line.getByText("new", { exact: true }).waitFor();
  await news.getByText("came").waitFor();
  const made = (await client.service(hardware).devices({ subsystems: ["net"] })).find((each) => each.name === name);
  await line.click();
  await page.getByRole("region", { name: `About ${name}` }).getByText(String(made?.properties["mac"])).waitFor();
  await tab.picture("hardware-light");

  // The keyboard does all of it: to the group, which closes and opens, and to the ends.
  await page.keyboard.press("ArrowLeft");
  const group = tree.getByRole("treeitem", { name: /Network without hardware/ });
  expect(await group.evaluate((element) => element === document.activeElement)).toBe(true);
  await page.keyboard.press("ArrowLeft");
  await line.waitFor({ state: "detached" });
  await page.keyboard.press("ArrowRight");
  await line.waitFor();
  await page.keyboard.press("Home");
  expect(await tree.getByRole("treeitem").first().evaluate((element) => element === document.activeElement)).toBe(true);
  await page.getByLabel("Find a device").fill(String(made?.properties["mac"]));
  await expect.poll(() => tree.getByRole("treeitem").count()).toBe(2);
  await page.getByLabel("Find a device").fill("");

  await network.end();
  await page.getByText(/reconnecting since/).waitFor();
  await act("interface/remove");
  await network.begin();
  await news.getByText("while the connection was away").waitFor();
  await line.waitFor({ state: "detached" });
  await act("interface/add");
  await line.getByText("new", { exact: true }).waitFor();
  await act("interface/remove");
  await line.waitFor({ state: "detached" });
  expect(await news.getByText("went").count()).toBe(2);
  await tab.close(AWAY);
  await network.end();
});

test("sensors, graphics processors, and the health of a disk", async () => {
  await using client = makeClient(token, recordedOrigin);
  const [sensors, { gpus: [gpu] }, smart] = await Promise.all([
    client.service(hardware).sensors(), client.service(hardware).gpus(), client.service(hardware).smart({ disk: "sda" }),
  ]);
  const tab = await Tab.enter(browser, { hash: "#/hardware", server: recordedOrigin, scheme: "dark" });
  const { page } = tab;
  const shown = page.getByRole("region", { name: "Sensors" });
  for (const { chip, label } of sensors.readings) await shown.getByText(`${chip} · ${label}`).waitFor();
  expect(await shown.getByRole("listitem").count()).toBe(sensors.readings.length);
  const card = page.getByRole("article", { name: "Graphics processor 0" });
  await card.getByText(gpu?.pci_bus_id ?? "no slot").waitFor();
  await card.getByRole("heading", { name: /Instinct MI100/ }).waitFor(); // The driver tells no name, and the inventory does.
  await tab.picture("hardware-dark");
  const disk = page.getByRole("article", { name: "Disk sda" });
  await disk.getByRole("button", { name: "Health (SMART)" }).click();
  await disk.getByText("healthy").waitFor();
  for (const { id, raw_string } of smart.attributes) expect(await disk.getByRole("row", { name: new RegExp(`^${String(id)} `) }).textContent()).toContain(raw_string);
  await disk.scrollIntoViewIfNeeded();
  await tab.picture("hardware-smart-dark");
  await tab.close();
});

test("a phone shows all of it; a role without serial ports and SMART is told so", async () => {
  const tab = await Tab.enter(browser, { hash: "#/hardware", width: 360, height: 740, server: recordedOrigin, secret: recordedVisitorToken });
  const { page } = tab;
  await page.getByRole("treeitem", { name: /Machine/ }).waitFor();
  await tab.picture("hardware-phone");
  await page.getByText("it needs the permission hardware.serial").waitFor();
  await page.getByText("your role lacks the permission hardware.smart").waitFor();
  expect(await page.getByRole("button", { name: "Health (SMART)" }).isDisabled()).toBe(true);
  expect(await page.getByRole("link", { name: /Console/ }).count()).toBe(0);
  await tab.go("#/hardware/%2Fdev%2Fpts%2F0");
  await page.getByRole("heading", { name: "/dev/pts/0" }).waitFor();
  await page.getByText("it needs the permission hardware.serial").waitFor();
  expect(await page.getByRole("button", { name: "Open" }).count()).toBe(0);
  await tab.check();
  await tab.close();
});
