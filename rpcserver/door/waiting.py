"""Limits the connections that have not authenticated. So strangers cannot fill the server, and a client with a valid
token is always admitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from rpcserver.config import AuthConfig

from .admission import Refusal

RETRY_AFTER_S = 2
"""After how many seconds a client that was dismissed may try again."""

GIVE_WAY_TOGETHER = 16
"""The number of connections that are dismissed together when the system has no room for more."""

_TOO_MANY_HERE = "too many connections from your address wait to authenticate: try again later"
_TOO_MANY = "too many connections wait to authenticate: try again in some seconds"


class Arrival(Protocol):
    """A connection that waits.

    Attributes:
        address: the address of the client, as limits per address count it; ``None`` if they do not apply.
        is_known: whether the kernel has identified the client already, as on a Unix socket.
    """

    @property
    def address(self) -> str | None:
        """As above."""
        ...

    @property
    def is_known(self) -> bool:
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

    def __init__(self, name: str) -> None:
        self._most = self._most_per_address = 0
        self.name = name  # The beginning of the names of its settings.
        self._address_of: dict[Arrival, str | None] = {}
        self._by_address: dict[str | None, dict[Arrival, None]] = {}
        self._by_count: list[dict[str | None, None]] = [{}]
        """The addresses that have so many connections, so that the most crowded one is found at once."""

    def limit(self, most: int, most_per_address: int) -> None:
        self._most, self._most_per_address = most, most_per_address

    def is_full(self) -> bool:
        return len(self._address_of) >= self._most

    def is_crowded(self, address: str | None) -> bool:
        return address is not None and len(self._by_address.get(address, ())) >= self._most_per_address

    def oldest_from(self, address: str | None) -> Arrival | None:
        """Return the first connection from an address."""
        return next(iter(self._by_address.get(address, ())), None)

    def oldest_of_most(self) -> Arrival | None:
        """Return the first connection from the address that has the most of them."""
        most = next(iter(self._by_count[-1]), None)
        return self.oldest_from(most)

    def add(self, arrival: Arrival) -> None:
        address = self._address_of[arrival] = arrival.address
        mine = self._by_address.setdefault(address, {})
        self._recount(address, len(mine), len(mine) + 1)
        mine[arrival] = None

    def remove(self, arrival: Arrival) -> bool:
        """Forget a connection.

        Returns:
            Whether it was in this group.
        """
        if arrival not in self._address_of:
            return False
        address = self._address_of.pop(arrival)
        mine = self._by_address[address]
        self._recount(address, len(mine), len(mine) - 1)
        del mine[arrival]
        if not mine:
            del self._by_address[address]
        return True

    def _recount(self, address: str | None, before: int, after: int) -> None:
        """Note that an address has one connection more or less."""
        self._by_count[before].pop(address, None)
        if after == len(self._by_count):
            self._by_count.append({})
        if after:
            self._by_count[after][address] = None
        while len(self._by_count) > 1 and not self._by_count[-1]:
            self._by_count.pop()

    def __contains__(self, arrival: Arrival) -> bool:
        return arrival in self._address_of

    def __len__(self) -> int:
        return len(self._address_of)

    def __iter__(self) -> Iterator[Arrival]:
        return iter(self._address_of)


class WaitingRoom:
    """Counts the connections that have shown no valid token yet.

    A connection is *arriving* until its whole request is there. The number of those is limited, and the oldest is
    dismissed first: it had the most time to send its request. A request with a valid token ends the wait at once,
    unless its address has sent wrong ones: then it is *delayed* for at most a second. A request without a token takes
    one of the few *places*, in which it may authenticate by a call, or stands *in line* for one: a program that opens
    many connections at once is no attack. Clients that the kernel has identified are counted apart, so that strangers
    cannot displace them.

    Parameters:
        config: the limits of each group.
        refusals: counts what is refused, by the setting of the limit.
    """

    def __init__(self, config: AuthConfig, refusals: Counter[str] | None = None) -> None:
        self._refusals = Counter() if refusals is None else refusals
        self._known, self._arriving = _Group("arriving"), _Group("arriving")
        self._delayed, self._line, self._inside = _Group("delayed"), _Group("line"), _Group("unauthenticated")
        self._strangers = (self._arriving, self._delayed, self._line, self._inside)
        self.change(config)

    def change(self, config: AuthConfig) -> None:
        """Have other limits from now on. Those who wait already go on waiting, and new places are given at once.

        Parameters:
            config: the limits of each group.
        """
        self._known.limit(config.arriving_connections, config.arriving_connections)
        self._arriving.limit(config.arriving_connections, config.arriving_per_address)
        self._delayed.limit(config.delayed_connections, config.delayed_per_address)
        self._line.limit(config.line_connections, config.line_per_address)
        self._inside.limit(config.unauthenticated_connections, config.unauthenticated_per_address)
        while self._call_in():
            pass

    def arrive(self, arrival: Arrival) -> None:
        """Add a connection that was accepted and has sent nothing yet."""
        group = self._known if arrival.is_known else self._arriving
        address = arrival.address
        if group.is_crowded(address):
            self._dismiss(group.oldest_from(address), self._refuse_address(group))
        elif group.is_full():
            self._dismiss(group.oldest_of_most(), self._refuse_all(group))
        group.add(arrival)

    def make_room(self, count: int = 1) -> int:
        """Dismiss strangers because the system has no room for more connections: of the largest group, and of the
        address that has the most there, the oldest. So a newcomer is not dismissed for the sake of the next one.

        Returns:
            The number of dismissed connections.
        """
        for number in range(count):
            arrival = max(self._strangers, key=len).oldest_of_most()
            if arrival is None:
                return number
            self._refusals["limits.reserved_descriptors"] += 1
            self._dismiss(arrival, Refusal(503, _TOO_MANY))
        return count

    def _refuse_address(self, group: _Group) -> Refusal:
        self._refusals[f"auth.{group.name}_per_address"] += 1
        return Refusal(429, _TOO_MANY_HERE)

    def _refuse_all(self, group: _Group) -> Refusal:
        self._refusals[f"auth.{group.name}_connections"] += 1
        return Refusal(503, _TOO_MANY)

    def _dismiss(self, arrival: Arrival | None, refusal: Refusal) -> None:
        if arrival is not None:
            self.leave(arrival)
            arrival.dismiss(refusal)

    def ask(self, arrival: Arrival) -> Refusal | None:
        """Let a connection without a token proceed, now or when there is a place; or return why it cannot. A connection
        that is refused counts as arriving until it has ended."""
        has_place = self._has_place(arrival)
        if not has_place:
            if self._line.is_crowded(arrival.address):
                return self._refuse_address(self._line)
            if self._line.is_full():
                return self._refuse_all(self._line)
        self.leave(arrival)
        (self._inside if has_place else self._line).add(arrival)
        if has_place:
            arrival.proceed()
        return None

    def delay(self, arrival: Arrival) -> Refusal | None:
        """Count a connection whose credentials are read later; or return why it cannot wait for that. If there are too
        many in all, one of the address with the most is dismissed: guesses of a name from many addresses delay whoever
        has that name, and must not keep them out."""
        if self._delayed.is_crowded(arrival.address):
            return self._refuse_address(self._delayed)
        if self._delayed.is_full():
            self._dismiss(self._delayed.oldest_of_most(), self._refuse_all(self._delayed))
        self.leave(arrival)
        self._delayed.add(arrival)
        return None

    def send_back(self, arrival: Arrival) -> None:
        """Count a connection that was delayed or in line as arriving again, until it has ended."""
        if self._delayed.remove(arrival) or self._line.remove(arrival):
            self.arrive(arrival)

    def stands_in_line(self, arrival: Arrival) -> bool:
        """Whether a connection waits for a place."""
        return arrival in self._line

    def leave(self, arrival: Arrival) -> None:
        """Remove a connection that waits no more: it has authenticated, or has ended."""
        others = (self._known, self._arriving, self._delayed, self._line)
        if not any(group.remove(arrival) for group in others) and self._inside.remove(arrival):
            self._call_in()

    def _has_place(self, arrival: Arrival) -> bool:
        return not self._inside.is_full() and not self._inside.is_crowded(arrival.address)

    def _call_in(self) -> bool:
        """Give a place to the first in line who may have one. Return whether there was one."""
        arrival = next((a for a in self._line if self._has_place(a)), None)
        if arrival is not None:
            self._line.remove(arrival)
            self._inside.add(arrival)
            arrival.proceed()
        return arrival is not None

    @property
    def arriving(self) -> int:
        """The number of connections whose request is not there yet, or was refused."""
        return len(self._arriving) + len(self._known)

    @property
    def delayed(self) -> int:
        """The number of connections whose credentials are read later."""
        return len(self._delayed)

    @property
    def in_line(self) -> int:
        """The number of connections without a token that wait for a place."""
        return len(self._line)

    @property
    def inside(self) -> int:
        """The number of connections without a token that have a place."""
        return len(self._inside)

    def by_state(self) -> dict[str, int]:
        """The number of connections by what they wait for."""
        return {
            "arriving": self.arriving, "delayed": self.delayed, "in_line": self.in_line, "inside": self.inside,
        }  # fmt: skip

    def __len__(self) -> int:
        return self.arriving + self.delayed + self.in_line + self.inside

    def __iter__(self) -> Iterator[Arrival]:
        return iter([*self._known, *self._arriving, *self._delayed, *self._line, *self._inside])
