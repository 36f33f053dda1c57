"""PostgreSQL: connections that are lost or cancelled at bad moments, of which neither the next user of the connection
nor the next socket with its number may notice anything."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from collections.abc import Callable
from contextlib import aclosing

import psycopg
import pytest
import uvloop

from rpcservices.database.backends.postgresql import link as postgresql
from rpcservices.database.backends.postgresql.cursor import Chunks
from rpcservices.database.errors import DatabaseOperationalError
from rpcwire.errors import InvalidParams

from .conftest import running

PID = "SELECT pg_backend_pid()"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
HELD = (b"ROLLBACK", b"SELECT pg_sleep(60)")
"""A cleaning that cleans little, and not soon."""

both_loops = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


@pytest.fixture
def run_on(tmp_path, pg_uri):
    def run(loop, work, **config):
        async def main():
            complaints = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            async with running(tmp_path, pg={"url": pg_uri, "read_pool_size": 1, **config}) as bench:
                await work(bench, bench.service._targets["pg"].reading)
            assert not complaints

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(main())

    return run


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def terminate(superuser: str, pid: int) -> None:
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as connection:
        cursor = await connection.execute("SELECT pg_terminate_backend(%s, 20000)", (pid,))
        assert await cursor.fetchone() == (True,)


async def used_link(bench, pool):
    pid = (await bench.db.query("pg", PID)).scalar()
    (link,) = pool._idle
    await until(link.is_ready)
    return link, pid


@both_loops
def test_the_socket_after_a_lost_one_works(run_on, pg_superuser, loop):
    async def work(bench, pool):
        link, pid = await used_link(bench, pool)
        number = link.driver.pgconn.socket
        query = asyncio.ensure_future(bench.db.query("pg", "SELECT pg_sleep(60)"))
        await until(lambda: link.driver.parts == 3)
        await terminate(pg_superuser, pid)
        async with asyncio.timeout(20):
            with pytest.raises(DatabaseOperationalError, match="administrator command") as raised:
                await query
        assert raised.value.sqlstate == "57P01" and raised.value.retryable
        left, right = socket.socketpair()
        assert number in {left.fileno(), right.fileno()}
        one, two = [await asyncio.open_connection(sock=end) for end in (left, right)]
        async with asyncio.timeout(20):
            for (_, writer), (reader, _) in ((one, two), (two, one)):
                writer.write(b"heard\n")
                assert await reader.readline() == b"heard\n"
        for _, writer in (one, two):
            writer.close()
        assert (await bench.db.query("pg", PID)).scalar() != pid

    run_on(loop, work)


@both_loops
def test_every_query_hears_that_its_connection_was_lost(run_on, pg_superuser, loop):
    async def work(bench, pool):
        for _ in range(20):  # Depending on what the server had read by then, the socket tells it as an error.
            link, pid = await used_link(bench, pool)
            query = asyncio.ensure_future(bench.db.query("pg", "SELECT pg_sleep(60)"))
            await until(lambda link=link: link.driver.parts == 3)
            await terminate(pg_superuser, pid)
            async with asyncio.timeout(20):
                with pytest.raises(DatabaseOperationalError):
                    await query

    run_on(loop, work)


@both_loops
@pytest.mark.parametrize("size", [1, 200_000])
def test_a_session_whose_connection_is_lost_says_why(run_on, pg_superuser, loop, size):
    async def work(bench, pool):
        session = (await bench.db.connect("pg", readonly=True)).id
        pid = (await bench.db.query("pg", PID, transaction=session)).scalar()
        await terminate(pg_superuser, pid)
        with pytest.raises(DatabaseOperationalError, match="administrator command") as raised:
            await bench.db.query("pg", "SELECT length(:t)", {"t": "x" * size}, transaction=session)
        assert (raised.value.sqlstate, raised.value.executed, raised.value.retryable) == ("57P01", "no", True)
        assert raised.value.connection_lost
        await pool.wait_idle()
        assert pool._idle == [] and pool.lent_count == 0
        assert (await bench.db.query("pg", PID)).scalar() != pid

    run_on(loop, work)


@both_loops
def test_closing_a_stream_of_a_lost_connection_raises_nothing(run_on, pg_superuser, loop):
    async def work(bench, pool):
        _, pid = await used_link(bench, pool)
        rows = "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"
        async with aclosing(await bench.db.stream("pg", rows)) as pages:
            await anext(pages)
            await terminate(pg_superuser, pid)
        assert (await bench.db.query("pg", PID)).scalar() != pid

    run_on(loop, work)


@both_loops
def test_a_cleaning_that_a_cancelled_query_stopped_is_done_anew(run_on, monkeypatch, loop):
    async def work(bench, pool):
        link, pid = await used_link(bench, pool)
        with monkeypatch.context() as patched:
            patched.setattr(postgresql, "CLEANING", HELD)
            sql = "SELECT pg_advisory_lock(7), i FROM generate_series(1, 10000000) i"
            query = asyncio.ensure_future(bench.db.query("pg", sql, max_rows=1))
            await until(lambda: link.driver.parts == 1)
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query
        assert tuple((await bench.db.query("pg", f"{LOCKS} UNION ALL {PID}")).rows.column(0)) == (0, pid)

    run_on(loop, work)


@both_loops
def test_what_arrives_while_a_wait_is_stopped_is_not_taken_away(run_on, monkeypatch, caplog, loop):
    async def work(bench, pool):
        link, _ = await used_link(bench, pool)
        driver = link.driver
        stop = driver.cancel_safe

        async def stop_late(**kwargs):
            await stop(**kwargs)
            if driver.parts:
                assert select.select([driver.pgconn.socket], [], [], 20)[0]
                for _ in range(5):
                    await asyncio.sleep(0)

        with monkeypatch.context() as patched:
            patched.setattr(postgresql, "CLEANING", HELD)
            await bench.db.query("pg", PID)
        monkeypatch.setattr(driver, "cancel_safe", stop_late)
        query = asyncio.ensure_future(bench.db.query("pg", PID))
        await until(lambda: driver.parts == 1 and driver._waiting is not None)
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query
        await bench.db.query("pg", PID)

    with caplog.at_level(logging.WARNING):
        run_on(loop, work)
    assert not caplog.records


def test_a_refused_query_leaves_nothing_for_the_next_transaction(run_on):
    async def work(bench, pool):
        await used_link(bench, pool)
        with pytest.raises(InvalidParams):
            await bench.db.query("pg", "SELECT :a", {"b": 1})
        transaction = (await bench.db.begin("pg", readonly=True)).id
        begun = {(await bench.db.query("pg", "SELECT now()", transaction=transaction)).scalar() for _ in range(3)}
        assert len(begun) == 1
        await bench.db.rollback(transaction)

    run_on(asyncio.new_event_loop, work)


def test_more_parameters_than_the_protocol_counts_are_refused(run_on):
    async def work(bench, pool):
        _, pid = await used_link(bench, pool)
        values = [0] * 65536
        marks = ",".join("?" * len(values))
        with pytest.raises(InvalidParams, match="65535"):
            await bench.db.query("pg", f"SELECT 1 WHERE 0 IN ({marks})", values)
        assert (await bench.db.query("pg", PID)).scalar() == pid

    run_on(asyncio.new_event_loop, work)


@pytest.mark.parametrize("direction", ["(SELECT 1) TO STDOUT", "pg_temp.copied FROM STDIN"])
def test_a_cancelled_copy_does_not_hold_up_the_server(run_with, pg_uri, direction):
    async def work(bench):
        pool = bench.service._targets["pg"].writing
        async with pool.link("test") as link:
            await (await link.execute("CREATE TEMP TABLE copied (id INTEGER)", None, 1)).close()
            copy = f"COPY {direction}".encode()
            # What a cancelled task leaves behind when the answer to its COPY has come.
            await link.driver.wait(Chunks(link.driver).send_between((b"SELECT 1",), copy, None, 8, ()))
            await link._settle_or_break()
            assert link.is_broken
        assert (await bench.db.execute("pg", "SELECT 1")).scalar() == 1

    run_with(work, pg={"url": pg_uri, "pool_size": 1})
