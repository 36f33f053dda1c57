"""Connections that have not authenticated yet: how many there may be, so that nobody can fill the server up without
being anybody."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from .admission import Refusal
from .config import AuthConfig


class Arrival(Protocol):
    """A connection that waits.

    Attributes:
        address: where it comes from, without the port.
    """

    address: str


class WaitingRoom:
    """Counts the connections that wait.

    Parameters:
        config: how many there may be.
    """

    def __init__(self, config: AuthConfig) -> None:
        self._config = config
        self._waiting: set[Arrival] = set()
        self._by_address: Counter[str] = Counter()

    def admit(self, arrival: Arrival) -> Refusal | None:
        """Let a connection wait, or say why not."""
        config = self._config
        if len(self._waiting) >= config.unauthenticated_connections:
            return Refusal(503, "too many connections wait to authenticate: try again in some seconds")
        if self._by_address[arrival.address] >= config.unauthenticated_per_address:
            return Refusal(429, "too many connections from your address wait to authenticate: try again later")
        self._waiting.add(arrival)
        self._by_address[arrival.address] += 1
        return None

    def leave(self, arrival: Arrival) -> None:
        """A connection waits no more: it has authenticated, or is gone."""
        if arrival in self._waiting:
            self._waiting.discard(arrival)
            self._by_address[arrival.address] -= 1
            if not self._by_address[arrival.address]:
                del self._by_address[arrival.address]

    def __len__(self) -> int:
        return len(self._waiting)
