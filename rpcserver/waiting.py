"""Connections that have not authenticated yet: how many there may be, so that nobody can fill the server up without
being anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from .admission import Refusal
from .config import AuthConfig

LINE = 512
"""Connections that may stand in line, in all."""

LINE_PER_ADDRESS = 128
"""Connections that may stand in line, per address."""


class Arrival(Protocol):
    """A connection that waits.

    Attributes:
        address: where it comes from, without the port.
    """

    address: str

    def hold(self) -> None:
        """Read nothing of it for now."""
        ...

    def proceed(self) -> None:
        """Read on."""
        ...

    def abort(self) -> None:
        """Drop the connection at once."""
        ...


class WaitingRoom:
    """Counts the connections that wait to authenticate. Those for which there is no place stand in line, unread, until
    others have authenticated or are gone: a program that opens many connections at once is no attack.

    Parameters:
        config: how many places there are.
    """

    def __init__(self, config: AuthConfig) -> None:
        self._config = config
        self._inside: set[Arrival] = set()
        self._line: dict[Arrival, None] = {}
        self._inside_by_address: Counter[str] = Counter()
        self._line_by_address: Counter[str] = Counter()

    def admit(self, arrival: Arrival) -> Refusal | None:
        """Let a connection in or into the line, or say why not."""
        if self._has_place(arrival):
            self._enter(arrival)
            return None
        if self._line_by_address[arrival.address] >= LINE_PER_ADDRESS:
            return Refusal(429, "too many connections from your address wait to authenticate: try again later")
        if len(self._line) >= LINE:
            return Refusal(503, "too many connections wait to authenticate: try again in some seconds")
        self._line[arrival] = None
        self._line_by_address[arrival.address] += 1
        arrival.hold()
        return None

    def leave(self, arrival: Arrival) -> None:
        """A connection waits no more: it has authenticated, or is gone."""
        if arrival in self._line:
            self._leave_line(arrival)
        elif arrival in self._inside:
            self._inside.discard(arrival)
            _count_down(self._inside_by_address, arrival.address)
            self._call_in()

    def _has_place(self, arrival: Arrival) -> bool:
        config = self._config
        return (
            len(self._inside) < config.unauthenticated_connections
            and self._inside_by_address[arrival.address] < config.unauthenticated_per_address
        )

    def _enter(self, arrival: Arrival) -> None:
        self._inside.add(arrival)
        self._inside_by_address[arrival.address] += 1

    def _leave_line(self, arrival: Arrival) -> None:
        del self._line[arrival]
        _count_down(self._line_by_address, arrival.address)

    def _call_in(self) -> None:
        for arrival in [a for a in self._line if self._has_place(a)][:1]:
            self._leave_line(arrival)
            self._enter(arrival)
            arrival.proceed()

    def __len__(self) -> int:
        return len(self._inside)

    def __iter__(self) -> Iterator[Arrival]:
        return iter([*self._inside, *self._line])


def _count_down(counter: Counter[str], address: str) -> None:
    counter[address] -= 1
    if not counter[address]:
        del counter[address]
