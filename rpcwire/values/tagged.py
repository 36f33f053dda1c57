"""Values whose type is not known in advance, such as those of a database: :data:`Value` carries them exactly.

A value that JSON (or MessagePack) can express exactly is sent as it is. Any other value is an object with one member,
whose name is a dollar sign and the type::

    {"$int": "9223372036854775808"}     beyond ±(2**53 - 1); in MessagePack only beyond 64 bits
    {"$float": "NaN"}                   or "Infinity", "-Infinity"; in MessagePack a plain float
    {"$bytes": "AP8="}                  base64 (RFC 4648, section 4); in MessagePack plain bin
    {"$decimal": "1.50"}
    {"$datetime": "2026-11-23T07:47:32.000001+02:00"}    without an offset: naive
    {"$date": "2026-11-23"}  {"$time": "07:47:32"}  {"$duration": [days, seconds, microseconds]}
    {"$uuid": "12345678-1234-5678-1234-567812345678"}
    {"$tuple": [...]}  {"$set": [...]}  {"$frozenset": [...]}
    {"$map": [[key, value], ...]}       an object with keys that are not strings, or that begin with "$"
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .hashing import check_hashes

TEXT_BYTES = 1024 * 1024
"""The most characters of all long numbers in one large body of a caller. To read a number of thousands of digits takes
as long as hundreds of other values."""

SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON implementation reads exactly (RFC 8259, section 6)."""

_MSGPACK_MIN, _MSGPACK_MAX = -(2**63), 2**64 - 1


def _float_name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _dump_int(value: int, binary: bool) -> Any:
    fits = _MSGPACK_MIN <= value <= _MSGPACK_MAX if binary else -SAFE_INTEGER <= value <= SAFE_INTEGER
    return int(value) if fits else {"$int": str(int(value))}


def _dump_mapping(value: Mapping[Any, Any], binary: bool, depth: int) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: to_tagged(item, binary=binary, depth=depth) for key, item in value.items()}
    pairs = [
        [to_tagged(key, binary=binary, depth=depth), to_tagged(item, binary=binary, depth=depth)]
        for key, item in value.items()
    ]
    return {"$map": pairs}


class _DepthMark:
    """Tells whether a deeply nested value was converted: ``deep`` is a new object after each one, in any thread. Code
    that compares ``deep`` before and after a conversion may check the depth without need, but never misses a deep
    value."""

    deep: object = None


depth_mark = _DepthMark()
_DEEP = 8


_TAGS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (Decimal, "$decimal", str),
    (dt.datetime, "$datetime", dt.datetime.isoformat),
    (dt.date, "$date", dt.date.isoformat),
    (dt.time, "$time", dt.time.isoformat),
    (dt.timedelta, "$duration", lambda v: [v.days, v.seconds, v.microseconds]),
    (UUID, "$uuid", str),
)
_NULL_TYPES = frozenset({"NaTType", "NAType"})
"""The types of pandas that stand for a missing value: NULL."""
_GROUPS: tuple[tuple[type[Collection[Any]], str], ...] = ((tuple, "$tuple"), (frozenset, "$frozenset"), (set, "$set"))


def to_tagged(value: Any, *, binary: bool, depth: int = 0) -> Any:
    """Make plain data of a value, for JSON or with ``binary`` for MessagePack.

    Parameters:
        value: the value.
        binary: whether the data are for MessagePack.
        depth: the number of collections around this part of the value. If it is large, ``depth_mark.deep`` changes.

    Raises:
        TypeError: the type is not in this module's table.
        ValueError: a string has lone surrogates, so it is not valid Unicode.
    """
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        value.encode()  # UnicodeEncodeError is a ValueError.
        return value
    if kind is float and (binary or value - value == 0.0):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # The plain text, even of a member of an enumeration.
    if isinstance(value, int):
        return _dump_int(value, binary)
    if isinstance(value, float):
        return float(value) if binary or math.isfinite(value) else {"$float": _float_name(value)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value) if binary else {"$bytes": base64.b64encode(value).decode()}
    if kind.__name__ in _NULL_TYPES and kind.__module__.startswith("pandas."):
        return None
    for cls, tag, text in _TAGS:
        if isinstance(value, cls):
            if kind is not cls:
                _check_microseconds(value)
            return {tag: text(value)}
    depth += 1
    if depth > _DEEP:
        depth_mark.deep = object()
    if isinstance(value, Mapping):
        return _dump_mapping(value, binary, depth)
    if isinstance(value, list):
        return [to_tagged(item, binary=binary, depth=depth) for item in value]
    for group, tag in _GROUPS:
        if isinstance(value, group):
            return {tag: [to_tagged(item, binary=binary, depth=depth) for item in value]}
    if any(base.__module__ == "numpy" and base.__name__ == "generic" for base in kind.__mro__):
        return to_tagged(_of_numpy(value), binary=binary)
    hint = "give its value" if isinstance(value, Enum) else "make it a number, text, bytes, a date, a list or the like"
    raise TypeError(f"a value of type {kind.__name__} cannot be sent: {hint}")


def _check_microseconds(value: Any) -> None:
    """Refuse a time of pandas with nanoseconds. Its class is a subclass of Python's, which has microseconds only.

    Raises:
        TypeError: the time has nanoseconds.
    """
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        name = type(value).__name__
        raise TypeError(f"this value of pandas' type {name} cannot be sent: it has nanoseconds: give its floor('us')")


def _of_numpy(value: Any) -> Any:
    """Convert a scalar of numpy to Python; NaT becomes ``None``.

    Raises:
        TypeError: Python has no equal value.
    """
    name = type(value).__name__
    item, is_time = value.item(), name in ("datetime64", "timedelta64")
    # Times of Python have microseconds. For coarser units, numpy would lose digits beyond 64 bits.
    if is_time and isinstance(item, int) and _unit_of(value, name) in _FINE_UNITS:
        micro = value.astype(f"{name}[us]")
        item = micro.item() if micro == value else item
    if type(item) is type(value) or (is_time and isinstance(item, int)):
        raise TypeError(f"this value of numpy's type {name} cannot be sent: Python has none that is equal")
    return item


_FINE_UNITS = frozenset({"ns", "ps", "fs", "as"})


def _unit_of(value: Any, name: str) -> str:
    """Return the unit of a time of numpy.

    Raises:
        TypeError: the unit has no fixed length.
    """
    unit = value.dtype.str.partition("[")[2].rstrip("]").lstrip("0123456789")
    if not unit:
        raise TypeError(f"this value of numpy's type {name} cannot be sent: it has no unit: give it one, such as 's'")
    if name == "timedelta64" and unit in ("Y", "M"):
        raise TypeError(
            f"this value of numpy's type {name} cannot be sent: it is in {'years' if unit == 'Y' else 'months'}, whose "
            "length differs: give days, or text for the database to read"
        )
    return str(unit)


_characters_left = ContextVar("characters_left", default=math.inf)
"""The characters of long numbers that the body which is being read may still have."""


@contextmanager
def bounded_texts() -> Iterator[None]:
    """Allow :data:`TEXT_BYTES` characters of long numbers within this block."""
    before = _characters_left.set(TEXT_BYTES)
    try:
        yield
    finally:
        _characters_left.reset(before)


def _spend(characters: int) -> None:
    left = _characters_left.get() - characters
    _characters_left.set(left)
    if left < 0:
        raise ValueError(f"long numbers have more than {TEXT_BYTES} characters in one call: send less at once")


def _text(load: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Make a loader that accepts only a string."""

    def load_checked(data: Any) -> Any:
        if not isinstance(data, str):
            raise TypeError("must be a string")
        if len(data) > _SHORT:
            _spend(len(data))
        return load(data)

    return load_checked


def _items(load: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """Make a loader that accepts only an array."""

    def load_checked(data: Any) -> Any:
        if not isinstance(data, (list, tuple)):
            raise TypeError("must be an array")
        return load(list(data))

    return load_checked


def _load_float(text: str) -> float:
    if text not in ("NaN", "Infinity", "-Infinity"):
        raise ValueError("must be NaN, Infinity or -Infinity")
    return float(text)


def _load_duration(parts: list[Any]) -> dt.timedelta:
    if len(parts) != 3 or not all(type(part) is int for part in parts):
        raise ValueError("must be three integers")
    return dt.timedelta(*parts)


_SHORT = 64
"""Texts up to this length take no longer than other values: they are not counted."""
_FEW = 64
"""A set of so few members is made at once, whatever their hashes are."""


def _set(kind: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """Make a loader of a set of this kind."""

    def load(items: list[Any]) -> Any:
        members = [from_tagged(item) for item in items]
        if len(members) > _FEW:
            check_hashes(members)
        return kind(members)

    return load


def _load_map(pairs: list[Any]) -> dict[Any, Any]:
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise ValueError("must be pairs")
    keys = [from_tagged(key) for key, _ in pairs]
    if len(keys) > _FEW:
        check_hashes(keys)
    return dict(zip(keys, [from_tagged(item) for _, item in pairs], strict=True))


_LOAD: dict[str, Callable[[Any], Any]] = {
    "$int": _text(int),
    "$float": _text(_load_float),
    "$bytes": _text(lambda v: base64.b64decode(v, validate=True)),
    "$decimal": _text(Decimal),
    "$datetime": _text(dt.datetime.fromisoformat),
    "$date": _text(dt.date.fromisoformat),
    "$time": _text(dt.time.fromisoformat),
    "$duration": _items(_load_duration),
    "$uuid": _text(UUID),
    "$tuple": _items(lambda v: tuple(from_tagged(i) for i in v)),
    "$set": _items(_set(set)),
    "$frozenset": _items(_set(frozenset)),
    "$map": _items(_load_map),
}


_PLAIN = frozenset({str, int, float, bool, type(None), bytes})
"""Types of data that stand for themselves."""


def from_tagged(data: Any) -> Any:
    """Convert plain data to the value for which it stands.

    Raises:
        ValueError: a tag is unknown, or its body is not allowed.
    """
    kind = type(data)
    if kind in _PLAIN:
        return data
    if isinstance(data, list):
        return [item if type(item) in _PLAIN else from_tagged(item) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) == 1:
        ((tag, body),) = data.items()
        if isinstance(tag, str) and tag.startswith("$"):
            load = _LOAD.get(tag)
            if load is None:
                raise ValueError(f"unknown tag {tag[:32]!r}: one of {', '.join(_LOAD)}")
            try:
                return load(body)
            except (TypeError, ValueError, ArithmeticError, InvalidOperation, binascii.Error, AttributeError) as exc:
                raise ValueError(f"not a {tag}: {str(exc)[:100]}") from exc
    return {key: from_tagged(item) for key, item in data.items()}


AS_TAGGED: Mapping[str, Any] = {"rpcwire": "tagged"}
"""The metadata of a core schema whose serializer never writes a name twice in one object."""


class _TaggedValue:
    """Reads and writes a :data:`Value` for pydantic."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def load(data: Any) -> Any:
            try:
                return from_tagged(data)
            except ValueError as exc:
                raise PydanticCustomError("tagged_value", "{reason}", {"reason": str(exc)}) from exc
            except RecursionError:
                raise PydanticCustomError("recursion", "it contains itself, or is nested too deeply") from None

        def dump(value: Any, info: core_schema.SerializationInfo[Any]) -> Any:
            return to_tagged(value, binary=info.mode != "json")

        return core_schema.no_info_after_validator_function(
            load,
            core_schema.any_schema(),
            metadata=dict(AS_TAGGED),
            serialization=core_schema.plain_serializer_function_ser_schema(dump, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"title": "Value", "description": "Any value; what JSON cannot say exactly is tagged, as in protocol.md"}


Value = Annotated[Any, _TaggedValue()]
"""Any value of the types above, exact in every form of the wire."""
