"""An item that goes to many streams is encoded once for each form of the wire."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from rpcwire.aio.shared import shared_items
from rpcwire.codec import JsonLines, MessagePack
from rpcwire.contracts import WireType


class Item(BaseModel):
    name: str


def test_once_for_each_form() -> None:
    kind = WireType(Item)
    shared = shared_items(kind)
    assert shared_items(kind) is shared
    item, equal = Item(name="a"), Item(name="a")
    first = shared.dump(item, MessagePack())
    assert shared.dump(item, MessagePack()) is first
    assert shared.dump(equal, MessagePack()) is not first  # Another object, which might have been another value.
    assert shared.dump(item, JsonLines()) == b'{"name":"a"}'
    for number in range(100):
        assert kind.load(shared.dump(Item(name=str(number)), MessagePack()), MessagePack()).name == str(number)
    assert len(shared._entries) <= 16
    with pytest.raises(ValueError, match="name"):
        shared.dump({"nothing": 1}, MessagePack())
