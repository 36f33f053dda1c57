"""Streams: pages within their bounds, and the database's work stopped when the reader goes."""

from __future__ import annotations

import asyncio

import pytest

from rpcclient.stubs.database import DatabaseOperationalError as RemoteError
from rpcservices.database.errors import DatabaseDataError, DatabaseError, DatabaseOperationalError
from rpcservices.database.models import TxState
from tests.services.database.conftest import serving


@pytest.fixture
def daemon_of(tmp_path):
    """Makes a server with an SQLite database of a configuration."""
    return lambda config: serving(tmp_path, "sqlite", config)


def test_pages_hold_everything_in_order(run_with, any_database, sql):
    async def work(bench):
        stream = await bench.db.stream("main", sql.numbers(20_000), page_rows=700)
        numbers = []
        async for page in stream:
            assert page.offset == len(numbers)
            assert 0 < len(page) <= 700
            assert [c.name for c in page.columns] == ["i", "x"]
            numbers += [row.i for row in page]
        assert numbers == list(range(1, 20_001))

    run_with(work, main=any_database)


@pytest.mark.parametrize("count", [149, 150, 151])
def test_pages_are_filled(run_with, any_database, sql, count):
    async def work(bench):
        pages = [page async for page in await bench.db.stream("main", sql.numbers(count), page_rows=50)]
        assert [len(page) for page in pages[:-1]] == [50] * (len(pages) - 1)
        assert 0 < len(pages[-1]) <= 50 and sum(map(len, pages)) == count

    run_with(work, main=any_database)


def test_pages_are_bounded_in_bytes(run_with, any_database, sql):
    async def work(bench):
        stream = await bench.db.stream("main", sql.numbers(300, f"'{'y' * 1000}'"))
        pages = [page async for page in stream]
        assert sum(map(len, pages)) == 300
        assert all(len(page.rows.packed()) <= 20_100 for page in pages)

    run_with(work, main={**any_database, "page_bytes": 20_000})


def test_a_row_beyond_the_limit_is_an_error(run_with, any_database):
    async def work(bench):
        with pytest.raises(DatabaseDataError, match="max_row_bytes"):
            await anext(await bench.db.stream("main", f"SELECT '{'y' * 5000}'"))

    run_with(work, main={**any_database, "max_row_bytes": 2000, "page_bytes": 2000})


def test_an_empty_result_is_one_empty_page(run_with, any_database):
    async def work(bench):
        stream = await bench.db.stream("main", "SELECT 1 AS one WHERE 1 = 0")
        pages = [page async for page in stream]
        assert [len(page) for page in pages] == [0]
        assert pages[0].columns[0].name == "one"

    run_with(work, main=any_database)


def test_an_error_comes_before_the_stream(run_with, any_database):
    async def work(bench):
        with pytest.raises(DatabaseError):
            await bench.db.stream("main", "SELECT * FROM nowhere")
        with pytest.raises(DatabaseError):
            await bench.db.stream("main", "CREATE TABLE u (x INTEGER)")

    run_with(work, main={**any_database, "read_pool_size": 1})


@pytest.mark.parametrize("pages_read", [0, 1, 3])
def test_closing_early_frees_the_connection(run_with, any_database, sql, pages_read):
    async def work(bench):
        for _ in range(3):
            stream = await bench.db.stream("main", sql.endless("i"))
            for _ in range(pages_read):
                await anext(stream)
            await stream.aclose()
            await stream.aclose()
            assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={**any_database, "read_pool_size": 1})


def test_a_stream_that_nobody_reads_gives_its_connection_back(run_with, any_database, sql):
    async def work(bench):
        streams = [await bench.db.stream("main", sql.endless("i")) for _ in range(2)]
        await anext(streams[0])  # Of the other not even the first page is read.
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1  # It waits for a connection.
        pool = bench.service._targets["main"].reading
        async with asyncio.timeout(10):
            while pool.lent_count:
                await asyncio.sleep(0.01)
        for stream in streams:
            with pytest.raises(DatabaseOperationalError, match="stream_idle_s") as caught:
                await anext(stream)
            assert caught.value.sqlstate == "57P05"
            await stream.aclose()

    run_with(work, main={**any_database, "read_pool_size": 2, "stream_idle_s": 1.5})


def test_a_stream_that_is_read_has_all_the_time_it_needs(run_with, any_database, sql):
    async def work(bench):
        stream = await bench.db.stream("main", sql.numbers(3000), page_rows=10)
        begin = asyncio.get_running_loop().time()
        numbers = []
        async for page in stream:
            numbers += page.rows.column(0)
            await asyncio.sleep(0.002)  # Not to wait for anything: so that reading takes longer than the limit.
        assert asyncio.get_running_loop().time() - begin > 0.5
        assert numbers == list(range(1, 3001))

    run_with(work, main={**any_database, "stream_idle_s": 0.5})


def test_an_unread_stream_leaves_its_transaction_known(run_with, any_database, sql):
    async def work(bench):
        tx = await bench.db.begin("main", readonly=True)
        stream = await bench.db.stream("main", sql.endless("i"), transaction=tx.id)
        state = await bench.db.renew(tx.id)  # It waits for the stream's end.
        assert state in {TxState.ACTIVE, TxState.FAILED}
        with pytest.raises(DatabaseOperationalError, match="stream_idle_s"):
            await anext(stream)
        await bench.db.rollback(tx.id)

    run_with(work, main={**any_database, "stream_idle_s": 0.3})


def test_a_reader_that_pauses_is_told(daemon_of):
    with (
        daemon_of({"stream_idle_s": 0.3, "read_pool_size": 1}) as daemon,
        daemon.connect() as client,
        client.options(window=2).database.stream("main", daemon.sql.endless("i")) as pages,
    ):
        first = next(pages)
        assert client.database.query("main", "SELECT 1").scalar() == 1  # It had to wait for the connection.
        with pytest.raises(RemoteError, match="stream_idle_s"):
            for page in pages:
                assert page.offset > first.offset


def test_a_stream_can_share_a_transaction(run_with, any_database):
    async def work(bench):
        await bench.db.execute("main", "DROP TABLE IF EXISTS u")
        await bench.db.execute("main", "CREATE TABLE u (x INTEGER)")
        tx = await bench.db.begin("main")
        await bench.db.execute("main", "INSERT INTO u VALUES (7)", transaction=tx.id)
        stream = await bench.db.stream("main", "SELECT x FROM u", transaction=tx.id)
        assert [row.x async for page in stream for row in page] == [7]
        await bench.db.rollback(tx.id)

    run_with(work, main=any_database)


def test_a_cancelled_statement_stops_in_the_database(run_with, any_database, sql):
    async def work(bench):
        for _ in range(3):
            running = asyncio.ensure_future(bench.db.query("main", sql.endless("count(*)")))
            pool = bench.service._targets["main"].reading
            async with asyncio.timeout(10):
                while pool.lent_count == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0.02)
            running.cancel()
            async with asyncio.timeout(1):
                with pytest.raises(asyncio.CancelledError):
                    await running
            assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={**any_database, "read_pool_size": 1})


def test_a_statement_has_its_time(run_with, any_database, sql):
    async def work(bench):
        with pytest.raises(DatabaseOperationalError, match="statement_timeout_s") as caught:
            await bench.db.query("main", sql.endless("count(*)"))
        assert caught.value.sqlstate == "57014"
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={**any_database, "statement_timeout_s": 0.1, "read_pool_size": 1})
