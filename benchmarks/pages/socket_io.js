// socket.io in a page, as its documentation has it: acknowledgements are awaited, and a stream is an event for each item.

import { io } from "socket.io-client";
import { given, offer } from "./measure.js";

const socket = io(given.url);
await new Promise((resolve) => socket.on("connect", resolve));
// It begins with requests of HTTP, and changes over to a WebSocket.
if (socket.io.engine.transport.name !== "websocket") await new Promise((resolve) => socket.io.engine.on("upgrade", resolve));
offer({
  add: (one, other) => socket.emitWithAck("add", one, other),
  read: (count, take) => new Promise((resolve, reject) => {
    let taken = 0;
    const onItem = (item) => {
      try {
        take(item);
      } catch (error) {
        reject(error);
      }
      if (++taken === count) {
        socket.off("item", onItem);
        resolve();
      }
    };
    socket.on("item", onItem);
    socket.emit("count", count);
  }),
});
globalThis.isReady = true;
