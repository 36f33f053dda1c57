"""Transactions as the clients have them: committed at the end, rolled back on the way out, their state always known."""

from __future__ import annotations

import asyncio

import pytest

from rpcclient.errors import DeadlineExceeded, InvalidParams
from rpcclient.stubs.database import (
    DatabaseError,
    DatabaseIntegrityError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    Isolation,
    Result,
    TransactionLost,
    TxState,
)


@pytest.fixture
def client(daemon):
    with daemon.connect() as client:
        client.database.execute("main", "DROP TABLE IF EXISTS t")
        client.database.execute("main", "CREATE TABLE t (id INTEGER PRIMARY KEY)")
        yield client


def ids(client):
    return client.database.query("main", "SELECT id FROM t ORDER BY id").column("id")


def test_it_commits_at_the_end(client):
    with client.database.transaction("main") as tx:
        assert tx.state is TxState.ACTIVE and tx.info.database == "main" and tx.info.idle_s == 30
        assert tx.execute("INSERT INTO t VALUES (:id)", {"id": 1}).tx_state is TxState.ACTIVE
        tx.executemany("INSERT INTO t VALUES (?)", [[2], [3]])
        assert isinstance(tx.query("SELECT id FROM t"), Result)
        with tx.stream("SELECT id FROM t ORDER BY id") as pages:
            assert [row.id for page in pages for row in page] == [1, 2, 3]
        assert tx.renew() is TxState.ACTIVE
    assert tx.state is TxState.ENDED
    assert ids(client) == [1, 2, 3]


def test_it_rolls_back_on_the_way_out(client):
    with pytest.raises(ZeroDivisionError) as caught, client.database.transaction("main") as tx:
        tx.execute("INSERT INTO t VALUES (1)")
        _ = 1 / 0
    assert tx.state is TxState.ENDED and not hasattr(caught.value, "__notes__")
    assert ids(client) == []


def test_it_can_be_ended_before_the_end(client):
    with client.database.transaction("main") as tx:
        tx.execute("INSERT INTO t VALUES (1)")
        tx.commit()
        with pytest.raises(TransactionLost, match="it was committed"):
            tx.execute("INSERT INTO t VALUES (2)")
    with client.database.transaction("main") as tx:
        tx.execute("INSERT INTO t VALUES (3)")
        tx.rollback()
    with client.database.transaction("main") as tx:
        tx.execute("INSERT INTO t VALUES (4)")
        assert tx.execute("ROLLBACK").tx_state is TxState.ENDED
    assert ids(client) == [1]


def test_one_by_one(client):
    tx = client.database.transaction("main")
    assert tx.state is TxState.NONE
    with pytest.raises(TransactionLost, match="call begin"):
        tx.query("SELECT 1")
    for number in (1, 2):
        tx.begin()
        with pytest.raises(DatabaseProgrammingError, match="open already"):
            tx.begin()
        tx.execute("INSERT INTO t VALUES (?)", [number])
        tx.commit()
    assert ids(client) == [1, 2]


def test_the_state_after_each_error(client, daemon):
    with client.database.transaction("main") as tx:
        tx.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(DatabaseIntegrityError) as caught:
            tx.execute("INSERT INTO t VALUES (1)")
        expected = TxState.FAILED if daemon.kind == "postgresql" else TxState.ACTIVE
        assert tx.state is expected and caught.value.tx_state == expected.value
        assert tx.renew() is expected
        with pytest.raises(InvalidParams):
            tx.query("SELECT 1", max_rows="many")  # type: ignore[arg-type]
        assert tx.state is expected
        tx.rollback()
    assert ids(client) == []


def test_a_failed_transaction_does_not_pretend_to_commit(client, daemon):
    def fail():
        with client.database.transaction("main") as tx:
            tx.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(DatabaseError):
                tx.query("SELECT nothing FROM nowhere")

    if daemon.kind == "postgresql":
        with pytest.raises(DatabaseOperationalError, match="had failed, and has been rolled back") as caught:
            fail()
        assert caught.value.tx_state == "ended" and caught.value.sqlstate == "25P02"
        assert ids(client) == []
    else:
        fail()
        assert ids(client) == [1]


def test_the_state_after_a_deadline(client, daemon):
    impatient = client.options(timeout_s=0.3)
    with client.database.transaction("main") as tx:
        tx.execute("INSERT INTO t VALUES (1)")
        tx._database = impatient.database
        with pytest.raises(DeadlineExceeded):
            tx.query(daemon.sql.endless("count(*)"))
        tx._database = client.database
        assert tx.state is None
        assert tx.renew() is (TxState.FAILED if daemon.kind == "postgresql" else TxState.ACTIVE)
        tx.rollback()
    assert ids(client) == []


def test_savepoints(client):
    with client.database.transaction("main") as tx:
        tx.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(DatabaseIntegrityError), tx.savepoint():
            tx.execute("INSERT INTO t VALUES (2)")
            tx.execute("INSERT INTO t VALUES (1)")
        assert tx.state is TxState.ACTIVE
        with tx.savepoint("outer"):
            tx.execute("INSERT INTO t VALUES (3)")
            with pytest.raises(ZeroDivisionError), tx.savepoint():
                tx.execute("INSERT INTO t VALUES (4)")
                _ = 1 / 0
            with tx.savepoint() as point:
                tx.execute("INSERT INTO t VALUES (5)")
                point.rollback()
                tx.execute("INSERT INTO t VALUES (6)")
        with pytest.raises(InvalidParams, match="name"), tx.savepoint("1; DROP"):
            pass
    assert ids(client) == [1, 3, 6]


def test_leaving_several_savepoints_by_one_error(client):
    with pytest.raises(DatabaseIntegrityError) as caught, client.database.transaction("main") as tx, tx.savepoint():
        tx.execute("INSERT INTO t VALUES (1)")
        with tx.savepoint():
            tx.execute("INSERT INTO t VALUES (1)")
    assert not hasattr(caught.value, "__notes__")
    assert ids(client) == []


def test_a_savepoint_of_an_ended_transaction(client):
    with client.database.transaction("main") as tx, tx.savepoint():
        tx.execute("INSERT INTO t VALUES (1)")
        tx.commit()
    assert ids(client) == [1]


def test_readonly_and_isolation(client, daemon):
    with client.database.transaction("main", readonly=True) as tx:
        assert tx.info.readonly
        with pytest.raises(DatabaseError):
            tx.execute("INSERT INTO t VALUES (1)")
        tx.rollback()
    with client.database.transaction("main", isolation="serializable") as tx:
        assert tx.info.isolation is Isolation.SERIALIZABLE
    with pytest.raises(InvalidParams, match="'repeatable read'"):
        client.database.transaction("main", isolation="snapshot")


def test_it_belongs_to_its_connection(client, daemon):
    other = daemon.connect().connect()
    tx = other.database.transaction("main")
    tx.begin()
    tx.execute("INSERT INTO t VALUES (1)")
    other.close()
    with pytest.raises(Exception), tx:  # noqa: B017 - entering it again is refused already
        pass
    client.database.execute("main", "INSERT INTO t VALUES (1)")
    assert ids(client) == [1]


def test_a_lost_connection_is_told(client, daemon):
    with daemon.connect() as other:
        with pytest.raises(TransactionLost), other.database.transaction("main") as tx:
            tx.execute("INSERT INTO t VALUES (1)")
            other._connector.live.link.abort()
            assert client.database.query("main", "SELECT 1").scalar() == 1
            while other.connected:
                pass
            tx.execute("INSERT INTO t VALUES (2)")  # Sent anew over another connection.
        assert tx.state is TxState.ENDED
    client.database.execute("main", "INSERT INTO t VALUES (1)")
    assert ids(client) == [1]


def test_with_asyncio(client, daemon):
    async def main():
        async with daemon.connect_async() as client:
            async with client.database.transaction("main") as tx:
                assert (await tx.execute("INSERT INTO t VALUES (:id)", {"id": 1})).tx_state is TxState.ACTIVE
                await tx.executemany("INSERT INTO t VALUES (?)", [[2], [3]])
                assert (await tx.query("SELECT count(*) FROM t")).scalar() == 3
                async with tx.stream("SELECT id FROM t ORDER BY id") as pages:
                    assert [row.id async for page in pages for row in page] == [1, 2, 3]
                with pytest.raises(DatabaseIntegrityError):
                    async with tx.savepoint():
                        await tx.execute("INSERT INTO t VALUES (1)")
                assert await tx.renew() is TxState.ACTIVE
                assert (await tx.explain("SELECT id FROM t")).text
                assert [c.name for c in (await tx.describe("SELECT id FROM t")).columns] == ["id"]
            with pytest.raises(ZeroDivisionError):
                async with client.database.transaction("main", readonly=False) as tx:
                    await tx.execute("DELETE FROM t")
                    _ = 1 / 0
            assert tx.state is TxState.ENDED

    asyncio.run(main())
    assert ids(client) == [1, 2, 3]


def test_a_cancelled_task_rolls_back(client, daemon):
    async def main():
        async with daemon.connect_async() as aio:
            began = asyncio.Event()

            async def work():
                async with aio.database.transaction("main") as tx:
                    await tx.execute("INSERT INTO t VALUES (1)")
                    began.set()
                    await tx.query(daemon.sql.endless("count(*)"))

            task = asyncio.ensure_future(work())
            await began.wait()
            await asyncio.sleep(0.05)  # So that the statement is at work; it makes no difference to the outcome.
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 10)
            await aio.database.execute("main", "INSERT INTO t VALUES (1)")

    asyncio.run(main())
    assert ids(client) == [1]


def test_many_sets_of_parameters_go_in_several_messages(daemon):
    """All of them count, or none; in a transaction what came before stays."""
    sets = [[number, "x" * 50] for number in range(30_000)]
    with daemon.connect() as client:
        db = client.database
        db.execute("main", "DROP TABLE IF EXISTS many")
        db.execute("main", "CREATE TABLE many (id INTEGER PRIMARY KEY, x TEXT)")
        changed = db.executemany("main", "INSERT INTO many VALUES (?, ?)", sets)
        assert (changed.rowcount, changed.statements, changed.tx_state.value) == (30_000, 30_000, "none")
        with pytest.raises(DatabaseIntegrityError):
            db.executemany("main", "INSERT INTO many VALUES (?, ?)", [[-number, "y"] for number in range(30_000)])
        assert db.query("main", "SELECT count(*) FROM many").scalar() == 30_000
        with db.transaction("main") as tx:
            tx.execute("INSERT INTO many VALUES (-5, 'z')")
            with pytest.raises(DatabaseIntegrityError):
                tx.executemany(
                    "INSERT INTO many VALUES (?, ?)", [[number + 50_000, "y"] for number in range(9000)] + sets[:1]
                )
            assert (
                tx.executemany("DELETE FROM many WHERE id = :id", [{"id": number} for number in range(20_000)]).rowcount
                == 20_000
            )
        assert db.query("main", "SELECT count(*) FROM many").scalar() == 10_001
