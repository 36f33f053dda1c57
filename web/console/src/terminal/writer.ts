/** Writes output into a terminal as fast as the terminal can take it. Whatever arrives between two turns goes in together, and lines that nobody
 * could ever see are left out: what the terminal keeps in the end is the same. */

import type { Terminal } from "@xterm/xterm";
import { Unseen } from "./unseen.ts";

/** With more than that, whoever writes has to wait. */
const MOST_BYTES = 1024 * 1024;

/** The terminal looks at the clock after each part, and lets the page draw and answer keys. */
const PART_BYTES = 16 * 1024;

export class TerminalWriter {
  readonly #unseen = new Unseen();
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #isWriting = false;
  #wake: (() => void)[] = [];

  /** @param terminal - is written to by nobody else. */
  constructor(readonly terminal: Terminal) {}

  /** Writes output after all that was written before. */
  write(data: Uint8Array): void {
    this.#pieces.push(data);
    this.#bytes += data.length;
    if (!this.#isWriting) void this.#run();
  }

  /** Waits until there is room for more. */
  async waitForRoom(): Promise<void> {
    while (this.#bytes > MOST_BYTES) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  async #run(): Promise<void> {
    this.#isWriting = true;
    while (this.#pieces.length > 0) {
      const data = join(this.#pieces, this.#bytes);
      this.#pieces = [];
      this.#bytes = 0;
      for (const wake of this.#wake.splice(0)) wake();
      const seen = data.subarray(this.#findSeen(data));
      this.#unseen.note(seen);
      await this.#give(seen);
    }
    this.#isWriting = false;
  }

  #findSeen(data: Uint8Array): number {
    const { buffer, options, rows } = this.terminal;
    if (buffer.active.type !== "normal") return 0; // Nothing leaves the screen of an editor for good: it moves the cursor.
    return this.#unseen.begin(data, (options.scrollback ?? 0) + 2 * rows, options.convertEol === true);
  }

  async #give(data: Uint8Array): Promise<void> {
    let at = 0;
    for (; at + PART_BYTES < data.length; at += PART_BYTES) this.terminal.write(data.subarray(at, at + PART_BYTES));
    await new Promise<void>((resolve) => { this.terminal.write(data.subarray(at), resolve); });
  }
}

function join(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  const [first] = pieces;
  if (pieces.length === 1 && first !== undefined) return first;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
