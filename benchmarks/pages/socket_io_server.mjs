// The server of socket.io, as its documentation has it. Prints its port.

import { createServer } from "node:http";
import { setImmediate } from "node:timers/promises";
import { Server } from "socket.io";

const server = createServer();
const io = new Server(server, { cors: { origin: "*" } });
io.on("connection", (socket) => {
  socket.on("add", (one, other, answer) => { answer(one + other); });
  socket.on("count", async (to) => {
    for (let at = 0; at < to; at++) {
      socket.emit("item", { at, value: at / 2 });
      if (at % 1000 === 999) await setImmediate(); // The socket may send meanwhile.
    }
  });
});
server.listen(0, "127.0.0.1", () => { console.log(server.address().port); });
