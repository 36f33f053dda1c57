"""What a database tells about statements and about what it holds."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rpcservices.database.errors import (
    DatabaseError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
)
from rpcservices.database.models import ColumnType, TableKind, TxState


async def make_schema(db):
    for statement in (
        "DROP VIEW IF EXISTS zone_names",
        "DROP TABLE IF EXISTS place",
        "DROP TABLE IF EXISTS zone",
        """CREATE TABLE zone (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL UNIQUE, area NUMERIC(12, 3) DEFAULT 1,
           CONSTRAINT positive CHECK (area > 0))""",
        """CREATE TABLE place (id INTEGER PRIMARY KEY, zone_id INTEGER, CONSTRAINT fk FOREIGN KEY (zone_id)
           REFERENCES zone (id) ON DELETE CASCADE)""",
        "CREATE INDEX by_zone ON place (zone_id)",
        "CREATE VIEW zone_names AS SELECT name FROM zone",
    ):
        await db.execute("main", statement)


def test_tables_and_views(run_with, any_database):
    async def work(bench):
        db = bench.db
        await make_schema(db)
        kinds = {table.name: table.kind for table in await db.tables("main")}
        assert kinds["zone"] is TableKind.TABLE and kinds["zone_names"] is TableKind.VIEW
        assert await db.schemas("main")
        zone = await db.table("main", "zone")
        assert [c.name for c in zone.columns] == ["id", "name", "area"]
        assert [c.nullable for c in zone.columns][1:] == [False, True]
        assert "12" in zone.columns[2].db_type and zone.columns[2].default.strip("'")[0] == "1"
        assert zone.primary_key == ["id"]
        assert ["name"] in [u.columns for u in (*zone.unique, *zone.indexes)]
        assert [c.name for c in zone.checks] == ["positive"]
        place = await db.table("main", "place")
        (key,) = place.foreign_keys
        assert (key.columns, key.table, key.references, key.on_delete) == (["zone_id"], "zone", ["id"], "CASCADE")
        assert "by_zone" in [i.name for i in place.indexes]
        view = await db.table("main", "zone_names")
        assert view.kind is TableKind.VIEW and "name" in view.definition
        with pytest.raises(DatabaseProgrammingError, match="no table 'nope'"):
            await db.table("main", "nope")

    run_with(work, main=any_database)


def test_describe(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await make_schema(db)
        found = await db.describe(
            "main", "SELECT id, name, area FROM zone WHERE id > :low AND name <> :name OR id = :low"
        )
        assert [(p.position, p.name) for p in found.parameters] == [(1, "low"), (2, "name")]
        assert [c.name for c in found.columns] == ["id", "name", "area"]
        assert found.columns[0].type is ColumnType.INTEGER and found.columns[1].type is ColumnType.TEXT
        assert found.readonly is True
        if sql.name == "postgresql":
            assert [p.db_type for p in found.parameters] == ["int4", "text"]
        writing = await db.describe("main", "INSERT INTO zone VALUES (?, ?, ?)")
        assert len(writing.parameters) == 3 and writing.columns == [] and writing.readonly is False
        assert len(await db.query("main", "SELECT * FROM zone")) == 0
        with pytest.raises(DatabaseError):
            await db.describe("main", "SELEC 1")

    run_with(work, main=any_database)


DESCRIBED = {
    "SELECT id, name FROM zone": (True, ["id", "name"]),
    'SELECT id, id, 1 AS "a:1" FROM zone': (True, ["id", "id", "a:1"]),
    "INSERT INTO zone VALUES (9, 'x', 1) RETURNING id, name AS n": (False, ["id", "n"]),
    "DELETE FROM zone WHERE id = ?": (False, []),
    "UPDATE zone SET area = 2": (False, []),
    "CREATE TABLE never (i INTEGER)": (False, []),
    "DROP TABLE zone": (False, []),
}
OF_POSTGRESQL = {
    "SHOW search_path": (True, ["search_path"]),
    "EXPLAIN DELETE FROM zone": (True, ["QUERY PLAN"]),
    "EXPLAIN (ANALYZE) DELETE FROM zone": (None, ["QUERY PLAN"]),
    "SELECT id FROM zone FOR UPDATE": (False, ["id"]),
    "WITH x AS (DELETE FROM zone RETURNING id) SELECT id FROM x": (False, ["id"]),
    "VALUES (1, 2)": (True, ["column1", "column2"]),
    "DO $$ BEGIN END $$": (None, []),
}
OF_SQLITE = {
    "PRAGMA table_info(zone)": (True, ["cid", "name", "type", "notnull", "dflt_value", "pk"]),
    "PRAGMA foreign_keys = 0": (False, []),
    "EXPLAIN QUERY PLAN SELECT 1": (True, ["id", "parent", "notused", "detail"]),
    "EXPLAIN QUERY PLAN DELETE FROM zone": (False, []),
}
OF_MARIADB = {"SHOW TABLES": (True, ["Tables_in_app"]), "SELECT id FROM zone FOR UPDATE": (False, ["id"])}


def expected(kind, own, statement, readonly, columns):
    """What a description tells, where a database does not tell all."""
    if kind != "postgresql" and "RETURNING" in statement:
        return readonly, []  # They tell them only while it runs.
    if kind == "mariadb" and "FOR UPDATE" in statement:
        return (None, columns) if own == "transaction" else (False, [])  # It is refused as soon as it is prepared.
    return readonly, columns


@pytest.mark.parametrize("own", [None, "transaction", "readonly transaction"])
def test_descriptions_leave_everything_as_it_was(run_with, any_database, sql, own):
    special = {"postgresql": OF_POSTGRESQL, "sqlite": OF_SQLITE, "mariadb": OF_MARIADB}[sql.name]

    async def work(bench):
        db = bench.db
        await make_schema(db)
        await db.execute("main", "INSERT INTO zone VALUES (1, 'a', 1)")
        tx = None if own is None else (await db.begin("main", readonly=own != "transaction")).id
        for text, told in {**DESCRIBED, **special}.items():
            statement = text.replace('"', "`") if sql.name == "mariadb" else text
            found = await db.describe("main", statement, transaction=tx)
            names = [column.name for column in found.columns]
            assert (found.readonly, names) == expected(sql.name, own, statement, *told), statement
        for wrong in ("SELEC 1", "SELECT 1; SELECT 2", "SELECT * FROM nowhere"):
            with pytest.raises(DatabaseProgrammingError):
                await db.describe("main", wrong, transaction=tx)
        if tx is not None:
            assert await db.renew(tx) is TxState.ACTIVE
            assert (await db.query("main", "SELECT count(*) FROM zone", transaction=tx)).scalar() == 1
            await db.commit(tx)
        assert (await db.query("main", "SELECT count(*) FROM zone")).scalar() == 1

    run_with(work, main=any_database)


def test_explain(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await make_schema(db)
        plan = await db.explain("main", "SELECT name FROM zone WHERE id > ?", [1])
        assert "zone" in plan.text and str(plan) == plan.text
        with pytest.raises(DatabaseError):
            await db.explain("main", "SELECT 1; DROP TABLE zone")
        if sql.name == "sqlite":
            with pytest.raises(DatabaseNotSupportedError, match="analyze"):
                await db.explain("main", "SELECT 1", analyze=True)
        else:
            assert (await db.explain("main", "SELECT name FROM zone", analyze=True)).text
            with pytest.raises(DatabaseError):
                await db.explain("main", "DELETE FROM zone", analyze=True)

    run_with(work, main=any_database)


def test_explain_changes_nothing_outside_a_transaction(run_with, any_database, sql):
    """The database's own words would advise to execute the change instead."""

    async def work(bench):
        db = bench.db
        await make_schema(db)
        await db.execute("main", "INSERT INTO zone (id, name) VALUES (1, 'north')")
        changes = ["INSERT INTO zone (id, name) VALUES (2, 'new')", "UPDATE zone SET name = 'new'", "DELETE FROM zone"]
        session = (await db.connect("main")).id
        for change in changes:
            for place in (None, session):
                for analyze in (False, True):
                    try:
                        plan = await db.explain("main", change, analyze=analyze, transaction=place)
                    except DatabaseNotSupportedError:
                        assert analyze and sql.name == "sqlite"
                    except DatabaseProgrammingError as exc:
                        assert exc.message.endswith("; outside a transaction explain changes nothing: begin one, "
                                                    "explain in it, and roll it back"), exc.message  # fmt: skip
                    else:
                        assert not analyze and plan.result.tx_state is TxState.NONE
                    assert [tuple(row) for row in await db.query("main", "SELECT id, name FROM zone")] == [(1, "north")]
            tx = (await db.begin("main")).id
            assert (await db.explain("main", change, analyze=sql.name != "sqlite", transaction=tx)).result.tx_state is (
                TxState.ACTIVE
            )
            await db.rollback(tx)
            assert [tuple(row) for row in await db.query("main", "SELECT id, name FROM zone")] == [(1, "north")]
        if sql.name != "sqlite":
            assert (await db.explain("main", "SELECT name FROM zone", analyze=True, transaction=session)).text
        await db.execute("main", changes[0], transaction=session)
        assert (await db.query("main", "SELECT count(*) FROM zone")).scalar() == 2
        await db.disconnect(session)

    run_with(work, main=any_database)


def test_an_identity_column(run_with, pg_uri):
    async def work(bench):
        await bench.db.execute("main", "DROP TABLE IF EXISTS numbered")
        await bench.db.execute("main", "CREATE TABLE numbered (i INT GENERATED ALWAYS AS IDENTITY, j INT[], c JSONB)")
        columns = (await bench.db.table("main", "numbered")).columns
        assert [(c.name, c.autoincrement) for c in columns] == [("i", True), ("j", False), ("c", False)]

    run_with(work, main={"url": pg_uri})


def test_a_missing_file_is_not_made_by_looking(run_with, tmp_path):
    async def work(bench):
        for call in (bench.db.tables, bench.db.schemas):
            with pytest.raises(DatabaseError, match="unable to open"):
                await call("main")
        async with asyncio.timeout(10):  # aiosqlite's threads end by themselves.
            while any("_connection_worker" in thread.name for thread in threading.enumerate()):
                await asyncio.sleep(0.01)

    run_with(work, main={"url": f"sqlite:///{tmp_path}/missing.db", "readonly": True})
    assert not (tmp_path / "missing.db").exists()


def test_looking_takes_one_of_the_connections(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await make_schema(db)
        found = await asyncio.gather(*(bench.db.table("main", "zone") for _ in range(8)))
        assert len(found) == 8
        await idle(bench, "main")
        stream = await db.stream("hasty", sql.endless("i"))
        with pytest.raises(DatabaseOperationalError, match="no connection was free") as caught:
            await bench.db.tables("hasty")
        assert caught.value.retryable and caught.value.executed == "no"
        await stream.aclose()
        await idle(bench, "hasty")
        await bench.db.execute("hasty", "CREATE TABLE looked_at (x INTEGER)")
        assert "looked_at" in [table.name for table in await bench.db.tables("hasty")]

    async def idle(bench, name):
        pool = bench.service._targets[name].reading
        await pool.wait_idle()
        assert pool.lent_count == 0

    one = {**any_database, "read_pool_size": 1}
    run_with(work, main=one, hasty={**one, "pool_timeout_s": 1.0})


def test_attached_files(run_with, tmp_path):
    other = tmp_path / "other one.sqlite3"

    async def work(bench):
        db = bench.db
        await db.execute("main", "CREATE TABLE other.t (x INTEGER)")
        await db.execute("main", "INSERT INTO other.t VALUES (1)")
        assert (await db.query("main", "SELECT x FROM other.t")).scalar() == 1
        assert set(await db.schemas("main")) == {"main", "other"}
        assert [table.name for table in await db.tables("main", schema="other")] == ["t"]
        for call in (db.query, db.execute):
            with pytest.raises(DatabaseProgrammingError, match="not authorized"):
                await call("main", "ATTACH 'more.sqlite3' AS more")
            with pytest.raises(DatabaseProgrammingError, match="not authorized"):
                await call("main", "DETACH other")
        with pytest.raises(DatabaseProgrammingError, match="not authorized"):
            await db.query("main", "INSERT INTO other.t VALUES (1)")

    run_with(work, main={"attached": {"other": other}})
    assert other.exists()

    async def reading(bench):
        assert (await bench.db.query("main", "SELECT x FROM other.t")).scalar() == 1
        with pytest.raises(DatabaseError):
            await bench.db.execute("main", "INSERT INTO other.t VALUES (1)")

    run_with(
        reading, main={"url": f"sqlite:///{tmp_path}/main.sqlite3", "attached": {"other": other}, "readonly": True}
    )
    with pytest.raises(ValueError, match="attached"):
        run_with(reading, main={"url": "postgresql://nowhere/x", "attached": {"other": other}})
    with pytest.raises(ValueError, match="attached"):
        run_with(reading, main={"attached": {'x" y': other}})


def test_a_schema_that_is_not_there(run_with, any_database, sql):
    async def work(bench):
        for call in (bench.db.tables("main", schema="absent"), bench.db.table("main", "t", schema="absent")):
            with pytest.raises(DatabaseProgrammingError, match=r"^schema: there is no schema 'absent'") as caught:
                await call
            assert caught.value.executed == "no"
        if sql.name == "postgresql":
            assert (await bench.db.table("main", "pg_tables", schema="pg_catalog")).columns

    run_with(work, main=any_database)


@pytest.mark.filterwarnings("ignore:Did not recognize type")  # SQLAlchemy's word to who reflects: we ask the database.
def test_columns_of_types_that_sqlalchemy_does_not_know(run_with, any_database, sql):
    types = {"postgresql": ["point", "xid", "pg_lsn[]"], "mariadb": ["point", "inet6"], "sqlite": ["", "BLUE(3)"]}[
        sql.name
    ]
    columns = ", ".join(f"c{place} {found}" for place, found in enumerate(types))

    async def work(bench):
        await bench.db.execute("main", "DROP TABLE IF EXISTS odd")
        await bench.db.execute("main", f"CREATE TABLE odd (id INTEGER, {columns})")
        table = await bench.db.table("main", "odd")
        assert [column.db_type for column in table.columns[1:]] == (
            ["", "NUMERIC(3)"] if sql.name == "sqlite" else types
        )

    run_with(work, main=any_database)


def test_columns_with_a_collation(run_with, pg_uri):
    """SQLAlchemy asks for it as JSON, which comes from the driver as text here."""

    async def work(bench):
        await bench.db.execute("main", 'CREATE TABLE sorted (name text COLLATE "C")')
        table = await bench.db.table("main", "sorted")
        assert [column.db_type for column in table.columns] == ['TEXT COLLATE "C"']
        await bench.db.execute("main", "DROP TABLE sorted")

    run_with(work, main={"url": pg_uri})
