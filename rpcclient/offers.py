"""The methods that a client offers, for its connection."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rpcwire.registry import Offer, Registry


class Offerer(Protocol):
    """A client that offers methods."""

    @property
    def registry(self) -> Registry:
        """The methods."""
        ...


class WeakOffers:
    """Looks up the methods that a client offers, without keeping the client alive: the connection's reader holds this
    object, and a service may hold its client. While a handler runs, it does keep the client alive.

    Parameters:
        offerer: the client.
    """

    def __init__(self, offerer: Offerer) -> None:
        self._offerer = weakref.ref(offerer)

    def get(self, name: str) -> Offer | None:
        """Return the method of this full name; ``None`` if there is none, or the client is gone."""
        offerer = self._offerer()
        return None if offerer is None else offerer.registry.get(name)

    def like(self, name: str) -> str | None:
        """Return the full name of the method that is most similar to a name, if one is."""
        offerer = self._offerer()
        return None if offerer is None else offerer.registry.like(name)

    def owner(self) -> object:
        """Return the client, which must not become garbage while a handler runs."""
        return self._offerer()
