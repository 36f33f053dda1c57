"""Encodes an item that goes to many streams only once."""

from __future__ import annotations

from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

from rpcwire.codec import Codec
from rpcwire.limits import ITEM_LEVELS
from rpcwire.values.wiretypes import WireType

_MOST_ENTRIES = 16
"""The number of encoded items to keep: as many as there may be kinds of streams that are served in turn."""


class SharedItems:
    """Encodes the items of all streams of one method, each item once for each form of the wire.

    Parameters:
        kind: the items' type.
    """

    def __init__(self, kind: WireType) -> None:
        self._kind = kind
        self._entries: deque[tuple[Any, bool, bytes]] = deque(maxlen=_MOST_ENTRIES)

    def dump(self, value: Any, codec: Codec, around: int = ITEM_LEVELS) -> bytes:
        """Encode an item, or return its encoding from the last time.

        Raises:
            ValueError: the item is not of the declared type.
        """
        for item, is_packed, data in self._entries:
            # The entry keeps its item alive, so no other object can have the same identity.
            if item is value and is_packed is codec.packed:
                return data
        data = self._kind.dump(value, codec, around)
        self._entries.append((value, codec.packed, data))
        return data


_BY_KIND: WeakKeyDictionary[WireType, SharedItems] = WeakKeyDictionary()


def shared_items(kind: WireType) -> SharedItems:
    """Return the one encoder of the items of a method."""
    encoder = _BY_KIND.get(kind)
    if encoder is None:
        encoder = _BY_KIND[kind] = SharedItems(kind)
    return encoder
