/** A terminal on the page that shows one program, and goes on where it was whenever the connection is back. */

import { TransportError, type Client } from "@remote-services/client";
import { NotController, ProgramNotFound, programs, type ProgramInfo } from "@remote-services/client/stubs/programs";
import { SearchAddon } from "@xterm/addon-search";
import { WebLinksAddon } from "@xterm/addon-web-links";
import type { Terminal } from "@xterm/xterm";
import { makeTerminal, measureRoom, type OpenTerminal } from "../../terminal/terminal.ts";
import { TerminalWriter } from "../../terminal/writer.ts";

/** What a screen tells of itself. */
export interface ScreenState {
  /** Whether keys go to the program. */
  readonly isController: boolean;
  /** Bytes of its output that were no longer kept when it was attached. */
  readonly lostBytes: number;
  readonly problem: string;
  /** What nobody knows about the last keys; empty if nothing is unsure. */
  readonly doubt: string;
}

/** The state of a screen that nothing has happened to. */
export const BEGINNING: ScreenState = { isController: false, lostBytes: 0, problem: "", doubt: "" };

const RED = new TextEncoder().encode("\x1b[91m");
const PLAIN = new TextEncoder().encode("\x1b[39m");

/** Shows a program. */
export class Screen {
  readonly search = new SearchAddon();
  readonly #offsets = { stdout: 0, stderr: 0 };
  readonly #encoder = new TextEncoder();
  #state: ScreenState = BEGINNING;
  #typing: Promise<unknown> = Promise.resolve();
  #size = { columns: 0, rows: 0 };
  readonly #open: OpenTerminal;
  readonly #writer: TerminalWriter;

  /**
   * @param client - the connection.
   * @param program - what is shown.
   * @param mayControl - whether the role allows to write to it.
   * @param onState - is told of changes. */
  constructor(readonly client: Client, readonly program: ProgramInfo, readonly mayControl: boolean, readonly onState: (state: ScreenState) => void) {
    this.#open = makeTerminal({
      convertEol: program.terminal === null,
      disableStdin: !this.isInteractive,
      cursorBlink: this.isInteractive,
      ...(program.terminal === null ? {} : { cols: program.terminal.columns, rows: program.terminal.rows }),
    });
    this.#writer = new TerminalWriter(this.terminal);
    this.terminal.loadAddon(this.search);
    this.terminal.loadAddon(new WebLinksAddon((_event, address) => { window.open(address, "_blank", "noopener,noreferrer"); }));
    this.terminal.onData((text) => { this.#type(this.#encoder.encode(text)); });
    this.terminal.onBinary((text) => { this.#type(Uint8Array.from(text, (sign) => sign.charCodeAt(0))); });
  }

  /** What draws it. */
  get terminal(): Terminal {
    return this.#open.terminal;
  }

  /** Whether the program has a terminal that takes keys. */
  get isInteractive(): boolean {
    return this.program.terminal !== null && this.program.running && this.mayControl;
  }

  /** Puts it on the page. */
  open(place: HTMLElement): void {
    this.terminal.open(place);
  }

  /** Follows the output from where it is, until it ends or the signal is given. What is not drawn yet holds the server back.
   * @throws RpcError: in the promise. */
  async follow(signal: AbortSignal): Promise<void> {
    if (this.isInteractive) await this.control(false);
    const stream = this.client.service(programs).output({ id: this.program.id, offsets: { ...this.#offsets } }, { signal });
    for await (const piece of stream) {
      if (signal.aborted) return;
      if (piece.lost_bytes > 0) this.#tell({ lostBytes: this.#state.lostBytes + piece.lost_bytes });
      const isError = piece.stream === "stderr";
      if (isError) this.#writer.write(RED);
      this.#writer.write(piece.data);
      if (isError) this.#writer.write(PLAIN);
      this.#offsets[piece.stream] = piece.offset + piece.data.length;
      await this.#writer.waitForRoom();
    }
  }

  /** Has the keys go to the program.
   * @param take - also if somebody else has them. */
  async control(take: boolean): Promise<void> {
    try {
      await this.client.service(programs).control({ id: this.program.id, take });
      this.#tell({ isController: true, problem: "" });
      this.#size = { columns: 0, rows: 0 };
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Fits the terminal to its place, and tells the program. Whoever only looks on has the size that the program has. */
  fit(place: HTMLElement): void {
    if (this.program.terminal !== null && this.isInteractive && !this.#state.isController) return;
    const room = measureRoom(this.terminal, place);
    if (room === undefined) return;
    const { columns, rows } = room;
    if (columns !== this.terminal.cols || rows !== this.terminal.rows) this.terminal.resize(columns, rows);
    if (!this.#state.isController || (columns === this.#size.columns && rows === this.#size.rows)) return;
    this.#size = { columns, rows };
    this.client.service(programs).resize({ id: this.program.id, rows, columns }).catch((error: unknown) => { this.#fail(error); });
  }

  /** Takes it off the page. */
  close(): void {
    this.#open.close();
  }

  /** Sends keys, in their order. */
  #type(data: Uint8Array): void {
    if (!this.#state.isController) return;
    const { id } = this.program;
    this.#typing = this.#typing
      .then(() => this.client.service(programs).write({ id, data }))
      .then(() => { this.#settle(); }, (error: unknown) => { this.#fail(error, true); });
  }

  /** The program has got what was typed. */
  #settle(): void {
    if (this.#state.doubt !== "") this.#tell({ doubt: "" });
  }

  #fail(error: unknown, isTyping = false): void {
    if (isTyping && error instanceof TransportError) {
      this.#tell({ doubt: "The connection was lost while keys were on their way: look whether the program has got them." });
      return;
    }
    // That the program is gone is told by the page.
    const isLost = error instanceof NotController || error instanceof ProgramNotFound;
    this.#tell({
      isController: this.#state.isController && !isLost,
      problem: isLost ? "" : error instanceof Error ? error.message : String(error),
    });
  }

  #tell(part: Partial<ScreenState>): void {
    this.#state = { ...this.#state, ...part };
    this.onState(this.#state);
  }
}
