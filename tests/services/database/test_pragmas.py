"""Settings of SQLite that applications make when they connect: kept for a session, ignored with a notice, or refused."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from rpcservices.database.errors import DatabaseError, DatabaseIntegrityError, DatabaseProgrammingError
from rpcservices.database.models import Step

IGNORED = {
    "journal_mode = DELETE": "wal",
    "journal_mode = MEMORY": "wal",
    "main.journal_mode = OFF": "wal",
    "synchronous = OFF": None,
    "synchronous(NORMAL)": None,
    "busy_timeout = 4000": 0,
    "cache_size = -64000": None,
    "cache_spill = OFF": None,
    "temp_store = MEMORY": None,
    "mmap_size = 268435456": 0,
    "wal_autocheckpoint = 5": 1000,
    "journal_size_limit = 4096": -1,
    "max_page_count = 7": None,
    "page_size = 8192": None,
    "auto_vacuum = FULL": None,
    "threads = 4": 0,
    "cell_size_check = ON": None,
    "shrink_memory": None,
}
"""What they answer, where that is the same for every file."""
AS_IT_IS = ["journal_mode = WAL", "JOURNAL_MODE='wal'", "synchronous = FULL", "synchronous = 2", "encoding = 'UTF-8'",
            "encoding='utf8'", "locking_mode = NORMAL", "temp_store = DEFAULT", "auto_vacuum = 0", "trusted_schema = OFF"]  # fmt: skip
OF_A_SESSION = {
    "foreign_keys": ("ON", "OFF"), "recursive_triggers": ("OFF", "ON"), "read_uncommitted": ("0", "1"),
    "automatic_index": ("ON", "OFF"), "query_only": ("OFF", "ON"), "analysis_limit": ("0", "400"),
    "legacy_alter_table": ("OFF", "ON"), "reverse_unordered_selects": ("OFF", "ON"),
}  # fmt: skip
REFUSED = ["writable_schema = ON", "temp_store_directory = 'x'",
           "data_store_directory = 'x'", "schema_version = 7", "ignore_check_constraints = ON", "no_such = 1",
           "hard_heap_limit = 1", "soft_heap_limit = 1", "key = 'x'"]  # fmt: skip
OTHERWISE = ["encoding = 'UTF-16'", "locking_mode = EXCLUSIVE", "secure_delete = FAST", "trusted_schema = ON"]
LIKE = "SELECT 'a' LIKE 'A'"


async def ways(db, name):
    """A call to run a statement of each kind that is lent a connection, by name."""
    writing, reading = (await db.connect(name)).id, (await db.connect(name, readonly=True)).id
    within, looking = (await db.begin(name)).id, (await db.begin(name, readonly=True)).id
    return {
        "execute": lambda sql: db.execute(name, sql),
        "query": lambda sql: db.query(name, sql),
        "session": lambda sql: db.execute(name, sql, transaction=writing),
        "session that reads": lambda sql: db.execute(name, sql, transaction=reading),
        "transaction": lambda sql: db.execute(name, sql, transaction=within),
        "transaction that reads": lambda sql: db.query(name, sql, transaction=looking),
    }


def test_what_is_the_servers_is_ignored_with_a_notice(run_with, tmp_path):
    async def work(bench):
        for run in (await ways(bench.db, "main")).values():
            for _ in range(2):  # The second time SQLite has prepared it already.
                for setting, answer in IGNORED.items():
                    result = await run(f"PRAGMA {setting}")
                    (notice,) = result.notices
                    name = setting.replace("(", " ").split()[0].removeprefix("main.")
                    assert notice.startswith(f"PRAGMA {name}") and " is ignored: " in notice
                    if answer is not None:
                        assert result.scalar() == answer
                for setting in AS_IT_IS:
                    assert (await run(f"PRAGMA {setting}")).notices == []
                result = await run("-- as libraries do\nPRAGMA busy_timeout=1")
                assert result.notices[0].endswith("busy_timeout_s says how long statements wait for a lock")
            assert (await run("PRAGMA journal_mode")).scalar() == "wal"
            assert (await run("PRAGMA synchronous")).scalar() == 2
            assert (await run("SELECT 1")).notices == []

    run_with(work)
    with sqlite3.connect(tmp_path / "main.sqlite3") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_an_attached_file_and_one_with_another_journal_stay_as_they_are(run_with, tmp_path):
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()

    async def work(bench):
        for run in (await ways(bench.db, "main")).values():
            result = await run("PRAGMA journal_mode=WAL")
            assert result.scalar() == "delete"
            assert result.notices == ["PRAGMA journal_mode=WAL is ignored: it is delete, for the server to set"]
            assert (await run('PRAGMA "more".journal_mode=DELETE')).scalar() == "wal"

    url = f"sqlite:///{tmp_path}/old.db"
    run_with(work, main={"url": url, "attached": {"more": str(tmp_path / "more.db")}})


def test_settings_of_a_session_are_its_own(run_with):
    async def work(bench):
        db = bench.db
        for readonly in (False, True):
            for _ in range(2):
                session = (await db.connect("main", readonly=readonly)).id
                assert (await db.query("main", LIKE, transaction=session)).scalar() == 1
                for name, (usual, other) in OF_A_SESSION.items():
                    code = {"ON": 1, "OFF": 0}
                    told = (await db.query("main", f"PRAGMA {name}", transaction=session)).scalar()
                    assert told == code.get(usual, int(usual) if usual.isdigit() else None), name
                    result = await db.execute("main", f"PRAGMA {name}={other}", transaction=session)
                    assert result.notices == []
                    told = (await db.query("main", f"PRAGMA {name}", transaction=session)).scalar()
                    assert told == code.get(other, int(other) if other.isdigit() else None), name
                await db.execute("main", "PRAGMA case_sensitive_like=ON", transaction=session)
                assert (await db.query("main", LIKE, transaction=session)).scalar() == 0
                await db.disconnect(session)
                run = db.query if readonly else db.execute
                assert (await run("main", LIKE)).scalar() == 1

    run_with(work, main={"pool_size": 1, "read_pool_size": 1})


def test_a_single_statement_says_that_it_keeps_no_setting(run_with):
    async def work(bench):
        db = bench.db
        for run in (db.query, db.execute):
            for name, (usual, other) in OF_A_SESSION.items():
                assert (await run("main", f"PRAGMA {name}={usual}")).notices == []
                (notice,) = (await run("main", f"PRAGMA {name}={other}")).notices
                assert notice.endswith("lent for this statement only; a session (connect) keeps what it sets")
            assert (await run("main", "PRAGMA case_sensitive_like=ON")).notices
            assert (await run("main", LIKE)).scalar() == 1

    run_with(work, main={"pool_size": 1, "read_pool_size": 1})


def test_what_is_dangerous_is_refused_everywhere(run_with):
    async def work(bench):
        for run in (await ways(bench.db, "main")).values():
            for setting in REFUSED:
                name = setting.split()[0]
                with pytest.raises(DatabaseProgrammingError, match=f"not authorized: no one can set PRAGMA {name} "):
                    await run(f"PRAGMA {setting}")
            for setting in OTHERWISE:
                name = setting.split()[0]
                with pytest.raises(DatabaseProgrammingError, match=f"PRAGMA {name} is .* here, and stays so"):
                    await run(f"PRAGMA {setting}")
            for hidden in ("EXPLAIN PRAGMA journal_mode=DELETE", "SELECT * FROM pragma_user_version(7)"):
                with pytest.raises(DatabaseError):
                    await run(hidden)
            assert (await run("SELECT 1")).scalar() == 1

    run_with(work)


def test_what_only_tells_takes_any_argument(run_with):
    async def work(bench):
        await bench.db.execute("main", "CREATE TABLE t (x)")
        for run in (await ways(bench.db, "main")).values():
            for check in ("integrity_check", "integrity_check(1)", "integrity_check('t')", "quick_check = 10"):
                assert (await run(f"PRAGMA {check}")).scalar() == "ok"
            assert (await run("PRAGMA main.foreign_key_check('t')")).rows == []

    run_with(work)


def test_only_reading_stays_so(run_with):
    async def work(bench):
        db = bench.db
        await db.script("main", "CREATE TABLE t (x); PRAGMA user_version = 3; PRAGMA optimize")
        for name, run in (await ways(db, "main")).items():
            if name != "query" and "reads" not in name:
                continue
            assert (await run("PRAGMA optimize")).notices == ["PRAGMA optimize is ignored: here is only reading"]
            await run("PRAGMA query_only=OFF")
            for change in ("PRAGMA user_version = 4", "INSERT INTO t VALUES (1)", "PRAGMA wal_checkpoint"):
                with pytest.raises(DatabaseProgrammingError, match=r"not authorized; .*read"):
                    await run(change)
        assert (await db.query("main", "PRAGMA user_version")).scalar() == 3

    run_with(work)


def test_who_only_reads_locks_out_nobody(run_with, tmp_path):
    def write():
        with contextlib.closing(sqlite3.connect(tmp_path / "main.sqlite3", timeout=0.0)) as other:
            other.execute("INSERT INTO t VALUES (1)")
            other.commit()

    async def work(bench):
        db = bench.db
        await db.execute("main", "CREATE TABLE t (x)")
        reading = (await db.connect("main", readonly=True)).id
        looking = (await db.begin("main", readonly=True)).id
        for transaction in (None, reading, looking):
            for sql in ("BEGIN IMMEDIATE", "/* x */ BEGIN EXCLUSIVE TRANSACTION", "; begin immediate"):
                with pytest.raises(DatabaseProgrammingError):
                    await db.query("main", sql, transaction=transaction)
                write()
        for sql in ("BEGIN", "SELECT x FROM t"):  # As libraries do.
            await db.execute("main", sql, transaction=reading)
            write()
        await db.disconnect(reading)
        await db.rollback(looking)

    run_with(work)


def test_streams_batches_and_scripts_tell_it_too(run_with):
    async def work(bench):
        db = bench.db
        sql = "PRAGMA synchronous=OFF"
        told = "PRAGMA synchronous=OFF is ignored: it is 2, for the server to set"
        pages = [page async for page in await db.stream("main", sql)]
        assert [page.notices for page in pages] == [[told]]
        (step,) = await db.batch("main", [Step(sql)])
        assert step.result.notices == [told]
        assert (await db.script("main", f"{sql}; SELECT 1; {sql}")).notices == [told, told]
        assert (await db.script("main", "SELECT 1")).notices == []

    run_with(work)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT OR FAIL INTO prohibited (v) SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT NULL",
        "INSERT INTO prohibited (v) VALUES (1), (2), (-1)",
    ],
    ids=["a table's name", "a trigger's message"],
)
def test_a_statement_that_has_run_does_not_run_again(run_with, sql):
    """Its error has the words with which SQLite refuses to prepare a statement."""

    async def work(bench):
        db = bench.db
        await db.execute("main", "CREATE TABLE prohibited (id INTEGER PRIMARY KEY, v NOT NULL)")
        await db.execute(
            "main",
            "CREATE TRIGGER t AFTER INSERT ON prohibited WHEN new.v < 0 "
            "BEGIN SELECT RAISE(FAIL, 'the user is not authorized'); END",
        )
        with pytest.raises(DatabaseIntegrityError):
            await db.execute("main", sql)
        rows = (await db.query("main", "SELECT count(*) FROM prohibited WHERE v = 1")).scalar()
        assert rows == 1

    run_with(work)
