"""Encodes an item once that goes to many streams."""

from __future__ import annotations

from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

from rpcwire.codec import Codec
from rpcwire.limits import ITEM_LEVELS
from rpcwire.values.wiretypes import WireType

_KEPT = 16
"""Items whose encoding is kept: as many as there may be kinds of streams that are served in turn."""


class SharedItems:
    """Encodes the items of all streams of one method, each item once for each form of the wire.

    Parameters:
        kind: the items' type.
    """

    def __init__(self, kind: WireType) -> None:
        self._kind = kind
        self._kept: deque[tuple[Any, bool, bytes]] = deque(maxlen=_KEPT)

    def dump(self, value: Any, codec: Codec, around: int = ITEM_LEVELS) -> bytes:
        """Encode an item, or give what it was encoded to.

        Raises:
            ValueError: it is not of the declared type.
        """
        for kept, packed, data in self._kept:
            # The item is kept alive, so that no other can have its identity.
            if kept is value and packed is codec.packed:
                return data
        data = self._kind.dump(value, codec, around)
        self._kept.append((value, codec.packed, data))
        return data


_BY_KIND: WeakKeyDictionary[WireType, SharedItems] = WeakKeyDictionary()


def shared_items(kind: WireType) -> SharedItems:
    """The one encoder of a method's items."""
    found = _BY_KIND.get(kind)
    if found is None:
        found = _BY_KIND[kind] = SharedItems(kind)
    return found
