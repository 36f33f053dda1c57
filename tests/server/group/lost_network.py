"""Nodes whose network is lost, in network namespaces: ``unshare --net python -m tests.server.group.lost_network FOLDER``.

The broker and two nodes are in this namespace, and two more nodes in another one at the end of a cable (veth(4)). When
our end of it is down, whatever the others send is gone, and nobody is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

from tests.examples import SOAK
from tests.server.group.brokers import brokers
from tests.server.group.crowd import crowd

LIMIT_S = 100.0
DEATH_S = 3.0
LINK = ("ip", "link", "add", "name", "here", "type", "veth", "peer", "name", "there")
"""Makes the cable."""


def call(*command: str) -> None:
    """Run a command of ip(8)."""
    subprocess.run(command, check=True, timeout=LIMIT_S)


async def lose_network(folder: Path) -> None:
    """Pull the cable, see who dies for whom, and put it in again."""
    call("ip", "link", "set", "lo", "up")
    call(*LINK)
    call("ip", "address", "add", "10.77.0.1/24", "dev", "here")
    call("ip", "link", "set", "here", "up")
    async with brokers(folder, 1, "0.0.0.0") as them, crowd(them.urls, [2]) as it:
        (port,) = them.ports
        await it.add(f"nats://10.77.0.1:{port}", [2], within=("unshare", "--net"))
        near, far = it.processes
        number = str(far.process.pid)
        await far.do("note")  # From now on it is in its namespace.
        call("ip", "link", "set", "there", "netns", number)
        enter = ("nsenter", "--net", "--target", number)
        call(*enter, "ip", "address", "add", "10.77.0.2/24", "dev", "there")
        call(*enter, "ip", "link", "set", "there", "up")
        begin = time.monotonic()
        await it.start(at_once=2)
        await it.agree(begin)
        await it.do("note")

        since = time.monotonic()
        call("ip", "link", "set", "here", "down")
        answer = await near.do("see", victims=far.ids, kind="died", since=since)
        print(f"dead after {max(answer['seconds']):.2f} s, others: {answer['others']}")
        assert answer["others"] == {} or not SOAK
        assert "died" not in answer["others"]
        assert max(answer["seconds"]) <= DEATH_S or not SOAK
        # Those who are cut off hold nobody for dead: it is they who do not hear.
        assert (await far.do("look"))["states"] == {"4 up": 2}

        since = time.monotonic()
        call("ip", "link", "set", "here", "up")
        await near.do("see", victims=far.ids, kind="returned", since=since)
        print(f"all agree again after {await it.agree(since):.2f} s")
        seen = await far.do("see", victims=[], kind="died", since=since)
        assert not {"died", "left", "returned"} & set(seen["others"]), seen


async def main() -> None:
    """Do it in time."""
    async with asyncio.timeout(LIMIT_S):
        with contextlib.chdir(Path(__file__).parents[3]):
            await lose_network(Path(sys.argv[1]))


if __name__ == "__main__":
    asyncio.run(main())
