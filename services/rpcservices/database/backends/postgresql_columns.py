"""The columns of a result in PostgreSQL, and the names of its types."""

from __future__ import annotations

from functools import lru_cache

from psycopg.postgres import types as pg_types
from psycopg.pq.abc import PGresult

from rpcservices.database.models import Column, ColumnType

_KINDS = {
    ColumnType.INTEGER: ("int2", "int4", "int8", "oid", "xid", "cid"),
    ColumnType.FLOAT: ("float4", "float8"),
    ColumnType.DECIMAL: ("numeric",),
    ColumnType.BOOLEAN: ("bool",),
    ColumnType.BYTES: ("bytea",),
    ColumnType.DATE: ("date",),
    ColumnType.TIME: ("time", "timetz"),
    ColumnType.DATETIME: ("timestamp",),
    ColumnType.DATETIME_TZ: ("timestamptz",),
    ColumnType.DURATION: ("interval",),
    ColumnType.UUID: ("uuid",),
    ColumnType.JSON: ("json", "jsonb"),
}
_TYPE_OF = {name: kind for kind, names in _KINDS.items() for name in names}


@lru_cache(maxsize=512)
def _column(name: str, oid: int, modifier: int) -> Column:
    info = pg_types.get(oid)
    if info is None:
        return Column(name, ColumnType.TEXT, type_name(oid))
    if info.array_oid == oid:
        return Column(name, ColumnType.ARRAY, type_name(oid))
    precision = scale = None
    if info.name == "numeric" and modifier >= 4:
        precision, scale = (modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 1024) - 1024
    return Column(name, _TYPE_OF.get(info.name, ColumnType.TEXT), info.name, None, precision, scale)


@lru_cache(maxsize=512)
def _columns(told: tuple[tuple[bytes | None, int, int], ...]) -> tuple[Column, ...]:
    return tuple(_column((name or b"").decode(), oid, modifier) for name, oid, modifier in told)


def columns_of(result: PGresult) -> tuple[Column, ...]:
    """The columns of a result's rows: the same object for the same columns."""
    return _columns(tuple([(result.fname(i), result.ftype(i), result.fmod(i)) for i in range(result.nfields)]))


def type_name(oid: int) -> str:
    """What PostgreSQL calls a type of its own; the number of any other."""
    info = pg_types.get(oid)
    return f"oid {oid}" if info is None else f"{info.name}[]" if info.array_oid == oid else info.name
