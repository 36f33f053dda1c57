"""What is told of columns: whether they may hold NULL, and their digits, where that can be known."""

from __future__ import annotations

import pytest

from tests.services.database.test_schema import make_schema


def known(found):
    return [(column.name, column.nullable, column.precision, column.scale) for column in found.columns]


def test_columns_have_nullability_precision_and_scale(run_with, any_database, sql):
    query = "SELECT id, name, area, area + 1 AS more, 1 AS one FROM zone WHERE id >= :low"
    described = {
        "postgresql": [("id", False), ("name", False), ("area", True), ("more", None), ("one", None)],
        "mariadb": [("id", False), ("name", False), ("area", True), ("more", True), ("one", False)],
        "sqlite": [(name, None) for name in ("id", "name", "area", "more", "one")],
    }[sql.name]

    async def work(bench):
        db = bench.db
        await make_schema(db)
        told = known(await db.describe("main", query))
        assert [entry[:2] for entry in told] == described
        assert told[0][2:] == told[1][2:] == (None, None)
        assert told[2][2:] == (12, 3)
        result = known(await db.query("main", query, {"low": 0}))
        nullable = described if sql.name == "mariadb" else [(name, None) for name, _ in described]
        assert [entry[:2] for entry in result] == nullable
        assert result[2][2:] == ((None, None) if sql.name == "sqlite" else (12, 3))
        pages = [page async for page in await db.stream("main", query, {"low": 0})]
        assert known(pages[0]) == result

    run_with(work, main=any_database)


@pytest.mark.parametrize(
    ("query", "nullable"),
    [
        ("SELECT z.name, p.id FROM zone z JOIN place p ON p.zone_id = z.id", [False, False]),
        ("SELECT z.name, p.id FROM zone z LEFT JOIN place p ON p.zone_id = z.id", [None, None]),
        ("SELECT z.name, p.id FROM zone z LEFT JOIN place p ON p.zone_id = z.id WHERE p.id IS NULL", [None, None]),
        ("SELECT name FROM zone WHERE id IN (SELECT zone_id FROM place)", [False]),
        ("SELECT name, count(*) FROM zone GROUP BY ROLLUP (name)", [None, None]),
        ("SELECT name FROM zone UNION ALL SELECT NULL", [None]),
        ("SELECT name FROM (SELECT name FROM zone UNION ALL SELECT NULL) x", [None]),
        ("SELECT name FROM zone_names", [None]),
        ("SELECT area FROM zone WHERE area IS NOT NULL", [True]),
        ("VALUES (1)", [None]),
        ("SHOW search_path", [None]),
    ],
)
def test_nullability_is_told_only_where_it_is_certain(run_with, pg_uri, query, nullable):
    async def work(bench):
        await make_schema(bench.db)
        found = await bench.db.describe("main", query)
        assert [column.nullable for column in found.columns] == nullable

    run_with(work, main={"url": pg_uri})


def test_a_statement_that_runs_again_tells_what_holds_now(run_with, pg_uri):
    """A connection remembers the columns of a statement only as long as they and the time zone are the same."""

    async def work(bench):
        db = bench.db
        tx = await db.begin("main")

        async def run(sql):
            return await db.execute("main", sql, transaction=tx.id)

        at, other = ("at", "timestamptz", "Europe/Paris", None), ("at", "timestamptz", "Asia/Tokyo", None)
        await run("CREATE TABLE again (at timestamptz, n numeric(5, 2))")
        for change, expected in (
            ("SET TIME ZONE 'Europe/Paris'", [at, ("n", "numeric", None, 2)]),
            ("SET TIME ZONE 'Asia/Tokyo'", [other, ("n", "numeric", None, 2)]),
            ("ALTER TABLE again ALTER n TYPE numeric(9, 4)", [other, ("n", "numeric", None, 4)]),
            ("ALTER TABLE again RENAME n TO total", [other, ("total", "numeric", None, 4)]),
            ("ALTER TABLE again DROP at", [("total", "numeric", None, 4)]),
        ):
            await run(change)
            for _ in range(2):
                columns = (await db.query("main", "SELECT * FROM again", transaction=tx.id)).columns
                assert [(one.name, one.db_type, one.zone, one.scale) for one in columns] == expected
        await db.rollback(tx.id)

    run_with(work, main={"url": pg_uri})


@pytest.mark.parametrize(
    ("declared", "digits"),
    [
        ("NUMERIC(12, 3)", (12, 3)), ("decimal( 5 )", (5, 0)), ("DEC(7,2)", (7, 2)), ("NUMERIC", (None, None)),
        ("VARCHAR(40)", (None, None)), ("INTEGER", (None, None)),
    ],
)  # fmt: skip
def test_declared_digits_in_sqlite(run_with, declared, digits):
    async def work(bench):
        await bench.db.execute("main", f"CREATE TABLE d (x {declared})")
        (column,) = (await bench.db.describe("main", "SELECT x FROM d")).columns
        assert (column.precision, column.scale) == digits and column.db_type == declared

    run_with(work)
