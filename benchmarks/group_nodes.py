"""What a group of 1,000 nodes costs, and how soon it sees things: real nodes over real connections, in few processes.

It tells how long the nodes take to agree who is there, what a node takes of memory and of a processor while nothing
happens, and how soon all others know of those that are killed at once.

Two of the nodes are whole servers in processes of their own, by which :mod:`benchmarks.group_weight` tells the memory:
nodes in one process share what nodes of different machines do not, and the process also has what they have left behind
while they all came at once. The memory of the crowd is told, too, for comparison.

``python benchmarks/group_nodes.py [--nodes N] [--processes P] [--victims V] [--idle-s S] [--at-once K]``
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.group_weight import ask, start_process
from tests.server.group.crowd import crowd
from tests.server.group.test_joining import run_broker


def tell_weight(part: dict[str, int]) -> None:
    """Print the memory of a server's part in the group."""
    print(
        f"memory of a node of {part['members']:5}  {part['held'] / 1024:.1f} KiB of objects, "
        f"{part['trimmed'] / 1024:.0f} KiB of pages, {part['as_it_is'] / 1024:.0f} KiB with free ones"
    )


async def measure(urls: str, nodes: int, processes: int, victims: int, idle_s: float, at_once: int) -> None:
    """Measure, and print."""
    size = (nodes - 2 - victims) // processes
    sizes = [victims, *[size] * (processes - 1), nodes - 2 - victims - size * (processes - 1)]
    async with AsyncExitStack() as stack:
        servers = []
        for is_traced in (True, False):
            servers.append(await start_process(urls, is_traced=is_traced))
            stack.push_async_callback(servers[-1].kill)
        tell_weight(await ask(*servers))
        it = await stack.enter_async_context(crowd(urls, sizes))
        it.others = len(servers)
        (bare,) = [answer["bytes"] for answer in await asyncio.gather(it.processes[0].do("connect", count=100))]
        begin = time.monotonic()
        started = await it.start(at_once)
        print(f"{nodes} nodes in {len(sizes)} processes: connected in {time.monotonic() - begin:.1f} s", flush=True)
        print(f"agreed in                  {await it.agree(begin):.1f} s", flush=True)
        looks = await it.do("look")
        spent_s = sum(look["cpu_s"] for look in looks)
        received = sum(look["received"] for look in looks)
        print(f"until then                 {spent_s:.1f} s of processor time, {received} messages")
        before = [look["cpu_s"] for look in await it.do("look")]
        await asyncio.sleep(idle_s)
        looks = await it.do("look")
        spent_s = sum(look["cpu_s"] - cpu_s for look, cpu_s in zip(looks, before, strict=True))
        print(f"processor of an idle node  {100 * spent_s / idle_s / len(it):.4f} % of a core")
        tell_weight(await ask(*servers))
        grown = [look["memory_bytes"] - answer["before_bytes"] for look, answer in zip(looks, started, strict=True)]
        print(
            f"memory in the crowd        {sum(grown) / len(it) / 1024:.1f} KiB for each node, of which the library's "
            f"connection has {bare / 1024:.1f} KiB"
        )
        for look in looks:
            print(f"    {look['states']}, {look['drops']} drops, {look['starts']} connections")
        await it.do("note")
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
    parser.add_argument("--at-once", type=int, default=4, help="how many nodes each process starts at the same moment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, run_broker(Path(folder) / "broker") as url:
        asyncio.run(measure(url, options.nodes, options.processes, options.victims, options.idle_s, options.at_once))


if __name__ == "__main__":
    main()
