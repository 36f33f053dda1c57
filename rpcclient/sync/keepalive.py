"""When to ping a silent connection, and when to give it up. It has no clock of its own: it is told the time."""

from __future__ import annotations

import math

from rpcwire.limits import LinkLimits


class Keepalive:
    """The state of one connection. All times are on one clock, in seconds.

    Parameters:
        limits: how long a silence may last, and a pong take.
        now: when the connection began.

    Attributes:
        look_at: when to ask again; infinite where pings are off.
    """

    def __init__(self, limits: LinkLimits, now: float) -> None:
        self._interval_s = limits.ping_interval_s if limits.ping_interval_s > 0 else math.inf
        self._timeout_s = limits.ping_timeout_s
        self._heard_at = now
        self._pinged_at: float | None = None
        self.look_at = now + self._interval_s

    def heard(self, now: float) -> None:
        """Something has come. Any sign of life will do: a pong may queue behind other data."""
        self._heard_at = now

    def answered(self) -> None:
        """A pong has come."""
        self._pinged_at = None

    def is_dead(self, now: float) -> bool:
        """Whether a ping has stayed without any answer for too long."""
        pinged = self._pinged_at
        return pinged is not None and self._heard_at < pinged and now >= pinged + self._timeout_s

    def wants_ping(self, now: float) -> bool:
        """Whether to ping now; sets when to look next."""
        if self._pinged_at is not None and self._heard_at < self._pinged_at:
            self.look_at = self._pinged_at + self._timeout_s
            return False
        self._pinged_at = None
        silent = now >= self._heard_at + self._interval_s
        if silent:
            self._pinged_at = now
        self.look_at = now + self._timeout_s if silent else self._heard_at + self._interval_s
        return silent
