"""What a program that uses one of the two clients has loaded when it ends: nothing of the other."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

SYNC = """
import sys
from rpcclient import Client, RpcError, Service, method


class Mine(Service):
    @method()
    def double(self, n: int) -> int:
        return 2 * n


with Client(sys.argv[1], token=sys.argv[2], services=[Mine()]) as client:
    assert client.call("desk.add", [1, 2], returns=int) == 3
    assert client.service("desk").add(1, b=2) == 3
    assert list(client.stream("desk.count", [3])) == [0, 1, 2]
    assert client.service("desk").total([1, 2, 3]) == 6
    assert client.call("desk.ask", ["mine.double", {"n": 4}]) == 8
    with client.batch() as batch:
        sums = [batch.call("desk.add", [n, n]) for n in range(3)]
    assert [one.result() for one in sums] == [0, 2, 4]
    try:
        client.programs.list()
    except RpcError:
        pass  # This server does not have it.
"""
ASYNC = """
import asyncio
import sys
from rpcclient import AsyncClient, RpcError, Service, method


class Mine(Service):
    @method()
    async def double(self, n: int) -> int:
        return 2 * n


async def main() -> None:
    async with AsyncClient(sys.argv[1], token=sys.argv[2], services=[Mine()]) as client:
        assert await client.call("desk.add", [1, 2], returns=int) == 3
        assert await client.service("desk").add(1, b=2) == 3
        assert [n async for n in client.stream("desk.count", [3])] == [0, 1, 2]
        assert await client.service("desk").total([1, 2, 3]) == 6
        assert await client.call("desk.ask", ["mine.double", {"n": 4}]) == 8
        async with client.batch() as batch:
            sums = [batch.call("desk.add", [n, n]) for n in range(3)]
        assert [one.result() for one in sums] == [0, 2, 4]
        try:
            await client.programs.list()
        except RpcError:
            pass  # This server does not have it.


asyncio.run(main())
"""
LOADED = """
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize(
    ("program", "own", "others"),
    [
        (SYNC, "rpcclient.sync", ("asyncio", "rpcclient.aio", "rpcwire.aio")),
        (ASYNC, "rpcclient.aio", ("rpcclient.sync", "rpcwire.threads")),
    ],
    ids=["sync", "aio"],
)
def test_nothing_of_the_other_colour(running: Any, token: str, program: str, own: str, others: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program + LOADED, running.tcp, token], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert f"{own}.programs" in loaded
    assert not [name for name in loaded if name in others or name.startswith(tuple(f"{other}." for other in others))]
