"""What errors say: their class, whether anything was executed, whether to try again, which step, and what to do."""

from __future__ import annotations

import asyncio
import math

import psycopg
import pytest

from rpcserver import InvalidParams, TooLarge
from rpcservices.database import batches
from rpcservices.database.errors import (
    DatabaseDataError,
    DatabaseError,
    DatabaseIntegrityError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    TransactionLost,
)
from rpcservices.database.failures import connection_failure, redact
from rpcservices.database.models import Condition, Isolation, Outcome, Step


async def make_table(db):
    await db.execute("main", "DROP TABLE IF EXISTS f")
    await db.execute("main", "CREATE TABLE f (id INTEGER PRIMARY KEY, label VARCHAR(20))")


async def ids(db):
    return (await db.query("main", "SELECT id FROM f ORDER BY id")).column("id")


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT * FROM nowhere", "SELECT nothing FROM f", "SELECT ("])
def test_a_wrong_statement_is_a_programming_error(run_with, any_database, sql):
    async def work(bench):
        await make_table(bench.db)
        for call in (bench.db.query, bench.db.execute):
            with pytest.raises(DatabaseProgrammingError) as caught:
                await call("main", sql)
            assert not caught.value.retryable

    run_with(work, main=any_database)


WRONG_IN_MARIADB = {
    "42": [
        "CALL nope()", "SELECT nope(1)", "DROP VIEW nope", "DROP INDEX nope ON f", "ALTER TABLE f DROP COLUMN nope",
        "SET NAMES nope", "ROLLBACK TO nope", "SELECT NEXT VALUE FOR nope", "SELECT id FROM f FORCE INDEX (nope)",
        "SELECT CONCAT()", "SELECT ABS()", "ALTER TABLE f ADD COLUMN id INT", "SELECT * FROM f a, f a",
        "SET sql_mode = 'nope'", "",
    ],
    "21": ["INSERT INTO f VALUES (1)", "SELECT 1, 2 UNION SELECT 1", "SELECT (SELECT 1, 2)"],
    "HY": [
        "DROP TRIGGER nope", "DROP EVENT nope", "SELECT @@nope", "EXECUTE nope", "SELECT 'a' COLLATE nope",
        "CREATE TABLE g (a nopetype)", "KILL 99999999",
    ],
    "23": ["SELECT id FROM f a, f b"],
}  # fmt: skip


def test_what_mariadb_calls_wrong_or_unknown(run_with, my_uri):
    async def work(bench):
        await make_table(bench.db)
        for state, statements in WRONG_IN_MARIADB.items():
            for sql in statements:
                with pytest.raises(DatabaseProgrammingError) as caught:
                    await bench.db.execute("main", sql)
                error = caught.value
                assert error.sqlstate is not None and error.sqlstate.startswith(state), sql
                assert not error.retryable and error.driver_code, sql

    run_with(work, main={"url": my_uri})


@pytest.mark.parametrize(
    ("sql", "error", "retryable"),
    [
        ("SIGNAL SQLSTATE '40001'", DatabaseOperationalError, True),
        ("SIGNAL SQLSTATE '08S01'", DatabaseOperationalError, False),
        ("SIGNAL SQLSTATE '23000'", DatabaseIntegrityError, False),
        ("CREATE TABLE g (a INT) ENGINE = nope", DatabaseNotSupportedError, False),
        ("SELECT 9223372036854775807 + 1", DatabaseDataError, False),
        ("SIGNAL SQLSTATE '42000' SET MYSQL_ERRNO = 1203", DatabaseOperationalError, True),
        ("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020", DatabaseOperationalError, True),
        ("SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = 1153", DatabaseOperationalError, False),
    ],
)
def test_other_errors_of_mariadb(run_with, my_uri, sql, error, retryable):
    async def work(bench):
        with pytest.raises(error) as caught:
            await bench.db.execute("main", sql)
        assert caught.value.retryable is retryable and not caught.value.connection_lost

    run_with(work, main={"url": my_uri})


@pytest.mark.parametrize(
    "sql", ["INSERT INTO f VALUES (1, 'a')", "DELETE FROM f", "DROP TABLE f", "CREATE TABLE g (i INT)"]
)
@pytest.mark.parametrize("way", ["query", "readonly database", "readonly transaction"])
def test_a_refused_change_is_a_programming_error(run_with, any_database, tmp_path, sql, way):
    async def work(bench):
        db = bench.db
        await make_table(db)
        with pytest.raises(DatabaseProgrammingError) as caught:
            if way == "query":
                await db.query("main", sql)
            elif way == "readonly database":
                await db.execute("reading", sql)
            else:
                tx = (await db.begin("main", readonly=True)).id
                await db.execute("main", sql, transaction=tx)
        assert not caught.value.retryable

    url = any_database.get("url", f"sqlite:///{tmp_path}/main.sqlite3")
    run_with(work, main=any_database, reading={"url": url, "readonly": True})


NEVER_SENT = [
    ("sqlite", [math.nan]),
    ("sqlite", [2**63]),
    ("sqlite", ["\ud800"]),
    ("mariadb", [math.nan]),
    ("mariadb", [math.inf]),
    ("mariadb", ["\ud800"]),
    ("postgresql", ["\ud800"]),
    ("postgresql", ["a\0b"]),
]


@pytest.mark.parametrize(("kind", "params"), NEVER_SENT)
def test_what_was_never_sent_was_not_executed(run_with, database_urls, kind, params):
    async def work(bench):
        for call in (bench.db.query, bench.db.execute, bench.db.stream):
            with pytest.raises(DatabaseDataError) as caught:
                await call("main", "SELECT ?", params)
            assert caught.value.executed == "no"
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main=database_urls(kind))


def test_an_isolation_that_is_not_offered_was_not_executed(run_with):
    async def work(bench):
        with pytest.raises(DatabaseNotSupportedError) as caught:
            await bench.db.begin("main", isolation=Isolation.READ_COMMITTED)
        assert caught.value.executed == "no"

    run_with(work)


def test_what_sqlite_cannot_do_within_a_transaction(run_with):
    async def work(bench):
        tx = (await bench.db.begin("main")).id
        with pytest.raises(DatabaseOperationalError, match="within a transaction"):
            await bench.db.execute("main", "VACUUM", transaction=tx)

    run_with(work)


UNREACHABLE = {
    "postgresql": "postgresql://app:hunter2@127.0.0.1:1/x",
    "postgresql socket": "postgresql://app:hunter2@/x?host=/nowhere",
    "mariadb": "mariadb://app:hunter2@127.0.0.1:1/x",
}


@pytest.mark.parametrize("url", UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_server_that_is_down_may_come_back(run_with, url):
    async def work(bench):
        for call in (bench.db.query, bench.db.execute):
            with pytest.raises(DatabaseOperationalError) as caught:
                await call("main", "SELECT 1")
            assert caught.value.executed == "no" and caught.value.retryable
        with pytest.raises(DatabaseOperationalError) as caught:
            await bench.db.tables("main")
        assert caught.value.executed == "no" and caught.value.retryable
        assert "hunter2" not in caught.value.message

    run_with(work, main={"url": url})


@pytest.mark.parametrize("wrong", ["app-secret@", "/app?"])
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_wrong_credentials_do_not_come_right(run_with, database_urls, kind, wrong):
    """PostgreSQL's test server trusts everybody on its socket, so there only the database is wrong."""
    url = database_urls(kind)["url"].replace(wrong, {"app-secret@": "wrong@", "/app?": "/nowhere?"}[wrong])
    if kind == "postgresql":
        url = url.replace("/app?", "/nowhere?")

    async def work(bench):
        with pytest.raises(DatabaseError) as caught:
            await bench.db.query("main", "SELECT 1")
        assert caught.value.executed == "no" and not caught.value.retryable

    run_with(work, main={"url": url})


def test_a_full_or_starting_server_is_worth_another_try():
    for message, retryable in (
        ("connection failed: FATAL:  sorry, too many clients already", True),
        ("connection failed: FATAL:  the database system is starting up", True),
        ("connection failed: FATAL:  password authentication failed for user app", False),
    ):
        assert connection_failure(psycopg.OperationalError(message)).retryable is retryable


def test_only_failures_to_connect_are_redacted(run_with, any_database, sql):
    text = "password=hunter2 http://a.example/x"
    assert redact(text) == "password=… (URL)"
    assert redact("Access denied (using password: YES)") == "Access denied (using password: YES)"

    async def work(bench):
        broken = f"SELECT '{text}'::int" if sql.name == "postgresql" else f"SELECT 1 FROM `{text}`"
        with pytest.raises(DatabaseError) as caught:
            await bench.db.query("main", broken)
        assert text in caught.value.message

    run_with(work, main=any_database)


@pytest.mark.parametrize(
    "call", ["query", "execute", "stream", "describe", "explain", "script", "executemany", "batch"]
)
def test_nul_is_no_part_of_sql(run_with, any_database, call):
    async def work(bench):
        db = bench.db
        await make_table(db)
        sql = "INSERT INTO f VALUES (1, 'a')\0, (2, 'b')"
        arguments = {"executemany": (sql, [[]]), "batch": ([Step("SELECT 1"), Step(sql)],)}.get(call, (sql,))
        with pytest.raises(InvalidParams, match="NUL") as caught:
            await getattr(db, call)("main", *arguments)
        assert caught.value.errors[0]["loc"] == (["steps", 1, "sql"] if call == "batch" else ["sql"])
        assert await ids(db) == []

    run_with(work, main=any_database)


def test_text_that_is_none_names_the_remedy(run_with):
    async def work(bench):
        with pytest.raises(DatabaseDataError, match=r"CAST\(x AS BLOB\)"):
            await bench.db.query("main", "SELECT CAST(x'ff' AS TEXT)")

    run_with(work)


def test_the_total_time_ends_a_running_statement(run_with, any_database, sql):
    async def work(bench):
        for streamed in (False, True):
            tx = (await bench.db.begin("main")).id
            with pytest.raises(TransactionLost, match=r"open for 0\.3 s"):
                if streamed:
                    stream = await bench.db.stream("main", sql.endless("i"), transaction=tx)
                    async for _ in stream:
                        await asyncio.sleep(0)
                else:
                    await bench.db.query("main", sql.endless("count(*)"), transaction=tx)
            with pytest.raises(TransactionLost, match="open for"):
                await bench.db.query("main", "SELECT 1", transaction=tx)
        assert (await bench.db.execute("main", "SELECT 1")).scalar() == 1

    run_with(work, main={**any_database, "transaction_total_s": 0.3, "pool_size": 1})


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("params", [{"y": 1}, {}, {"x": 1, "y": 2}])
def test_parameters_of_all_steps_are_checked_first(run_with, any_database, atomic, params):
    async def work(bench):
        db = bench.db
        await make_table(db)
        steps = [Step("INSERT INTO f VALUES (1, 'a')"), Step("INSERT INTO f VALUES (2, :x)", params)]
        with pytest.raises(InvalidParams, match=r"steps\.1\.params\.[xy]") as caught:
            await db.batch("main", steps, atomic=atomic)
        assert caught.value.errors[0]["loc"][:3] == ["steps", 1, "params"]
        assert caught.value.executed == "no"
        assert await ids(db) == []

    run_with(work, main=any_database)


@pytest.mark.parametrize("atomic", [True, False])
def test_the_results_of_a_batch_have_a_limited_number_of_columns(run_with, any_database, atomic, monkeypatch):
    """To describe hundreds of thousands of them held the server for half a second."""
    monkeypatch.setattr(batches, "MOST_COLUMNS", 13)

    async def work(bench):
        db = bench.db
        await make_table(db)
        steps = [Step("INSERT INTO f VALUES (1, 'a')"), Step("SELECT 1, 2, 3, 4"), Step("SELECT 1, 2, 3, 4, 5, 6")]
        assert len(await db.batch("main", steps, atomic=atomic)) == 3
        await db.execute("main", "DELETE FROM f")
        with pytest.raises(TooLarge, match="step 3: the results of one batch have at most 13 columns") as caught:
            await db.batch("main", [*steps, Step("SELECT 1")], atomic=atomic)
        assert caught.value.executed == ("no" if atomic else "yes")
        assert await ids(db) == ([] if atomic else [1])

    run_with(work, main=any_database)


def test_a_step_that_begins_harms_no_other(run_with, any_database, sql):
    begin = "START TRANSACTION" if sql.name == "mariadb" else "BEGIN"

    async def work(bench):
        db = bench.db
        await make_table(db)
        steps = [
            Step("INSERT INTO f VALUES (1, 'a')"),
            Step(begin),
            Step("INSERT INTO f VALUES (2, 'b')", when=[Condition(1, Outcome.ERROR)]),
        ]
        done = await db.batch("main", steps, atomic=False)
        assert [step.outcome.value for step in done] == ["ok", "error", "ok"]
        assert await ids(db) == [1, 2]

    run_with(work, main=any_database)


def test_steps_on_a_database_that_only_reads(run_with, any_database, tmp_path):
    async def work(bench):
        await make_table(bench.db)
        steps = [Step("SELECT 1"), Step("SELECT * FROM nowhere"), Step("DELETE FROM f"), Step("SELECT count(*) FROM f")]
        done = await bench.db.batch("reading", steps, atomic=False)
        assert [step.outcome.value for step in done] == ["ok", "error", "error", "ok"]
        session = (await bench.db.connect("reading")).id
        done = await bench.db.batch("reading", steps, atomic=False, transaction=session)
        assert [step.outcome.value for step in done] == ["ok", "error", "error", "ok"]

    url = any_database.get("url", f"sqlite:///{tmp_path}/main.sqlite3")
    run_with(work, main=any_database, reading={"url": url, "readonly": True})


def test_a_script_tells_the_failing_statement_and_that_nothing_is_open(run_with, any_database):
    async def work(bench):
        db = bench.db
        await make_table(db)
        session = (await db.connect("main")).id
        for statements, step in (
            (["INSERT INTO f VALUES (1, 'a')", "INSERT INTO f VALUES (2, 'b')", "INSERT INTO f VALUES (1, 'c')"], 2),
            (["INSERT INTO nowhere VALUES (1)", "SELECT 1"], 0),
            (["INSERT INTO f VALUES (1, 'a;b')", "SELECT 1", "SELEC 2", "SELECT 3"], 2),
        ):
            for transaction in (None, session):
                with pytest.raises(DatabaseError) as caught:
                    await db.script("main", "; ".join(statements), transaction=transaction)
                assert (caught.value.step, caught.value.tx_state) == (step, "none")
                assert caught.value.details["tx_state"] == "none"
                assert await ids(db) == []

    run_with(work, main=any_database)


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "/* x */ commit work", "COMMIT; BEGIN"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_atomic_script_cannot_end_its_transaction(run_with, database_urls, kind, end):
    async def work(bench):
        db = bench.db
        await make_table(db)
        script = f"INSERT INTO f VALUES (1, 'a'); {end}; INSERT INTO f VALUES (2, 'b'); INSERT INTO f VALUES (2, 'c')"
        with pytest.raises(DatabaseProgrammingError, match="atomic=False") as caught:
            await db.script("main", script)
        assert (caught.value.executed, caught.value.step) == ("no", 1)
        assert await ids(db) == []

    run_with(work, main=database_urls(kind))


def test_an_end_of_the_transaction_is_refused_beforehand(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        await make_table(db)
        for end in ("END", "END; BEGIN", "END AND CHAIN"):
            with pytest.raises(DatabaseProgrammingError, match="would end the transaction"):
                await db.script("main", f"SELECT 1; {end}; SELECT 2")
        body = "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 2; SELECT 1; END"
        done = await db.script("main", f"{body}; SAVEPOINT s; INSERT INTO f VALUES (1, 'a'); ROLLBACK TO s; RESET ALL")
        assert done.statements == 5 and await ids(db) == []
        assert (await db.query("main", "SELECT one()")).scalar() == 1

    run_with(work, main={"url": pg_uri})


UPSERTS = [
    ("INSERT INTO f VALUES (?, ?) ON DUPLICATE KEY UPDATE label = '50%'", [[1, "a"], [2, "b"]], ["50%", "b"]),
    ("INSERT INTO f VALUES (?, ?) ON DUPLICATE KEY UPDATE label = ?", [[1, "a", "p%s"], [2, "b", "q"]], ["p%s", "b"]),
    ("INSERT INTO f VALUES (?, ?) ON DUPLICATE KEY UPDATE label = VALUE(label)", [[1, "%s"], [2, "b"]], ["%s", "b"]),
    ("INSERT INTO f VALUES (?, ?) ON DUPLICATE KEY UPDATE label = CONCAT('%', VALUE(label))", [[1, "a"], [2, "b"]], ["%a", "b"]),
    ("INSERT /* 5% */ INTO f VALUES (?, ?) ON DUPLICATE KEY UPDATE id = id", [[1, "a"], [2, "b"]], ["old", "b"]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "sets", "expected"), UPSERTS)
def test_many_with_something_after_the_values(run_with, my_uri, sql, sets, expected):
    async def work(bench):
        db = bench.db
        await make_table(db)
        await db.execute("main", "INSERT INTO f VALUES (1, 'old')")
        await db.executemany("main", sql, sets)
        assert (await db.query("main", "SELECT label FROM f ORDER BY id")).column("label") == expected

    run_with(work, main={"url": my_uri})


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_deadlock_may_be_tried_again(run_with, database_urls, kind):
    async def work(bench):
        db = bench.db
        await make_table(db)
        await db.execute("main", "INSERT INTO f VALUES (1, 'a'), (2, 'b')")
        first, second = [(await db.begin("main")).id for _ in range(2)]
        sql = "UPDATE f SET label = 'x' WHERE id = ?"
        await db.execute("main", sql, [1], transaction=first)
        await db.execute("main", sql, [2], transaction=second)
        results = await asyncio.gather(
            db.execute("main", sql, [2], transaction=first),
            db.execute("main", sql, [1], transaction=second),
            return_exceptions=True,
        )
        (error,) = [result for result in results if isinstance(result, BaseException)]
        assert isinstance(error, DatabaseOperationalError) and error.retryable
        assert (error.sqlstate, error.driver_code) in {("40P01", None), ("40001", "1213")}

    run_with(work, main=database_urls(kind))


def test_a_lost_serialization_may_be_tried_again(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        await make_table(db)
        first, second = [(await db.begin("main", isolation=Isolation.SERIALIZABLE)).id for _ in range(2)]
        for number, tx in enumerate((first, second)):
            await db.query("main", "SELECT count(*) FROM f", transaction=tx)
            await db.execute("main", "INSERT INTO f VALUES (?, '')", [number], transaction=tx)
        await db.commit(first)
        with pytest.raises(DatabaseOperationalError) as caught:
            await db.commit(second)
        assert caught.value.sqlstate == "40001" and caught.value.retryable

    run_with(work, main={"url": pg_uri})
