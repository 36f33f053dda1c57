"""Limits the connections that have not authenticated. So strangers cannot fill the server, and a client with a valid
token is always admitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from rpcserver.config import AuthConfig

from .admission import Refusal

RETRY_AFTER_S = 2
"""After how many seconds a client that was dismissed may try again."""

GIVE_WAY_TOGETHER = 16
"""The number of connections that are dismissed together when the system has no room for more."""

_CROWDED = "too many connections from your address wait to authenticate: try again later"
_FULL = "too many connections wait to authenticate: try again in some seconds"


class Arrival(Protocol):
    """A connection that waits.

    Attributes:
        address: the address of the client, without the port; ``None`` if no limit per address applies.
    """

    @property
    def address(self) -> str | None:
        """As above."""
        ...

    def proceed(self) -> None:
        """Answer the request, because there is a place."""
        ...

    def dismiss(self, refusal: Refusal) -> None:
        """Answer with the refusal and close, because others need the room."""
        ...


class _Group:
    """Connections in the order of their arrival, with their number in all and per address."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._address_of: dict[Arrival, str | None] = {}
        self._by_address: dict[str | None, dict[Arrival, None]] = {}

    def is_full(self) -> bool:
        return len(self._address_of) >= self._most

    def is_crowded(self, address: str | None) -> bool:
        return address is not None and len(self._by_address.get(address, ())) >= self._most_per_address

    def oldest(self, address: str | None = None) -> Arrival | None:
        """Return the first connection, or the first one from an address."""
        return next(iter(self._address_of if address is None else self._by_address.get(address, ())), None)

    def add(self, arrival: Arrival) -> None:
        self._address_of[arrival] = arrival.address
        self._by_address.setdefault(arrival.address, {})[arrival] = None

    def remove(self, arrival: Arrival) -> bool:
        """Forget a connection.

        Returns:
            Whether it was in this group.
        """
        if arrival not in self._address_of:
            return False
        address = self._address_of.pop(arrival)
        del self._by_address[address][arrival]
        if not self._by_address[address]:
            del self._by_address[address]
        return True

    def __contains__(self, arrival: Arrival) -> bool:
        return arrival in self._address_of

    def __len__(self) -> int:
        return len(self._address_of)

    def __iter__(self) -> Iterator[Arrival]:
        return iter(self._address_of)


class WaitingRoom:
    """Counts the connections that have shown no valid token yet.

    A connection is *arriving* until its whole request is there. The number of those is limited, and the oldest is
    dismissed first: it had the most time to send its request. A request with a valid token ends the wait at once. A
    request without a token takes one of the few *places*, in which it may authenticate by a call, or stands *in line*
    for one: a program that opens many connections at once is no attack.

    Parameters:
        config: the limits of each group.
    """

    def __init__(self, config: AuthConfig) -> None:
        self._arriving = _Group(config.arriving_connections, config.arriving_per_address)
        self._line = _Group(config.line_connections, config.line_per_address)
        self._inside = _Group(config.unauthenticated_connections, config.unauthenticated_per_address)

    def arrive(self, arrival: Arrival) -> None:
        """Add a connection that was accepted and has sent nothing yet."""
        address = arrival.address
        if self._arriving.is_crowded(address):
            self._dismiss(self._arriving.oldest(address), Refusal(429, _CROWDED))
        elif self._arriving.is_full():
            self.make_room()
        self._arriving.add(arrival)

    def make_room(self, count: int = 1) -> None:
        """Dismiss the oldest connections whose request is not there yet."""
        for _ in range(count):
            self._dismiss(self._arriving.oldest(), Refusal(503, _FULL))

    def _dismiss(self, arrival: Arrival | None, refusal: Refusal) -> None:
        if arrival is not None:
            self._arriving.remove(arrival)
            arrival.dismiss(refusal)

    def ask(self, arrival: Arrival) -> Refusal | None:
        """Let a connection without a token proceed, now or when there is a place; or return why it cannot. A connection
        that is refused counts as arriving until it has ended."""
        has_place = self._has_place(arrival)
        if not has_place:
            if self._line.is_crowded(arrival.address):
                return Refusal(429, _CROWDED)
            if self._line.is_full():
                return Refusal(503, _FULL)
        self._arriving.remove(arrival)
        (self._inside if has_place else self._line).add(arrival)
        if has_place:
            arrival.proceed()
        return None

    def stands_in_line(self, arrival: Arrival) -> bool:
        """Whether a connection waits for a place."""
        return arrival in self._line

    def leave(self, arrival: Arrival) -> None:
        """Remove a connection that waits no more: it has authenticated, or has ended."""
        if not self._arriving.remove(arrival) and not self._line.remove(arrival) and self._inside.remove(arrival):
            self._call_in()

    def _has_place(self, arrival: Arrival) -> bool:
        return not self._inside.is_full() and not self._inside.is_crowded(arrival.address)

    def _call_in(self) -> None:
        arrival = next((a for a in self._line if self._has_place(a)), None)
        if arrival is not None:
            self._line.remove(arrival)
            self._inside.add(arrival)
            arrival.proceed()

    @property
    def arriving(self) -> int:
        """The number of connections whose request is not there yet, or was refused."""
        return len(self._arriving)

    @property
    def in_line(self) -> int:
        """The number of connections without a token that wait for a place."""
        return len(self._line)

    @property
    def inside(self) -> int:
        """The number of connections without a token that have a place."""
        return len(self._inside)

    def __len__(self) -> int:
        return self.arriving + self.in_line + self.inside

    def __iter__(self) -> Iterator[Arrival]:
        return iter([*self._arriving, *self._line, *self._inside])
