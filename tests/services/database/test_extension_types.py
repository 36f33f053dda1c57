"""Types that are made while connections are open, as extensions and users make them: what is told of them, and what
their values are, depends neither on when they were made nor on how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from rpcservices.database.models import ColumnType
from tests.client_dbapi.live import Live

TEXT, INTEGER, DECIMAL, ARRAY = ColumnType.TEXT, ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.ARRAY

MAKE = """
CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE EXTENSION cube; CREATE EXTENSION isn;
CREATE TYPE mood AS ENUM ('sad', 'glad, {or} so');
CREATE DOMAIN price AS numeric(10, 2) CHECK (VALUE > 0);
CREATE DOMAIN fair AS price;
CREATE DOMAIN way AS int[];
CREATE TYPE pair AS (number int, name text);
CREATE TYPE span AS RANGE (subtype = float8);
"""
DROP = """
DROP EXTENSION IF EXISTS hstore, citext, ltree, cube, isn CASCADE; DROP DOMAIN IF EXISTS way, fair, price CASCADE;
DROP TYPE IF EXISTS mood, pair, span CASCADE
"""
TEXTS = {
    "hstore": ("""'a=>"1,}", b=>NULL'""", '"a"=>"1,}", "b"=>NULL'),
    "citext": ("'Ä, b'", "Ä, b"),
    "ltree": ("'top.x'", "top.x"),
    "cube": ("'(1,2),(3,4)'", "(1, 2),(3, 4)"),
    "isbn13": ("'978-0-393-04002-9'", "978-0-393-04002-9"),
    "mood": ("'glad, {or} so'", "glad, {or} so"),
    "pair": ("(7, 'x, \"y\"')", '(7,"x, ""y""")'),
    "span": ("'[1.5,2]'", "[1.5,2]"),
    "span_multirange": ("'{[1.5,2], [7,8]}'", "{[1.5,2],[7,8]}"),
}
"""Types whose values come as text: an expression of each, and that text."""
QUERY = "SELECT " + ", ".join(
    [f"{sql}::{name} AS {name}, ARRAY[{sql}::{name}, NULL] AS {name}_array" for name, (sql, _) in TEXTS.items()]
    + ["1.50::price AS price", "ARRAY[1.50::price] AS price_array", "ARRAY[2.5::fair] AS fair_array"]
    + ["'{1,2}'::way AS way", "ARRAY['{1,2}'::way] AS way_array", "'{{1,2},{3,NULL}}'::price[] AS nested"]
)
WANTED = [
    found
    for name, (_, text) in TEXTS.items()
    for found in (
        (name, TEXT, name, None, None, text),
        (f"{name}_array", ARRAY, f"{name}[]", TEXT, None, [text, None]),
    )
] + [
    ("price", DECIMAL, "numeric", None, 2, Decimal("1.50")),
    ("price_array", ARRAY, "price[]", DECIMAL, 2, [Decimal("1.50")]),
    ("fair_array", ARRAY, "fair[]", DECIMAL, 2, [Decimal("2.50")]),
    ("way", ARRAY, "int4[]", INTEGER, None, [1, 2]),
    ("way_array", ARRAY, "way[]", INTEGER, None, [[1, 2]]),
    ("nested", ARRAY, "price[]", DECIMAL, 2, [[Decimal("1.00"), Decimal("2.00")], [Decimal("3.00"), None]]),
]  # fmt: skip


def told(columns, row):
    return [(c.name, c.type, c.db_type, c.item, c.scale, cell) for c, cell in zip(columns, row, strict=True)]


async def read(db, sql, transaction=None):
    """What each way to read tells of the one row."""
    found = []
    for method in (db.query, db.execute):
        result = await method("main", sql, transaction=transaction)
        found.append(told(result.columns, result.one()))
    pages = [page async for page in await db.stream("main", sql, transaction=transaction)]
    found.append(told(pages[0].columns, pages[0].rows[0]))
    return found


@pytest.fixture
def other(contrib_uri: str) -> Iterator[psycopg.Connection]:
    """Another connection to the database, where there are no such types before, nor afterwards."""
    with psycopg.connect(contrib_uri, autocommit=True) as connection:
        connection.execute(DROP)
        yield connection
        connection.execute(DROP)


def test_it_does_not_matter_when_a_type_was_made(run_with, contrib_uri, other):
    async def work(bench):
        db = bench.db
        await db.query("main", "SELECT 1")  # Now there are connections that know of no such type.
        await db.execute("main", "SELECT 1")
        session = await db.connect("main", readonly=False)
        for _ in range(2):  # When they are made anew, they have other numbers.
            other.execute(MAKE)
            for transaction in (None, session.id):
                assert await read(db, QUERY, transaction) == [WANTED] * 3
            other.execute(DROP)
        await db.disconnect(session.id)

    run_with(work, main={"url": contrib_uri, "read_pool_size": 1, "pool_size": 2})


def test_types_that_nobody_else_sees_yet(run_with, contrib_uri, other):
    async def work(bench):
        db = bench.db
        transaction = (await db.begin("main")).id
        await db.script("main", MAKE, transaction=transaction)
        assert await read(db, QUERY, transaction) == [WANTED] * 3
        described = await db.describe("main", "SELECT :h::hstore, :m::mood[]", transaction=transaction)
        assert [known.db_type for known in described.parameters] == ["hstore", "mood[]"]
        await db.execute("main", "CREATE TEMP TABLE zone (id int, name text)", transaction=transaction)
        await db.execute("main", "INSERT INTO zone VALUES (1, 'x')", transaction=transaction)
        rows = "SELECT zone AS one, array_agg(zone) OVER () AS all FROM zone"
        wanted = [("one", TEXT, "zone", None, None, "(1,x)"), ("all", ARRAY, "zone[]", TEXT, None, ["(1,x)"])]
        assert await read(db, rows, transaction) == [wanted] * 3
        await db.rollback(transaction)

    run_with(work, main={"url": contrib_uri})


@pytest.mark.parametrize("within", [False, True])
def test_types_of_results_that_do_not_fit_into_memory(run_with, contrib_uri, other, within):
    """While such a result is read, its connection cannot be asked."""

    async def work(bench):
        db = bench.db
        await db.query("main", "SELECT 1")
        transaction = (await db.begin("main", readonly=True)).id if within else None
        other.execute(MAKE)
        sql = "SELECT ARRAY['sad'::mood] AS m, repeat('x', 1000) AS x FROM generate_series(1, 10000)"
        count = 0
        async for page in await db.stream("main", sql, transaction=transaction):
            assert [column.db_type for column in page.columns] == ["mood[]", "text"]
            count += len(page)
            assert page.rows[0][0] == ["sad"]
        assert count == 10_000
        if transaction:
            await db.rollback(transaction)

    run_with(work, main={"url": contrib_uri})


def test_types_that_cannot_be_asked_for_are_text(run_with, contrib_uri, contrib_superuser, other):
    async def work(bench):
        db = bench.db
        await db.query("main", "SELECT 1")
        other.execute(MAKE)
        with psycopg.connect(contrib_superuser, autocommit=True) as superuser:
            superuser.execute("ALTER ROLE app CONNECTION LIMIT 0")
            try:
                sql = "SELECT ARRAY['sad'::mood] AS m, repeat('x', 1000) AS x FROM generate_series(1, {})"
                pages = [page async for page in await db.stream("main", sql.format(10_000))]
                assert pages[0].columns[0].db_type.startswith("oid ") and pages[-1].rows[0][0] == "{sad}"
                found = await db.query("main", sql.format(10))
                assert found.columns[0].db_type == "mood[]" and found[0][0] == ["sad"]
            finally:
                superuser.execute("ALTER ROLE app CONNECTION LIMIT -1")

    run_with(work, main={"url": contrib_uri, "read_pool_size": 1})


def test_an_error_after_rows_of_an_unknown_type(run_with, contrib_uri, other):
    async def work(bench):
        db = bench.db
        transaction = (await db.begin("main")).id
        await db.execute("main", "CREATE TYPE mood AS ENUM ('sad')", transaction=transaction)
        with pytest.raises(Exception, match="division by zero") as caught:
            await db.execute(
                "main", "SELECT 'sad'::mood, 1 / (20 - i) FROM generate_series(1, 30) i", transaction=transaction
            )
        assert caught.value.tx_state == "failed"
        await db.rollback(transaction)
        assert (await db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={"url": contrib_uri})


@pytest.mark.parametrize(("sql", "kind"), [("xmin", "xid"), ("cmin", "cid"), ("oid", "oid")])
def test_numbers_of_the_system_are_numbers(run_with, contrib_uri, sql, kind):
    async def work(bench):
        found = await bench.db.query("main", f"SELECT {sql}, ARRAY[{sql}] FROM pg_class LIMIT 1")
        assert [(c.type, c.db_type, c.item) for c in found.columns] == [
            (INTEGER, kind, None), (ARRAY, f"{kind}[]", INTEGER),
        ]  # fmt: skip
        number, numbers = found.one()
        assert type(number) is int and numbers == [number]

    run_with(work, main={"url": contrib_uri})


def test_through_sqlalchemy(tmp_path: Path, contrib_uri: str, other: psycopg.Connection):
    live = Live(tmp_path, {"main": {"url": contrib_uri}})
    engine = sa.create_engine(live.sqlalchemy("postgresql"))
    mood = pg.ENUM("sad", "glad, {or} so", name="mood", create_type=False)
    table = sa.Table(
        "kept", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("h", pg.HSTORE),
        sa.Column("hs", pg.ARRAY(pg.HSTORE)), sa.Column("c", pg.CITEXT), sa.Column("cs", pg.ARRAY(pg.CITEXT)),
        sa.Column("m", mood), sa.Column("ms", pg.ARRAY(mood)),
    )  # fmt: skip
    row = {
        "id": 1, "h": {"a": 'x", {y}\\', "b": None}, "hs": [{"a": "1, 2"}, None, {}], "c": "Ä", "cs": ["x,y", None],
        "m": "sad", "ms": ["sad", None, "glad, {or} so"],
    }  # fmt: skip
    try:
        with engine.connect() as before:  # It was opened before there are such types.
            before.execute(sa.text("SELECT 1"))
            before.rollback()
            other.execute(MAKE)
            table.create(before)
            before.execute(sa.insert(table), row)
            assert before.execute(sa.select(table)).mappings().one() == row
            before.commit()
            with engine.connect() as after:
                assert after.execute(sa.select(table)).mappings().one() == row
                found = sa.Table("kept", sa.MetaData(), autoload_with=after)
                assert after.execute(sa.select(found)).mappings().one() == row
                assert after.scalar(sa.select(table.c.h["a"])) == row["h"]["a"]
                assert after.scalar(sa.select(sa.func.hstore("k", "v", type_=pg.HSTORE))) == {"k": "v"}
            table.drop(before)
            before.commit()
    finally:
        engine.dispose()
        live.stop()
