"""Counts what clients that have not authenticated do: pure. So they can neither fill the audit log nor have its older
files removed: the first event of each kind has a line of its own, and the others are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LINES = 64
"""The kinds of events in one period whose first event has a line of its own."""

KINDS = 512
"""The most kinds of events that are counted apart in one period."""

PERIOD_S = 60.0
"""How long events are counted, in seconds."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What events have in common.

    Attributes:
        event: what has happened.
        address: from where, without the port; ``*`` for many addresses.
        method: the method that was called; empty if there is no such method, and if it was no call.
        outcome: what came of it.
    """

    event: str
    address: str
    method: str
    outcome: str


class Strangers:
    """Counts the events of one period."""

    def __init__(self) -> None:
        self._counts: dict[Kind, int] = {}

    def note(self, kind: Kind) -> bool:
        """Count an event.

        Returns:
            Whether it gets a line of its own.
        """
        count = self._counts.get(kind)
        if count is not None:
            self._counts[kind] = count + 1
            return False
        if len(self._counts) < LINES:
            self._counts[kind] = 0
            return True
        if len(self._counts) >= KINDS:
            kind = Kind(kind.event, "*", "", "*")
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was noted in this period."""
        return not self._counts

    def report(self) -> Iterator[tuple[Kind, int]]:
        """End the period. Yield how many events of each kind had no line."""
        counts, self._counts = self._counts, {}
        for kind, count in counts.items():
            if count:
                yield kind, count


def host_of(remote: str) -> str:
    """Return an address without its port.

    Parameters:
        remote: the address of a connection: ``127.0.0.1:41234``, ``[::1]:41234``, ``unix:uid=1000``, ``203.0.113.7 via
            127.0.0.1:41234``.
    """
    client = remote.partition(" via ")[0]
    host, _, port = client.rpartition(":")
    return host if host and port.isdecimal() else client
