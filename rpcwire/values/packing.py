"""Plain and standard Python data as MessagePack, and back."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Raw

from rpcwire.codec import UNREADABLE
from rpcwire.limits import TOO_DEEP
from rpcwire.skimming import nests_too_deep

AS_BYTES: Mapping[str, Any] = {"rpcwire": "bytes"}
"""The metadata of a core schema whose serializer makes bytes in MessagePack. Their content needs no check."""

_AS_IS = frozenset({type(None), bool, str, bytes, float, Raw})
"""Types whose values MessagePack accepts as they are. Most values have one of them, so they are checked first."""


def _binary_plain(value: Any) -> Any:
    """Make plain data for MessagePack: as in JSON, but bytes and non-finite floats stay as they are."""
    kind = type(value)
    if kind in _AS_IS:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**64 else str(value)
    if kind is dict:
        return _refuse_lost_keys(
            {key if type(key) is str else map_key(key): _binary_plain(item) for key, item in value.items()}, value
        )
    if kind is list:
        return [_binary_plain(item) for item in value]
    if isinstance(value, (str, bytes, float)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        return _binary_plain(value.value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return _refuse_lost_keys({map_key(key): _binary_plain(item) for key, item in value.items()}, value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_binary_plain(item) for item in value]
    return value


def map_key(key: Any) -> Any:
    """Make the key of a map. It is text if MessagePack has no such type, so that two keys with the same name are
    found."""
    kind = type(key)
    if kind in _AS_IS:
        return key
    plain = tuple(key) if isinstance(key, (tuple, frozenset)) else _binary_plain(key)
    return _binary_hook(plain) if isinstance(plain, _AS_TEXT) else plain


def _refuse_lost_keys(plain: dict[Any, Any], value: Mapping[Any, Any]) -> dict[Any, Any]:
    if len(plain) != len(value):
        raise ValueError("two keys of a mapping have the same name in MessagePack")
    return plain


def _binary_hook(value: Any) -> Any:
    """Encode a value that msgspec cannot encode as pydantic does in JSON (paths, addresses, URLs)."""
    if isinstance(value, (memoryview, bytearray)):
        return bytes(value)
    if isinstance(value, PurePath):
        return str(value)
    from pydantic_core import to_jsonable_python  # Few values need it, and whoever sends none does not load it.

    return to_jsonable_python(value)


_AS_TEXT = (dt.date, dt.time, dt.timedelta, Decimal, UUID, PurePath)
_PACK = msgspec.msgpack.Encoder(enc_hook=_binary_hook, decimal_format="string")
_UNPACK = msgspec.msgpack.Decoder()


def pack(value: Any, *, walk: bool = True) -> bytes:
    """Encode plain or standard Python data as MessagePack.

    Parameters:
        value: the data.
        walk: whether to convert parts that msgspec does not encode; without, the encoder converts what it can.
    """
    if not walk:
        try:
            return _PACK.encode(value)
        except OverflowError:
            pass  # An integer of more than 64 bits becomes text.
    return _PACK.encode(_binary_plain(value))


def unpack(raw: Raw | bytes, *, checks_depth: bool = True) -> Any:
    """Decode MessagePack to plain data.

    Parameters:
        raw: the data.
        checks_depth: whether to check the depth; it is not needed if the type limits it.

    Raises:
        ValueError: the data are malformed, or nested deeper than :data:`~rpcwire.limits.MAX_DEPTH`.
    """
    try:
        value = _UNPACK.decode(raw)
    except UNREADABLE as exc:
        raise ValueError(f"not MessagePack: {exc}") from None
    if checks_depth and nests_too_deep(value):
        raise ValueError(TOO_DEEP)
    return value
