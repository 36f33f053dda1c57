/** Finds the part of an output that nobody can ever see in a terminal: lines that the lines after them push out of all that the terminal keeps.
 *
 * Only where that is certain: between sequences of control characters, which may mean anything. */

/** Bytes that only write text, end a line or move to the next tab. 0xc2 begins control characters too (U+0080 to U+009F). */
const isPlain = new Uint8Array(256).fill(1, 0x20);
for (const byte of [0x09, 0x0a, 0x0d]) isPlain[byte] = 1;
for (const byte of [0x7f, 0xc2]) isPlain[byte] = 0;

const LF = 0x0a;
const CR = 0x0d;

/** Whole sequences (ECMA-48, section 5.4; the strings of section 5.6; xterm's own ends by BEL), and the texts that begin with 0xc2. */
const WHOLE =
  /\x1b\[(?<region>[0-?]*)[ -/]*[@-~]|\x1b\][^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x18\x1a\x1b]*\x1b\\|\x1b[ -/]*[0-OQ-WYZ\\`-~]|\xc2[\xa0-\xbf]/g;

/** The longest sequence that may be open from one piece to the next. */
const LONGEST = 4096;

const decoder = new TextDecoder("latin1");

/** Knows whether a terminal may be within a sequence. */
export class Unseen {
  /** The beginning of a sequence that is not whole yet. */
  #open = "";
  #hasRegion = false;
  #isUnsure = false;

  /** Returns from where on an output must be written to the terminal; 0 for all of it.
   * @param data - the output that comes next.
   * @param lines - as many lines push out all that was before them, wherever the cursor is.
   * @param isConverting - whether the terminal begins a new line at its start in any case. */
  begin(data: Uint8Array, lines: number, isConverting: boolean): number {
    if (this.#open !== "" || this.#hasRegion || this.#isUnsure) return 0;
    let left = lines;
    for (let at = endOfPlain(data) - 1; at >= 0; at--) {
      if (data[at] === LF && --left < 0) return isConverting || data[at - 1] === CR ? at + 1 : 0;
    }
    return 0;
  }

  /** Notes what the terminal was given. */
  note(data: Uint8Array): void {
    if (this.#isUnsure || (this.#open === "" && endOfPlain(data) === data.length)) return;
    const rest = (this.#open + decoder.decode(data)).replace(WHOLE, (sequence, parameters: string | undefined) => {
      if (parameters !== undefined && sequence.endsWith("r") && !parameters.startsWith("?")) this.#hasRegion = parameters !== "";
      return "";
    });
    const at = rest.search(/[\x1b\xc2]/);
    this.#open = at < 0 ? "" : rest.slice(at);
    if (this.#open.length > LONGEST) this.#isUnsure = true; // Something else than was foreseen: then everything is written.
  }
}

/** Returns where the first byte is that is more than text; the length if there is none. */
function endOfPlain(data: Uint8Array): number {
  let at = 0;
  while (at < data.length && isPlain[data[at] ?? 0] === 1) at++;
  return at;
}
