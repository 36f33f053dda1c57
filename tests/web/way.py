"""A way from pages to a server, which can be cut, closed and opened again, and which may stop reading."""

from __future__ import annotations

import asyncio
import contextlib


class Way:
    """Passes connections on, in the event loop of whoever starts it.

    Parameters:
        target: the port of the server, on 127.0.0.1.

    Attributes:
        target: where it leads.
        port: where it listens.
        count: how many connections there were.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.count = 0
        self.target = target
        self._server: asyncio.Server | None = None
        self._near: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self) -> None:
        """Listen, at the same port each time."""
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut all connections, and listen no more."""
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Cut all connections."""
        tasks = list(self._near)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop_reading(self) -> None:
        """Read nothing more from pages: what they send stays in their sockets."""
        for writer in self._near.values():
            transport = writer.transport
            assert isinstance(transport, asyncio.ReadTransport)
            transport.pause_reading()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        task = asyncio.get_running_loop().create_task(self._pass_on(reader, writer))
        self._near[task] = writer
        task.add_done_callback(self._near.pop)

    async def _pass_on(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pump(reader, far))
                    group.create_task(_pump(far_reader, near))
            finally:
                await _abort(far)
        finally:
            await _abort(near)


async def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
