"""Results that nobody reads to their end: what was changed stays changed, and a transaction goes on."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from rpcservices.database.errors import DatabaseDataError, DatabaseError
from rpcservices.database.models import Step, TxState

WIDE = "repeat('x', 300)"


async def make_table(db):
    await db.execute("main", "DROP TABLE IF EXISTS e")
    await db.execute("main", "CREATE TABLE e (i INTEGER, s TEXT)")


async def count(db, **options):
    return (await db.query("main", "SELECT count(*) FROM e", **options)).scalar()


def test_a_cut_result_leaves_its_transaction(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await make_table(db)
        tx = (await db.begin("main")).id
        await db.execute("main", "INSERT INTO e VALUES (1, 'a')", transaction=tx)
        found = await db.query("main", sql.numbers(20_000), max_rows=3, transaction=tx)
        assert found.truncated and len(found) == 3 and found.tx_state is TxState.ACTIVE
        assert await db.renew(tx) is TxState.ACTIVE
        wide = await db.execute("main", sql.numbers(20_000), transaction=tx)
        assert wide.truncated and wide.tx_state is TxState.ACTIVE
        await db.commit(tx)
        assert await count(db) == 1

    run_with(work, main={**any_database, "max_bytes": 20_000})


def test_a_cut_step_leaves_its_batch(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await make_table(db)
        steps = [
            Step("INSERT INTO e VALUES (1, 'a')"),
            Step(sql.numbers(20_000)),
            Step("INSERT INTO e VALUES (2, 'b')"),
        ]
        done = await db.batch("main", steps, max_rows=2)
        assert done[1].result.truncated
        assert await count(db) == 2

    run_with(work, main=any_database)


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("pages", [0, 2])
def test_a_stream_closed_early_leaves_its_transaction(run_with, any_database, sql, readonly, pages):
    async def work(bench):
        db = bench.db
        await make_table(db)
        tx = (await db.begin("main", readonly=readonly)).id
        if not readonly:
            await db.execute("main", "INSERT INTO e VALUES (1, 'a')", transaction=tx)
        for _ in range(2):
            stream = await db.stream("main", sql.endless("i"), transaction=tx, page_rows=50)
            for _ in range(pages):
                assert 0 < len(await anext(stream)) <= 50
            async with asyncio.timeout(5):
                await stream.aclose()
            assert await db.renew(tx) is TxState.ACTIVE
        assert (await db.query("main", "SELECT 7", transaction=tx)).scalar() == 7
        await db.commit(tx)
        assert await count(db) == (0 if readonly else 1)

    run_with(work, main=any_database)


@pytest.mark.parametrize("readonly", [False, True])
def test_a_stream_closed_early_leaves_its_session(run_with, any_database, sql, readonly):
    async def work(bench):
        db = bench.db
        session = (await db.connect("main", readonly=readonly)).id
        for _ in range(3):
            stream = await db.stream("main", sql.endless("i"), transaction=session)
            await anext(stream)
            async with asyncio.timeout(5):
                await stream.aclose()
            assert (await db.query("main", sql.numbers(500), max_rows=3, transaction=session)).truncated
            assert (await db.query("main", "SELECT 7", transaction=session)).scalar() == 7
            assert await db.renew(session) is TxState.NONE

    run_with(work, main=any_database)


@pytest.mark.parametrize("own", ["transaction", "session"])
def test_a_stream_has_all_rows_in_a_transaction(run_with, any_database, sql, own):
    async def work(bench):
        db = bench.db
        place = await (db.begin("main") if own == "transaction" else db.connect("main"))
        stream = await db.stream("main", sql.numbers(3000) + " ;", transaction=place.id, page_rows=700)
        pages = [page async for page in stream]
        assert [row.i for page in pages for row in page] == list(range(1, 3001))
        assert pages[-1].rowcount == 3000 and pages[0].columns[0].name == "i"
        expected = TxState.ACTIVE if own == "transaction" else TxState.NONE
        assert pages[-1].tx_state is expected
        if own == "transaction":
            if sql.name == "postgresql":  # It refuses to drop what a cursor still reads.
                await db.execute("main", "DROP TABLE IF EXISTS e", transaction=place.id)
            await db.commit(place.id)

    run_with(work, main=any_database)


def test_what_has_no_cursor_is_streamed_all_the_same(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        await make_table(db)
        tx = (await db.begin("main")).id
        for statement, rows in (
            ("WITH x AS (INSERT INTO e VALUES (1, 'a'), (2, 'b') RETURNING i) SELECT i FROM x", 2),
            ("INSERT INTO e VALUES (3, 'c') RETURNING i", 1),
            ("SHOW search_path", 1),
            ("SELECT i INTO TEMP f FROM e", 0),
        ):
            pages = [page async for page in await db.stream("main", statement, transaction=tx)]
            assert sum(map(len, pages)) == rows
        with pytest.raises(DatabaseError, match="nowhere") as caught:
            await db.stream("main", "SELECT * FROM nowhere", transaction=tx)
        assert caught.value.tx_state == "failed"
        await db.rollback(tx)

    run_with(work, main={"url": pg_uri})


def test_an_error_in_a_later_page_fails_the_transaction(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        tx = (await db.begin("main")).id
        stream = await db.stream(
            "main", "SELECT 1 / (i - 2000) FROM generate_series(1, 5000) i", transaction=tx, page_rows=100
        )
        with pytest.raises(DatabaseDataError) as caught:
            async for _ in stream:
                pass
        assert caught.value.sqlstate == "22012" and caught.value.tx_state == "failed"
        assert await db.renew(tx) is TxState.FAILED
        await db.rollback(tx)

    run_with(work, main={"url": pg_uri})


def test_a_cut_change_is_whole(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await make_table(db)
        insert = f"INSERT INTO e {sql.numbers(30_000, WIDE if sql.name != 'sqlite' else 'hex(zeroblob(150))')}"
        done = await db.execute("main", f"{insert} RETURNING i, s")
        assert done.truncated and 0 < len(done) < 30_000
        assert await count(db) == 30_000
        done = await db.execute("main", f"{insert} RETURNING i", max_rows=5)
        assert done.truncated and len(done) == 5
        assert await count(db) == 60_000
        session = (await db.connect("main")).id
        stream = await db.stream("main", f"{insert} RETURNING i, s", transaction=session)
        await anext(stream)
        await stream.aclose()
        assert await count(db) == 90_000

    run_with(work, main={**any_database, "max_bytes": 1 << 20})


def test_what_a_function_changes_is_whole(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        await make_table(db)
        await db.execute(
            "main",
            "CREATE OR REPLACE FUNCTION w(i int) RETURNS int LANGUAGE sql AS $$ INSERT INTO e VALUES (i, '') RETURNING i $$",
        )
        done = await db.execute("main", "SELECT w(i) FROM generate_series(1, 3000) i", max_rows=5)
        assert done.truncated and len(done) == 5
        assert await count(db) == 3000

    run_with(work, main={"url": pg_uri})


FAILS_LATE = {
    "postgresql": "SELECT 1 / (i - 20000) FROM generate_series(1, 30000) i",
    "mariadb": "SELECT IF(seq = 20000, (SELECT seq UNION SELECT 2), 1) FROM seq_1_to_30000",
}


@pytest.mark.parametrize("kind", FAILS_LATE)  # SQLite has done everything before the first row.
def test_an_error_after_the_cut_is_told(run_with, database_urls, kind):
    """A change that fails after the rows that were wanted has changed nothing, and must say so."""

    async def work(bench):
        with pytest.raises(DatabaseError):
            await bench.db.execute("main", FAILS_LATE[kind], max_rows=5)
        assert (await bench.db.execute("main", "SELECT 1")).scalar() == 1

    run_with(work, main={**database_urls(kind), "pool_size": 1})


def test_closing_early_in_a_transaction_frees_the_cursor(run_with, pg_uri, pg_superuser):
    async def work(bench):
        db = bench.db
        tx = (await db.begin("main")).id
        stream = await db.stream("main", "SELECT generate_series(1, 1000000000) AS i", transaction=tx)
        await anext(stream)
        await stream.aclose()
        assert (await db.query("main", "SELECT count(*) FROM pg_cursors", transaction=tx)).scalar() == 1

        def active():
            with psycopg.connect(pg_superuser) as connection:
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'active'"
                ).fetchone()
                return row[0]

        async with asyncio.timeout(1):
            while await asyncio.to_thread(active):
                pass
        await db.commit(tx)

    run_with(work, main={"url": pg_uri})
