"""The types of a database of PostgreSQL that psycopg does not know: those of extensions, enumerations, domains, and the
like. Their numbers differ from database to database, and change when a type is made anew, so that a connection asks for
the names of those that it meets."""

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
"""All but rows: each table has a type, and there may be very many."""
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
"""These, and what they are made of."""


@dataclass(frozen=True, slots=True)
class Named:
    """A type as it is told of.

    Attributes:
        name: what PostgreSQL calls it.
        kind: what its values are in Python.
        item: of an array, what the items are.
        modifier: of the type that a domain is made of, what its declaration says more; -1 where nothing.
    """

    name: str
    kind: ColumnType
    item: ColumnType | None = None
    modifier: int = -1


@dataclass(frozen=True, slots=True)
class _Row:
    """What the catalog says of a type.

    Attributes:
        base, modifier: of a domain, what it is made of.
        item, delimiter: of an array, the type of its items, and what stands between them.
    """

    name: str
    base: int
    modifier: int
    item: int
    delimiter: str


@cache
def _own(oid: int) -> Named | None:
    """A type that psycopg knows, so one of PostgreSQL's own."""
    info = pg_types.get(oid)
    if info is None:
        return None
    kind = _KIND_OF.get(info.name, ColumnType.TEXT)
    return Named(f"{info.name}[]", ColumnType.ARRAY, kind) if info.array_oid == oid else Named(info.name, kind)


@cache
def _list_loader(item: int, delimiter: str) -> type[Loader]:
    """What reads arrays. Psycopg's own classes are kept for ever, so there is one for many types."""
    plain = postgres.adapters.get_loader(_TEXT.array_oid, Format.TEXT)
    assert plain is not None
    made: Any = type("ListLoader", (plain,), {"base_oid": item, "delimiter": delimiter.encode()})
    loader: type[Loader] = made
    return loader


_OWN_OIDS = sorted({oid for info in pg_types for oid in (info.oid, info.array_oid) if oid})


class Types:
    """What is known of the types of a connection's database. What was learned of a type stays as it was.

    Parameters:
        driver: the connection, whose loaders are set.
    """

    def __init__(self, driver: psycopg.AsyncConnection[Any]) -> None:
        self._driver = driver
        self._rows: dict[int, _Row] = {}
        self._named: dict[int, Named] = {}

    def named(self, oid: int) -> Named | None:
        """A type; ``None`` where it is not known yet."""
        return _own(oid) or self._named.get(oid)

    def unknown(self, oids: Iterable[int]) -> list[int]:
        """Those of some types that are not known yet."""
        return [oid for oid in oids if self.named(oid) is None]

    async def learn_all(self) -> None:
        """Learn of all types that there are, but for rows."""
        await self._learn(self._driver, _ALL, [_OWN_OIDS])

    async def learn(self, oids: list[int], driver: psycopg.AsyncConnection[Any]) -> None:
        """Learn of some types.

        Parameters:
            oids: their numbers.
            driver: a connection to the same database, which has nothing else to do.
        """
        await self._learn(driver, _SOME, [oids, _OWN_OIDS])

    async def _learn(self, driver: psycopg.AsyncConnection[Any], sql: str, params: list[Any]) -> None:
        cursor = await driver.execute(sql.encode(), params)
        fresh = {oid: _Row(*told) for oid, *told in await cursor.fetchall() if oid not in self._rows}
        self._rows.update(fresh)
        for oid in fresh:
            self._named[oid] = self._name(oid)
            self._set_loader(oid)

    def _name(self, oid: int) -> Named:
        own = _own(oid)
        if own is not None:
            return own
        row = self._rows.get(oid)
        if row is None:
            return Named(f"oid {oid}", ColumnType.TEXT)
        if row.item:
            item = self._name(row.item)
            return Named(f"{item.name}[]", ColumnType.ARRAY, item.item or item.kind, item.modifier)
        if row.base:
            base = self._name(row.base)
            return Named(row.name, base.kind, base.item, row.modifier if row.modifier >= 0 else base.modifier)
        return Named(row.name, ColumnType.TEXT)

    def _set_loader(self, oid: int) -> None:
        """Have arrays read as lists. Of a domain only its arrays come under its own number."""
        row = self._rows[oid]
        if row.item:
            self._driver.adapters.register_loader(oid, _list_loader(self._read_as(row.item), row.delimiter))

    def _read_as(self, oid: int) -> int:
        """The type whose loader reads another: of a domain the one that it is made of; text where none does."""
        while (row := self._rows.get(oid)) is not None and row.base:
            oid = row.base
        return oid if _own(oid) is not None or (row is not None and row.item) else _TEXT.oid


def oids_of(result: PGresult) -> list[int]:
    """The types of a result's columns."""
    return [result.ftype(index) for index in range(result.nfields)]
