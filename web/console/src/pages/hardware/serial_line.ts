/** A serial port that a page has open: it reads and writes, and opens the port again when the connection or the device is back. */

import { RpcError, TransportError, type Client } from "@remote-services/client";
import {
  hardware, SerialNotOpen, SerialPortBusy, SerialPortGone, SerialPortNotFound, SerialTimeout, type SerialLines, type SerialSettings,
} from "@remote-services/client/stubs/hardware";
import { tell, type Link } from "../../connection.ts";
import type { Store } from "../../store.ts";

/** What a port does. `lost`: the connection is away; `gone`: the port is. Both end by themselves. */
export type LineState = "closed" | "opening" | "open" | "lost" | "gone";

/** What a line tells of itself. */
export interface LineReport {
  readonly state: LineState;
  /** Since when, in milliseconds since 1970. */
  readonly since: number;
  /** The file of the port, once it was open. */
  readonly node: string;
  readonly problem: string;
}

/** What is told of what happens on the line. */
export interface LineListener {
  /** Bytes have come. The next ones are asked for when the promise is kept. */
  readonly onReceived: (data: Uint8Array) => Promise<void>;
  /** The system has taken bytes. */
  readonly onSent: (data: Uint8Array) => void;
  /** Something has happened, in words. */
  readonly onMark: (text: string) => void;
  readonly onReport: (report: LineReport) => void;
}

/** How long the other side may take nothing, in seconds. */
const WRITE_TIMEOUT_S = 10;

/** How long a write may take in all, in milliseconds: as long as the server lets it. */
const WRITE_LIMIT_MS = 3_600_000;

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4000;

/** A port. */
export class SerialLine {
  #report: LineReport = { state: "closed", since: Date.now(), node: "", problem: "" };
  #settings: SerialSettings | undefined;
  /** The server's name of the open port. */
  #id: string | undefined;
  /** Grows whenever the port is opened or closed by the page: what belongs to an earlier turn ends. */
  #turn = 0;
  #wake: (() => void) | undefined;
  #waiting: Uint8Array[] = [];
  #isWriting = false;
  /** The server is closing the port that was open before. */
  #releasing: Promise<void> = Promise.resolve();

  /**
   * @param client - the connection.
   * @param link - what that does.
   * @param port - its id, file or name.
   * @param listener - is told what happens. */
  constructor(readonly client: Client, readonly link: Store<Link>, readonly port: string, readonly listener: LineListener) {}

  /** Opens the port, and keeps it open. */
  open(settings: SerialSettings): void {
    if (this.#report.state !== "closed") return;
    this.#settings = settings;
    this.#tell({ state: "opening", problem: "" });
    void this.#run(++this.#turn);
  }

  /** Closes it. When the promise is kept, others can open it. */
  async close(): Promise<void> {
    const id = this.#id;
    this.#turn++;
    this.#id = undefined;
    this.#waiting = [];
    this.#wake?.();
    this.#tell({ state: "closed", problem: "" });
    if (id !== undefined) this.#releasing = this.#release(id);
    await this.#releasing;
  }

  /** Sets the port up anew; those settings hold for later, too.
   * @throws RpcError: in the promise; InvalidParams: the port refuses a setting. */
  async configure(settings: SerialSettings): Promise<void> {
    if (this.#id !== undefined) await this.client.service(hardware).configure_serial({ id: this.#id, settings });
    this.#settings = settings;
  }

  /** Sends bytes, in their order. What is given while the port is not open is not sent. */
  write(data: Uint8Array): void {
    if (this.#id === undefined || data.length === 0) return;
    this.#waiting.push(data);
    void this.#send();
  }

  /** Reads the control lines; undefined if the port is not open. */
  async readLines(): Promise<SerialLines | undefined> {
    return this.#id === undefined ? undefined : await this.client.service(hardware).serial_lines({ id: this.#id });
  }

  /** Sets control lines of the port. */
  async setLines(lines: { readonly dtr?: boolean; readonly rts?: boolean }): Promise<void> {
    if (this.#id !== undefined) await this.client.service(hardware).set_serial_lines({ id: this.#id, ...lines });
  }

  /** Holds the line at break for a while. */
  async sendBreak(): Promise<void> {
    if (this.#id !== undefined) await this.client.service(hardware).send_break({ id: this.#id });
  }

  async #run(turn: number): Promise<void> {
    const stub = this.client.service(hardware);
    const isOver = (): boolean => turn !== this.#turn;
    let wasOpen = false;
    await this.#releasing;
    for (let pauseMs = FIRST_PAUSE_MS; !isOver(); pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        const session = await stub.open_serial({ port: this.port, ...this.#settings, write_timeout_s: WRITE_TIMEOUT_S });
        if (isOver()) {
          await this.#release(session.id);
          return;
        }
        this.#id = session.id;
        if (wasOpen) this.listener.onMark("open again; the time between is missing");
        wasOpen = true;
        pauseMs = FIRST_PAUSE_MS;
        this.#tell({ state: "open", node: session.port, problem: "" });
        for await (const piece of stub.read_serial({ id: session.id })) {
          if (isOver()) return;
          await this.listener.onReceived(piece.data);
        }
        if (!isOver()) this.#lose("lost", "the server has closed the port");
      } catch (error) {
        if (isOver()) return;
        if (!this.#note(error, wasOpen)) return;
      }
      await this.#pause(pauseMs);
    }
  }

  /** Notes that the port is not open any more. Returns whether that may be over in a while. */
  #note(error: unknown, wasOpen: boolean): boolean {
    if (wasOpen && (error instanceof SerialPortGone || error instanceof SerialPortNotFound)) {
      this.#lose("gone", "the port is gone: pulled out or hung up");
      return true;
    }
    if (wasOpen && (error instanceof TransportError || error instanceof SerialNotOpen || (error instanceof RpcError && error.retryable))) {
      this.#lose("lost", "connection lost, port closed meanwhile");
      return true;
    }
    this.#id = undefined;
    // The server may still hold it for the connection that was lost.
    if (wasOpen && error instanceof SerialPortBusy) return true;
    this.#turn++;
    this.#tell({ state: "closed", problem: tell(error) });
    return false;
  }

  #lose(state: "lost" | "gone", text: string): void {
    const hasUnsent = this.#isWriting || this.#waiting.length > 0;
    this.#id = undefined;
    this.#waiting = [];
    if (this.#report.state === state) return;
    this.listener.onMark(hasUnsent ? `${text}; what you typed last may not have been sent` : text);
    this.#tell({ state });
  }

  /** Waits until the connection is there, and a while has passed; or until the port is closed. */
  async #pause(pauseMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        stopWatching();
        this.#wake = undefined;
        resolve();
      };
      let isTime = false;
      const look = (): void => {
        if (isTime && this.link.value.state === "connected") end();
      };
      const timer = setTimeout(() => {
        isTime = true;
        look();
      }, pauseMs);
      const stopWatching = this.link.watch(look);
      this.#wake = end;
    });
  }

  async #send(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    try {
      for (let id = this.#id; id !== undefined && this.#waiting.length > 0; id = this.#id) {
        const data = join(this.#waiting.splice(0));
        await this.client.service(hardware).write_serial({ id, data, timeout_s: WRITE_TIMEOUT_S }, { resend: false, timeoutMs: WRITE_LIMIT_MS });
        this.listener.onSent(data);
      }
    } catch (error) {
      this.#waiting = [];
      this.#fail(error);
    } finally {
      this.#isWriting = false;
    }
  }

  #fail(error: unknown): void {
    // That the port is not there any more is told by its reader.
    if (error instanceof TransportError || error instanceof SerialPortGone || error instanceof SerialNotOpen) return;
    this.#tell({ problem: error instanceof SerialTimeout ? `The other side takes nothing; ${String(error.details.written)} bytes were sent, and the rest was not.` : tell(error) });
  }

  async #release(id: string): Promise<void> {
    try {
      await this.client.service(hardware).close_serial({ id }, { timeoutMs: 5000, resend: false });
    } catch {
      // The server closes the port with the connection.
    }
  }

  #tell(part: Partial<LineReport>): void {
    const since = part.state === undefined || part.state === this.#report.state ? this.#report.since : Date.now();
    this.#report = { ...this.#report, ...part, since };
    this.listener.onReport(this.#report);
  }
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const [first] = pieces;
  if (pieces.length === 1 && first !== undefined) return first;
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let place = 0;
  for (const piece of pieces) {
    whole.set(piece, place);
    place += piece.length;
  }
  return whole;
}
