"""The room of examples/arena, served by websockets alone: each state goes to all by `broadcast`. It prints its port."""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from rpcserver.plugins.finding import services_in

HERE = Path(__file__).resolve().parent
ARENA = HERE.parent / "examples" / "arena"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Raw:
    """The server.

    Parameters:
        room: the plugin's own room.
    """

    def __init__(self, room: Any) -> None:
        self.room = room
        self.connections: set[ServerConnection] = set()
        self.has_players = asyncio.Event()

    def answer(self, _: ServerConnection, request: Request) -> Response | None:
        """Answer a request for a file of the page."""
        if "Upgrade" in request.headers:
            return None
        name = request.path.rpartition("/")[2] or "index.html"
        file = HERE / "arena_raw.js" if name == "client.js" else ARENA / "page" / name
        body = file.read_bytes()
        head = Headers({"Content-Type": TYPES[file.suffix], "Content-Length": str(len(body)), "Connection": "close"})
        return Response(HTTPStatus.OK, "OK", head, body)

    async def play(self, connection: ServerConnection) -> None:
        """Have a disc for as long as the connection is there."""
        disc = self.room.enter(connection)
        await connection.send(bytes([disc.number]))
        self.connections.add(connection)
        self.has_players.set()
        try:
            async for move in connection:
                disc.steer(move)
        finally:
            self.connections.discard(connection)
            del self.room.discs[connection]

    async def run(self, tick_s: float) -> None:
        """Make the states, at the times at which the plugin makes them."""
        now = asyncio.get_running_loop().time
        while await self.has_players.wait():
            due_s = now()
            while self.connections:
                broadcast(self.connections, self.room.step())
                due_s = max(due_s + tick_s, now())
                await asyncio.sleep(due_s - now())
            self.has_players.clear()


async def main() -> None:
    (arena,) = services_in(ARENA / "arena.py")
    plugin: Any = sys.modules[arena.__module__]
    raw = Raw(plugin.Room())
    async with serve(raw.play, "127.0.0.1", 0, process_request=raw.answer, compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await raw.run(plugin.TICK_S)


uvloop.run(main())
