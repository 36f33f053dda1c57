#!/usr/bin/env bash
# Guess: with proxy=True (the default), websockets' connect() goes through the proxy of ALL_PROXY, as curl and requests do.
# What happens: websockets 17.4 reads WS_PROXY, SOCKS_PROXY, HTTPS_PROXY and HTTP_PROXY only: with ALL_PROXY it connects directly.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check websockets==17.4
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import os
import urllib.request
from importlib.metadata import version

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]


async def observe(variable: str, server_port: int, proxy_port: int, seen: list[bytes]) -> str:
    """Connect with one variable set; return which way the connection took."""
    seen.clear()
    os.environ[variable] = f"http://127.0.0.1:{proxy_port}"
    assert f"http://127.0.0.1:{proxy_port}" in urllib.request.getproxies().values(), "Python itself reads the variable"
    try:
        async with asyncio.timeout(10), connect(f"ws://127.0.0.1:{server_port}") as connection:
            await connection.recv()
    except Exception as exc:
        return f"through the proxy ({seen[0].decode()})" if seen else f"failed: {exc!r}"
    finally:
        del os.environ[variable]
    return "directly"


async def main() -> None:
    seen: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readline()).split()[0])
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    proxy_port = proxy.sockets[0].getsockname()[1]
    async with proxy, serve(lambda connection: connection.send("hello"), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = {name: await observe(name, port, proxy_port, seen) for name in ("HTTP_PROXY", "ALL_PROXY")}
    print(f"websockets {version('websockets')}:", found)
    assert found == {"HTTP_PROXY": "through the proxy (CONNECT)", "ALL_PROXY": "directly"}, "the behaviour has changed"


asyncio.run(main())
PYTHON
