"""Counters to rates. A rate needs two readings of the same counter, and none is made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment.

    Attributes:
        t_mono_s: when, on a monotonic clock, in seconds.
        counters: values by name; they only grow, until they are reset.
    """

    t_mono_s: float
    counters: Mapping[str, float]


def rates(before: Reading | None, now: Reading) -> dict[str, float | None]:
    """How fast each counter grew, per second.

    Parameters:
        before: the reading before, if there was one.
        now: the current one.

    Returns:
        For each current counter its rate; ``None`` where it is new, where no time has passed, and where it has
        become smaller, which is a reset.
    """
    found: dict[str, float | None] = dict.fromkeys(now.counters)
    if before is None:
        return found
    dt = now.t_mono_s - before.t_mono_s
    if dt <= 0:
        return found
    for name, value in now.counters.items():
        old = before.counters.get(name)
        if old is not None and value >= old:
            found[name] = (value - old) / dt
    return found


def busy_percent(before: Mapping[str, float], now: Mapping[str, float]) -> float | None:
    """The busy share of a processor between two readings of its times.

    Parameters:
        before, now: seconds by kind of time, as the system counts them; ``idle`` and ``iowait`` are not busy.

    Returns:
        0 to 100; ``None`` where no time has passed.
    """
    # On Linux the times of guests are in user and nice already.
    kinds = [kind for kind in now if kind not in ("guest", "guest_nice")]
    total = sum(max(now[kind] - before.get(kind, 0.0), 0.0) for kind in kinds)
    if total <= 0:
        return None
    idle = sum(max(now[kind] - before.get(kind, 0.0), 0.0) for kind in ("idle", "iowait") if kind in now)
    return min(max(100.0 * (total - idle) / total, 0.0), 100.0)
