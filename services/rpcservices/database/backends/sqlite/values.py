"""Parameters as SQLite takes them, and the columns of its results."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from rpcservices.database.apart import read_sql
from rpcservices.database.backends.parameters import Values, convert_params, json_text
from rpcservices.database.models import Column, ColumnType
from rpcservices.database.placeholders import translate
from rpcwire.caches import cache_small

_NULL = frozenset({type(None)})
_TYPES = {
    int: (ColumnType.INTEGER, "INTEGER"),
    float: (ColumnType.FLOAT, "REAL"),
    str: (ColumnType.TEXT, "TEXT"),
    bytes: (ColumnType.BYTES, "BLOB"),
}

_DIGITS = re.compile(r"\s*(?:NUMERIC|DECIMAL|DEC)\s*\(\s*(\d{1,9})\s*(?:,\s*(\d{1,9})\s*)?\)", re.IGNORECASE)


def to_sqlite(value: Any) -> Any:
    """Turn a parameter into one of SQLite's storage classes. Values without a class become text (dates in ISO 8601,
    decimals with all their digits, JSON for lists and dictionaries)."""
    if value is None or type(value) in (int, float, str, bytes):
        if value != value:  # noqa: PLR0124 - only NaN differs from itself
            raise ValueError("SQLite holds no NaN, and would make it NULL: give None, or text")
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise OverflowError(f"SQLite's integers have 64 bits, and {value} has more: give text")
        if type(value) is str:
            value.encode()  # A lone surrogate is not text: this raises.
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, list | dict):
        return json_text(value)
    raise TypeError(f"SQLite takes no {type(value).__name__}: give a number, text or bytes")


async def convert(sql: str, sets: Sequence[Values], first_row: int | None = None) -> tuple[str, list[list[Any]]]:
    """Turn a statement and sets of parameters into what SQLite takes.

    Parameters:
        sql: the statement.
        sets: the sets of parameters, all of one form.
        first_row: the number of the first set; ``None`` if there is only one, which has no number.
    """
    statement = await read_sql(translate, sql, "sqlite", "qmark", isinstance(sets[0], Mapping))
    rows = [None] if first_row is None else range(first_row, first_row + len(sets))
    return statement.sql, [convert_params(to_sqlite, statement, one, row) for row, one in zip(rows, sets, strict=True)]


def column_types(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[Column, ...]:
    """Make columns whose types are the storage classes of their cells, since in SQLite each cell has its own. The same
    columns give the same object."""
    kinds: list[type | None] = [None] * len(names)
    for index, cells in enumerate(zip(*rows, strict=True)):
        classes = set(map(type, cells)) - _NULL
        if len(classes) == 1:
            (kinds[index],) = classes
    return _columns(tuple(names), tuple(kinds))


@cache_small(512, 8192, lambda names, _: sum(map(len, names)))
def _columns(names: tuple[str, ...], kinds: tuple[type | None, ...]) -> tuple[Column, ...]:
    types = [(ColumnType.ANY, None) if kind is None else _TYPES[kind] for kind in kinds]
    return tuple(Column(name, *details) for name, details in zip(names, types, strict=True))


def _affinity(db_type: str) -> ColumnType:
    """The type that a declared type gives to most values (https://sqlite.org/datatype3.html, section 3.1)."""
    db_type = db_type.upper()
    for words, kind in (
        (("INT",), ColumnType.INTEGER),
        (("CHAR", "CLOB", "TEXT"), ColumnType.TEXT),
        (("BLOB",), ColumnType.BYTES),
        (("REAL", "FLOA", "DOUB"), ColumnType.FLOAT),
    ):
        if any(word in db_type for word in words):
            return kind
    return ColumnType.ANY


def declared_column(name: str, db_type: str) -> Column:
    """A column as it is declared. SQLite does not enforce declarations: cells may be of any storage class, and
    NUMERIC(12, 3) rounds nothing. For a query's columns it does not tell whether they may hold NULL."""
    digits = _DIGITS.match(db_type)
    precision = None if digits is None else int(digits[1])
    scale = None if digits is None else int(digits[2] or 0)
    return Column(name, _affinity(db_type), db_type or None, None, precision, scale)


def as_written(names: Sequence[str]) -> list[str]:
    """The names of a query's columns. A view numbers names that occur twice (``id``, ``id:1``); this undoes it."""
    originals: list[str] = []
    for name in names:
        base, colon, number = name.rpartition(":")
        twice = colon and number.isdigit() and base.lower() in (other.lower() for other in originals)
        originals.append(base if twice else name)
    return originals
