"""Measures how the work of a function grows with its input, without a limit of time.

:func:`check` runs a function at three sizes, each twice the one before, and compares the processor time that the thread
has used at the largest and at the smallest. Linear work has a growth of 4 there, and work that grows with the square of
the input one of 16; the limit is between them.

Other programs, and a cache that the largest input no longer fits, make a measurement larger, never smaller. So what
counts is the least of several, all three sizes are run for equally long, so that they are disturbed equally, and the
size between them must agree: otherwise disturbances of the smallest one alone, in a few rounds, would hide how the work
grows. No outcome counts before some rounds have agreed on it: a growth within the limit after :data:`LEAST_ROUNDS`, one beyond it
after up to :data:`MOST_ROUNDS`, and then again from the beginning, up to :data:`MOST_ATTEMPTS` times.

Nothing is traced meanwhile: a tool that measures coverage would be measured as well.
"""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

MOST_GROWTH = 7.0
"""The most growth for four times the input: 4 is linear, 16 is quadratic."""
MOST_STEP_GROWTH = 3.0
"""The most growth for twice the input, from the middle size to the largest: 2 is linear, 4 is quadratic."""
CLEAR_GROWTH = 5.0
"""A growth that is so far below the limit needs two rounds less."""
LEAST_ROUNDS, MOST_ROUNDS, MOST_ATTEMPTS = 6, 12, 6
"""With three rounds, quadratic work passed twice on a busy machine: its smallest size was disturbed in all of them."""
LEAST_S = 0.0003
"""The least time of one measurement, in seconds; shorter ones are repeated, so that the clock's steps do not count."""
LONG_S = 0.01
"""A measurement that takes so long is disturbed by little, in seconds: one round is enough for a growth within the
limit, and two for one beyond it."""


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
        GrowsTooFast: four times the input takes more than :data:`MOST_GROWTH` times the work, or twice the input more
            than :data:`MOST_STEP_GROWTH` times.
    """
    inputs = [make(size // 4), make(size // 2), make(size)]
    with _undisturbed():
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                _compare(run, inputs, harmless_s)
                return
            except GrowsTooFast:
                if attempt == MOST_ATTEMPTS:
                    raise


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Switch the garbage collector and whatever traces this thread off."""
    trace = sys.gettrace()
    sys.settrace(None)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        sys.settrace(trace)


def _compare(run: Callable[[Any], object], inputs: list[Any], harmless_s: float) -> None:
    best = [math.inf] * len(inputs)
    for round_number in range(1, MOST_ROUNDS + 1):
        span_s = LEAST_S
        for index in reversed(range(len(inputs))):
            count, used_s = _measure(run, inputs[index], span_s)
            span_s = max(span_s, used_s)
            best[index] = min(best[index], used_s / count)
        is_long = best[0] > LONG_S
        enough_rounds = 1 if is_long else LEAST_ROUNDS - 2 * (best[-1] <= CLEAR_GROWTH * best[0])
        grows_slowly = best[-1] <= MOST_GROWTH * best[0] and best[-1] <= MOST_STEP_GROWTH * best[1]
        if round_number >= enough_rounds and (grows_slowly or best[-1] <= harmless_s):
            return
        if is_long and round_number > 1:
            break
    texts = ", ".join(f"{seconds * 1000:.2f} ms" for seconds in best)
    raise GrowsTooFast(
        f"four times the input takes {best[-1] / best[0]:.2f} times as long, twice the input {best[-1] / best[1]:.2f}: {texts}"
    )


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
