"""Virtual tables of SQLite: full-text search and R-trees, also where only reading is allowed."""

from __future__ import annotations

import pytest

from rpcservices.database.errors import DatabaseError, DatabaseProgrammingError

MAKE = {
    "fts5": 'CREATE VIRTUAL TABLE "it\'s ""x""" USING fts5(a)',
    "fts4": 'CREATE VIRTUAL TABLE "it\'s ""x""" USING fts4(a)',
    "rtree": 'CREATE VIRTUAL TABLE "it\'s ""x""" USING rtree(id, a, b)',
}
NAME = '"it\'s ""x"""'


@pytest.mark.parametrize("module", MAKE)
def test_they_can_be_read_whenever_they_were_made(run_with, tmp_path, module):
    async def work(bench):
        db = bench.db
        assert (await db.query("main", "SELECT 1")).scalar() == 1  # A connection that only reads is there before.
        session = (await db.connect("main", readonly=True)).id
        await db.query("main", "SELECT 1", transaction=session)
        for _ in range(2):
            await db.execute("main", MAKE[module])
            values = "VALUES (1, 2, 3)" if module == "rtree" else "VALUES ('one two')"
            await db.execute("main", f"INSERT INTO {NAME} {values}")
            await db.execute("main", f"CREATE VIEW seen AS SELECT a FROM {NAME}")
            for transaction in (None, session):
                found = await db.query("main", f"SELECT * FROM {NAME}", transaction=transaction)
                assert found.one() == ((1, 2.0, 3.0) if module == "rtree" else ("one two",))
                assert len(await db.query("main", "SELECT * FROM seen", transaction=transaction)) == 1
                for change in (f"DELETE FROM {NAME}", f"DROP TABLE {NAME}", "DELETE FROM sqlite_master"):
                    with pytest.raises(DatabaseError):
                        await db.query("main", change, transaction=transaction)
            described = await db.describe("main", f"SELECT * FROM {NAME}")
            assert described.readonly is True and described.columns
            assert (await db.describe("main", f"DELETE FROM {NAME}")).readonly is False
            await db.execute("main", "DROP VIEW seen")
            await db.execute("main", f"DROP TABLE {NAME}")

    run_with(work)


def test_triggers_may_keep_an_index_of_words(run_with):
    async def work(bench):
        db = bench.db
        await db.script(
            "main",
            "CREATE TABLE zone (id INTEGER PRIMARY KEY, name TEXT);"
            "CREATE VIRTUAL TABLE words USING fts5(name, content='zone', content_rowid='id');"
            "CREATE TRIGGER t AFTER INSERT ON zone BEGIN INSERT INTO words(rowid, name) VALUES (new.id, new.name); END;",
        )
        await db.execute("main", "INSERT INTO zone (name) VALUES ('north side'), ('south')")
        found = await db.query("main", "SELECT name FROM words WHERE words MATCH ?", ["side"])
        assert found.column("name") == ["north side"]

    run_with(work)


def test_one_that_cannot_be_used_spoils_no_other(run_with):
    async def work(bench):
        db = bench.db
        await db.execute("main", "CREATE VIRTUAL TABLE good USING fts5(a)")
        await db.execute("main", "CREATE VIRTUAL TABLE bad USING fts5(a, content='nowhere')")
        assert len(await db.query("main", "SELECT * FROM good")) == 0
        with pytest.raises(DatabaseProgrammingError):
            await db.query("main", "SELECT * FROM bad")

    run_with(work)


@pytest.mark.parametrize("module", MAKE)
def test_describing_one_needs_no_trust(run_with, module):
    async def work(bench):
        db = bench.db
        await db.execute("main", MAKE[module])
        described = await db.describe("main", f"SELECT a, 1 AS one FROM {NAME}")
        assert [column.name for column in described.columns] == ["a", "one"]
        assert (await db.query("main", "PRAGMA trusted_schema")).scalar() == 0

    run_with(work, main={"read_pool_size": 1})


@pytest.mark.parametrize("how", ["execute", "executemany", "script", "session"])
@pytest.mark.parametrize("module", ["fts5", "fts4", "rtree"])
def test_a_file_is_trusted_only_for_what_its_triggers_need(run_with, module, how):
    columns = "id, low, high" if module == "rtree" else "a, b, c"
    values = [1, 2, 3] if module == "rtree" else ["one", "two", "three"]

    async def work(bench):
        db = bench.db
        trust = "PRAGMA trusted_schema"
        assert (await db.execute("main", trust)).scalar() == 0
        await db.execute("main", f"CREATE VIRTUAL TABLE found USING {module}({columns})")
        await db.execute("main", "CREATE TABLE t (a, b, c)")
        assert (await db.execute("main", trust)).scalar() == 0  # It holds such a table, which no trigger uses.
        body = "INSERT INTO found VALUES (new.a, new.b, new.c)"
        await db.execute("main", f"CREATE TRIGGER keeps AFTER INSERT ON t BEGIN {body}; END")
        insert = "INSERT INTO t VALUES (?, ?, ?)"
        if how == "executemany":
            await db.executemany("main", insert, [values])
        elif how == "script":
            await db.script("main", f"INSERT INTO t VALUES ({', '.join(map(repr, values))})")
        elif how == "session":
            session = (await db.connect("main")).id
            await db.execute("main", insert, values, transaction=session)
            await db.disconnect(session)
        else:
            await db.execute("main", insert, values)
        assert (await db.query("main", "SELECT count(*) FROM found")).scalar() == 1
        assert (await db.query("main", trust)).scalar() == 0  # Another connection, which has not needed it.
        # Where it is trusted, the authorizer denies in views what it denies everywhere.
        await db.execute("main", "CREATE VIEW harmful AS SELECT load_extension('x') AS a")
        for call in (db.query, db.execute):
            with pytest.raises(DatabaseProgrammingError):
                await call("main", "SELECT * FROM harmful")

    run_with(work, main={"pool_size": 1, "read_pool_size": 1})


def test_other_tables_of_views_stay_untrusted(run_with):
    async def work(bench):
        db = bench.db
        await db.execute("main", "CREATE TABLE pragma_table_info (x)")  # A name alone makes nothing harmless.
        await db.execute("main", "DROP TABLE pragma_table_info")
        await db.execute("main", "CREATE VIEW seen AS SELECT name FROM pragma_table_info('t')")
        for call in (db.query, db.execute):
            with pytest.raises(DatabaseProgrammingError, match="unsafe use of virtual table"):
                await call("main", "SELECT * FROM seen")
            assert (await call("main", "PRAGMA trusted_schema")).scalar() == 0

    run_with(work)
