"""The columns of a result in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from psycopg._tz import get_tzinfo
from psycopg.pq.abc import PGconn, PGresult

from rpcservices.database.models import Column, ColumnType
from rpcwire.caches import cache_small

from .types import TypeName, Types, oids_of

_UTC = frozenset({"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"})
_Field = tuple[bytes | None, TypeName, int]
_Key = tuple[bytes | None, tuple[tuple[bytes | None, int, int], ...]]
_MOST_RESULTS, _NAMES_BYTES = 64, 8192
"""How many results' columns a connection remembers, and how long their names may be."""


def _digits(modifier: int) -> tuple[int | None, int | None]:
    """Unpack precision and scale from a type modifier (``numeric_typmod_precision`` and the like in
    PostgreSQL's numeric.c)."""
    return ((modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 1024) - 1024) if modifier >= 4 else (None, None)


@cache_small(512, 8192, lambda name, *_: len(name))
def _column(name: str, type_name: TypeName, modifier: int, zone: str | None) -> Column:
    kind = type_name.item or type_name.kind
    effective = modifier if modifier >= 0 else type_name.modifier
    precision, scale = _digits(effective) if kind is ColumnType.DECIMAL else (None, None)
    zone = zone if kind is ColumnType.DATETIME_TZ else None
    dimensions = None if type_name.item is None else 1
    return Column(
        name,
        type_name.kind,
        type_name.name,
        None,
        precision,
        scale,
        item=type_name.item,
        dimensions=dimensions,
        zone=zone,
    )


@cache_small(512, 8192, lambda fields, _: sum(len(name or b"") for name, _, _ in fields))
def _columns(fields: tuple[_Field, ...], zone: str | None) -> tuple[Column, ...]:
    # In a database of the encoding SQL_ASCII a name may not be text: then we show its bytes.
    return tuple(
        _column((name or b"").decode(errors="backslashreplace"), type_name, mod, zone)
        for name, type_name, mod in fields
    )


def columns_of(result: PGresult, types: Types, connection: PGconn) -> tuple[Column, ...]:
    """The columns of a result. The same columns give the same object."""
    fields: list[_Field] = []
    for index in range(result.nfields):
        oid = result.ftype(index)
        fields.append((result.fname(index), types.find(oid) or type_without_name(oid), result.fmod(index)))
    return _columns(tuple(fields), _zone_of(connection))


class KnownColumns:
    """The columns of a connection's last results, whose types are all known: a statement that runs again is not asked
    for them again.

    Parameters:
        types: the known types of the database.
        connection: where the statements run.
    """

    def __init__(self, types: Types, connection: PGconn) -> None:
        self._types = types
        self._connection = connection
        self._known: dict[_Key, tuple[tuple[Column, ...], tuple[int, ...]]] = {}

    def _key(self, result: PGresult) -> _Key:
        name, type_oid, modifier = result.fname, result.ftype, result.fmod
        fields = tuple([(name(at), type_oid(at), modifier(at)) for at in range(result.nfields)])
        return self._connection.parameter_status(b"TimeZone"), fields

    def find(self, result: PGresult) -> tuple[tuple[Column, ...], tuple[int, ...]] | None:
        """The columns of a result, and the places of those that are arrays; ``None`` where they are not known yet."""
        return self._known.get(self._key(result))

    def learn(self, result: PGresult) -> tuple[tuple[Column, ...], tuple[int, ...]]:
        """Make the same, and remember it unless a type is unknown."""
        columns = columns_of(result, self._types, self._connection)
        arrays = arrays_of(columns)
        key = self._key(result)
        if not self._types.unknown(oids_of(result)) and sum(len(name or b"") for name, _, _ in key[1]) <= _NAMES_BYTES:
            if len(self._known) >= _MOST_RESULTS:
                del self._known[next(iter(self._known))]
            self._known[key] = columns, arrays
        return columns, arrays


def arrays_of(columns: Sequence[Column]) -> tuple[int, ...]:
    """The places of the columns that are arrays."""
    return tuple([place for place, column in enumerate(columns) if column.item])


def _zone_of(connection: PGconn) -> str | None:
    """The name of the time zone in which psycopg gives times; ``None`` for UTC."""
    zone = getattr(get_tzinfo(connection), "key", None)
    return None if zone in _UTC else zone


def with_dimensions(columns: tuple[Column, ...], rows: Sequence[Sequence[Any]]) -> tuple[Column, ...]:
    """Add the number of dimensions of arrays to columns, as the rows show it."""
    counts = [
        max((_dimensions(row[place]) for row in rows), default=1) if column.item else 0
        for place, column in enumerate(columns)
    ]
    if all(count <= 1 for count in counts):
        return columns
    return tuple(
        replace(column, dimensions=count) if count > 1 else column
        for column, count in zip(columns, counts, strict=True)
    )


def _dimensions(cell: Any) -> int:
    """The number of dimensions of an array; in PostgreSQL all its items have equally many."""
    count = 0
    while isinstance(cell, list):
        count, cell = count + 1, cell[0] if cell else None
    return max(1, count)


def type_without_name(oid: int) -> TypeName:
    """The name to report for a type that we could not look up."""
    return TypeName(f"oid {oid}", ColumnType.TEXT)
