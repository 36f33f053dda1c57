"""executemany, batches, scripts, savepoints: all or nothing, and each step known by its number."""

from __future__ import annotations

import gc

import pytest

from rpcserver import InvalidParams
from rpcservices.database.errors import (
    DatabaseError,
    DatabaseIntegrityError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
)
from rpcservices.database.models import Condition, Outcome, Step, TxState


async def make_table(db):
    await db.execute("main", "DROP TABLE IF EXISTS t")
    await db.execute("main", "CREATE TABLE t (id INTEGER PRIMARY KEY, label VARCHAR(20))")


async def labels(db):
    return [tuple(row) for row in await db.query("main", "SELECT id, label FROM t ORDER BY id")]


def test_executemany(run_with, any_database):
    async def work(bench):
        db = bench.db
        await make_table(db)
        done = await db.executemany("main", "INSERT INTO t VALUES (?, ?)", [[n, f"l{n}"] for n in range(50)])
        assert (done.rowcount, done.statements, done.tx_state) == (50, 50, TxState.NONE)
        done = await db.executemany(
            "main", "UPDATE t SET label = :l WHERE id = :i", [{"i": 1, "l": "a"}, {"l": "b", "i": 2}]
        )
        assert done.rowcount == 2
        assert (await labels(db))[:3] == [(0, "l0"), (1, "a"), (2, "b")]
        with pytest.raises(DatabaseIntegrityError):
            await db.executemany("main", "INSERT INTO t VALUES (?, ?)", [[100, "x"], [1, "twice"]])
        assert len(await labels(db)) == 50
        assert (await db.executemany("main", "INSERT INTO t VALUES (?, ?)", [])).rowcount == 0
        with pytest.raises(InvalidParams):
            await db.executemany("main", "INSERT INTO t VALUES (?, ?)", [[1]])

    run_with(work, main=any_database)


def test_an_atomic_batch_is_all_or_nothing(run_with, any_database):
    async def work(bench):
        db = bench.db
        await make_table(db)
        steps = [
            Step("INSERT INTO t VALUES (:id, 'one')", {"id": 1}),
            Step("SELECT label FROM t WHERE id = ?", [1]),
            Step("INSERT INTO t VALUES (2, 'no')", when=[Condition(1, Outcome.NO_ROWS)]),
            Step("INSERT INTO t VALUES (3, 'yes')", when=[Condition(1, Outcome.ROWS), Condition(2, Outcome.SKIPPED)]),
        ]
        results = await db.batch("main", steps)
        assert [step.outcome for step in results] == [Outcome.OK, Outcome.OK, Outcome.SKIPPED, Outcome.OK]
        assert results[1].result.scalar() == "one" and results[1].result.tx_state is TxState.NONE
        assert await labels(db) == [(1, "one"), (3, "yes")]
        with pytest.raises(DatabaseIntegrityError) as caught:
            await db.batch("main", [Step("INSERT INTO t VALUES (4, 'x')"), Step("INSERT INTO t VALUES (1, 'x')")])
        assert caught.value.step == 1
        assert len(await labels(db)) == 2
        with pytest.raises(DatabaseError, match="would end"):
            await db.batch("main", [Step("INSERT INTO t VALUES (5, 'x')"), Step("ROLLBACK"), Step("SELECT 1")])
        assert len(await labels(db)) == 2

    run_with(work, main=any_database)


def test_a_step_does_not_end_its_batch(run_with, any_database, sql):
    ends = ["COMMIT", " /* x */ rollback", "-- x\nCOMMIT WORK"]
    late: list[str] = []
    if sql.name == "postgresql":
        ends += ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "ABORT", "PREPARE TRANSACTION 'x'", "END", "END AND CHAIN"]
        ends += ["/* /* */ */ COMMIT AND CHAIN", "ROLLBACK/* TO */AND CHAIN"]
    if sql.name == "mariadb":
        ends += ["BEGIN", "START TRANSACTION", "CREATE TABLE u (x INT)", "TRUNCATE t", "DROP TABLE t", "/*! COMMIT */"]
        late = [
            "CALL ends()",
            "EXECUTE IMMEDIATE 'COMMIT'",
            "BEGIN NOT ATOMIC COMMIT; START TRANSACTION; END",
        ]

    async def work(bench):
        db = bench.db
        await make_table(db)
        if sql.name == "mariadb":
            await db.execute("main", "CREATE OR REPLACE PROCEDURE ends() BEGIN COMMIT; START TRANSACTION; END")
        await db.execute("main", "INSERT INTO t VALUES (1, 'one')")
        for statement in ends + late:
            steps = [Step("INSERT INTO t VALUES (2, 'x')"), Step(statement), Step("INSERT INTO t VALUES (1, 'again')")]
            with pytest.raises(
                DatabaseError, match="would end" if statement in ends else "what it committed"
            ) as caught:
                await db.batch("main", steps)
            assert caught.value.step == 1 and caught.value.tx_state == "none"
            assert caught.value.executed == ("no" if statement in ends else "yes")
            if statement in ends:
                assert await labels(db) == [(1, "one")]
            await db.execute("main", "DELETE FROM t WHERE id = 2")
        tx = (await db.begin("main")).id
        with pytest.raises(DatabaseError, match="would end"):
            await db.batch("main", [Step("COMMIT")], transaction=tx)
        done = await db.batch(
            "main",
            [Step("SAVEPOINT a"), Step("INSERT INTO t VALUES (3, 'x')"), Step("ROLLBACK TO SAVEPOINT a")],
            transaction=tx,
        )
        assert done[2].result.tx_state is TxState.ACTIVE
        await db.commit(tx)
        assert await labels(db) == [(1, "one")]

    run_with(work, main=any_database)


def test_what_changes_and_returns_has_changed(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await make_table(db)
        first = [
            "INSERT INTO t VALUES (1, 'a') RETURNING id",
            "DELETE FROM t WHERE id = 1 RETURNING id",
            "SELECT 1",
            "DELETE FROM t WHERE id = 9 RETURNING id",
        ]
        if sql.name != "mariadb":
            first += ["INSERT INTO t VALUES (2, 'b')", "UPDATE t SET label = 'c' WHERE id = 2 RETURNING id",
                      "WITH x AS (SELECT 2 AS i) UPDATE t SET label = 'd' WHERE id IN (SELECT i FROM x) RETURNING id"]  # fmt: skip
        for max_rows in (None, 0):
            for statement in first:
                steps = [Step(statement)] + [Step("SELECT 1", when=[Condition(0, one)]) for one in Outcome if one in
                         (Outcome.CHANGED, Outcome.UNCHANGED, Outcome.ROWS, Outcome.NO_ROWS)]  # fmt: skip
                done = await db.batch("main", steps, max_rows=max_rows)
                held = {
                    step.when[0].outcome
                    for step, one in zip(steps[1:], done[1:], strict=True)
                    if one.result is not None
                }
                changed = "SELECT 1" not in statement and "id = 9" not in statement
                found = "id = 9" not in statement and not statement.endswith("'b')")
                assert held == {
                    Outcome.CHANGED if changed else Outcome.UNCHANGED, Outcome.ROWS if found else Outcome.NO_ROWS
                }, (statement, max_rows)  # fmt: skip
            await db.execute("main", "DELETE FROM t")

    run_with(work, main=any_database)


def test_a_batch_that_is_not_atomic_goes_on(run_with, any_database):
    async def work(bench):
        db = bench.db
        await make_table(db)
        steps = [
            Step("INSERT INTO t VALUES (1, 'a')"),
            Step("INSERT INTO t VALUES (1, 'b')"),
            Step("UPDATE t SET label = 'c' WHERE id = 1", when=[Condition(1, Outcome.ERROR)]),
            Step("DELETE FROM t", when=[Condition(2, Outcome.UNCHANGED)]),
        ]
        results = await db.batch("main", steps, atomic=False)
        assert [step.outcome.value for step in results] == ["ok", "error", "ok", "skipped"]
        assert results[1].error.type == "DatabaseIntegrityError"
        assert results[2].result.tx_state is TxState.NONE
        assert await labels(db) == [(1, "c")]

    run_with(work, main=any_database)


def test_a_condition_must_be_on_an_earlier_step(run_with):
    async def work(bench):
        with pytest.raises(InvalidParams, match=r"steps\.0\.when\.0\.step"):
            await bench.db.batch("main", [Step("SELECT 1", when=[Condition(0)])])

    run_with(work)


def test_a_script(run_with, any_database, tmp_path):
    async def work(bench):
        db = bench.db
        await make_table(db)
        done = await db.script(
            "main",
            "INSERT INTO t VALUES (1, 'a;b'); -- a comment;\nINSERT INTO t VALUES (2, 'c');\n/* ; */ UPDATE t SET label = 'd'",
        )
        assert (done.statements, done.rowcount) == (3, 4)
        with pytest.raises(DatabaseError):
            await db.script("main", "INSERT INTO t VALUES (3, 'a'); INSERT INTO t VALUES (1, 'a')")
        assert await labels(db) == [(1, "d"), (2, "d")]
        with pytest.raises(DatabaseNotSupportedError):
            await db.script("reading", "DELETE FROM t")
        tx = await db.begin("main", readonly=True)
        with pytest.raises(DatabaseNotSupportedError):
            await db.script("main", "DELETE FROM t", transaction=tx.id)
        assert (await db.query("main", "SELECT 1")).scalar() == 1

    url = any_database.get("url", f"sqlite:///{tmp_path}/main.sqlite3")
    run_with(work, main=any_database, reading={"url": url, "readonly": True})


def test_a_script_with_a_trigger(run_with):
    async def work(bench):
        await bench.db.script(
            "main",
            "CREATE TABLE a (x); CREATE TABLE b (x);"
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO b VALUES (new.x); INSERT INTO b VALUES (';'); END;"
            "INSERT INTO a VALUES (1)",
        )
        assert len(await bench.db.query("main", "SELECT x FROM b")) == 2

    run_with(work)


def test_savepoints(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await make_table(db)
        tx = await db.begin("main")
        await db.execute("main", "INSERT INTO t VALUES (1, 'a')", transaction=tx.id)
        await db.savepoint(tx.id, "before")
        with pytest.raises(DatabaseError):
            await db.execute("main", "INSERT INTO t VALUES (1, 'b')", transaction=tx.id)
        await db.rollback_to(tx.id, "before")
        done = await db.execute("main", "INSERT INTO t VALUES (2, 'b')", transaction=tx.id)
        assert done.tx_state is TxState.ACTIVE
        await db.release(tx.id, "before")
        with pytest.raises(DatabaseError):
            await db.rollback_to(tx.id, "before")
        if sql.name != "postgresql":
            await db.renew(tx.id)
            await db.commit(tx.id)
            assert await labels(db) == [(1, "a"), (2, "b")]
        with pytest.raises(InvalidParams):
            await db.savepoint(tx.id, "a; DROP TABLE t")

    run_with(work, main=any_database)


def test_a_batch_whose_transaction_cannot_begin(run_with, recwarn):
    async def work(bench):
        db = bench.db
        await make_table(db)
        await db.begin("main")
        with pytest.raises(DatabaseOperationalError, match="locked"):
            await db.batch("main", [Step("INSERT INTO t VALUES (1, 'a')")])

    run_with(work, main={"busy_timeout_s": 0.0})
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []
