"""Rows as a table of pandas or Arrow, with nothing lost: what a type of theirs cannot hold exactly stays an object in
pandas, and is an error in Arrow.

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
``bytes``, lists     objects                                     ``binary``, ``list``
mixed                objects                                     an error that names the column
===================  ==========================================  ==================================================
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

_KIND_OF: dict[type, str] = {
    int: "integer", bool: "boolean", float: "float", str: "text", bytes: "bytes", Decimal: "decimal", UUID: "uuid",
    dt.date: "date", dt.time: "time", dt.timedelta: "duration", list: "array",
}  # fmt: skip

KINDS = frozenset({*_KIND_OF.values(), "datetime", "datetime_tz", "json", "any"})
"""What the cells of a column may be; ``json`` is text, and ``any`` says nothing."""

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose
_MICROSECOND = dt.timedelta(microseconds=1)
_DIGITS_OF_128_BITS, _MOST_DIGITS = 38, 76


def _kind(cells: Sequence[Any], known: str) -> str:
    """What the cells are. Where there are none but NULL, what is known of the column; ``mixed`` where they differ."""
    kinds = set(map(type, cells)) - {NoneType}
    if not kinds:
        return known
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
    """Points and spans of time as microseconds, exactly."""
    if kind == "duration":
        return [None if cell is None else cell // _MICROSECOND for cell in cells]
    epoch = _EPOCH if kind == "datetime" else _EPOCH.replace(tzinfo=dt.UTC)
    return [None if cell is None else (cell - epoch) // _MICROSECOND for cell in cells]


def to_pandas(names: Sequence[str], kinds: Sequence[str], columns: Sequence[Sequence[Any]], count: int) -> Any:
    """A ``pandas.DataFrame``.

    Parameters:
        names: the columns' names.
        kinds: what is known of their cells, a word of :data:`KINDS` or an empty one.
        columns: the cells, column by column.
        count: how many rows there are.

    Raises:
        ImportError: pandas is not installed; the message says so.
    """
    pd = _module("pandas", "to_pandas")
    series = [_series(pd, cells, _kind(cells, known)) for cells, known in zip(columns, kinds, strict=True)]
    frame = pd.DataFrame(dict(enumerate(series)), index=range(count), columns=range(len(series)))
    frame.columns = list(names)
    return frame


def _series(pd: Any, cells: Sequence[Any], kind: str) -> Any:
    try:
        if kind == "integer":
            return pd.Series(cells, dtype="Int64" if None in cells else "int64")
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
    return pd.Series(cells, dtype=object)


def to_arrow(
    names: Sequence[str],
    kinds: Sequence[str],
    columns: Sequence[Sequence[Any]],
    count: int,
    digits: Sequence[tuple[int | None, int | None]] = (),
) -> Any:
    """A ``pyarrow.Table``.

    Parameters:
        names, kinds, columns, count: as of :func:`to_pandas`.
        digits: for each column, of decimal numbers, digits in all and after the point, where known.

    Raises:
        ImportError: pyarrow is not installed; the message says so.
        TypeError: a column holds cells that have no common type; the message names it.
    """
    pa = _module("pyarrow", "to_arrow")
    arrays = []
    digits = digits or [(None, None)] * len(names)
    for name, known, cells, declared in zip(names, kinds, columns, digits, strict=True):
        try:
            arrays.append(_array(pa, cells, _kind(cells, known), declared))
        except (TypeError, ValueError, OverflowError) as exc:  # pyarrow's errors are among them.
            reason = str(exc).partition("\n")[0]
            raise TypeError(
                f"the column {name!r} has no type in Arrow: {reason}; cast it in SQL, or use to_dicts()"
            ) from None
    if not arrays:
        return pa.table({}) if not count else pa.Table.from_struct_array(pa.array([{}] * count, pa.struct([])))
    return pa.Table.from_arrays(arrays, names=list(names))


def _decimals(pa: Any, cells: Sequence[Any], precision: int | None, scale: int | None) -> Any:
    """Decimal numbers of the declared type; of one that holds the cells where that does not, or nothing is declared."""
    if precision is not None and scale is not None and 0 < precision <= _MOST_DIGITS:
        declared = pa.decimal128 if precision <= _DIGITS_OF_128_BITS else pa.decimal256
        try:
            return pa.array(cells, declared(precision, scale))
        except pa.ArrowInvalid:
            pass
    return pa.array(cells)


def _array(pa: Any, cells: Sequence[Any], kind: str, digits: tuple[int | None, int | None]) -> Any:
    if kind == "mixed":
        kinds = sorted({type(cell).__name__ for cell in cells if cell is not None})
        raise TypeError(f"its cells are {' and '.join(kinds)}")
    if kind == "decimal":
        return _decimals(pa, cells, *digits)
    if kind == "integer":
        big = any(cell is not None and cell >= 2**63 for cell in cells)
        return pa.array(cells, pa.uint64() if big else pa.int64())
    if kind in ("datetime", "datetime_tz", "duration"):
        plain = pa.array(_microseconds(cells, kind), pa.int64())
        zone = "UTC" if kind == "datetime_tz" else None
        return plain.cast(pa.duration("us") if kind == "duration" else pa.timestamp("us", zone))
    if kind == "time" and any(cell is not None and cell.tzinfo is not None for cell in cells):
        raise TypeError("its times have offsets")
    if kind == "uuid":
        stored = pa.array([None if cell is None else cell.bytes for cell in cells], pa.binary(16))
        return pa.ExtensionArray.from_storage(pa.uuid(), stored)
    types = {
        "boolean": pa.bool_(), "float": pa.float64(), "text": pa.string(), "json": pa.string(), "bytes": pa.binary(),
        "date": pa.date32(), "time": pa.time64("us"),
    }  # fmt: skip
    return pa.array(cells, types.get(kind), from_pandas=False)
