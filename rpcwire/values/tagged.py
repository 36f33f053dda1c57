"""Values whose type no contract knows in advance, such as a database's: :data:`Value` carries them exactly.

What JSON (or MessagePack) can say losslessly goes as it is. Everything else is an object with one member whose name
is the type, after a dollar sign::

    {"$int": "9223372036854775808"}     beyond ±(2**53 - 1); in MessagePack only beyond 64 bits
    {"$float": "NaN"}                   or "Infinity", "-Infinity"; in MessagePack a plain float
    {"$bytes": "AP8="}                  base64 (RFC 4648, section 4); in MessagePack plain bin
    {"$decimal": "1.50"}
    {"$datetime": "2026-11-23T07:47:32.000001+02:00"}    without an offset: naive
    {"$date": "2026-11-23"}  {"$time": "07:47:32"}  {"$duration": [days, seconds, microseconds]}
    {"$uuid": "12345678-1234-5678-1234-567812345678"}
    {"$tuple": [...]}  {"$set": [...]}  {"$frozenset": [...]}
    {"$map": [[key, value], ...]}       an object with keys that are no strings, or that start with "$"
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

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


class _Seen:
    """When something that nests deeply was last made plain data of: another mark each time, whichever thread it was in,
    so that whoever compares the marks of before and after may look too often, but never too seldom."""

    deep: object = None


seen = _Seen()
_DEEP = 8


_TAGGED: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (Decimal, "$decimal", str),
    (dt.datetime, "$datetime", dt.datetime.isoformat),
    (dt.date, "$date", dt.date.isoformat),
    (dt.time, "$time", dt.time.isoformat),
    (dt.timedelta, "$duration", lambda v: [v.days, v.seconds, v.microseconds]),
    (UUID, "$uuid", str),
)
_MISSING = frozenset({"NaTType", "NAType"})
"""What pandas has in the place of a value that is missing: NULL."""
_GROUPS: tuple[tuple[type[Collection[Any]], str], ...] = ((tuple, "$tuple"), (frozenset, "$frozenset"), (set, "$set"))


def to_tagged(value: Any, *, binary: bool, depth: int = 0) -> Any:
    """A value as plain data for JSON, or with ``binary`` for MessagePack.

    Parameters:
        value: the value.
        binary: as above.
        depth: how many lists and the like of the same value are around it. Where they are many, ``seen.deep`` changes.

    Raises:
        TypeError: a type that is not in this module's table.
        ValueError: a string with lone surrogates, which is not Unicode text.
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
        return str.__str__(value)  # What it says, also where it is a member of an enumeration.
    if isinstance(value, int):
        return _dump_int(value, binary)
    if isinstance(value, float):
        return float(value) if binary or math.isfinite(value) else {"$float": _float_name(value)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value) if binary else {"$bytes": base64.b64encode(value).decode()}
    if kind.__name__ in _MISSING and kind.__module__.startswith("pandas."):
        return None
    for tagged, tag, text in _TAGGED:
        if isinstance(value, tagged):
            if kind is not tagged:
                _check_microseconds(value)
            return {tag: text(value)}
    depth += 1
    if depth > _DEEP:
        seen.deep = object()
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
    """Refuse a time of pandas that is finer than Python's, which it looks like.

    Raises:
        TypeError: it has nanoseconds.
    """
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        name = type(value).__name__
        raise TypeError(f"this value of pandas' type {name} cannot be sent: it has nanoseconds: give its floor('us')")


def _of_numpy(value: Any) -> Any:
    """The Python value of one of numpy's scalars; ``None`` for a time that is none (NaT).

    Raises:
        TypeError: Python has none that is equal.
    """
    name = type(value).__name__
    item, is_time = value.item(), name in ("datetime64", "timedelta64")
    # Python's have microseconds. Of coarser units numpy would drop what does not fit into 64 bits.
    if is_time and isinstance(item, int) and _unit_of(value, name) in _FINE_UNITS:
        rounded = value.astype(f"{name}[us]")
        item = rounded.item() if rounded == value else item
    if type(item) is type(value) or (is_time and isinstance(item, int)):
        raise TypeError(f"this value of numpy's type {name} cannot be sent: Python has none that is equal")
    return item


_FINE_UNITS = frozenset({"ns", "ps", "fs", "as"})


def _unit_of(value: Any, name: str) -> str:
    """The unit of a time of numpy.

    Raises:
        TypeError: nobody knows its length.
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


def _text(load: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Only of a string."""

    def checked(data: Any) -> Any:
        if not isinstance(data, str):
            raise TypeError("must be a string")
        return load(data)

    return checked


def _items(load: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """Only of an array."""

    def checked(data: Any) -> Any:
        if not isinstance(data, (list, tuple)):
            raise TypeError("must be an array")
        return load(list(data))

    return checked


def _load_float(text: str) -> float:
    if text not in ("NaN", "Infinity", "-Infinity"):
        raise ValueError("must be NaN, Infinity or -Infinity")
    return float(text)


def _load_duration(parts: list[Any]) -> dt.timedelta:
    if len(parts) != 3 or not all(type(part) is int for part in parts):
        raise ValueError("must be three integers")
    return dt.timedelta(*parts)


def _load_map(pairs: list[Any]) -> dict[Any, Any]:
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise ValueError("must be pairs")
    return {from_tagged(key): from_tagged(item) for key, item in pairs}


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
    "$set": _items(lambda v: {from_tagged(i) for i in v}),
    "$frozenset": _items(lambda v: frozenset(from_tagged(i) for i in v)),
    "$map": _items(_load_map),
}


def from_tagged(data: Any) -> Any:
    """The value that plain data stands for.

    Raises:
        ValueError: an unknown tag, or a body that its tag does not allow.
    """
    if isinstance(data, list):
        return [from_tagged(item) for item in data]
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
"""The metadata of a core schema whose serializer never gives one object the same name twice."""


class _TaggedValue:
    """How pydantic reads and writes a :data:`Value`."""

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
"""Any value of the types above, exact in both codecs, whatever its type turns out to be."""
