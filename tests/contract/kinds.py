"""Every type whose values must survive the trip, with examples; and the source of a service that takes and gives each
as a parameter, a result, an item of a stream up and of one down."""

from __future__ import annotations

import datetime as dt
import math
import types
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel

_WHEN = dt.datetime(2026, 11, 23, 7, 47, 32, 1)
_AWARE = _WHEN.replace(tzinfo=dt.timezone(dt.timedelta(hours=-9, minutes=-30)))
_ID = UUID("12345678-1234-5678-1234-567812345678")


def examples(m: types.ModuleType) -> dict[str, tuple[str, list[Any]]]:
    """Annotation and values for each kind.

    Parameters:
        m: where the models are; the service's and the stub's differ.
    """
    inner = m.Inner(data=b"\x00\xff\xfe", when=_AWARE, exact=Decimal("1.50"))
    outer = m.Outer(id=_ID, inner=inner, rest=[inner], by_name={"a": b"\xff"}, level=m.Level.HIGH, odd=float("inf"))
    return {
        "none": ("None", [None]),
        "boolean": ("bool", [True, False]),
        "integer": ("int", [0, -1, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**300, -(10**300)]),
        "float_": ("float", [0.0, -0.0, 0.1, 1e308, 5e-324, float("inf"), float("-inf"), float("nan")]),
        "text": ("str", ["", "Zoë 日本 😀", '\x00\n"\\\u2028', "x" * 70000]),
        "binary": ("bytes", [b"", b"\x00\xff\xfe", b"text", bytes(range(256)) * 300]),
        "decimal": ("Decimal", [Decimal("1.50"), Decimal("-0.00"), Decimal("1E+40"), Decimal("0." + "1" * 40)]),
        "moment": ("dt.datetime", [_WHEN, _AWARE, _WHEN.replace(tzinfo=dt.UTC), dt.datetime(1, 1, 1)]),
        "date": ("dt.date", [dt.date(2026, 11, 23)]),
        "time_": ("dt.time", [dt.time(7, 47, 32, 1), dt.time(23, 59, tzinfo=dt.UTC)]),
        "span": ("dt.timedelta", [dt.timedelta(days=-1, seconds=1, microseconds=1), dt.timedelta(0)]),
        "uuid": ("UUID", [_ID]),
        "numbers": ("set[int]", [set(), {1, 2**70}]),
        "frozen": ("frozenset[bytes]", [frozenset({b"\xff", b""})]),
        "colour": ("Colour", [m.Colour.RED]),
        "level": ("Level", [m.Level.HIGH]),
        "mixed": ("Mixed", [m.Mixed.NUMBER, m.Mixed.TEXT]),
        "model": ("Outer", [outer]),
        "optional_model": ("Inner | None", [inner, None]),
        "point": ("Point", [m.Point(1, Decimal("2.50"), b"\xff")]),
        "pair": ("Pair", [m.Pair(1, b"\xff")]),
        "options": ("Options", [{"name": "n", "raw": b"\xff"}]),
        "tuple_": ("tuple[int, str, bytes]", [(1, "a", b"\xff")]),
        "nested": ("dict[str, list[tuple[int, bytes] | None]]", [{"a": [(1, b"\xff"), None], "": []}]),
        "by_number": ("dict[int, Decimal]", [{1: Decimal("1.10"), -5: Decimal(0)}]),
        "union": ("int | str | bytes", [1, "1", "text"]),
        "anything": (
            "Value",
            [
                None, True, 1, 2**70, 1.5, float("inf"), float("nan"), "text", b"\xff", Decimal("1.50"), _WHEN, _AWARE,
                dt.date(2026, 1, 1), dt.time(1, 2), dt.timedelta(1), _ID, [1, [b"\xff"]], (1, 2), {1, 2},
                frozenset({b"a"}), {"a": {"b": b"\xff"}}, {1: 2, (1, 2): b"\xff"}, {"$int": "1"},
            ],
        ),
    }  # fmt: skip


def source(kinds: dict[str, tuple[str, list[Any]]]) -> str:
    """The source of the service."""
    methods = "".join(
        _TEMPLATE.replace("NAME", name).replace("KIND", annotation) for name, (annotation, _) in kinds.items()
    )
    return _HEAD + methods


_HEAD = '''"""Every kind of value, there and back."""

import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID

from contract_service import Colour, Inner, Level, Mixed, Options, Outer, Pair, Point
from rpcserver import Service, Value, method


class Kinds(Service):
    """Every kind of value, there and back."""
'''

_TEMPLATE = """
    @method()
    async def NAME(self, value: KIND) -> KIND:
        return value

    @method()
    async def down_NAME(self, values: list[KIND]) -> AsyncIterator[KIND]:
        for value in values:
            yield value

    @method()
    async def up_NAME(self, values: AsyncIterator[KIND]) -> list[KIND]:
        return [value async for value in values]
"""


def same(one: Any, two: Any) -> bool:
    """Equal, of the same type throughout, and for floats and datetimes in all they have."""
    if isinstance(one, BaseModel):
        return type(one) is type(two) and same(dict(one), dict(two))
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(two)) or (one == two and math.copysign(1, one) == math.copysign(1, two))
    if isinstance(one, (dt.datetime, dt.time)):
        return one == two and one.utcoffset() == two.utcoffset()
    if isinstance(one, Decimal):
        return str(one) == str(two)
    if isinstance(one, dict):
        return len(one) == len(two) and all(
            same(key, other) and same(value, match)
            for (key, value), (other, match) in zip(one.items(), two.items(), strict=True)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if hasattr(one, "__dataclass_fields__"):
        return same(vars(one), vars(two))
    return bool(one == two)
