"""What a database tells about statements and about what it holds."""

from __future__ import annotations

import pytest

from rpcservices.database.errors import DatabaseError, DatabaseNotSupportedError, DatabaseProgrammingError
from rpcservices.database.models import ColumnType, TableKind


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
