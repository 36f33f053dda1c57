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


def busy_percent(before: Mapping[str, float], now: Mapping[str, float]) -> float | None:
    """The busy share of a processor between two readings of its times.

    Parameters:
        before, now: seconds by kind of time, as the system counts them; ``idle`` and ``iowait`` are not busy.

    Returns:
        0 to 100; ``None`` where no time has passed.
    """
    # On Linux the times of guests are in user and nice already.
    kinds = [kind for kind in now if kind not in ("guest", "guest_nice")]
    # Single times do go back a little now and then (idle and iowait on Linux): that is no reset of all.
    total = sum(max(now[kind] - before.get(kind, 0.0), 0.0) for kind in kinds)
    if total <= 0 or sum(now[kind] for kind in kinds) < sum(before.get(kind, 0.0) for kind in kinds):
        return None
    idle = sum(max(now[kind] - before.get(kind, 0.0), 0.0) for kind in ("idle", "iowait") if kind in now)
    return min(max(100.0 * (total - idle) / total, 0.0), 100.0)
