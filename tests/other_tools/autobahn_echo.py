"""A WebSocket server that echoes messages through the link that our servers use: `python -m … PORT`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from rpcwire.aio.link import FrameReceiver
from rpcwire.aio.websocket import WebSocketLink
from rpcwire.assembly import Assembler
from rpcwire.codec import codec_for
from rpcwire.framing import WholeFrames
from rpcwire.limits import LinkLimits
from rpcwire.logs import QUIET


class EchoLink(WebSocketLink):
    """Echoes each message in the form in which it came: a session of ours uses one form only."""

    def __init__(self) -> None:
        self.protocol = ServerProtocol(max_size=32 * 1024 * 1024, logger=QUIET)
        super().__init__(self.protocol, LinkLimits(outgoing_bytes=256 * 1024 * 1024), holds_reading=True)

    def handshake(self, event: Any) -> None:
        self.protocol.send_response(self.protocol.accept(event))
        self._write()
        self.attach(self, codec_for("rpc.v1.msgpack"))

    def handshake_failed(self, exc: Exception) -> None:
        self.abort()

    def _expect(self, *, binary: bool) -> None:
        self._assembler = Assembler(binary=binary)
        self._frames = WholeFrames(binary=binary, client=False)

    def _read_whole(self, receiver: FrameReceiver, data: bytes, at: int, turn_bytes: int) -> int:
        if at < len(data) and (opcode := data[at] & 0x0F) in (Opcode.TEXT, Opcode.BINARY):
            self._expect(binary=opcode == Opcode.BINARY)
        return super()._read_whole(receiver, data, at, turn_bytes)

    def _data_frame(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._expect(binary=frame.opcode is Opcode.BINARY)
        super()._data_frame(frame)

    def frame_received(self, frame: bytes) -> None:
        self.send([frame])

    def writing_paused(self) -> None: ...

    def writing_resumed(self) -> None: ...

    def link_lost(self, reason: str) -> None: ...


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(EchoLink, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
