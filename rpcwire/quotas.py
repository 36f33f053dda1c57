"""Limits on calls that run, on streams, and on calls in a second, for one holder and all above it, such as a
connection, its principal and the server. Nothing here reads a clock: the caller gives the time, in seconds.

A connection holds places in advance (:class:`Lease`), so that an ordinary call only compares two numbers."""

from __future__ import annotations

from typing import Protocol

PLACES_AT_ONCE = 64
"""The places that a lease takes at once."""


class Quota(Protocol):
    """What a session asks when its allowance is used up."""

    def renew(self, running: int, calls_left: int) -> tuple[int, int]:
        """Allow more calls.

        Parameters:
            running: the number of calls that run on the connection.
            calls_left: how many calls may come after this one, as this method has allowed earlier; negative if this one
                is not allowed yet.

        Returns:
            How many calls may run at the same time from now on, at least one more than run now; and how many may
            come after this one until this is asked again.

        Raises:
            Busy: no more are allowed now.
        """
        ...

    def renew_streams(self, streams: int) -> int:
        """Allow more streams.

        Parameters:
            streams: the number of streams that are open on the connection.

        Returns:
            How many may be open from now on, at least one more than are open now.

        Raises:
            Busy: no more are allowed now.
        """
        ...


class Rate:
    """A token bucket: allows a number of events in a second, and as many at once as in ``burst_s`` seconds.

    Parameters:
        per_s: events in a second.
        burst_s: the time whose events may come at once, in seconds.
    """

    __slots__ = ("_at", "_left", "most", "per_s")

    def __init__(self, per_s: float, burst_s: float = 1.0) -> None:
        self.per_s = per_s
        self.most = max(per_s * burst_s, 1.0)
        self._left = self.most
        self._at = 0.0

    def change(self, per_s: float, burst_s: float = 1.0) -> None:
        """Allow another number of events from now on; the parameters are those of the class."""
        self.per_s = per_s
        self.most = max(per_s * burst_s, 1.0)
        self._left = min(self._left, self.most)

    def left(self, now: float) -> float:
        """Return how many events are allowed at this time."""
        if now > self._at:
            self._left = min(self._left + (now - self._at) * self.per_s, self.most)
            self._at = now
        return self._left

    def take(self, number: float) -> None:
        """Count events, which :meth:`left` has allowed."""
        self._left -= number

    def wait_s(self) -> float:
        """Return how long it takes until one event is allowed, in seconds, after :meth:`left`."""
        return max((1.0 - self._left) / self.per_s, 0.0)


class Places:
    """A number of places, of which holders take some.

    Parameters:
        limit: the number of places.

    Attributes:
        limit: as above.
        used: the places that are taken.
        most: the most that were taken at one time.
    """

    __slots__ = ("limit", "most", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.most = 0

    @property
    def free(self) -> int:
        """The number of places that nobody has."""
        return self.limit - self.used

    def take(self, number: int) -> None:
        """Take places, or give them back if the number is negative."""
        self.used += number
        self.most = max(self.most, self.used)


class Lease:
    """The places that one connection has taken of several :class:`Places` at once.

    Parameters:
        limit: the most for this connection.
        above: the places of its principal and of the server.

    Attributes:
        size: the number of places.
    """

    __slots__ = ("_above", "limit", "size")

    def __init__(self, limit: int, above: tuple[Places, ...]) -> None:
        self.limit = limit
        self.size = 0
        self._above = above

    def shortage(self, number: int) -> Places | None:
        """Return the first of the places above that has not so many free; ``None`` if all have."""
        return next((places for places in self._above if places.free < number), None)

    def extend(self, used: int) -> bool:
        """Take more places, if there are some.

        Parameters:
            used: the number of places that are in use now.

        Returns:
            Whether there is a place more than are in use.
        """
        step = min(used + PLACES_AT_ONCE, self.limit) - self.size
        number = max(min([step, *(places.free for places in self._above)]), 0)
        self._take(number)
        return self.size > used

    def shrink(self, used: int) -> None:
        """Give back all places that are not in use."""
        self._take(min(used - self.size, 0))

    def _take(self, number: int) -> None:
        self.size += number
        for places in self._above:
            places.take(number)
