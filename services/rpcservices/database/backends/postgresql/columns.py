"""The columns of a result in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from psycopg._tz import get_tzinfo
from psycopg.pq.abc import PGconn, PGresult

from rpcservices.database.models import Column, ColumnType

from .types import Named, Types

_UTC = frozenset({"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"})
_Told = tuple[bytes | None, Named, int]


def _digits(modifier: int) -> tuple[int | None, int | None]:
    """Precision and scale, out of the number that stands for them (``numeric_typmod_precision`` and the like in
    PostgreSQL's numeric.c)."""
    return ((modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 1024) - 1024) if modifier >= 4 else (None, None)


@lru_cache(maxsize=512)
def _column(name: str, named: Named, modifier: int, zone: str | None) -> Column:
    kind = named.item or named.kind
    said = modifier if modifier >= 0 else named.modifier
    precision, scale = _digits(said) if kind is ColumnType.DECIMAL else (None, None)
    zone = zone if kind is ColumnType.DATETIME_TZ else None
    dimensions = None if named.item is None else 1
    return Column(
        name, named.kind, named.name, None, precision, scale, item=named.item, dimensions=dimensions, zone=zone
    )


@lru_cache(maxsize=512)
def _columns(told: tuple[_Told, ...], zone: str | None) -> tuple[Column, ...]:
    # A name that is no text, in a database of the encoding SQL_ASCII, shows its bytes.
    return tuple(
        _column((name or b"").decode(errors="backslashreplace"), named, mod, zone) for name, named, mod in told
    )


def columns_of(result: PGresult, types: Types, connection: PGconn) -> tuple[Column, ...]:
    """The columns of a result's rows, on a connection: the same object for the same columns."""
    told: list[_Told] = []
    for index in range(result.nfields):
        oid = result.ftype(index)
        told.append((result.fname(index), types.named(oid) or unnamed(oid), result.fmod(index)))
    return _columns(tuple(told), _zone_of(connection))


def _zone_of(connection: PGconn) -> str | None:
    """The time zone that psycopg gives times in, by its name; ``None`` where that is UTC."""
    zone = getattr(get_tzinfo(connection), "key", None)
    return None if zone in _UTC else zone


def with_dimensions(columns: tuple[Column, ...], rows: Sequence[Sequence[Any]]) -> tuple[Column, ...]:
    """Columns, with what rows tell of how many dimensions their arrays have."""
    if not any(column.item for column in columns):
        return columns
    found = [
        max((_dimensions(row[place]) for row in rows), default=1) if column.item else 0
        for place, column in enumerate(columns)
    ]
    if all(count <= 1 for count in found):
        return columns
    return tuple(
        replace(column, dimensions=count) if count > 1 else column for column, count in zip(columns, found, strict=True)
    )


def _dimensions(cell: Any) -> int:
    """How many an array has: all of its items have as many."""
    count = 0
    while isinstance(cell, list):
        count, cell = count + 1, cell[0] if cell else None
    return max(1, count)


def unnamed(oid: int) -> Named:
    """What is told of a type that nobody could be asked about."""
    return Named(f"oid {oid}", ColumnType.TEXT)
