"""Converts rows to a table of pandas or Arrow, without loss. A value that no type there can hold exactly stays an
object in pandas, and is an error in Arrow.

===================  ==========================================  ==================================================
cells                pandas                                      Arrow
===================  ==========================================  ==================================================
``int``              ``int64``; ``Int64`` where some are NULL    ``int64``, or ``uint64``
``bool``             ``bool``; ``boolean`` where some are NULL   ``bool``
``float``            ``float64``; NULL is NaN                    ``double``
``str``              pandas' own type for text                   ``string``
naive ``datetime``   ``datetime64[us]``                          ``timestamp[us]``
aware ``datetime``   ``datetime64[us, UTC]``                     ``timestamp[us, UTC]``
``timedelta``        ``timedelta64[us]``                         ``duration[us]``
``date``             objects                                     ``date32``
``time``             objects                                     ``time64[us]``
``UUID``             objects                                     ``uuid``
``Decimal``          objects                                     ``decimal128`` or ``decimal256``: as declared; as wide
                                                                 as the cells need where nothing is declared
``bytes``            objects                                     ``binary``
lists                objects; aware times in UTC                 ``list`` of the type of its items
mixed                objects                                     an error that names the column
===================  ==========================================  ==================================================
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

if TYPE_CHECKING:
    from .descriptions import ColumnDescription

_KIND_OF: dict[type, str] = {
    int: "integer", bool: "boolean", float: "float", str: "text", bytes: "bytes", Decimal: "decimal", UUID: "uuid",
    dt.date: "date", dt.time: "time", dt.timedelta: "duration", list: "array",
}  # fmt: skip

KINDS = frozenset({*_KIND_OF.values(), "datetime", "datetime_tz", "json", "any"})
"""The kinds of columns; ``json`` is text, and ``any`` says nothing."""

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose
_MICROSECOND = dt.timedelta(microseconds=1)
_DIGITS_OF_128_BITS, _MOST_DIGITS = 38, 76
_TIMES = frozenset({"date", "time", "datetime", "datetime_tz", "duration"})


@dataclass(frozen=True, slots=True)
class Facts:
    """The known facts about a column.

    Attributes:
        kind: the kind of its cells, a word of :data:`KINDS`; empty if unknown.
        item: the kind of the items of an array.
        precision: the digits of decimal numbers; ``None`` if unknown.
        scale: the digits of decimal numbers after the point; ``None`` if unknown.
        dimensions: the number of dimensions of an array, if it is known.
        is_unsigned: whether integers are never negative and have 64 bits.
    """

    kind: str = ""
    item: str = ""
    precision: int | None = None
    scale: int | None = None
    dimensions: int = 1
    is_unsigned: bool = False

    @classmethod
    def of(cls, column: ColumnDescription) -> Self:
        """Take the facts about a column from its description."""
        item = "" if column.item is None else column.item.value
        is_unsigned = column.db_type == "bigint unsigned"
        return cls(column.type.value, item, column.precision, column.scale, column.dimensions or 1, is_unsigned)


def _kind(cells: Sequence[Any], known_kind: str) -> str:
    """Return the kind of the cells: ``mixed`` if they differ, and the known kind of the column if all are NULL."""
    kinds = set(map(type, cells)) - {NoneType}
    if not kinds:
        return known_kind
    if len(kinds) > 1:
        return "mixed"
    only = kinds.pop()
    if only is not dt.datetime:
        return _KIND_OF.get(only, "mixed")
    zones = {cell.utcoffset() is None for cell in cells if cell is not None}
    return "mixed" if len(zones) > 1 else "datetime" if zones.pop() else "datetime_tz"


def _module(name: str, purpose: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as exc:
        raise ImportError(f"{purpose} needs the package {name}: pip install {name}", name=name) from exc


def _microseconds(cells: Sequence[Any], kind: str) -> list[int | None]:
    """Convert points and spans of time to microseconds, exactly."""
    if kind == "duration":
        return [None if cell is None else cell // _MICROSECOND for cell in cells]
    epoch = _EPOCH if kind == "datetime" else _EPOCH.replace(tzinfo=dt.UTC)
    return [None if cell is None else (cell - epoch) // _MICROSECOND for cell in cells]


def to_pandas(names: Sequence[str], facts: Sequence[Facts], columns: Sequence[Sequence[Any]], count: int) -> Any:
    """Make a ``pandas.DataFrame``.

    Parameters:
        names: the columns' names.
        facts: the facts about each column.
        columns: the cells, column by column.
        count: the number of rows.

    Raises:
        ImportError: pandas is not installed; the message says so.
    """
    pd = _module("pandas", "to_pandas")
    series = [_series(pd, cells, _kind(cells, one.kind), one) for cells, one in zip(columns, facts, strict=True)]
    frame = pd.DataFrame(dict(enumerate(series)), index=range(count), columns=range(len(series)))
    frame.columns = list(names)
    return frame


def _series(pd: Any, cells: Sequence[Any], kind: str, facts: Facts) -> Any:
    try:
        if kind == "integer":
            name = "uint64" if facts.is_unsigned else "int64"
            return pd.Series(cells, dtype=name.replace("i", "I").replace("u", "U") if None in cells else name)
        if kind == "boolean":
            return pd.Series(cells, dtype="boolean" if None in cells else "bool")
        if kind == "float":
            return pd.Series(cells, dtype="float64")
        if kind in ("datetime", "datetime_tz", "duration"):
            unit = "timedelta64[us]" if kind == "duration" else "datetime64[us]"
            series = pd.Series(pd.array(_microseconds(cells, kind), dtype="Int64")).astype(unit)
            return series.dt.tz_localize("UTC") if kind == "datetime_tz" else series
        if kind in ("text", "json"):
            return pd.Series(cells, dtype="str" if str(pd.Series(["x"]).dtype) == "str" else object)
    except (OverflowError, TypeError):  # Beyond 64 bits.
        pass
    return pd.Series([_in_utc(cell) for cell in cells] if kind == "array" else cells, dtype=object)


def _in_utc(cell: Any) -> Any:
    """Convert the times of an array to UTC, as other columns have them."""
    if isinstance(cell, list):
        return [_in_utc(item) for item in cell]
    if isinstance(cell, dt.datetime) and cell.tzinfo is not None:
        try:
            return cell.astimezone(dt.UTC)
        except OverflowError:  # At an end of the calendar.
            return cell
    return cell


def to_arrow(names: Sequence[str], facts: Sequence[Facts], columns: Sequence[Sequence[Any]], count: int) -> Any:
    """Make a ``pyarrow.Table``.

    Parameters:
        names, facts, columns, count: see :func:`to_pandas`.

    Raises:
        ImportError: pyarrow is not installed; the message says so.
        TypeError: a column holds cells that have no common type; the message names it.
    """
    pa = _module("pyarrow", "to_arrow")
    arrays = []
    for name, column_facts, cells in zip(names, facts, columns, strict=True):
        try:
            arrays.append(_array(pa, cells, column_facts))
        except (TypeError, ValueError, OverflowError) as exc:  # pyarrow's errors are among them.
            reason = str(exc).partition("\n")[0]
            raise TypeError(
                f"the column {name!r} has no type in Arrow: {reason}; cast it in SQL, or use to_dicts()"
            ) from None
    if not arrays:
        return pa.table({}) if not count else pa.Table.from_struct_array(pa.array([{}] * count, pa.struct([])))
    return pa.Table.from_arrays(arrays, names=list(names))


def _decimals(pa: Any, cells: Sequence[Any], precision: int | None, scale: int | None) -> Any:
    """Make an array of decimal numbers with the declared type. If there is none, or a cell does not fit, choose a type
    by the cells."""
    if not all(cell is None or cell.is_finite() for cell in cells):
        raise TypeError("it holds NaN or an infinity, which Arrow has in no decimal number")
    if precision is not None and scale is not None:
        # In PostgreSQL the scale may exceed the precision, or be negative; Arrow counts all digits.
        precision, scale = (precision - scale, 0) if scale < 0 else (max(precision, scale), scale)
        if 0 < precision <= _MOST_DIGITS:
            make_type = pa.decimal128 if precision <= _DIGITS_OF_128_BITS else pa.decimal256
            try:
                return pa.array(cells, make_type(precision, scale))
            except pa.ArrowInvalid:
                pass
    return pa.array(cells) if any(cell is not None for cell in cells) else pa.array(cells, pa.decimal128(1, 0))


def _kinds_of(cells: Sequence[Any]) -> str:
    return " and ".join(sorted({type(cell).__name__ for cell in cells if cell is not None}))


def _lists(pa: Any, cells: Sequence[Any], facts: Facts, dimensions: int) -> Any:
    """Make an array of arrays with this number of dimensions."""
    if not dimensions:
        return _array(pa, cells, Facts(facts.item, "", facts.precision, facts.scale))
    if not all(cell is None or isinstance(cell, list) for cell in cells):
        raise TypeError(f"its arrays differ in their dimensions, or hold {_kinds_of(cells)}")
    offsets: list[int] = [0]
    items: list[Any] = []
    for cell in cells:
        items += cell or ()
        offsets.append(len(items))
    nulls = pa.array([cell is None for cell in cells], pa.bool_())
    values = _lists(pa, items, facts, dimensions - 1)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=nulls)


def _dimensions(cells: Sequence[Any]) -> int:
    """Return the largest number of dimensions of the arrays."""
    lists = [cell for cell in cells if isinstance(cell, list)]
    return 1 + _dimensions([item for cell in lists for item in cell]) if lists else 0


def _array(pa: Any, cells: Sequence[Any], facts: Facts) -> Any:
    kind = _kind(cells, facts.kind)
    if kind == "mixed":
        raise TypeError(f"its cells are {_kinds_of(cells)}")
    if facts.kind in _TIMES and kind == "text":
        raise TypeError("it holds what Python has no time for, and comes as text")
    if kind == "array":
        return _lists(pa, cells, facts, max(facts.dimensions, _dimensions(cells)))
    if kind == "decimal":
        return _decimals(pa, cells, facts.precision, facts.scale)
    if kind == "integer":
        big = facts.is_unsigned or any(cell is not None and cell >= 2**63 for cell in cells)
        return pa.array(cells, pa.uint64() if big else pa.int64())
    if kind in ("datetime", "datetime_tz", "duration"):
        plain = pa.array(_microseconds(cells, kind), pa.int64())
        zone = "UTC" if kind == "datetime_tz" else None
        return plain.cast(pa.duration("us") if kind == "duration" else pa.timestamp("us", zone))
    if kind == "time" and any(cell is not None and cell.tzinfo is not None for cell in cells):
        raise TypeError("its times have offsets")
    if kind == "uuid":
        storage = pa.array([None if cell is None else cell.bytes for cell in cells], pa.binary(16))
        return pa.ExtensionArray.from_storage(pa.uuid(), storage)
    types = {
        "boolean": pa.bool_(), "float": pa.float64(), "text": pa.string(), "json": pa.string(), "bytes": pa.binary(),
        "date": pa.date32(), "time": pa.time64("us"),
    }  # fmt: skip
    return pa.array(cells, types.get(kind), from_pandas=False)
