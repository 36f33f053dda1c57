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
from pydantic_core import to_jsonable_python

from rpcwire.codec import UNREADABLE
from rpcwire.limits import TOO_DEEP
from rpcwire.skimming import nests_too_deep

AS_BYTES: Mapping[str, Any] = {"rpcwire": "bytes"}
"""The metadata of a core schema whose serializer makes bytes in MessagePack, so that nobody need look into them."""

_AS_IS = frozenset({type(None), bool, str, bytes, float, Raw})
"""Types whose instances MessagePack takes as they are: most of what is sent, so they are looked at first."""


def _binary_plain(value: Any) -> Any:
    """Plain data for MessagePack: as in JSON, but bytes and non-finite floats stay what they are."""
    kind = type(value)
    if kind in _AS_IS:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**64 else str(value)
    if kind is dict:
        return _checked(
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
        return _checked({map_key(key): _binary_plain(item) for key, item in value.items()}, value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_binary_plain(item) for item in value]
    return value


def map_key(key: Any) -> Any:
    """The key of a map: in words where MessagePack has none of its kind, so that those that become one name meet."""
    kind = type(key)
    if kind in _AS_IS:
        return key
    plain = tuple(key) if isinstance(key, (tuple, frozenset)) else _binary_plain(key)
    return _binary_hook(plain) if isinstance(plain, _IN_WORDS) else plain


def _checked(plain: dict[Any, Any], value: Mapping[Any, Any]) -> dict[Any, Any]:
    if len(plain) != len(value):
        raise ValueError("two keys of a mapping have the same name in MessagePack")
    return plain


def _binary_hook(value: Any) -> Any:
    """What msgspec has no encoding for: what pydantic's JSON would have (paths, addresses, URLs)."""
    if isinstance(value, (memoryview, bytearray)):
        return bytes(value)
    return str(value) if isinstance(value, PurePath) else to_jsonable_python(value)


_IN_WORDS = (dt.date, dt.time, dt.timedelta, Decimal, UUID, PurePath)
_PACK = msgspec.msgpack.Encoder(enc_hook=_binary_hook, decimal_format="string")
_UNPACK = msgspec.msgpack.Decoder()


def pack(value: Any, *, walk: bool = True) -> bytes:
    """Plain or standard Python data as MessagePack."""
    if not walk:
        try:
            return _PACK.encode(value)
        except OverflowError:
            pass  # An integer beyond 64 bits: it goes as a string of digits.
    return _PACK.encode(_binary_plain(value))


def unpack(raw: Raw | bytes, *, bounded: bool = False) -> Any:
    """MessagePack to plain data.

    Parameters:
        bounded: the type bounds the depth itself, so that it need not be checked.

    Raises:
        ValueError: malformed, or nested deeper than :data:`~rpcwire.limits.MAX_DEPTH`.
    """
    try:
        value = _UNPACK.decode(raw)
    except UNREADABLE as exc:
        raise ValueError(f"not MessagePack: {exc}") from None
    if not bounded and nests_too_deep(value):
        raise ValueError(TOO_DEEP)
    return value
