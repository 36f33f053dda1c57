"""The types of a PostgreSQL database that psycopg does not know: those of extensions, enumerations, domains, and the
like. Their numbers differ from database to database, and change when a type is created again, so each connection looks
up the types that it meets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
from psycopg import postgres
from psycopg.adapt import Loader
from psycopg.postgres import types as pg_types
from psycopg.pq import Format
from psycopg.pq.abc import PGresult

from rpcservices.database.models import ColumnType

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
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}
_TEXT = pg_types["text"]

_ROWS = """
SELECT t.oid::int8, t.typname::text, t.typbasetype::int8, t.typtypmod, coalesce(i.oid, 0)::int8,
    coalesce(i.typdelim, ',')::text
FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type i ON i.oid = t.typelem AND i.typarray = t.oid
"""
_ALL = f"""{_ROWS}
WHERE t.oid IN (
    SELECT unnest(ARRAY[oid, typarray]) FROM pg_catalog.pg_type
    WHERE typtype <> 'c' AND typcategory <> 'A' AND oid <> ALL(%s::oid[])
)
"""  # noqa: S608 - of constants
"""Selects all types but those of rows: each table has one, and there may be very many."""
_SOME = f"""
WITH RECURSIVE wanted(oid) AS (
    SELECT unnest(%s::int8[])::oid
    UNION
    SELECT made_of.oid FROM wanted JOIN pg_catalog.pg_type t ON t.oid = wanted.oid,
    LATERAL (VALUES (t.typbasetype), (t.typelem)) made_of(oid) WHERE made_of.oid <> 0
)
{_ROWS}
WHERE t.oid IN (SELECT oid FROM wanted) AND t.oid <> ALL(%s::oid[])
"""  # noqa: S608 - of constants
"""Selects some types, and the types that they are made of."""


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type, as a column reports it.

    Attributes:
        name: PostgreSQL's name of it.
        kind: what its values are in Python.
        item: what the items are, for an array.
        modifier: the type modifier in a domain's declaration; -1 where there is none.
    """

    name: str
    kind: ColumnType
    item: ColumnType | None = None
    modifier: int = -1


@dataclass(frozen=True, slots=True)
class _Row:
    """The catalog's entry of a type.

    Attributes:
        base, modifier: the type that a domain is made of, and its modifier.
        item, delimiter: the type of an array's items, and the character between them.
    """

    name: str
    base: int
    modifier: int
    item: int
    delimiter: str


@cache
def _own(oid: int) -> TypeName | None:
    """A type of PostgreSQL's own, which psycopg knows; ``None`` for others."""
    info = pg_types.get(oid)
    if info is None:
        return None
    kind = _KIND_OF.get(info.name, ColumnType.TEXT)
    return TypeName(f"{info.name}[]", ColumnType.ARRAY, kind) if info.array_oid == oid else TypeName(info.name, kind)


@cache
def _list_loader(item: int, delimiter: str) -> type[Loader]:
    """The class that reads arrays. Psycopg keeps such classes for ever, so many types share one."""
    plain = postgres.adapters.get_loader(_TEXT.array_oid, Format.TEXT)
    assert plain is not None
    made_class: Any = type("ListLoader", (plain,), {"base_oid": item, "delimiter": delimiter.encode()})
    loader: type[Loader] = made_class
    return loader


_OWN_OIDS = sorted({oid for info in pg_types for oid in (info.oid, info.array_oid) if oid})


class Types:
    """The known types of a connection's database. An entry never changes.

    Parameters:
        driver: the connection whose loaders are set.
    """

    def __init__(self, driver: psycopg.AsyncConnection[Any]) -> None:
        self._driver = driver
        self._rows: dict[int, _Row] = {}
        self._types: dict[int, TypeName] = {}

    def find(self, oid: int) -> TypeName | None:
        """The type with a number; ``None`` if it is not known yet."""
        return _own(oid) or self._types.get(oid)

    def unknown(self, oids: Iterable[int]) -> list[int]:
        """Those of some types that are not known yet."""
        return [oid for oid in oids if self.find(oid) is None]

    async def learn_all(self) -> None:
        """Look up all types but those of rows."""
        await self._learn(self._driver, _ALL, [_OWN_OIDS])

    async def learn(self, oids: list[int], driver: psycopg.AsyncConnection[Any]) -> None:
        """Look up some types.

        Parameters:
            oids: their numbers.
            driver: an idle connection to the same database.
        """
        await self._learn(driver, _SOME, [oids, _OWN_OIDS])

    async def _learn(self, driver: psycopg.AsyncConnection[Any], sql: str, params: list[Any]) -> None:
        cursor = await driver.execute(sql.encode(), params)
        fresh = {oid: _Row(*fields) for oid, *fields in await cursor.fetchall() if oid not in self._rows}
        self._rows.update(fresh)
        for oid in fresh:
            self._types[oid] = self._name(oid)
            self._set_loader(oid)

    def _name(self, oid: int) -> TypeName:
        own = _own(oid)
        if own is not None:
            return own
        row = self._rows.get(oid)
        if row is None:
            return TypeName(f"oid {oid}", ColumnType.TEXT)
        if row.item:
            item = self._name(row.item)
            return TypeName(f"{item.name}[]", ColumnType.ARRAY, item.item or item.kind, item.modifier)
        if row.base:
            base = self._name(row.base)
            return TypeName(row.name, base.kind, base.item, row.modifier if row.modifier >= 0 else base.modifier)
        return TypeName(row.name, ColumnType.TEXT)

    def _set_loader(self, oid: int) -> None:
        """Make arrays of a type come as lists. A domain's own number appears only for arrays of it."""
        row = self._rows[oid]
        if row.item:
            self._driver.adapters.register_loader(oid, _list_loader(self._read_as(row.item), row.delimiter))

    def _read_as(self, oid: int) -> int:
        """The type whose loader reads another: for a domain the type that it is made of; text where there is none."""
        while (row := self._rows.get(oid)) is not None and row.base:
            oid = row.base
        return oid if _own(oid) is not None or (row is not None and row.item) else _TEXT.oid


def oids_of(result: PGresult) -> list[int]:
    """The types of a result's columns."""
    return [result.ftype(index) for index in range(result.nfields)]
