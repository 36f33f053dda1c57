"""Counters to rates. A rate needs two readings of the same counter, and none is made up."""

from __future__ import annotations

from collections.abc import Mapping


def rate(before: float | None, now: float | None, dt_s: float | None) -> float | None:
    """How fast a counter grew, per second.

    Parameters:
        before: the reading before, if there was one.
        now: the current one.
        dt_s: time between them, in seconds.

    Returns:
        ``None`` where a reading is missing, where no time has passed, and where the counter has become smaller, which
        is a reset.
    """
    if before is None or now is None or dt_s is None or dt_s <= 0 or now < before:
        return None
    return (now - before) / dt_s


_WAITING = ("idle", "iowait")
"""Kinds of time in which a processor does nothing. The kernel counts time from the one to the other and back."""
_STEP_S = 0.1
"""A time may go back by a few of the kernel's ticks (proc_stat(5)); by more, it was counted anew."""


def busy_percent(before: Mapping[str, float], now: Mapping[str, float], most_s: float | None = None) -> float | None:
    """The busy share of a processor between two readings of its times.

    Parameters:
        before, now: seconds by kind of time, as the system counts them; ``idle`` and ``iowait`` are not busy.
        most_s: the time that can have passed, in seconds.

    Returns:
        0 to 100; ``None`` where no time has passed, where times were counted anew, and where more has passed than can
        have: a processor that was off in between goes on counting from elsewhere.
    """
    # On Linux the times of guests are in user and nice already.
    busy = [now[kind] - before.get(kind, 0.0) for kind in now if kind not in ("guest", "guest_nice", *_WAITING)]
    idle = sum(now[kind] - before.get(kind, 0.0) for kind in _WAITING if kind in now)
    total = sum(max(grown, 0.0) for grown in (*busy, idle))
    if total <= 0 or min(*busy, idle, sum(busy) + idle) < -_STEP_S:
        return None
    if most_s is not None and total > most_s:
        return None
    return min(max(100.0 * (total - max(idle, 0.0)) / total, 0.0), 100.0)
