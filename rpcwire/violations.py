"""Counts how often the other side breaks the rules, so that a connection does not go on with it for ever."""

from __future__ import annotations

from .errors import Busy, RpcError, Unavailable

PERIOD_S = 60.0
"""The time in which the violations of a connection are counted together, in seconds."""

TOO_MANY = "too many messages that break the rules"
"""The reason with which such a connection is closed."""


def breaks_rule(error: RpcError) -> bool:
    """Whether an error means that the other side has broken a rule: to reach a limit, or to call a server that is
    stopping, breaks none."""
    return not isinstance(error, (Busy, Unavailable))


class Violations:
    """Counts the violations of one connection.

    Parameters:
        most: how many the other side may make within :data:`PERIOD_S`.
        most_opening: how many it may make before it has authenticated.
    """

    __slots__ = ("_count", "_most", "_most_opening", "_since")

    def __init__(self, most: int, most_opening: int) -> None:
        self._most, self._most_opening = most, most_opening
        self._count = 0
        self._since = 0.0

    def add(self, now: float, *, is_opening: bool) -> bool:
        """Count one violation.

        Parameters:
            now: the time, in seconds, on any clock that does not jump.
            is_opening: whether the other side has not authenticated.

        Returns:
            Whether it was one too many.
        """
        if now - self._since > PERIOD_S:
            self._since, self._count = now, 0
        self._count += 1
        return self._count > (self._most_opening if is_opening else self._most)
