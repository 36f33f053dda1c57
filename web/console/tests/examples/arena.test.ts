/** The arena in several pages: what one does all see, by keys, mouse and finger; one that is frozen harms nobody. */

import type { Browser, CDPSession } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { act, AWAY, makeAddress, origin, startBrowser, Tab, type TabOptions } from "../journeys/place.ts";

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
afterAll(async () => { await browser.close(); });

/** Opens the page in a browser of its own, signs in, and waits until it plays. */
async function enter(options: TabOptions = {}): Promise<Tab> {
  const tab = await Tab.open(browser, { width: 720, height: 600, ...options });
  const address = await makeAddress();
  await tab.page.goto(address.replace("/#", "/services/arena/#"));
  await tab.page.locator("li.own").waitFor();
  return tab;
}

interface Seen {
  readonly x: number;
  readonly y: number;
}

/** Returns where a tab shows the disc of a colour, in parts of the canvas. */
async function find(tab: Tab, colour: string): Promise<Seen> {
  const seen = await tab.page.evaluate((wanted) => new Promise<Seen | undefined>((resolve) => {
    const canvas = document.querySelector("canvas");
    const [red = 0, green = 0, blue = 0] = wanted.match(/\d+/g)?.map(Number) ?? [];
    canvas?.addEventListener("drawn", () => {
      const { width, height } = canvas;
      const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
      copy?.drawImage(canvas, 0, 0);
      const data = copy?.getImageData(0, 0, width, height).data ?? [];
      let [x, y, count] = [0, 0, 0];
      for (let i = 0; i < data.length; i += 4) {
        const off = Math.abs((data[i] ?? 0) - red) + Math.abs((data[i + 1] ?? 0) - green) + Math.abs((data[i + 2] ?? 0) - blue);
        if (off > 6 || data[i + 3] !== 255) continue;
        x += (i / 4) % width;
        y += Math.floor(i / 4 / width);
        count++;
      }
      resolve(count < 20 ? undefined : { x: x / count / width, y: y / count / height });
    }, { once: true });
  }), colour);
  if (seen === undefined) throw new Error(`there is no disc of the colour ${colour}`);
  return seen;
}

/** Returns the colour of a tab's own disc. */
async function colourOf(tab: Tab): Promise<string> {
  return await tab.page.locator("li.own i").evaluate((dot) => getComputedStyle(dot).backgroundColor);
}

/** Waits until a tab has drawn a number of states, and returns the tick of the last. */
async function watch(tab: Tab, states: number): Promise<number> {
  return await tab.page.evaluate((wanted) => new Promise<number>((resolve) => {
    let count = 0;
    document.querySelector("canvas")?.addEventListener("drawn", (event) => {
      if (++count === wanted) resolve((event as CustomEvent<{ tick: number }>).detail.tick);
    });
  }), states);
}

/** The direction in which there is room for the disc of a colour. */
async function wayOf(tab: Tab, colour: string): Promise<1 | -1> {
  const { x } = await find(tab, colour);
  return x > 0.5 ? -1 : 1;
}

test("what one does by keys, by the mouse and by a finger, all see", async () => {
  const [keys, mouse] = [await enter(), await enter({ scheme: "dark" })];
  const phone = await enter({ width: 360, height: 740, scheme: "dark", isPhone: true });
  await Promise.all([keys, mouse, phone].map((tab) => tab.page.locator("li").nth(2).waitFor()));
  const touch: CDPSession = await phone.context.newCDPSession(phone.page);
  const finger = async (type: "touchStart" | "touchMove" | "touchEnd", x?: number): Promise<void> => {
    await touch.send("Input.dispatchTouchEvent", { type, touchPoints: x === undefined ? [] : [{ x, y: 600 }] });
  };
  const deeds = [
    { tab: keys, begin: (way: number) => keys.page.keyboard.down(way > 0 ? "ArrowRight" : "a"), end: (way: number) => keys.page.keyboard.up(way > 0 ? "ArrowRight" : "a") },
    {
      tab: mouse,
      begin: async (way: number) => {
        await mouse.page.mouse.move(360, 300);
        await mouse.page.mouse.down();
        await mouse.page.mouse.move(360 + 60 * way, 300, { steps: 3 });
      },
      end: () => mouse.page.mouse.up(),
    },
    {
      tab: phone,
      begin: async (way: number) => {
        await finger("touchStart", 180);
        await finger("touchMove", 180 + 60 * way);
      },
      end: () => finger("touchEnd"),
    },
  ];
  for (const [i, { tab, begin, end }] of deeds.entries()) {
    const other = deeds[(i + 1) % deeds.length]?.tab ?? tab;
    const colour = await colourOf(tab);
    const way = await wayOf(other, colour);
    const before = await find(other, colour);
    await begin(way);
    await expect.poll(async () => way * ((await find(other, colour)).x - before.x), { timeout: 20_000 }).toBeGreaterThan(0.05);
    await tab.picture(`arena-${["light", "dark", "phone"][i] ?? ""}`);
    await end(way);
    await tab.page.getByText(/^\d+ ms$/).waitFor();
  }
  await phone.close();
  await mouse.page.locator("li").nth(2).waitFor({ state: "detached" });
  await keys.close();
  await mouse.close();
}, 180_000);

test("a page that is frozen harms nobody, and then shows the newest", async () => {
  const [one, other, slow] = [await enter(), await enter(), await enter()];
  const debug = await slow.context.newCDPSession(slow.page);
  await debug.send("Debugger.enable");
  const frozen = new Promise((resolve) => debug.once("Debugger.paused", resolve));
  await debug.send("Debugger.pause");
  await frozen;
  const begin = await watch(one, 1);
  await one.page.keyboard.down("ArrowUp");
  const [end] = await Promise.all([watch(one, 120), watch(other, 120)]);
  await one.page.keyboard.up("ArrowUp");
  expect(end - begin).toBeGreaterThanOrEqual(120);
  // How many states it shows until it has come up: the credit of its stream, and not all that were missed.
  const count = slow.page.evaluate((newest) => new Promise<number>((resolve) => {
    let shown = 0;
    document.querySelector("canvas")?.addEventListener("drawn", (event) => {
      shown++;
      if ((event as CustomEvent<{ tick: number }>).detail.tick >= newest) resolve(shown); // Only the first time counts.
    });
  }), end);
  await debug.send("Debugger.resume");
  expect(await count).toBeLessThan(30);
  for (const tab of [one, other, slow]) await tab.close();
}, 180_000);

test("another player comes by an address from the page, and the session of a tab outlives a reload", async () => {
  const tab = await enter();
  await tab.page.getByRole("button", { name: "Another player" }).click();
  const link = tab.page.getByRole("link");
  await link.waitFor();
  await tab.check();
  const [page] = await Promise.all([tab.context.waitForEvent("page"), link.click()]);
  await page.locator("li").nth(1).waitFor();
  expect(page.url()).toBe(`${origin}/services/arena/`);
  await page.close();
  await tab.page.locator("li").nth(1).waitFor({ state: "detached" });
  await tab.page.reload();
  await tab.page.locator("li.own").waitFor();
  await tab.close();
});

test("while the server is away the page says so, and goes on when it is back", async () => {
  const tab = await enter();
  await watch(tab, 10);
  await act("stop");
  await tab.page.getByText(/^(lost|connecting)…/).waitFor();
  await act("start");
  await tab.page.getByText(/^(lost|connecting)…/).waitFor({ state: "detached" });
  await watch(tab, 10);
  await tab.close(AWAY);
});

test("whoever is not signed in is told how to; a ticket is good once", async () => {
  const tab = await Tab.open(browser, { width: 360, height: 740 });
  await tab.page.goto(`${origin}/services/arena/`);
  await tab.page.getByText(`rpcserver console --url ${origin}/services/arena/`).waitFor();
  await tab.picture("arena-signed-out");
  await tab.page.goto("about:blank");
  await tab.page.goto(`${origin}/services/arena/#ticket=rpcticket_wrong`);
  await tab.page.getByRole("status").filter({ hasText: "ticket" }).waitFor();
  await tab.close();
});
