"""Arrays of PostgreSQL: to read large ones holds up nobody for long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rpcservices.database.backends.postgresql import values
from rpcservices.database.backends.postgresql.values import MOST_ARRAY_NODES, Cells
from rpcservices.database.errors import DatabaseDataError

LARGE = "SELECT array_agg({item}) AS a FROM generate_series(1, {count}) AS t(n)"
ROWS = "SELECT n, ARRAY(SELECT generate_series(1, 1000)) AS a FROM generate_series(1, 100) AS t(n)"


async def read(db: Any, sql: str, *, how: str) -> list[Any]:
    if how == "query":
        return list((await db.query("main", sql)).rows)
    transaction = (await db.begin("main", readonly=True)).id if how == "stream within" else None
    try:
        return [row async for page in await db.stream("main", sql, transaction=transaction) for row in page.rows]
    finally:
        if transaction:
            await db.rollback(transaction)


HOWS = pytest.mark.parametrize("how", ["query", "stream", "stream within"])


@HOWS
def test_an_array_of_more_items_than_can_be_read_at_once(run_with: Any, pg_uri: str, how: str) -> None:
    async def work(bench: Any) -> None:
        for item in ("n", "'{}'::text", "ARRAY[n]", "CASE WHEN n = 0 THEN n END"):
            with pytest.raises(DatabaseDataError, match=r"the arrays of a row have more than 12288 items: unnest\(\)"):
                await read(bench.db, LARGE.format(item=item, count=MOST_ARRAY_NODES + 1), how=how)
        most = await read(bench.db, LARGE.format(item="n", count=MOST_ARRAY_NODES), how=how)
        assert most[0][0] == list(range(1, MOST_ARRAY_NODES + 1))
        text = await read(bench.db, f"SELECT a::text FROM ({LARGE.format(item='n', count=50_000)}) AS t", how=how)
        assert text[0][0].startswith("{1,2,3,")

    run_with(work, main={"url": pg_uri})


@HOWS
def test_others_come_between_rows_with_arrays(
    run_with: Any, pg_uri: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No turn of the event loop reads more items than one row of the largest arrays has."""
    nodes_of_turns = [0]
    rows = Cells.rows

    def counting(self: Cells, begin: int, end: int) -> list[tuple[Any, ...]]:
        cells = rows(self, begin, end)
        nodes_of_turns[-1] += sum(len(row[1]) for row in cells)
        return cells

    async def work(bench: Any) -> None:
        monkeypatch.setattr(Cells, "rows", counting)
        reading = asyncio.ensure_future(read(bench.db, ROWS, how=how))
        while not reading.done():
            await asyncio.sleep(0)
            nodes_of_turns.append(0)
        assert await reading == [(n, list(range(1, 1001))) for n in range(1, 101)]
        assert sum(nodes_of_turns) == 100_000
        assert max(nodes_of_turns) <= values.TURN_ARRAY_NODES + 1000

    run_with(work, main={"url": pg_uri})
