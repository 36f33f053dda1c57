"""A storm of bad messages: after every one a good call still answers, and in the end nothing is left of it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

SEED = int(os.environ.get("STORM_SEED", "20261123"))
METHODS = ["calc.add", "calc.echo", "calc.total", "calc.count", "rpc.cancel", "rpc.stream.item", "rpc.stream.end",
           "rpc.stream.credit", "rpc.stream.cancel", "rpc.progress", "rpc.hello", "rpc.authenticate", "no.such", "",
           "calc.__class__", "rpc.nothing"]  # fmt: skip


def junk(rng: random.Random, depth: int = 0) -> Any:
    """Any value."""
    kind = rng.randrange(12 if depth < 3 else 9)
    match kind:
        case 0:
            return None
        case 1:
            return rng.choice([True, False])
        case 2:
            return rng.choice([0, -1, 1, 2**31, 2**53, 2**63 - 1, -(2**63)])
        case 3:
            return rng.choice([0.5, -0.0, 1e308, 5e-324])
        case 4 | 5:
            return rng.choice(["", "a", "\x00", "é𝄞", "x" * 500, "2.0", "s1", "c1", "\x1b[31m\r\n"])
        case 6:
            return {"stream": rng.choice(["s1", "c1", "", 5])}
        case 7:
            return {"id": rng.choice([1, "x", None, [], 1.5])}
        case 8:
            return {"stream": "c1", "items": [1], "n": rng.choice([1, 0, -1, 2**62, "x"])}
        case 9:
            return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
        case 10:
            return {rng.choice(["a", "b", "items", "stream", "token", ""]): junk(rng, depth + 1) for _ in range(3)}
        case _:
            value: Any = 1
            for _ in range(rng.choice([10, 63, 70, 300])):
                value = [value]
            return value


def message(rng: random.Random) -> dict[str, Any]:
    """A message with something wrong in it, mostly."""
    made: dict[str, Any] = {"jsonrpc": rng.choice(["2.0"] * 6 + ["1.0", 2, None])}
    if rng.random() < 0.9:
        made["method"] = rng.choice(METHODS) if rng.random() < 0.9 else junk(rng)
    if rng.random() < 0.7:
        made["id"] = rng.choice([rng.randrange(10**9), f"s{rng.random()}", junk(rng)])
    if rng.random() < 0.8:
        made["params"] = junk(rng)
    if rng.random() < 0.1:
        made["result"] = junk(rng)
    if rng.random() < 0.1:
        made["error"] = junk(rng)
    if rng.random() < 0.2:
        made["ctx"] = rng.choice([{"ttl_ms": rng.choice([0, -1, 1, 1e300])}, junk(rng)])
    return made


def frame(rng: random.Random, *, binary: bool) -> bytes:
    kind = rng.random()
    if kind < 0.1:
        return (
            rng.randbytes(rng.randrange(1, 60))
            if binary
            else "".join(chr(rng.randrange(1, 0x250)) for _ in range(30)).encode()
        )
    several = [message(rng) for _ in range(rng.choice([1, 1, 1, 2, 5, 60]))]
    content = several[0] if len(several) == 1 else several
    data = msgspec.msgpack.encode(content) if binary else json.dumps(content).encode()
    if kind < 0.3:
        place = rng.randrange(len(data))
        if binary:
            data = data[:place] + rng.randbytes(1) + data[place + 1 :]
        else:
            data = data[:place] + rng.choice([b"{", b"}", b'"', b",", b"x", b"\\ud800"]) + data[place + 1 :]
    elif kind < 0.4:
        data = data[: rng.randrange(1, len(data) + 1)]
    return data if binary else data.decode("utf-8", "ignore").encode()


def resident_kib() -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def storm(tools: Any, count: int, subprotocol: str | None) -> None:
    binary = subprotocol == "rpc.v1.msgpack"
    rng = random.Random(f"{SEED} {subprotocol}")
    print(f"STORM_SEED={SEED}")

    def pack(value: Any) -> bytes | str:
        return msgspec.msgpack.encode(value) if binary else json.dumps(value)

    def found(data: bytes | str, marker: str) -> bool:
        if marker.encode() not in (data if isinstance(data, bytes) else data.encode()):
            return False
        if binary:
            got = msgspec.msgpack.decode(data)
        else:
            got = [json.loads(line) for line in str(data).split("\n")]
            got = got[0] if len(got) == 1 else got
        answers = got if isinstance(got, list) else [got]
        return any(a.get("id") == marker and a.get("result") == 3 for a in answers)

    async def one_connection(server: Any, number: int) -> None:
        async with tools.connect(server, subprotocol, max_size=None) as connection:
            for n in range(number):
                bad = frame(rng, binary=binary)
                await connection.send(bad if binary else bad.decode())
                marker = f"good {n}"
                await connection.send(pack({"jsonrpc": "2.0", "id": marker, "method": "calc.add", "params": [1, 2]}))
                async with asyncio.timeout(tools.SECONDS):
                    while not found(await connection.recv(), marker):
                        pass

    async def main() -> None:
        logging.getLogger("rpcserver").setLevel(logging.CRITICAL)
        async with tools.serve(limits={"violations": 1_000_000}) as server:
            await one_connection(server, 50)
            await tools.until(lambda: not server.connections)
            gc.collect()
            tasks, fds, memory = len(asyncio.all_tasks()), open_files(), resident_kib()
            for _ in range(max(count // 500, 1)):
                await one_connection(server, min(count, 500))
            await tools.until(lambda: not server.connections and len(server.door.entrance.waiting) == 0)
            await tools.until(lambda: len(asyncio.all_tasks()) <= tasks)
            gc.collect()
            assert open_files() <= fds
            assert resident_kib() - memory < 40 * 1024

    logger = logging.getLogger("rpcserver")
    level = logger.level
    try:
        tools.run(main())
    finally:
        logger.setLevel(level)


SUBPROTOCOLS = [None, "rpc.v1.json", "rpc.v1.msgpack"]


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
def test_a_storm(tools: Any, subprotocol: str | None) -> None:
    storm(tools, 1000, subprotocol)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
def test_a_great_storm(tools: Any, subprotocol: str | None) -> None:
    storm(tools, 7000, subprotocol)
