/** The serial console over a pair of pseudo-terminals: both ways in text and in hex, its settings, a lost connection, and a port that is pulled out. */

import { hardware, SerialPortBusy } from "@remote-services/client/stubs/hardware";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { act, AWAY, makeClient, Network, required, startBrowser, Tab } from "./place.ts";

/** A serial port, when something is plugged in. */
const serialPort = required("TEST_SERIAL_PORT");

let browser: Browser;
beforeAll(async () => { browser = await startBrowser(); });
beforeEach(async () => { await act("line/plug"); });
afterAll(async () => {
  await act("line/unplug");
  await browser.close();
});

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(new TextEncoder().encode(text));
}

/** Makes sure that the other end gets these bytes, and nothing else before them. */
async function expectBytes(...bytes: number[]): Promise<void> {
  expect([...await act("line/expect", Uint8Array.from(bytes))]).toEqual(bytes);
}

async function readSettings(): Promise<unknown> {
  return JSON.parse(new TextDecoder().decode(await act("line/settings")));
}

function lines(page: Page, text: string | RegExp) {
  return page.locator(".xterm-rows").getByText(text).first();
}

test("text and bytes go both ways, with the settings that were chosen", async () => {
  const tab = await Tab.enter(browser, { hash: "#/hardware" });
  const { page } = tab;
  await page.getByLabel("File of another port").fill(serialPort);
  await page.keyboard.press("Enter");
  await page.getByLabel("Baud rate").fill("115200");
  await page.getByLabel("Stop bits").selectOption("2");
  await page.getByLabel("XON/XOFF").check();
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByText("open", { exact: true }).waitFor();
  expect(await readSettings()).toEqual({ baudrate: 115_200, stopbits: 2, xonxoff: true });
  await page.getByText("This port has no control lines.").waitFor();
  {
    await using other = makeClient();
    await expect(other.service(hardware).open_serial({ port: serialPort })).rejects.toThrow(SerialPortBusy);
  }
  await act("line/write", bytesOf("login: \x1b[32mwelcome\x1b[0m\r\n"));
  await lines(page, "welcome").waitFor();
  await page.keyboard.type("AT");
  await page.keyboard.press("Enter");
  await expectBytes(0x41, 0x54, 0x0d);
  await page.getByLabel("Enter sends").selectOption("crlf");
  await page.getByLabel("Line to send").fill("é");
  await page.keyboard.press("Enter");
  await expectBytes(0xc3, 0xa9, 0x0d, 0x0a);
  await tab.picture("serial-text-light");

  await page.getByRole("radio", { name: "Hex" }).check();
  const bytes = page.getByRole("region", { name: "Bytes" });
  await bytes.getByText("41 54 0d c3 a9 0d 0a").waitFor();
  await bytes.getByText("6c 6f 67 69 6e 3a 20 1b 5b 33 32 6d 77 65 6c 63").waitFor();
  await page.getByLabel("Bytes to send").fill("4x");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByRole("alert").filter({ hasText: "no hexadecimal number" }).waitFor();
  await page.getByLabel("Bytes to send").fill("00 ff 1b");
  await page.keyboard.press("Enter");
  await expectBytes(0x00, 0xff, 0x1b);
  // Also what is no text (without XON and XOFF), and more than the screen holds: the newest is seen.
  await act("line/write", Uint8Array.from({ length: 2048 }, (_each, index) => 255 - (index % 128)));
  await act("line/write", bytesOf("the newest"));
  await bytes.getByText("the newest").waitFor();
  expect(await bytes.evaluate((element) => element.scrollHeight - element.clientHeight - element.scrollTop)).toBeLessThan(2);
  expect(await bytes.locator(".byte-row").count()).toBeLessThan(80);
  await tab.picture("serial-hex-light");

  await page.getByText("Settings", { exact: false }).first().click();
  await page.getByLabel("Baud rate").fill("19200");
  await page.getByLabel("Stop bits").selectOption("1");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByText("Set to 19200 8N1, XON/XOFF.").waitFor();
  expect(await readSettings()).toEqual({ baudrate: 19_200, stopbits: 1, xonxoff: true });
  // A pseudo-terminal has eight bits and no others.
  await page.getByLabel("Data bits").selectOption("7");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByRole("alert").filter({ hasText: "the port refuses them" }).waitFor();
  await page.getByRole("button", { name: "Close" }).click();
  await page.getByText("closed", { exact: true }).waitFor();
  // At once again, and once more after the page was loaded anew: with the settings that it had.
  await page.getByLabel("Data bits").selectOption("8");
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByText("open", { exact: true }).waitFor();
  await page.reload();
  await expect.poll(() => page.getByLabel("Baud rate").inputValue()).toBe("19200");
  expect(await page.getByLabel("XON/XOFF").isChecked()).toBe(true);
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByText("open", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Close" }).click();
  await page.getByText("closed", { exact: true }).waitFor();
  await using other = makeClient();
  const session = await other.service(hardware).open_serial({ port: serialPort });
  await other.service(hardware).close_serial({ id: session.id });
  await tab.close();
});

test("a port is open again after the network or the server was away, and after it was pulled out", async () => {
  const network = await new Network().begin();
  const tab = await Tab.enter(browser, { hash: `#/hardware/${encodeURIComponent(serialPort)}`, through: network, width: 360, height: 740, scheme: "dark" });
  const { page } = tab;
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByText("open", { exact: true }).waitFor();
  await act("line/write", bytesOf("before\r\n"));
  await lines(page, "before").waitFor();
  await network.end();
  await page.getByText(/connection lost: opened again when it is back/).waitFor();
  await network.begin();
  await page.getByText("open", { exact: true }).waitFor();
  await lines(page, /open again/).waitFor();
  await act("line/write", bytesOf("after\r\n"));
  await lines(page, "after").waitFor();

  await act("stop");
  await page.getByText(/connection lost: opened again when it is back/).waitFor();
  await act("start");
  await page.getByText("open", { exact: true }).waitFor();
  await act("line/write", bytesOf("restarted\r\n"));
  await lines(page, "restarted").waitFor();

  await act("line/unplug");
  await page.getByText(/unplugged: opened again when it is back/).waitFor();
  await tab.check();
  await act("line/plug");
  await page.getByText("open", { exact: true }).waitFor();
  await page.locator(".xterm-helper-textarea").focus();
  await page.keyboard.type("x");
  await expectBytes(0x78);
  await tab.picture("serial-text-phone");
  await page.getByRole("radio", { name: "Hex" }).check();
  await page.getByRole("region", { name: "Bytes" }).getByText("pulled out").waitFor();
  await tab.picture("serial-hex-phone");
  await tab.close(AWAY);
  await network.end();
});

test("what cannot be opened says why", async () => {
  const tab = await Tab.enter(browser, { hash: "#/hardware/%2Fdev%2Fno-such-port" });
  await tab.page.getByRole("button", { name: "Open" }).click();
  await tab.page.getByRole("alert").filter({ hasText: "there is no serial port" }).waitFor();
  await tab.page.getByText("closed", { exact: true }).waitFor();
  await tab.close();
});
