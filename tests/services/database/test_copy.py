"""COPY of PostgreSQL from and to the client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from rpcserver import Principal
from rpcservices.database.errors import (
    DatabaseDataError,
    DatabaseError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    DatabaseRefused,
)
from rpcservices.database.models import TxState

MANY = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT"


async def rows(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def never() -> AsyncIterator[bytes]:
    yield b"1\tone\n"
    await asyncio.Event().wait()


async def make_table(db):
    await db.execute("main", "DROP TABLE IF EXISTS copied")
    await db.execute("main", "CREATE TABLE copied (id int PRIMARY KEY, x text)")


async def count(db, transaction=None):
    return (await db.query("main", "SELECT count(*) FROM copied", transaction=transaction)).scalar()


async def read(db, sql, transaction=None):
    return b"".join([piece async for piece in await db.copy_out("main", sql, transaction=transaction)])


def test_there_and_back(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        await make_table(db)
        big = b"".join(b"%d\t%s\n" % (i, b"y" * 100) for i in range(10_000))
        done = await db.copy_in("main", "-- x\nCOPY copied FROM STDIN", rows(b"-1\to", b"ne\n", b"", big))
        assert (done.rowcount, done.tx_state) == (10_001, TxState.NONE)
        assert await read(db, "COPY (SELECT * FROM copied ORDER BY id) TO STDOUT") == b"-1\tone\n" + big
        assert await read(db, "COPY (SELECT 1 WHERE false) TO STDOUT") == b""
        tx = (await db.begin("main")).id
        done = await db.copy_in("main", "COPY copied FROM STDIN CSV", rows(b'-2,"a\nb"\n'), transaction=tx)
        assert (done.rowcount, done.tx_state) == (1, TxState.ACTIVE)
        assert await read(db, "COPY (SELECT x FROM copied WHERE id = -2) TO STDOUT", tx) == b"a\\nb\n"
        await db.rollback(tx)
        assert await count(db) == 10_001

    run_with(work, main={"url": pg_uri})


def test_all_or_nothing(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        await make_table(db)
        with pytest.raises(DatabaseDataError, match="invalid input") as caught:
            await db.copy_in("main", "COPY copied FROM STDIN", rows(b"1\tone\n", b"x\ttwo\n"))
        assert caught.value.sqlstate == "22P02"

        async def broken() -> AsyncIterator[bytes]:
            yield b"1\tone\n"
            raise ZeroDivisionError

        tx = (await db.begin("main")).id
        with pytest.raises(ZeroDivisionError):
            await db.copy_in("main", "COPY copied FROM STDIN", broken(), transaction=tx)
        assert await db.renew(tx) is TxState.FAILED
        await db.rollback(tx)
        assert await count(db) == 0

    run_with(work, main={"url": pg_uri})


def test_a_client_that_is_cancelled_or_silent(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        await make_table(db)
        session = (await db.connect("main")).id
        for transaction in (None, session):
            task = asyncio.ensure_future(db.copy_in("main", "COPY copied FROM STDIN", never(), transaction=transaction))
            while not (await db.query("main", "SELECT count(*) FROM pg_stat_progress_copy")).scalar():
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await count(db, transaction) == 0
        with pytest.raises(DatabaseOperationalError, match=r"nobody sent anything for 0\.2 s"):
            await db.copy_in("main", "COPY copied FROM STDIN", never(), transaction=session)
        assert await count(db, session) == 0

    run_with(work, main={"url": pg_uri, "stream_idle_s": 0.2, "pool_size": 2})


def test_streams_that_are_left_early(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        session = (await db.connect("main")).id
        for transaction in (None, session):
            stream = await db.copy_out("main", MANY, transaction=transaction)
            assert (await anext(stream)).startswith(b"xxx")
            await stream.aclose()
            assert (await db.query("main", "SELECT 1", transaction=transaction)).scalar() == 1
        tx = (await db.begin("main")).id
        await db.execute("main", "CREATE TEMP TABLE mine AS SELECT 1", transaction=tx)
        stream = await db.copy_out("main", MANY.replace("1000000", "20000"), transaction=tx)
        await anext(stream)
        await stream.aclose()
        assert (await db.query("main", "SELECT * FROM mine", transaction=tx)).scalar() == 1
        await db.rollback(tx)

    run_with(work, main={"url": pg_uri, "read_pool_size": 1})


def test_an_error_midway(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        with pytest.raises(DatabaseDataError, match="division by zero"):
            await read(db, "COPY (SELECT 1 / (5000 - i) FROM generate_series(1, 10000) i) TO STDOUT")
        assert (await db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={"url": pg_uri, "read_pool_size": 1})


@pytest.mark.parametrize(
    ("method", "sql", "said"),
    [
        ("in", "INSERT INTO copied VALUES (1)", "a COPY is wanted here"),
        ("out", "DELETE FROM copied", "a COPY is wanted here"),
        ("in", "COPY copied TO STDOUT", "COPY … FROM STDIN"),
        ("out", "COPY copied FROM STDIN", "cannot execute COPY FROM|COPY … TO STDOUT"),
        ("in", "COPY copied FROM STDIN; DELETE FROM copied", "multiple commands"),
        ("in", "COPY copied FROM '/etc/passwd'", "permission denied|must be superuser"),
        ("out", "COPY (INSERT INTO copied VALUES (1) RETURNING id) TO STDOUT", "read-only"),
        ("out", "COPY nowhere TO STDOUT", "nowhere"),
    ],
)
def test_what_is_refused(run_with, pg_uri, method, sql, said):
    async def work(bench):
        db = bench.db
        await make_table(db)
        session = (await db.connect("main")).id
        for transaction in (None, session):
            with pytest.raises(DatabaseError, match=said):
                if method == "in":
                    await db.copy_in("main", sql, rows(b"1\tone\n"), transaction=transaction)
                elif "INSERT" not in sql or transaction is None:
                    await read(db, sql, transaction)
                else:
                    raise DatabaseProgrammingError("read-only")
            assert await count(db, transaction) == 0

    run_with(work, main={"url": pg_uri})


def test_where_only_reading_is_allowed(run_with, pg_uri):
    async def work(bench):
        db, still = bench.db, bench.peer("c2")
        await make_table(db)
        with pytest.raises(DatabaseError, match="read-only"):
            await still.copy_in("still", "COPY copied FROM STDIN", rows(b"1\tone\n"))
        tx = (await db.begin("main", readonly=True)).id
        with pytest.raises(DatabaseError, match="read-only"):
            await db.copy_in("main", "COPY copied FROM STDIN", rows(b"1\tone\n"), transaction=tx)
        await db.rollback(tx)
        session = (await db.connect("main", readonly=True)).id
        await db.query("main", "SET default_transaction_read_only = off", transaction=session)
        with pytest.raises(DatabaseError, match="read-only"):
            await db.copy_in("main", "COPY copied FROM STDIN", rows(b"1\tone\n"), transaction=session)
        assert await count(db) == 0
        ada = bench.peer("c3", Principal("ada", "memory", os.geteuid() + 1))
        with pytest.raises(DatabaseRefused):
            await ada.copy_in("main", "COPY copied FROM STDIN", rows(b"1\tone\n"))
        assert b"".join([piece async for piece in await ada.copy_out("main", "COPY copied TO STDOUT")]) == b""

    readers = {"principals": ["ada"], "permissions": ["database.*"], "database": {"may": {"main": ["query"]}}}
    run_with(work, roles={"readers": readers}, main={"url": pg_uri}, still={"url": pg_uri, "readonly": True})


def test_in_another_kind_of_database(run_with, my_uri):
    async def work(bench):
        for name in ("main", "lite"):
            with pytest.raises(DatabaseNotSupportedError, match="only PostgreSQL has COPY: use executemany"):
                await bench.db.copy_in(name, "COPY t FROM STDIN", rows())
            with pytest.raises(DatabaseNotSupportedError, match="only PostgreSQL has COPY: use stream"):
                await bench.db.copy_out(name, "COPY t TO STDOUT")

    run_with(work, main={"url": my_uri}, lite={})
