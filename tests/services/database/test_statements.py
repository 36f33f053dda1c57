"""Queries, changes, parameters, limits and errors, on each kind of database."""

from __future__ import annotations

import pytest

from rpcserver import InvalidParams
from rpcservices.database.errors import (
    DatabaseDataError,
    DatabaseIntegrityError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    UnknownDatabase,
)
from rpcservices.database.models import ColumnType, TxState


async def make_table(db, name="t"):
    await db.execute("main", f"DROP TABLE IF EXISTS {name}")
    await db.execute("main", f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, label TEXT)")


def test_rows_are_tuples_with_names(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        changed = await bench.db.execute("main", "INSERT INTO t VALUES (:id, :label)", {"id": 1, "label": "Ä:b?%s"})
        assert (changed.rowcount, changed.tx_state) == (1, TxState.NONE)
        found = await bench.db.query("main", "SELECT id, label FROM t WHERE id = ? AND label <> '?:x'", [1])
        assert found.rows == [(1, "Ä:b?%s")]
        assert found.one().label == "Ä:b?%s"
        assert [c.name for c in found.columns] == ["id", "label"]
        assert [c.type for c in found.columns] == [ColumnType.INTEGER, ColumnType.TEXT]
        assert found.rowcount == 1 and not found.truncated

    run_with(work, main=any_database)


def test_a_result_of_nothing_keeps_its_columns(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        found = await bench.db.query("main", "SELECT id, label FROM t")
        assert [c.name for c in found.columns] == ["id", "label"]
        assert len(found) == 0 and found.rowcount == 0

    run_with(work, main=any_database)


def test_returning_rows_from_a_change(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        made = await bench.db.execute("main", "INSERT INTO t VALUES (1, 'a'), (2, 'b') RETURNING id")
        assert made.rows == [(1,), (2,)]
        assert (await bench.db.query("main", "SELECT count(*) FROM t")).scalar() == 2

    run_with(work, main=any_database)


def test_results_are_cut_at_rows_and_bytes(run_with, any_database, sql):
    async def work(bench):
        found = await bench.db.query("main", sql.numbers(5000, "1"), max_rows=1234)
        assert found.truncated and [row[0] for row in found] == list(range(1, 1235))
        whole = await bench.db.query("main", sql.numbers(2000, "1"), max_rows=2000)
        assert not whole.truncated and len(whole) == 2000 and whole.rowcount == 2000
        wide = await bench.db.query("main", sql.numbers(5000, "'xxxxxxxxxxxxxxx'"))
        assert wide.truncated and 0 < len(wide) < 5000
        assert [row[0] for row in wide] == list(range(1, len(wide) + 1))
        assert len(wide.rows.packed()) <= 10_100

    run_with(work, main={**any_database, "max_bytes": 10_000})


def test_a_row_beyond_a_limit_names_the_limit(run_with, any_database):
    async def work(bench):
        sql = f"SELECT '{'x' * 5000}' AS x"
        with pytest.raises(DatabaseDataError, match=r"limit of 2000: .* raise max_bytes$"):
            await bench.db.query("main", sql)
        with pytest.raises(DatabaseDataError, match=r"raise max_row_bytes$"):
            [page async for page in await bench.db.stream("main", sql.replace("x' AS", "x" * 20_000 + "' AS"))]

    run_with(work, main={**any_database, "max_bytes": 2000, "max_row_bytes": 20_000})


def test_query_cannot_change_anything(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        for sql in (
            "INSERT INTO t VALUES (1, 'a')",
            "CREATE TABLE u (x INTEGER)",
            "DROP TABLE t",
            "/**/ DELETE FROM t",
        ):
            with pytest.raises(DatabaseProgrammingError):
                await bench.db.query("main", sql)

    run_with(work, main=any_database)


def test_one_statement_at_a_time(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        with pytest.raises(DatabaseProgrammingError):
            await bench.db.execute("main", "INSERT INTO t VALUES (1, 'a'); DROP TABLE t")
        assert (await bench.db.query("main", "SELECT count(*) FROM t")).scalar() == 0

    run_with(work, main=any_database)


def test_errors_carry_class_and_codes(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        await bench.db.execute("main", "INSERT INTO t VALUES (1, 'a')")
        with pytest.raises(DatabaseIntegrityError) as caught:
            await bench.db.execute("main", "INSERT INTO t VALUES (1, 'b')")
        codes = {("23505", None), (None, "SQLITE_CONSTRAINT_PRIMARYKEY"), ("23000", "1062")}
        assert (caught.value.sqlstate, caught.value.driver_code) in codes
        assert caught.value.tx_state == "none" and not caught.value.retryable
        with pytest.raises(DatabaseProgrammingError, match="nowhere"):
            await bench.db.query("main", "SELECT * FROM nowhere")

    run_with(work, main=any_database)


@pytest.mark.parametrize(
    ("sql", "params", "loc"),
    [
        ("SELECT :a", {}, ["params", "a"]),
        ("SELECT :a", {"a": 1, "b": 2}, ["params", "b"]),
        ("SELECT ?, ?", [1], ["params"]),
        ("SELECT ?", [1, 2], ["params"]),
    ],
)
def test_wrong_parameters_are_named(run_with, any_database, sql, params, loc):
    async def work(bench):
        with pytest.raises(InvalidParams) as caught:
            await bench.db.query("main", sql, params)
        assert caught.value.errors[0]["loc"] == loc

    run_with(work, main=any_database)


def test_an_unknown_database_names_the_known(run_with):
    async def work(bench):
        with pytest.raises(UnknownDatabase, match="there are: main") as caught:
            await bench.db.query("nope", "SELECT 1")
        assert caught.value.database == "nope"

    run_with(work)


def test_a_statement_may_not_leave_a_transaction_open(run_with, any_database):
    async def work(bench):
        await make_table(bench.db)
        with pytest.raises(DatabaseProgrammingError, match="call begin"):
            await bench.db.execute("main", "BEGIN")
        await bench.db.execute("main", "INSERT INTO t VALUES (1, 'a')")
        assert (await bench.db.query("main", "SELECT count(*) FROM t")).scalar() == 1

    run_with(work, main=any_database)


def test_databases_are_listed_without_urls(run_with, pg_uri):
    async def work(bench):
        listed = {info.name: info for info in await bench.db.databases()}
        assert (listed["main"].dialect, listed["main"].readonly) == ("sqlite", False)
        assert (listed["pg"].dialect, listed["pg"].driver, listed["pg"].readonly) == ("postgresql", "psycopg", True)
        assert "secret" not in repr(listed)

    run_with(work, main={}, pg={"url": pg_uri, "readonly": True})


def test_a_superuser_is_refused_unless_allowed(run_with, pg_superuser):
    async def work(bench):
        with pytest.raises(DatabaseOperationalError, match="allow_privileged_role"):
            await bench.db.query("pg", "SELECT 1")
        assert (await bench.db.query("allowed", "SELECT 1")).scalar() == 1

    run_with(work, pg={"url": pg_superuser}, allowed={"url": pg_superuser, "allow_privileged_role": True})


def test_no_secret_in_the_errors_of_a_connection(run_with):
    async def work(bench):
        with pytest.raises(DatabaseOperationalError) as caught:
            await bench.db.query("gone", "SELECT 1")
        assert "hunter2" not in str(caught.value)

    run_with(work, gone={"url": "postgresql://app:hunter2@127.0.0.1:1/x?application_name=hunter2"})


def test_settings_of_one_user_do_not_reach_the_next(run_with, pg_uri):
    async def work(bench):
        for _ in range(4):
            await bench.db.query("pg", "SELECT set_config('search_path', 'evil', false), pg_advisory_lock(1)")
            found = await bench.db.query("pg", "SHOW search_path")
            assert found.scalar() == '"$user", public'
        await bench.service._targets["pg"].reading.wait_idle()
        held = await bench.db.query("pg", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert held.scalar() == 0

    run_with(work, pg={"url": pg_uri, "read_pool_size": 1})
