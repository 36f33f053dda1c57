"""What may stand between a client and a server: a door that speaks TLS, and proxies of the kinds for which no small
program exists."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator

LIMIT_S = 30.0

Opening = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[tuple[str, int]]]
"""What a proxy does first: it reads where to, and says yes."""


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


class Relay:
    """Passes connections on.

    Attributes:
        port: where it listens, on 127.0.0.1.
        seen: the places that it was asked for.
        certificates: for each connection over TLS, the subject of the client's certificate.
    """

    def __init__(self, opening: Opening, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, int]] = []
        self.certificates: list[str] = []
        self._opening = opening
        self._context = context
        self._sock = socket.create_server(("127.0.0.1", 0))
        self._sock.setblocking(False)
        self.port: int = self._sock.getsockname()[1]
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))
        self._thread.start()

    async def _run(self) -> None:
        self._loop.add_reader(self._sock, self._accept)
        await self._over.wait()
        self._loop.remove_reader(self._sock)
        while self._tasks:
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.wait(self._tasks, timeout=0.1)
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self._sock.close()

    def _accept(self) -> None:
        """Not by a server of asyncio's: that loses what it accepts while it is being closed."""
        sock, _ = self._sock.accept()
        sock.setblocking(False)
        task = self._loop.create_task(self._serve(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, sock, ssl=self._context)
        except OSError:
            sock.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        self._writers.append(writer)
        try:
            if self._context is not None:
                self.certificates.append(str((writer.get_extra_info("peercert") or {}).get("subject", "")))
            place = await self._opening(reader, writer)
            self.seen.append(place)
            onward, back = await asyncio.open_connection(*place)
            self._writers.append(back)
            await asyncio.gather(_pump(reader, back), _pump(onward, writer))
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(LIMIT_S)
        self._loop.close()


@contextlib.contextmanager
def relay(opening: Opening, context: ssl.SSLContext | None = None) -> Iterator[Relay]:
    """A relay, as long as the block lasts."""
    found = Relay(opening, context)
    try:
        yield found
    finally:
        found.close()


def always(port: int) -> Opening:
    """Leads to one port of this machine, without a word."""

    async def open_way(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> tuple[str, int]:
        return "127.0.0.1", port

    return open_way


async def by_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """HTTP CONNECT. Its answer comes in small pieces."""
    request = await reader.readuntil(b"\r\n\r\n")
    line = re.match(rb"CONNECT \[?([^\s\]]+)\]?:(\d+) HTTP/1.1\r\n", request)
    assert line is not None
    for piece in (b"HTTP/1.1 2", b"00 Fine\r\nVia: a", b" test\r\n\r", b"\n"):
        writer.write(piece)
        await writer.drain()
    return line[1].decode(), int(line[2])


async def by_socks4(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """SOCKS 4 and 4A."""
    version, command, port, address = struct.unpack(">BBH4s", await reader.readexactly(8))
    assert (version, command) == (4, 1)
    await reader.readuntil(b"\0")
    named = address.startswith(b"\0\0\0") and address != b"\0\0\0\0"
    host = (await reader.readuntil(b"\0"))[:-1].decode() if named else socket.inet_ntoa(address)
    writer.write(b"\0\x5a" + bytes(6))
    return host, port
