"""Turns counters into rates. A rate needs two readings of the same counter; without them there is none."""

from __future__ import annotations

from collections.abc import Mapping


def rate(before: float | None, now: float | None, dt_s: float | None) -> float | None:
    """How fast a counter grew, per second.

    Parameters:
        before: the earlier value, if there is one.
        now: the current value.
        dt_s: time between them, in seconds.

    Returns:
        ``None`` where a value is missing, no time has passed, or the counter has become smaller, which means that it
        was reset.
    """
    if before is None or now is None or dt_s is None or dt_s <= 0 or now < before:
        return None
    return (now - before) / dt_s


_WAITING = ("idle", "iowait")
"""Kinds of time in which a processor does nothing. The kernel may move time from one to the other and back."""
_STEP_S = 0.1
"""A time may go back by a few of the kernel's ticks (proc_stat(5)). If it goes back by more, it was reset."""


def busy_percent(before: Mapping[str, float], now: Mapping[str, float], most_s: float | None = None) -> float | None:
    """The busy share of a processor between two readings of its times.

    Parameters:
        before, now: seconds by kind of time, as the system counts them; ``idle`` and ``iowait`` are not busy.
        most_s: the most time that can have passed, in seconds.

    Returns:
        0 to 100; ``None`` where no time has passed, a time was reset, or more than ``most_s`` has passed: the times of
        a processor that was off in between may jump.
    """
    # On Linux the times of guests are part of user and nice.
    busy = [now[kind] - before.get(kind, 0.0) for kind in now if kind not in ("guest", "guest_nice", *_WAITING)]
    idle = sum(now[kind] - before.get(kind, 0.0) for kind in _WAITING if kind in now)
    total = sum(max(growth, 0.0) for growth in (*busy, idle))
    if total <= 0 or min(*busy, idle, sum(busy) + idle) < -_STEP_S:
        return None
    if most_s is not None and total > most_s:
        return None
    return min(max(100.0 * (total - max(idle, 0.0)) / total, 0.0), 100.0)
