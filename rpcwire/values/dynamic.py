"""Bodies without a contract: encodes standard Python values, and decodes plain data."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any

from msgspec import Raw

from rpcwire.codec import Codec
from rpcwire.errors import InvalidParams, RemoteProtocolError
from rpcwire.limits import BODY_LEVELS, MAX_DIGITS
from rpcwire.sending import UNSENDABLE, raise_interruption

from .packing import pack, unpack
from .unsendable import unsendable


def dump_plain(value: Any, codec: Codec, around: int = BODY_LEVELS) -> bytes:
    """Encode standard Python values (also dates, Decimals, models, sets, bytes) as a contract would.

    Parameters:
        value: parameters, or an item of a stream.
        codec: the form of the wire.
        around: the levels of the message around it.

    Raises:
        InvalidParams: a part cannot be sent, or the other side would refuse it; ``errors`` names the place.
    """
    try:
        if _is_flat(value):
            if codec.packed:
                return pack(value, walk=False)
            body = _dump(value, codec)
            if len(body) > MAX_DIGITS:
                codec.check(body, around)
        else:
            body = _dump(_models_to_plain(value), codec)
            codec.check(body, around)
        return body
    except UNSENDABLE as exc:
        raise_interruption(exc)
        error = unsendable(value, exc, binary=codec.packed, leaf=lambda part: _dump(part, codec))
        errors = [{"loc": error.loc, "msg": error.reason, "type": "unsendable"}]
        raise InvalidParams(f"the parameters cannot be sent: {error}", errors=errors) from exc


def _dump(value: Any, codec: Codec) -> bytes:
    if codec.packed:
        return pack(value)
    from pydantic_core import to_json  # A connection with MessagePack, which is the rule, does not load it.

    return to_json(value, bytes_mode="base64", inf_nan_mode="strings")


def load_plain(raw: Raw | bytes, codec: Codec) -> Any:
    """Decode a body as plain data.

    Raises:
        RemoteProtocolError: the body is malformed.
    """
    try:
        return unpack(raw) if codec.packed else json.loads(bytes(raw))
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"the answer is malformed: {exc}", executed="yes") from exc


_FLAT = frozenset({int, str, float, bool, bytes, type(None)})


def _is_flat(value: Any) -> bool:
    """Return whether all parameters have simple types, as in most calls: then they need no conversion."""
    if type(value) is dict:
        return _FLAT.issuperset(map(type, value.values())) and all(type(key) is str for key in value)
    return type(value) is list and _FLAT.issuperset(map(type, value))


def _models_to_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _models_to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_models_to_plain(item) for item in value]
    if hasattr(value, "__pydantic_serializer__"):
        return _models_to_plain(value.__pydantic_serializer__.to_python(value, by_alias=True))
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _models_to_plain(getattr(value, field.name)) for field in fields(value)}
    return value
