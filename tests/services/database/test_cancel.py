"""Cancelling stops the work in the database itself, seen there; the connection afterwards is clean, or gone."""

from __future__ import annotations

import asyncio
import subprocess
import time

import psycopg
import pytest


def sleeping(sql, seconds=60):
    if sql.name == "postgresql":
        return f"SELECT pg_sleep({seconds})"
    if sql.name == "mariadb":
        return f"SELECT sleep({seconds})"
    return sql.endless("count(*)")


@pytest.fixture
def at_work(sql, request):
    """How many statements of ours the database works on, by its own account."""
    if sql.name == "postgresql":
        uri = request.getfixturevalue("pg_superuser")
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'active'"

        def count(_pool):
            with psycopg.connect(uri) as connection:
                return connection.execute(query).fetchone()[0]

        return count
    if sql.name == "mariadb":
        socket = request.getfixturevalue("my_superuser")
        query = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'app' AND COMMAND = 'Query'"
        command = ["mariadb", "--no-defaults", "-S", socket, "-u", "root", "-N", "-e", query]
        return lambda _pool: int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # An SQLite connection's thread takes the next job only once it is done with the last.
    return lambda pool: pool.lent_count


async def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def test_the_database_stops_within_a_second(run_with, any_database, sql, at_work):
    async def work(bench):
        pool = bench.service._targets["main"].reading
        running = asyncio.ensure_future(bench.db.query("main", sleeping(sql)))
        await until(lambda: at_work(pool) == 1)
        started = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until(lambda: at_work(pool) == 0, 1.0)
        assert time.monotonic() - started < 1.0
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={**any_database, "read_pool_size": 1})


def test_closing_a_stream_stops_the_database(run_with, any_database, sql, at_work):
    async def work(bench):
        pool = bench.service._targets["main"].reading
        stream = await bench.db.stream("main", sql.endless("i, 'some more text to fill the page' AS x"))
        await anext(stream)
        await stream.aclose()
        await until(lambda: at_work(pool) == 0, 1.0)
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={**any_database, "read_pool_size": 1})


def test_a_cancelled_write_leaves_nothing(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await db.execute("main", "DROP TABLE IF EXISTS big")
        await db.execute("main", "CREATE TABLE big (i BIGINT)")
        pool = bench.service._targets["main"].writing
        running = asyncio.ensure_future(db.execute("main", f"INSERT INTO big {sql.endless('i')}"))
        await until(lambda: pool.lent_count == 1)
        await asyncio.sleep(0.1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await db.execute("main", "INSERT INTO big VALUES (-1)")
        assert [tuple(row) for row in await db.query("main", "SELECT i FROM big")] == [(-1,)]

    run_with(work, main={**any_database, "pool_size": 1})


def test_a_transaction_outlives_a_cancelled_statement(run_with, any_database, sql):
    """It can at least be rolled back to a savepoint, whenever the cancellation came."""

    async def work(bench):
        db = bench.db
        tx = (await db.begin("main")).id
        for number in range(30):
            await db.savepoint(tx, "before")
            running = asyncio.ensure_future(db.query("main", sleeping(sql), transaction=tx))
            for _ in range(number):
                await asyncio.sleep(0)
            if number % 5 == 0:
                await asyncio.sleep(0.003)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await db.rollback_to(tx, "before")
            assert (await db.query("main", "SELECT :n + 0", {"n": number}, transaction=tx)).scalar() == number
        await db.commit(tx)

    run_with(work, main=any_database)


async def cancel_often(bench, sql, at_work, times):
    pool = bench.service._targets["main"].reading
    for number in range(times):
        running = asyncio.ensure_future(bench.db.query("main", sleeping(sql)))
        # At all stages: before the connection is there, while the statement is sent, while it works.
        for _ in range(number % 40):
            await asyncio.sleep(0)
        if number % 5 == 0:
            await asyncio.sleep(0.003)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        if number % 10 == 0:
            assert (await bench.db.query("main", "SELECT :n + 0", {"n": number})).scalar() == number
    await pool.wait_idle()
    assert pool.lent_count == 0
    await until(lambda: at_work(pool) == 0, 1.0)  # A request to stop that came before the statement is repeated.
    answers = await asyncio.gather(*(bench.db.query("main", "SELECT :n + 0", {"n": n}) for n in range(20)))
    assert [answer.scalar() for answer in answers] == list(range(20))


def test_the_pool_is_healthy_after_many_cancels(run_with, any_database, sql, at_work):
    run_with(lambda bench: cancel_often(bench, sql, at_work, 300), main={**any_database, "read_pool_size": 3})


@pytest.mark.soak
def test_the_pool_is_healthy_after_a_thousand_cancels(run_with, any_database, sql, at_work):
    run_with(lambda bench: cancel_often(bench, sql, at_work, 1000), main={**any_database, "read_pool_size": 3})
