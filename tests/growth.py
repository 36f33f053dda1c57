"""Measures how the work of a function grows with its input, without a limit of time.

:func:`check` runs a function at three sizes, each twice the one before, and compares the processor time that the thread
has used. Other programs make a measurement larger, never smaller. So the least of several counts, all three sizes are
run for equally long, so that they are disturbed equally, and a growth that is too large is measured again, up to
:data:`MOST_ROUNDS` times, and from the beginning up to :data:`MOST_ATTEMPTS` times, before it counts. A function whose work grows with the square of its input has a growth of 4
in each of these rounds.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import time
from collections.abc import Callable
from typing import Any

MOST_GROWTH = 2.5
"""The most growth for twice the input: 2 is linear, 4 is quadratic."""
MOST_ROUNDS, MOST_ATTEMPTS = 12, 6
LEAST_S = 0.0003
"""The least time of one measurement, in seconds; shorter ones are repeated, so that the clock's steps do not count."""


class GrowsTooFast(AssertionError):
    """The work of a function grows faster than its input."""


def check(run: Callable[[Any], object], make: Callable[[int], Any], size: int, *, harmless_s: float = 0.0) -> None:
    """Measure a function at a quarter of a size, at half of it, and at the size.

    Parameters:
        run: the function; what it raises is an outcome like any other.
        make: makes the input of a size.
        size: the largest size.
        harmless_s: the time in which the largest input does no harm, whatever the growth; give it only if nothing
            larger can come, in seconds.

    Raises:
        GrowsTooFast: twice the input takes more than :data:`MOST_GROWTH` times the work.
    """
    inputs = [make(size // 4), make(size // 2), make(size)]
    gc.disable()
    try:
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                _compare(run, inputs, harmless_s)
                return
            except GrowsTooFast:
                if attempt == MOST_ATTEMPTS:
                    raise
    finally:
        gc.enable()


def _compare(run: Callable[[Any], object], inputs: list[Any], harmless_s: float) -> None:
    best = [math.inf] * len(inputs)
    growth: list[float] = []
    for round_number in range(1, MOST_ROUNDS + 1):
        span_s = LEAST_S
        for index in reversed(range(len(inputs))):
            count, used_s = _measure(run, inputs[index], span_s)
            span_s = max(span_s, used_s)
            best[index] = min(best[index], used_s / count)
        growth = [after / before for before, after in itertools.pairwise(best)]
        if max(growth) <= MOST_GROWTH or best[-1] <= harmless_s:
            return
        if best[-1] > 0.5 and round_number > 1:
            break  # A round takes so long that little can disturb it.
    texts = ", ".join(f"{seconds * 1000:.2f} ms" for seconds in best)
    raise GrowsTooFast(f"twice the input takes {' and '.join(f'{each:.2f}' for each in growth)} times as long: {texts}")


def _measure(run: Callable[[Any], object], value: Any, least_s: float) -> tuple[int, float]:
    """Run a function until it has used some time. Return how often it ran, and the time that it used."""
    count = 0
    start = time.thread_time()
    while True:
        with contextlib.suppress(Exception):
            run(value)
        count += 1
        if (used_s := time.thread_time() - start) >= least_s:
            return count, used_s
