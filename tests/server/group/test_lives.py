"""Thousands of random lives of small groups: whatever goes wrong, the rosters are right when it is over.

A life that fails names its seed: ``.venv/bin/python -m tests.server.group.presence_world SEED`` lives it again and tells
what happens.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.server.group.presence_world import live_many

ROOT = Path(__file__).parents[3]
PARTS, MANY_PARTS = 5, 50
LIVES, MANY_LIVES = 1_000, 20_000
"""The lives of a part: 5,000 in each run, and 1,000,000 in the long proof."""
PIECE = 125


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """As many processes as there are processors."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=spawn) as processes:
        yield processes


def live_in_processes(pool: ProcessPoolExecutor, count: int) -> Counter[str]:
    """Live so many lives, and return what happened in them."""
    first = secrets.randbits(48)
    print(f"seeds from {first} to {first + count - 1}")
    totals: Counter[str] = Counter()
    starts = range(first, first + count, PIECE)
    for lives, happened in pool.map(live_many, starts, [PIECE] * len(starts)):
        totals.update(happened)
        totals["lives"] += lives
    return totals


def test_a_seed_gives_the_same_life_in_any_process() -> None:
    """So that a life that has failed can be lived again."""
    lives = []
    for hash_seed in "12":
        command = [sys.executable, "-m", "tests.server.group.presence_world", "33"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        lives.append(subprocess.run(command, capture_output=True, check=True, cwd=ROOT, env=environment).stdout)
    assert lives[0] == lives[1]
    assert b" sees died of " in lives[0]


@pytest.mark.parametrize("part", range(PARTS))
def test_the_rosters_are_right_after_any_life(pool: ProcessPoolExecutor, part: int) -> None:
    happened = live_in_processes(pool, LIVES)
    assert happened["lives"] == LIVES
    assert happened["deaths"] > LIVES  # Otherwise nothing went wrong in them, and they show nothing.
    assert happened["returns"] > LIVES / 10


@pytest.mark.soak
@pytest.mark.parametrize("part", range(MANY_PARTS))
def test_the_rosters_are_right_after_a_million_lives(pool: ProcessPoolExecutor, part: int) -> None:
    assert live_in_processes(pool, MANY_LIVES)["lives"] == MANY_LIVES
