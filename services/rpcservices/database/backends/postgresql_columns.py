"""The columns of a result in PostgreSQL."""

from __future__ import annotations

from functools import lru_cache

from psycopg.pq.abc import PGresult

from rpcservices.database.models import Column, ColumnType

from .postgresql_types import Named, Types

_Told = tuple[bytes | None, Named, int]


def _digits(modifier: int) -> tuple[int | None, int | None]:
    """Precision and scale, out of the number that stands for them (``numeric_typmod_precision`` and the like in
    PostgreSQL's numeric.c)."""
    return ((modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 1024) - 1024) if modifier >= 4 else (None, None)


@lru_cache(maxsize=512)
def _column(name: str, named: Named, modifier: int) -> Column:
    kind = named.item or named.kind
    said = modifier if modifier >= 0 else named.modifier
    precision, scale = _digits(said) if kind is ColumnType.DECIMAL else (None, None)
    return Column(name, named.kind, named.name, None, precision, scale, item=named.item)


@lru_cache(maxsize=512)
def _columns(told: tuple[_Told, ...]) -> tuple[Column, ...]:
    # A name that is no text, in a database of the encoding SQL_ASCII, shows its bytes.
    return tuple(_column((name or b"").decode(errors="backslashreplace"), named, mod) for name, named, mod in told)


def columns_of(result: PGresult, types: Types) -> tuple[Column, ...]:
    """The columns of a result's rows: the same object for the same columns."""
    told: list[_Told] = []
    for index in range(result.nfields):
        oid = result.ftype(index)
        told.append((result.fname(index), types.named(oid) or unnamed(oid), result.fmod(index)))
    return _columns(tuple(told))


def unnamed(oid: int) -> Named:
    """What is told of a type that nobody could be asked about."""
    return Named(f"oid {oid}", ColumnType.TEXT)
