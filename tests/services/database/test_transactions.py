"""Transactions: committed, rolled back, lost; and a clean connection afterwards."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from rpcserver import Busy
from rpcservices.database.errors import DatabaseError, DatabaseOperationalError, TransactionLost
from rpcservices.database.models import Isolation, TxState


async def make_table(db):
    await db.execute("main", "DROP TABLE IF EXISTS t")
    await db.execute("main", "CREATE TABLE t (id INTEGER PRIMARY KEY)")


async def count(db):
    return (await db.query("main", "SELECT count(*) FROM t")).scalar()


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


def test_commit_and_rollback(run_with, any_database):
    async def work(bench):
        db = bench.db
        await make_table(db)
        for number, (finish, expected) in enumerate(((db.commit, 1), (db.rollback, 1))):
            tx = await db.begin("main")
            done = await db.execute("main", f"INSERT INTO t VALUES ({number})", transaction=tx.id)
            assert done.tx_state is TxState.ACTIVE
            assert (await db.query("main", "SELECT count(*) FROM t", transaction=tx.id)).scalar() >= 1
            await finish(tx.id)
            assert await count(db) == expected
            with pytest.raises(TransactionLost, match="it was"):
                await db.execute("main", "INSERT INTO t VALUES (3)", transaction=tx.id)

    run_with(work, main=any_database)


def test_a_readonly_transaction_refuses_changes(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        tx = await bench.db.begin("main", readonly=True)
        with pytest.raises(DatabaseError):
            await bench.db.execute("main", "INSERT INTO t VALUES (1)", transaction=tx.id)

    run_with(work, main=any_database)


def test_isolation(run_with, pg_uri):
    async def work(bench):
        tx = await bench.db.begin("main", isolation=Isolation.REPEATABLE_READ)
        found = await bench.db.query("main", "SHOW transaction_isolation", transaction=tx.id)
        assert found.scalar() == "repeatable read"

    run_with(work, main={"url": pg_uri})


def test_the_state_after_an_error_is_told(run_with, any_database, sql):
    async def work(bench):
        await make_table(bench.db)
        tx = await bench.db.begin("main")
        await bench.db.execute("main", "INSERT INTO t VALUES (1)", transaction=tx.id)
        with pytest.raises(DatabaseError) as caught:
            await bench.db.execute("main", "INSERT INTO t VALUES (1)", transaction=tx.id)
        expected = "failed" if sql.name == "postgresql" else "active"
        assert caught.value.tx_state == expected
        await bench.db.rollback(tx.id)

    run_with(work, main=any_database)


def test_the_state_after_an_error_of_our_own_is_told(run_with):
    async def work(bench):
        tx = await bench.db.begin("main")
        with pytest.raises(DatabaseError) as caught:  # Text that is none cannot be sent.
            await bench.db.query("main", "SELECT CAST(x'ff' AS TEXT)", transaction=tx.id)
        assert caught.value.tx_state == caught.value.details["tx_state"] == "active"
        await bench.db.commit(tx.id)

    run_with(work)


def test_a_commit_in_sql_ends_the_transaction(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        tx = await bench.db.begin("main")
        await bench.db.execute("main", "INSERT INTO t VALUES (1)", transaction=tx.id)
        done = await bench.db.execute("main", "COMMIT", transaction=tx.id)
        assert done.tx_state is TxState.ENDED
        with pytest.raises(TransactionLost, match="the database ended it"):
            await bench.db.execute("main", "INSERT INTO t VALUES (2)", transaction=tx.id)
        assert await count(bench.db) == 1

    run_with(work, main=any_database)


def test_a_transaction_belongs_to_its_connection(run_with, any_database):
    async def work(bench):
        tx = await bench.db.begin("main")
        with pytest.raises(TransactionLost):
            await bench.peer("other").query("main", "SELECT 1", transaction=tx.id)

    run_with(work, main=any_database)


def test_a_vanished_client_rolls_back(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        for number in range(5):  # More than the pool holds.
            peer = bench.peer(f"gone{number}")
            tx = await peer.begin("main")
            await peer.execute("main", "INSERT INTO t VALUES (1)", transaction=tx.id)
            peer.connection.close()
        await bench.db.execute("main", "INSERT INTO t VALUES (1)")
        assert await count(bench.db) == 1
        assert len(bench.service._transactions) == 0

    run_with(work, main={**any_database, "pool_size": 2})


def test_a_vanished_client_stops_its_running_statement(run_with, any_database, sql):
    async def work(bench):
        await make_table(bench.db)
        peer = bench.peer("gone")
        tx = await peer.begin("main")
        running = asyncio.ensure_future(peer.execute("main", sql.endless("count(*)"), transaction=tx.id))
        open_transaction = bench.service._transactions._open[tx.id]

        async def started():
            return open_transaction.lock.locked()

        await until(started)
        peer.connection.close()
        with pytest.raises(TransactionLost, match="the connection closed"):
            await asyncio.wait_for(running, 10)
        await bench.db.execute("main", "INSERT INTO t VALUES (1)")

    run_with(work, main={**any_database, "pool_size": 1})


@pytest.mark.parametrize(("key", "reason"), [("transaction_idle_s", "unused for"), ("transaction_total_s", "open for")])
def test_a_transaction_times_out(run_with, any_database, key, reason):
    async def work(bench):
        await make_table(bench.db)
        tx = await bench.db.begin("main")

        async def gone():
            return not len(bench.service._transactions)

        await until(gone)
        with pytest.raises(TransactionLost, match=reason):
            await bench.db.query("main", "SELECT 1", transaction=tx.id)
        await bench.db.execute("main", "INSERT INTO t VALUES (1)")

    run_with(work, main={**any_database, key: 0.05, "pool_size": 1})


def test_a_client_has_a_limit_of_transactions(run_with):
    async def work(bench):
        await bench.db.begin("main", readonly=True)
        with pytest.raises(Busy):
            await bench.db.begin("main", readonly=True)

    run_with(work, main={"transactions_per_connection": 1})


def test_no_free_connection_in_time(run_with, any_database):
    async def work(bench):
        await bench.db.begin("main")
        with pytest.raises(DatabaseOperationalError, match="pool_size") as caught:
            await bench.db.begin("main")
        assert caught.value.retryable and caught.value.executed == "no"

    run_with(work, main={**any_database, "pool_size": 1, "pool_timeout_s": 0.05})


def test_a_lock_is_waited_for_and_then_an_error(run_with):
    async def work(bench):
        await make_table(bench.db)
        tx = await bench.db.begin("main")
        with pytest.raises(DatabaseOperationalError, match="locked") as caught:
            await bench.db.execute("main", "INSERT INTO t VALUES (1)")
        assert caught.value.retryable
        waiting = asyncio.ensure_future(bench.db.execute("main", "INSERT INTO t VALUES (1)"))
        await asyncio.sleep(0)
        await bench.db.commit(tx.id)
        assert (await waiting).rowcount == 1

    run_with(work, main={"busy_timeout_s": 0.2})


def test_a_connection_that_meets_a_lock(run_with, tmp_path):
    """A new connection waits for the lock as a statement does, and attaches what is still to be attached."""
    files = [tmp_path / name for name in ("main.db", "first.db", "second.db")]
    for file in files:
        with closing(sqlite3.connect(file)) as made:
            made.execute("CREATE TABLE t (x INTEGER)")

    async def work(bench):
        for file in files:
            with closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                asking = asyncio.ensure_future(bench.db.query("main", "SELECT count(*) FROM second.t, first.t, main.t"))
                done, _ = await asyncio.wait([asking], timeout=0.3)
                assert not done
                other.execute("COMMIT")
            assert (await asking).scalar() == 0
            await bench.db.connect("main", readonly=True)  # It keeps the connection: the next query makes another.

    attached = {"first": files[1], "second": files[2]}
    run_with(work, main={"url": f"sqlite:///{files[0]}", "attached": attached})
