/** A browser for journeys through the console, and what they have in common: the server, clean pages, pictures. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { Client } from "@remote-services/client";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { expect } from "vitest";

/** Returns a variable that the test which has started the journey sets. */
export function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: tests/web/test_console.py starts the server and sets it`);
  return value;
}

/** The address of the console. */
export const origin = required("TEST_CONSOLE_URL");
/** The owner's token. */
export const token = required("TEST_SERVER_TOKEN");
/** The token of somebody whose role allows little. */
export const visitorToken = required("TEST_VISITOR_TOKEN");
const control = required("TEST_CONTROL_URL");
const pictures = required("TEST_PICTURES");

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** How long a journey waits for what it expects, in milliseconds. */
export const WAIT_MS = 20_000;

/** What can be done to the server and to the machine. */
export type Deed =
  | "stop" | "start" | "kill" | "line/plug" | "line/unplug" | "line/write" | "line/expect" | "line/settings" | "interface/add" | "interface/remove";

/** Does something. Returns the bytes of the answer. */
export async function act(deed: Deed, body: Uint8Array<ArrayBuffer> = new Uint8Array(0)): Promise<Uint8Array> {
  const answer = await fetch(`${control}/${deed}`, { method: "POST", body });
  expect(answer.status).toBe(200);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Makes a client of its own, to see what a server has done. */
export function makeClient(secret: string = token, server: string = origin): Client {
  return new Client(server, { token: secret });
}

/** Makes a ticket, and returns the address that it opens. */
export async function makeAddress(secret: string = token, server: string = origin): Promise<string> {
  await using client = makeClient(secret, server);
  const { ticket } = await client.call<{ ticket: string }>("rpc.create_ticket");
  return `${server}/#ticket=${ticket}`;
}

/** Starts the browser. */
export async function startBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

interface AxeReport {
  readonly violations: readonly { readonly id: string; readonly impact: string; readonly nodes: readonly { readonly html: string }[] }[];
}

/** What a tab is opened with. */
export interface TabOptions {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: "light" | "dark";
  /** Whether it is a phone, with fingers and no mouse. */
  readonly isPhone?: boolean;
  /** The address of the server; that of this machine where not given. */
  readonly server?: string;
  /** The network between the tab and the server; nothing but the machine's own where not given. */
  readonly through?: Network;
}

/** A network between a tab and the server, which can be away. */
export class Network {
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #server: Server | undefined;
  #port = 0;

  /** The address of the console over this network. */
  get origin(): string {
    return `http://127.0.0.1:${String(this.#port)}`;
  }

  /** Lets everything through. */
  async begin(): Promise<this> {
    const { hostname, port } = new URL(origin);
    const server = createServer((near) => {
      const far = connect(Number(port), hostname);
      const pair = [near, far] as const;
      this.#pairs.add(pair);
      near.pipe(far).pipe(near);
      for (const [one, other] of [pair, [far, near] as const]) {
        one.on("error", () => other.destroy());
        one.on("close", () => {
          other.destroy();
          this.#pairs.delete(pair);
        });
      }
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
    return this;
  }

  /** Cuts everything, and lets nothing through. */
  async end(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }
}

/** A tab of a browser that nobody else uses. It notes all that must not happen. */
export class Tab {
  readonly complaints: string[] = [];

  private constructor(readonly context: BrowserContext, readonly page: Page) {}

  /** Opens one. */
  static async open(browser: Browser, options: TabOptions = {}): Promise<Tab> {
    const { width = 1280, height = 800, scheme = "light", isPhone = false } = options;
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, isMobile: isPhone, hasTouch: isPhone });
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
      });
    });
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    const tab = new Tab(context, page);
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") tab.complaints.push(message.text());
    });
    page.on("pageerror", (error) => tab.complaints.push(error.message));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol !== "data:" && url.protocol !== "blob:" && url.host !== new URL(options.through?.origin ?? options.server ?? origin).host) tab.complaints.push(`request to ${request.url()}`);
    });
    return tab;
  }

  /** Opens a tab, signed in as whoever has a token. */
  static async enter(browser: Browser, options: TabOptions & { readonly secret?: string; readonly hash?: string } = {}): Promise<Tab> {
    const tab = await Tab.open(browser, options);
    const address = await makeAddress(options.secret, options.server);
    await tab.page.goto(address.replace(origin, options.through?.origin ?? origin));
    await tab.page.getByText("connected", { exact: true }).waitFor();
    if (options.hash !== undefined) await tab.go(options.hash);
    return tab;
  }

  /** Goes to a place within the console. */
  async go(hash: string): Promise<void> {
    await this.page.evaluate((to) => { location.hash = to; }, hash);
  }

  /** Makes sure that the page has nothing that keeps people out, and is no wider than the screen. */
  async check(): Promise<void> {
    const found = await this.page.evaluate<AxeReport>(`${axe}; axe.run({ resultTypes: ["violations"] })`);
    const serious = found.violations.filter((each) => each.impact === "serious" || each.impact === "critical");
    expect(serious.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join("\n")}`)).toEqual([]);
    const beyond = await this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(beyond, "the page is wider than the screen").toBeLessThanOrEqual(0);
  }

  /** Checks the page, and makes a picture of it. */
  async picture(name: string): Promise<void> {
    await this.check();
    await this.page.screenshot({ path: join(pictures, `${name}.png`) });
  }

  /** Closes it, and makes sure that nothing has happened that must not. */
  async close(...allowed: RegExp[]): Promise<void> {
    await this.context.close();
    expect(this.complaints.filter((each) => !allowed.some((pattern) => pattern.test(each)))).toEqual([]);
  }
}

/** What a browser writes about a server that is away. */
export const AWAY = /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED|ERR_INTERNET_DISCONNECTED/;
