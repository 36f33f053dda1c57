"""Connections that are nobody's yet: how many there may be, so that nobody can fill the server up without being
anybody, and whoever shows a valid token gets in all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from rpcserver.config import AuthConfig

from .admission import Refusal

RETRY_AFTER_S = 2
"""When a client that was sent away may try again, in seconds."""

GIVE_WAY_TOGETHER = 16
"""Connections that give way where the system has no room for more."""

_CROWDED = "too many connections from your address wait to authenticate: try again later"
_FULL = "too many connections wait to authenticate: try again in some seconds"


class Arrival(Protocol):
    """A connection that waits.

    Attributes:
        address: where it comes from, without the port; ``None`` where limits per address do not apply to it.
    """

    @property
    def address(self) -> str | None:
        """As above."""
        ...

    def proceed(self) -> None:
        """There is a place: answer the request."""
        ...

    def dismiss(self, refusal: Refusal) -> None:
        """Others need the room: say why, and close."""
        ...


class _Group:
    """Connections in the order of their coming, counted in all and per address."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._address_of: dict[Arrival, str | None] = {}
        self._by_address: dict[str | None, dict[Arrival, None]] = {}

    def is_full(self) -> bool:
        return len(self._address_of) >= self._most

    def is_crowded(self, address: str | None) -> bool:
        return address is not None and len(self._by_address.get(address, ())) >= self._most_per_address

    def oldest(self, address: str | None = None) -> Arrival | None:
        """Who came first, of those of an address where one is given."""
        return next(iter(self._address_of if address is None else self._by_address.get(address, ())), None)

    def add(self, arrival: Arrival) -> None:
        self._address_of[arrival] = arrival.address
        self._by_address.setdefault(arrival.address, {})[arrival] = None

    def remove(self, arrival: Arrival) -> bool:
        """Forget a connection.

        Returns:
            Whether it was here.
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

    Whoever comes is *arriving* until its whole request is there. Of those there is a bounded number, and the oldest
    gives way: it had the most time to say what it wants. A request with a valid token ends the wait there and then.
    One without takes one of the few *places*, in which it may authenticate by a call, or stands *in line* for one: a
    program that opens many connections at once is no attack.

    Parameters:
        config: how many there may be of each.
    """

    def __init__(self, config: AuthConfig) -> None:
        self._arriving = _Group(config.arriving_connections, config.arriving_per_address)
        self._line = _Group(config.line_connections, config.line_per_address)
        self._inside = _Group(config.unauthenticated_connections, config.unauthenticated_per_address)

    def arrive(self, arrival: Arrival) -> None:
        """A connection was accepted, and has said nothing yet."""
        address = arrival.address
        if self._arriving.is_crowded(address):
            self._dismiss(self._arriving.oldest(address), Refusal(429, _CROWDED))
        elif self._arriving.is_full():
            self.make_room()
        self._arriving.add(arrival)

    def make_room(self, count: int = 1) -> None:
        """Have the oldest of those give way that have not said what they want."""
        for _ in range(count):
            self._dismiss(self._arriving.oldest(), Refusal(503, _FULL))

    def _dismiss(self, arrival: Arrival | None, refusal: Refusal) -> None:
        if arrival is not None:
            self._arriving.remove(arrival)
            arrival.dismiss(refusal)

    def ask(self, arrival: Arrival) -> Refusal | None:
        """Have a connection without a token proceed, now or once there is a place, or say why not. One that is refused
        stays among the arriving until it is gone."""
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
        """A connection waits no more: it has authenticated, or is gone."""
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
        """Connections whose request is not there yet, or was refused."""
        return len(self._arriving)

    @property
    def in_line(self) -> int:
        """Connections without a token that wait for a place."""
        return len(self._line)

    @property
    def inside(self) -> int:
        """Connections without a token that have a place."""
        return len(self._inside)

    def __len__(self) -> int:
        return self.arriving + self.in_line + self.inside

    def __iter__(self) -> Iterator[Arrival]:
        return iter([*self._arriving, *self._line, *self._inside])
