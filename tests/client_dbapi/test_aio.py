"""The asynchronous twin over a live server, on three databases."""

from __future__ import annotations

import asyncio

import pytest

from rpcclient import AsyncClient
from rpcclient.dbapi import aio
from tests.client_dbapi.live import TOKEN

SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mariadb": "SELECT sleep(60)",
}


def test_a_round(live, table, kind):
    async def main():
        async with await aio.connect(live.url, token=TOKEN) as connection:
            assert connection.dialect == kind and connection.client.connected
            cursor = await connection.execute("INSERT INTO t VALUES (?, ?)", (1, "one"))
            assert cursor.rowcount == 1 and connection.in_transaction
            assert (await cursor.executemany("INSERT INTO t VALUES (?, ?)", [(2, "two"), (3, "three")])).rowcount == 2
            await connection.rollback()
            await cursor.executemany("INSERT INTO t VALUES (:id, :x)", [{"id": n, "x": str(n)} for n in range(500)])
        assert connection.closed
        async with await aio.connect(live.url, token=TOKEN) as connection:
            async with connection.cursor() as cursor:
                await cursor.execute("SELECT id, x FROM t ORDER BY id")
                assert cursor.rowcount == 500 and cursor.description[0][0] == "id"
                with pytest.raises(aio.ProgrammingError, match="size: the rows to fetch"):
                    await cursor.fetchmany(-1)
                assert await cursor.fetchone() == (0, "0") and await cursor.fetchmany(2) == [(1, "1"), (2, "2")]
                assert len(await cursor.fetchall()) == 497 and await cursor.fetchone() is None
            with pytest.raises(aio.InterfaceError, match="closed"):
                await cursor.fetchone()
            cursor = connection.cursor(server_side=True)
            await cursor.execute("SELECT id FROM t ORDER BY id")
            assert await cursor.fetchone() == (0,)
            await connection.execute("SELECT 1")
            assert [row[0] async for row in cursor] == list(range(1, 500))
            with pytest.raises(aio.DatabaseError):
                await connection.execute("SELEC 1")
            await connection.rollback()  # Otherwise leaving the block would commit what has failed, which is an error.

    asyncio.run(main())


def test_connecting(live):
    async def main():
        with pytest.raises(aio.OperationalError, match="nowhere"):
            await aio.connect(live.url, token=TOKEN, database="nowhere")
        with pytest.raises(aio.OperationalError):
            await aio.connect(live.url, token="wrong")
        async with AsyncClient(live.url, token=TOKEN) as client:
            async with await aio.connect(client=client) as connection:
                assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
            assert client.connected

    asyncio.run(main())


def test_cancelling_stops_the_statement(live, kind):
    async def main():
        async with await aio.connect(live.url, token=TOKEN) as connection:
            work = asyncio.ensure_future(connection.execute(SLOW[kind]))
            async with asyncio.timeout(10):
                while not live.service._targets["main"].writing.lent_count:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(work, 10)
            async with asyncio.timeout(10):
                await connection.rollback()
                assert await (await connection.execute("SELECT 7")).fetchone() == (7,)

    asyncio.run(main())
