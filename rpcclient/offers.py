"""What a client offers, as its connection sees it."""

from __future__ import annotations

import weakref
from typing import Protocol

from rpcwire.registry import Offer, Registry


class Offerer(Protocol):
    """Who offers.

    Attributes:
        registry: what.
    """

    registry: Registry


class HeldOffers:
    """Looks the methods up that a client offers, and does not keep it alive: what reads from the connection holds this,
    and a service may well hold its client. A handler that runs keeps it alive.

    Parameters:
        offerer: whose methods.
    """

    def __init__(self, offerer: Offerer) -> None:
        self._offerer = weakref.ref(offerer)

    def get(self, name: str) -> Offer | None:
        """The method of this full name; none of them once the client is gone."""
        offerer = self._offerer()
        return None if offerer is None else offerer.registry.get(name)

    def like(self, name: str) -> str | None:
        """The full name of the method that is most like a name, if one is."""
        offerer = self._offerer()
        return None if offerer is None else offerer.registry.like(name)

    def owner(self) -> object:
        """What must not become garbage while a handler runs: the client."""
        return self._offerer()
