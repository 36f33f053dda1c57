#!/usr/bin/env bash
# Guess: a protocol that calls transport.pause_reading() in connection_made gets no data until resume_reading(), in every loop.
# What happens: under uvloop 0.23.0 that pause is undone after connection_made: the data comes. asyncio's own loop keeps it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvloop==0.23.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
from importlib.metadata import version

import uvloop


class Paused(asyncio.Protocol):
    """Pauses at once, and notes what comes all the same."""

    def __init__(self) -> None:
        self.said_paused = False
        self.got = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:
        transport.pause_reading()
        self.said_paused = not transport.is_reading()

    def data_received(self, data: bytes) -> None:
        self.got.set()


async def observe() -> tuple[bool, bool]:
    """Return whether the transport said that it is paused, and whether data came within two seconds."""
    protocol = Paused()
    server = await asyncio.get_running_loop().create_server(lambda: protocol, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello")
    try:
        await asyncio.wait_for(protocol.got.wait(), 2)
    except TimeoutError:
        pass
    writer.close()
    server.close()
    return protocol.said_paused, protocol.got.is_set()


with asyncio.Runner() as runner:
    own = runner.run(observe())
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    other = runner.run(observe())
print("uvloop", version("uvloop"), "| (said to be paused, data came): asyncio", own, "| uvloop", other)
assert own == (True, False)
assert other[1], "it behaves otherwise now"
PYTHON
