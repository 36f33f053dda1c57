#!/usr/bin/env bash
# Guess: a proxy's "HTTP/1.0 503" is a 503 to websockets, so that `async for … in connect()` tries again as at "HTTP/1.1 503".
# What happens: the version alone makes it InvalidMessage, which is fatal, and the loop ends (websockets 17.4).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check websockets==17.4
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
from importlib.metadata import version

from websockets.asyncio.client import connect


async def try_with(http_version: str) -> str:
    """Answer two handshakes with 503; say how a client that iterates over connect() takes them."""
    handshakes = 0
    second = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal handshakes
        await reader.readuntil(b"\r\n\r\n")
        handshakes += 1
        writer.write(f"{http_version} 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        if handshakes == 2:
            second.set()

    async def iterate(port: int) -> None:
        async for _ in connect(f"ws://127.0.0.1:{port}", proxy=None):
            break

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    client = asyncio.create_task(iterate(server.sockets[0].getsockname()[1]))
    waiting = asyncio.create_task(second.wait())
    await asyncio.wait([client, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=60)
    said = f"ended by {type(client.exception()).__name__}: {client.exception().__cause__}" if client.done() else "tried again"
    for task in (client, waiting):
        task.cancel()
    server.close()
    return said


print("websockets", version("websockets"))
answers = {one: asyncio.run(try_with(one)) for one in ("HTTP/1.1", "HTTP/1.0")}
for one, said in answers.items():
    print(one, "503:", said)
assert answers["HTTP/1.1"] == "tried again"
assert answers["HTTP/1.0"].startswith("ended by InvalidMessage"), "it behaves otherwise now"
PYTHON
