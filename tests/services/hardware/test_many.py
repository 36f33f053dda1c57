"""Many subscribers over sockets: one reading serves all, and one that is frozen harms nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect

from rpcclient import AsyncClient

TICKS = 4


async def follow(url: str, token_file: Path, subscribers: int, interval_s: float, ticks: int) -> list[list[float]]:
    """When the samples were taken that each subscriber got, over some ticks."""
    seen: list[list[float]] = [[] for _ in range(subscribers)]
    arrived = asyncio.Event()

    async def read(index: int, client: AsyncClient) -> None:
        async with client.hardware.subscribe(["cpu", "memory", "network"], interval_s=interval_s) as samples:
            async for sample in samples:
                seen[index].append(sample.t_mono_s)
                arrived.set()

    def last() -> float:
        return min(times[-1] if times else 0.0 for times in seen)

    async with AsyncExitStack() as stack:
        clients = [AsyncClient(url, token_file=token_file) for _ in range(subscribers)]
        for client in clients:
            await stack.enter_async_context(client)
        tasks = [asyncio.ensure_future(read(index, client)) for index, client in enumerate(clients)]
        # All of them are there from the latest first sample on.
        while not all(seen) or last() - max(times[0] for times in seen) < (ticks - 0.5) * interval_s:
            arrived.clear()
            await arrived.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    begin, end = max(times[0] for times in seen), last()
    return [[t for t in times if begin <= t <= end] for times in seen]


@contextmanager
def frozen(url: str, token_file: Path, interval_s: float) -> Iterator[None]:
    """Someone who subscribes, allows a million samples, and then takes nothing any more."""
    token = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "hardware.subscribe", "params": {"interval_s": interval_s}}
    with connect(url, additional_headers=token, compression=None, max_queue=1, close_timeout=0.1) as one:
        one.send(json.dumps(call))
        stream = json.loads(one.recv())["result"]["stream"]
        credit = {"stream": stream, "n": 1_000_000}
        one.send(json.dumps({"jsonrpc": "2.0", "method": "rpc.stream.credit", "params": credit}))
        yield


def check(seen: list[list[float]]) -> None:
    assert len(seen[0]) >= TICKS
    assert all(times == seen[0] for times in seen), "somebody got other samples, or not all of them"


def test_twenty_subscribers(served: tuple[str, Path]) -> None:
    url, token_file = served
    with frozen(url, token_file, 0.5):
        check(asyncio.run(follow(url, token_file, 20, 0.5, TICKS)))


@pytest.mark.soak
def test_two_hundred_subscribers_for_a_minute(served: tuple[str, Path]) -> None:
    url, token_file = served
    port = int(url.rpartition(":")[2])
    listening = [c for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == "LISTEN"]
    server = psutil.Process(listening[0].pid)
    used: list[float] = []

    async def main() -> list[list[float]]:
        before = server.cpu_times()
        seen = await follow(url, token_file, 200, 1.0, 60)
        after = server.cpu_times()
        used.append(after.user - before.user + after.system - before.system)
        return seen

    with frozen(url, token_file, 1.0):
        seen = asyncio.run(main())
    check(seen)
    # Processor time, and so whatever else the machine does meanwhile; connecting is in it, too.
    assert used[0] < 0.05 * (seen[0][-1] - seen[0][0])
