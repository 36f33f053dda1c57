"""Which columns of a query in PostgreSQL may hold NULL, as far as that can be known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg.pq.abc import PGresult

_NOT_NULL_QUERY = """
SELECT attrelid::int8, attnum::int4, attnotnull FROM pg_catalog.pg_attribute
JOIN pg_catalog.pg_class ON pg_class.oid = attrelid
WHERE relkind IN ('r', 'p') AND attrelid = ANY(%s::oid[])
"""
"""Of tables only: the columns of a view declare nothing."""

_KEEPING_JOINS = frozenset({"Inner", "Semi", "Right Semi"})
"""These joins give only rows that the tables have. Outer joins do not, nor do anti joins, which some of them become."""
_FILLING_NODES = frozenset({"Append", "Merge Append", "SetOp", "Recursive Union"})
"""These nodes also give rows that come from elsewhere."""


async def nullability(
    driver: psycopg.AsyncConnection[Any], answer: PGresult, query: bytes, *, is_plannable: bool
) -> list[bool | None]:
    """For each column whether it may hold NULL: ``False`` for a table's column that is NOT NULL, if nothing in the plan
    could leave it out of a row; ``True`` for a table's column that is not NOT NULL; ``None`` otherwise.

    Parameters:
        driver: the connection.
        answer: what PostgreSQL says of the statement.
        query: the statement.
        is_plannable: whether the database can plan it without the parameters' values.
    """
    origins = [(answer.ftable(index), answer.ftablecol(index)) for index in range(answer.nfields)]
    tables = sorted({table for table, _ in origins if table})
    if not tables:
        return [None] * len(origins)
    cursor = await driver.execute(_NOT_NULL_QUERY, [tables])
    not_null = {(table, column): bool(is_not_null) for table, column, is_not_null in await cursor.fetchall()}
    sure = is_plannable and any(not_null.get(origin) for origin in origins) and await _keeps_rows(driver, query)

    def nullable(origin: tuple[int, int]) -> bool | None:
        is_not_null = not_null.get(origin)
        return None if is_not_null is None or (is_not_null and not sure) else not is_not_null

    return [nullable(origin) for origin in origins]


async def _keeps_rows(driver: psycopg.AsyncConnection[Any], query: bytes) -> bool:
    """Whether a query builds each row from rows that its tables have."""
    cursor = await driver.execute(b"EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + query)
    row = await cursor.fetchone()
    if row is None:
        return False
    plan = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    return all(
        node.get("Join Type", "Inner") in _KEEPING_JOINS
        and node["Node Type"] not in _FILLING_NODES
        and "Grouping Sets" not in node
        for node in _nodes(plan[0]["Plan"])
    )


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
