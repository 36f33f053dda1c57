/** What goes into a terminal: the same ends up in it, whether lines that nobody can see are left out or not. */

import { Terminal } from "@xterm/xterm";
import { expect, test } from "vitest";
import { Unseen } from "../../src/terminal/unseen.ts";
import { TerminalWriter } from "../../src/terminal/writer.ts";

const encoder = new TextEncoder();
const SIZE = { rows: 4, cols: 12, scrollback: 10, allowProposedApi: true };
const many = (text: string, count: number): string => Array.from({ length: count }, (_, line) => `${text} ${String(line)}\r\n`).join("");

/** All that a terminal keeps, and where its cursor is. */
function read({ buffer: { active } }: Terminal): readonly unknown[] {
  const lines = Array.from({ length: active.length }, (_, line) => active.getLine(line)?.translateToString(true));
  return [lines, active.cursorX, active.cursorY, active.baseY, active.type];
}

/** Notes what a terminal is given. */
class Meter extends Terminal {
  bytes = 0;

  override write(data: string | Uint8Array, callback?: () => void): void {
    this.bytes += data.length;
    super.write(data, callback);
  }
}

async function compare(pieces: readonly string[], options: object = {}): Promise<{ readonly given: number; readonly whole: number }> {
  const plain = new Terminal({ ...SIZE, ...options });
  const meter = new Meter({ ...SIZE, ...options });
  const writer = new TerminalWriter(meter);
  await new Promise<void>((resolve) => { plain.write(encoder.encode(pieces.join("")), resolve); });
  for (const piece of pieces) writer.write(encoder.encode(piece));
  await expect.poll(() => read(meter)).toEqual(read(plain));
  const found = { given: meter.bytes, whole: encoder.encode(pieces.join("")).length };
  plain.dispose();
  meter.dispose();
  return found;
}

test("of a flood of lines only those are drawn that the terminal keeps", async () => {
  const { given, whole } = await compare(["begin\r\n", many("y", 3000), many("z", 3000), "the end"]);
  expect(given).toBeLessThan(whole / 10);
  const log = await compare(["begin\n", "a line\n".repeat(3000), "the end"], { convertEol: true });
  expect(log.given).toBeLessThan(log.whole / 10);
});

test.each<[string, readonly string[]]>([
  ["less than the terminal keeps", ["one\r\n", many("y", 5)]],
  ["colours before and after", ["\x1b[31mred\r\n", many("y", 300), "\x1b[0mplain\r\n", many("z", 300), "\x1b[2K\x1b[3A up"]],
  ["a title that is open while lines come", ["\x1b]0;title", many("y", 300), "\x07end"]],
  ["a sequence in two pieces", ["a\x1b[3", `1m${many("y", 300)}`, "\x1b[", `m${many("y", 300)}end`]],
  ["the cursor at the top at last", [many("y", 300), `${many("z", 300)}\x1b[Htop`]],
  ["a region that scrolls", ["\x1b[1;3r\x1b[4;1Hbelow", many("y", 300), "\x1b[rend"]],
  ["lines without a return", ["\n".repeat(40), "y\n".repeat(300), "end"]],
  ["the screen of an editor", ["before\r\n", "\x1b[?1049h", many("y", 300), "\x1b[?1049l", "after"]],
  ["other scripts and control characters of 8 bits", [many("Größe ½ 漢字", 300), "\u009b31mred", many("ü", 300)]],
])("the terminal has the same in the end: %s", async (_what, pieces) => {
  await compare(pieces);
  await compare([pieces.join("")]);
  await compare(pieces.join("").match(/.{1,7}/gsu) ?? []);
});

test("nothing is left out where it is not certain", () => {
  const lines = encoder.encode(many("y", 50));
  const begin = (before: string): number => {
    const unseen = new Unseen();
    unseen.note(encoder.encode(before));
    return unseen.begin(lines, 20, false);
  };
  expect(begin("")).toBeGreaterThan(0);
  expect(begin("\x1b[1;31mred\x1b[0m \x1b]0;title\x07")).toBe(begin(""));
  for (const open of ["\x1b", "\x1b[31", "\x1b]0;title", "\x1bPdata", "\u009b"]) expect(begin(open)).toBe(0);
  expect(begin("\x1b[2;5r")).toBe(0);
  expect(begin("\x1b[2;5r\x1b[r")).toBe(begin(""));
  expect(begin(`\x1b]0;${"x".repeat(5000)}`)).toBe(0);
});

test("whoever writes more than the terminal takes has to wait", async () => {
  const terminal = new Terminal(SIZE);
  const writer = new TerminalWriter(terminal);
  writer.write(encoder.encode("\x1b[1m")); // The terminal is at work from here on.
  await writer.waitForRoom();
  writer.write(new Uint8Array(2 * 1024 * 1024).fill(0x79));
  let hasRoom = false;
  const waiting = writer.waitForRoom().then(() => { hasRoom = true; });
  await Promise.resolve();
  expect(hasRoom).toBe(false);
  await waiting;
  terminal.dispose();
});
