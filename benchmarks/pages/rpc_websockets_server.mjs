// The server of rpc-websockets, as its README has it. Prints its port.

import { Server } from "rpc-websockets";

const server = new Server({ port: 0, host: "127.0.0.1" });
server.register("add", ([one, other]) => one + other);
server.wss.on("listening", () => { console.log(server.wss.address().port); });
