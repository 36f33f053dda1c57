/** What all forms of the wire have in common. */

/** What a frame of the WebSocket holds: text or bytes. */
export type Frame = string | Uint8Array;

/** A value that is encoded already. Encoders put it into what is around it as it is. */
export class Encoded {
  /**
   * @param data - the encoded value.
   * @param nodes - the number of values, names, arrays and objects in it.
   */
  constructor(
    readonly data: Frame,
    readonly nodes: number,
  ) {}

  /** The size in bytes. */
  get bytes(): number {
    return typeof this.data === "string" ? byteLength(this.data) : this.data.length;
  }
}

const encoder = new TextEncoder();

/** Returns the bytes of a text in UTF-8. Short texts are taken for the longest that they can be. */
function byteLength(text: string): number {
  return text.length < 4096 ? text.length * 3 : encoder.encode(text).length;
}

/** The names of the forms that this client speaks. */
export type Subprotocol = "rpc.v1.msgpack" | "rpc.v1.json";

/** One form of the wire. */
export interface Form {
  readonly subprotocol: Subprotocol;
  /** Whether frames, and so bytes in values, are binary. */
  readonly packed: boolean;
  /** Encodes a message or a part of one.
   * @throws TypeError: it cannot be sent. */
  encode(value: unknown): Encoded;
  /** Joins messages to one frame. */
  join(messages: readonly Encoded[]): Frame;
  /** Decodes the messages of a frame.
   * @throws Error: the frame cannot be read. */
  decode(frame: Frame): unknown[];
}

/** The deepest nesting of arrays and objects in a message. */
export const MAX_DEPTH = 64;

/** Makes the error for data that nest too deeply. */
export function depthError(): TypeError {
  return new TypeError(`arrays and objects nest deeper than ${MAX_DEPTH.toString()}`);
}

/** Makes sure that a text is Unicode: half of a surrogate pair cannot be sent.
 * @throws TypeError: it is not. */
export function checkText(text: string): string {
  if (/[\ud800-\udfff]/.test(text) && !isWellFormed(text)) throw new TypeError("a text has half of a surrogate pair");
  return text;
}

function isWellFormed(text: string): boolean {
  return !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}
