/** The form of the wire in MessagePack: a message is a map; a frame with several messages is an array of maps. */

import type { Encoded, Form, Frame } from "./form.js";
import { pack } from "./pack.js";
import { unpack } from "./unpack.js";

/** `rpc.v1.msgpack`. */
export const msgpackForm: Form = {
  subprotocol: "rpc.v1.msgpack",
  packed: true,

  encode: pack,

  join(messages: readonly Encoded[]): Frame {
    const [first] = messages;
    if (messages.length === 1 && first !== undefined) return first.data;
    return pack(messages).data;
  },

  decode(frame: Frame): unknown[] {
    if (typeof frame === "string") throw new TypeError("a text frame in a binary form");
    const content = unpack(frame);
    return Array.isArray(content) ? content : [content];
  },
};
