"""Values that are encoded already go as they are, if the other side could read them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rpcwire.codec import CODECS, codec_for
from rpcwire.contracts import Contract
from rpcwire.limits import ITEM_LEVELS
from rpcwire.values.dynamic import dump_plain
from rpcwire.values.encoded import Encoded, EncodedObject
from rpcwire.values.unsendable import Unsendable


async def tell() -> AsyncIterator[EncodedObject]:
    """Tell something."""
    yield {}


@pytest.mark.parametrize("subprotocol", [codec.subprotocol for codec in CODECS])
def test_encoded_values(subprotocol: str) -> None:
    item, codec = Contract(tell).item, codec_for(subprotocol)
    assert item is not None
    data = Encoded(dump_plain({"a": [1, b"x"], "b": "y" * 100}, codec))
    assert item.dump(data, codec, ITEM_LEVELS) is data
    # A handler may give plain objects, too.
    assert item.load(item.dump({"a": 1}, codec, ITEM_LEVELS), codec) == {"a": 1}
    with pytest.raises(ValueError, match="dict"):
        item.dump(b"bytes that are no Encoded", codec, ITEM_LEVELS)

    levels = 2000
    packed, text = b"\x81\xa1a" + b"\x91" * levels + b"\x01", b'{"a":' + b"[" * levels + b"]" * levels + b"}"
    deep = Encoded(packed if codec.packed else text)
    with pytest.raises(Unsendable):
        item.dump(deep, codec, ITEM_LEVELS)
