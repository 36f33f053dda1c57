"""What a group of 1,000 nodes costs, and how soon it sees things: real nodes over real connections, in few processes.

It tells how long the nodes take to agree who is there, what a node takes of memory and of a processor while nothing
happens, and how soon all others know of those that are killed at once.

``python benchmarks/group_nodes.py [--nodes N] [--processes P] [--victims V] [--idle-s S] [--at-once K]``
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import tempfile
import time
from pathlib import Path

from tests.server.group.crowd import crowd
from tests.server.group.test_joining import run_broker


async def measure(urls: str, nodes: int, processes: int, victims: int, idle_s: float, at_once: int) -> None:
    """Measure, and print."""
    size = (nodes - victims) // processes
    sizes = [victims, *[size] * (processes - 1), nodes - victims - size * (processes - 1)]
    async with crowd(urls, sizes) as it:
        (bare,) = [answer["bytes"] for answer in await asyncio.gather(it.processes[0].do("connect", count=100))]
        begin = time.monotonic()
        started = await it.start(at_once)
        connected_s = time.monotonic() - begin
        agreed_s = await it.agree(begin)
        print(f"{nodes} nodes in {len(sizes)} processes: connected in {connected_s:.1f} s, agreed in {agreed_s:.1f} s")
        looks = await it.do("look")
        spent_s = sum(look["cpu_s"] for look in looks)
        received = sum(look["received"] for look in looks)
        print(f"until then                 {spent_s:.1f} s of processor time, {received} messages")
        await it.do("forget")
        before = [look["cpu_s"] for look in await it.do("look")]
        await asyncio.sleep(idle_s)
        looks = await it.do("look")
        spent_s = sum(look["cpu_s"] - cpu_s for look, cpu_s in zip(looks, before, strict=True))
        print(f"processor of an idle node  {100 * spent_s / idle_s / nodes:.4f} % of a core")
        grown = [look["memory_bytes"] - answer["before_bytes"] for look, answer in zip(looks, started, strict=True)]
        each = sum(grown) / nodes
        print(
            f"memory of a node           {(each - bare) / 1024:.1f} KiB, and {bare / 1024:.1f} KiB for its connection"
        )
        for look in looks:
            print(f"    {look['states']}, {look['drops']} drops, {look['starts']} connections")
        await it.do("forget")
        ids = it.processes[0].ids
        since = time.monotonic()
        await it.end(it.processes[0], signal.SIGKILL)
        before = [look["cpu_s"] for look in looks[1:]]
        answers = await it.do("see", victims=ids, kind="died", since=since)
        seconds = sorted(each for answer in answers for each in answer["seconds"])
        print(
            f"{len(ids)} killed at once: all see all of them died after {statistics.median(seconds):.2f} s (median), "
            f"{seconds[-1]:.2f} s (the last)"
        )
        print(f"    of others they saw: {[answer['others'] for answer in answers]}")
        await asyncio.sleep(2.0)
        looks = await it.do("look")
        spent_s = sum(look["cpu_s"] - cpu_s for look, cpu_s in zip(looks, before, strict=True))
        print(f"    {spent_s:.2f} s of processor time")
        for look in looks:
            print(f"    {look['states']}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=3, help="besides that of the victims")
    parser.add_argument("--victims", type=int, default=100)
    parser.add_argument("--idle-s", type=float, default=20.0)
    parser.add_argument("--at-once", type=int, default=10, help="how many nodes each process starts at the same moment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, run_broker(Path(folder) / "broker") as url:
        asyncio.run(measure(url, options.nodes, options.processes, options.victims, options.idle_s, options.at_once))


if __name__ == "__main__":
    main()
