"""Thousands of random lives of small groups: whatever goes wrong, the rosters are right when it is over.

A life that fails names its seed: ``.venv/bin/python -m tests.server.group.presence_world SEED`` lives it again and tells
what happens.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.server.group.presence_world import live_many

LIVES = 5_000
MANY_LIVES = 1_000_000
PIECE = 250


def live_in_processes(count: int) -> Counter[str]:
    """Live as many lives, in as many processes as there are processors, and return what happened in them."""
    first = secrets.randbits(48)
    print(f"seeds from {first} to {first + count - 1}")
    spawn = multiprocessing.get_context("spawn")
    totals: Counter[str] = Counter()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=spawn) as pool:
        pieces = [(start, PIECE) for start in range(first, first + count, PIECE)]
        for lives, happened in pool.map(live_many, *zip(*pieces, strict=True)):
            totals.update(happened)
            totals["lives"] += lives
    return totals


def test_the_rosters_are_right_after_any_life() -> None:
    happened = live_in_processes(LIVES)
    assert happened["lives"] == LIVES
    assert happened["deaths"] > LIVES  # Otherwise nothing went wrong in them, and they show nothing.
    assert happened["returns"] > LIVES / 10


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_the_rosters_are_right_after_a_million_lives() -> None:
    assert live_in_processes(MANY_LIVES)["lives"] == MANY_LIVES
