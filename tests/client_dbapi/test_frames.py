"""Tables of Arrow and pandas out of real databases: a column has one type, with rows and without, and on each page."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from rpcclient import Client
from tests.client_dbapi.live import TOKEN, Live
from tests.services.database.conftest import contrib_superuser, contrib_uri

__all__ = ["contrib_superuser", "contrib_uri"]

UTC = "timestamp[us, tz=UTC]"
UUID_TYPE = str(pa.uuid())


class Case(NamedTuple):
    """A type of a database: two values of it, and what its column is in Arrow and in pandas."""

    db_type: str
    samples: tuple[str, str]
    arrow: str
    pandas: str = "object"


POSTGRESQL = [
    Case("int2", ("1", "-2"), "int64", "int64"),
    Case("int8", ("9223372036854775807", "0"), "int64", "int64"),
    Case("oid", ("4294967295", "0"), "int64", "int64"),
    Case("float4", ("0.1", "'NaN'"), "double", "float64"),
    Case("float8", ("1e300", "'-Infinity'"), "double", "float64"),
    Case("bool", ("true", "false"), "bool", "bool"),
    Case("numeric(10,2)", ("1.5", "-12345678.25"), "decimal128(10, 2)"),
    Case("numeric(50,10)", ("1.5", "0"), "decimal256(50, 10)"),
    Case("numeric(2,5)", ("0.00012", "0.00099"), "decimal128(5, 5)"),
    Case("numeric(2,-3)", ("12345", "-99000"), "decimal128(5, 0)"),
    Case("text", ("'a'", "'é, \"{}'"), "string", "str"),
    Case("varchar(5)", ("'a'", "''"), "string", "str"),
    Case("char(3)", ("'a'", "'b'"), "string", "str"),
    Case("name", ("'a'", "'b'"), "string", "str"),
    Case("bytea", ("'\\xff'", "''"), "binary"),
    Case("date", ("'2026-01-02'", "'0001-01-01'"), "date32[day]"),
    Case("time", ("'01:02:03.000004'", "'00:00'"), "time64[us]"),
    Case("timestamp", ("'2026-01-02 03:04:05.000006'", "'9999-12-31'"), "timestamp[us]", "datetime64[us]"),
    Case("timestamptz", ("'2026-01-02 03:04:05+00'", "'2026-07-02 03:04:05+00'"), UTC, "datetime64[us, UTC]"),
    Case("interval", ("'1 day 00:00:01'", "'-1 hour'"), "duration[us]", "timedelta64[us]"),
    Case("uuid", ("'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"), UUID_TYPE),
    Case("json", ("'[1, null]'", "'null'"), "string", "str"),
    Case("jsonb", ("'{\"a\": 1}'", "'null'"), "string", "str"),
    Case("inet", ("'::1'", "'10.0.0.0/8'"), "string", "str"),
    Case("point", ("'(1,2)'", "'(3,4)'"), "string", "str"),
    Case("money", ("'1'", "'2'"), "string", "str"),
    Case("xid", ("'5'", "'6'"), "int64", "int64"),
    Case("bit(3)", ("'101'", "'000'"), "string", "str"),
    Case("tsvector", ("'a b'", "''"), "string", "str"),
    Case("int4range", ("'[1,5)'", "'empty'"), "string", "str"),
    Case("tstzrange", ("'[2026-01-01, 2026-07-01)'", "'(,)'"), "string", "str"),
    Case("int8multirange", ("'{[1,2],[5,7]}'", "'{}'"), "string", "str"),
    Case("hstore", ("'a=>1'", "''"), "string", "str"),
    Case("mood", ("'sad'", "'glad, {or} so'"), "string", "str"),
    Case("price", ("1.5", "2"), "decimal128(10, 2)"),
    Case("pair", ("(1, 'x')", "(NULL, '\"')"), "string", "str"),
    Case("moment", ("'2026-01-02 00:00+01'", "'2026-07-02 00:00+01'"), UTC, "datetime64[us, UTC]"),
]
MAKE = """
CREATE EXTENSION IF NOT EXISTS hstore; DROP TYPE IF EXISTS mood, pair CASCADE; DROP DOMAIN IF EXISTS price, moment CASCADE;
CREATE TYPE mood AS ENUM ('sad', 'glad, {or} so'); CREATE DOMAIN price AS numeric(10, 2);
CREATE DOMAIN moment AS timestamptz; CREATE TYPE pair AS (number int, name text);
"""
UNMAKE = "DROP TYPE mood, pair CASCADE; DROP DOMAIN price, moment CASCADE; DROP EXTENSION hstore"


@pytest.fixture(scope="module")
def postgresql(contrib_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server with a PostgreSQL database, whose sessions are in a zone with a summer time."""
    live = Live(
        tmp_path_factory.mktemp("frames"), {"main": {"url": f"{contrib_uri}&options=-c%20timezone%3DEurope/Berlin"}}
    )
    with Client(live.url, token=TOKEN) as client:
        client.database.script("main", MAKE)
        yield client
        client.database.script("main", UNMAKE)
    live.stop()


def pages(client: Client, sql: str) -> list[Any]:
    with client.database.stream("main", sql, page_rows=2) as stream:
        return list(stream)


def check(client: Client, column: str, rows: list[str], arrow: str, pandas: str, *, nulls: str) -> None:
    """A column of some rows, of all of them page by page, of NULL, and of nothing."""
    values = ", ".join(f"({place}, {row})" for place, row in enumerate(rows))
    several = f"SELECT x::{column} AS x FROM (VALUES {values}) v (i, x) ORDER BY i"
    counts = {f"{several} LIMIT 0": 0, f"{several} LIMIT 1": 1, several: len(rows)}
    for sql, count in counts.items():
        result = client.database.query("main", sql)
        table, frame = result.to_arrow(), result.to_pandas()
        assert (str(table.schema.field("x").type), str(frame.dtypes["x"])) == (arrow, pandas), (column, sql)
        assert table.num_rows == len(frame) == len(result) == count
        found = pages(client, sql)
        schemas = [page.rows.to_arrow().schema for page in found]
        assert all(schema == table.schema for schema in schemas), (column, sql)
        whole = pa.concat_tables([page.rows.to_arrow() for page in found])
        if "NaN" not in several:  # It differs from itself.
            assert whole.to_pylist() == table.to_pylist()
            assert [row["x"] for row in table.to_pylist()] == [in_utc(row.x) for row in result]
            assert [row.x for page in found for row in page] == [row.x for row in result]
    empty = client.database.query("main", f"SELECT NULL::{column} AS x FROM generate_series(1, 3)")
    assert (str(empty.to_arrow().schema.field("x").type), str(empty.to_pandas().dtypes["x"])) == (arrow, nulls), column
    assert empty.to_arrow().column("x").null_count == 3


def in_utc(value: Any) -> Any:
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo else value


WITH_NULLS = {"int64": "Int64", "bool": "boolean"}


@pytest.mark.parametrize("case", POSTGRESQL, ids=lambda case: case.db_type)
def test_each_type_of_postgresql(postgresql: Client, case: Case) -> None:
    rows = [f"{value}::{case.db_type}" for value in case.samples] * 2 + [f"{case.samples[0]}::{case.db_type}"]
    check(postgresql, case.db_type, rows, case.arrow, case.pandas, nulls=WITH_NULLS.get(case.pandas, case.pandas))


@pytest.mark.parametrize("case", POSTGRESQL, ids=lambda case: case.db_type)
def test_arrays_of_each_type(postgresql: Client, case: Case) -> None:
    one, two = (f"{value}::{case.db_type}" for value in case.samples)
    rows = [
        f"ARRAY[{one}, NULL, {two}]",
        f"ARRAY[{two}]",
        f"ARRAY[]::{case.db_type}[]",
        f"NULL::{case.db_type}[]",
        f"ARRAY[{one}]",
    ]
    check(postgresql, f"{case.db_type}[]", rows, f"list<item: {case.arrow}>", "object", nulls="object")


@pytest.mark.parametrize("case", POSTGRESQL, ids=lambda case: case.db_type)
def test_nested_arrays_of_each_type(postgresql: Client, case: Case) -> None:
    one, two = (f"{value}::{case.db_type}" for value in case.samples)
    rows = [
        f"ARRAY[[{one}, NULL], [{two}, {one}]]",
        "NULL",
        "NULL",
        "NULL",
        f"ARRAY[]::{case.db_type}[]",
        f"ARRAY[[{two}]]",
    ]
    sql = f"SELECT x::{case.db_type}[] AS x FROM (VALUES {', '.join(f'({i}, {row})' for i, row in enumerate(rows))}) v (i, x) ORDER BY i"
    found = pages(postgresql, sql)
    assert {str(page.rows.to_arrow().schema.field("x").type) for page in found} == {
        f"list<item: list<item: {case.arrow}>>"
    }
    assert len(found) == 3 and pa.concat_tables([page.rows.to_arrow() for page in found]).num_rows == 6


def test_times_in_arrays_are_the_moments_that_they_are(postgresql: Client) -> None:
    sql = "SELECT ARRAY['2026-01-01 12:00+00', '2026-07-01 12:00+00']::timestamptz[] AS a"
    found = postgresql.database.query("main", sql)
    wanted = [dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC), dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)]
    assert found.to_arrow().column("a").to_pylist() == [wanted]
    (cell,) = found.to_pandas()["a"]
    assert cell == wanted and all(moment.tzinfo is dt.UTC for moment in cell)
    assert [str(moment.tzinfo) for moment in found.scalar()] == ["Europe/Berlin"] * 2
    assert [moment.hour for moment in found.scalar()] == [13, 14]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT x FROM (VALUES ('infinity'::timestamptz)) v (x)", "comes as text"),
        ("SELECT interval '1 mon' AS x", "comes as text"),
        ("SELECT ARRAY['infinity'::date] AS x", "comes as text"),
        ("SELECT ARRAY[date '2026-01-01', 'infinity'] AS x", "date and str"),
        ("SELECT '01:00+02'::timetz AS x", "offsets"),
        ("SELECT x FROM (VALUES (ARRAY[1]), (ARRAY[[1], [2]])) v (x)", "differ in their dimensions"),
        ("SELECT 'NaN'::numeric(5, 2) AS x", "NaN or an infinity"),
        ("SELECT 'NaN'::numeric AS x", "NaN or an infinity"),
        ("SELECT '-Infinity'::numeric AS x", "NaN or an infinity"),
        ("SELECT ARRAY['Infinity', NULL, 1.5]::numeric[] AS x", "NaN or an infinity"),
    ],
)
def test_what_has_no_type_in_arrow_is_named(postgresql: Client, sql: str, said: str) -> None:
    found = postgresql.database.query("main", sql)
    with pytest.raises(
        TypeError, match=rf"the column 'x' has no type in Arrow: .*{said}|{said}.* has no type in Arrow"
    ):
        found.to_arrow()
    assert list(found.to_pandas()["x"]) == found.column("x") or "'NaN'" in sql


def test_numbers_without_a_declaration(postgresql: Client) -> None:
    for sql, arrow in (
        ("SELECT NULL::numeric AS x", "decimal128(1, 0)"), ("SELECT 1.25::numeric AS x", "decimal128(3, 2)"),
        ("SELECT NULL::numeric[] AS x", "list<item: decimal128(1, 0)>"), ("SELECT ARRAY[1.25, 10] AS x", "list<item: decimal128(4, 2)>"),
    ):  # fmt: skip
        assert str(postgresql.database.query("main", sql).to_arrow().schema.field("x").type) == arrow


def test_zones_through_sqlalchemy_and_pandas(tmp_path: Path, contrib_uri: str) -> None:
    live = Live(tmp_path, {"main": {"url": contrib_uri}})
    engine = sa.create_engine(live.sqlalchemy("postgresql"))
    sql = "SELECT x FROM (VALUES ('2026-01-01 12:00+00'::timestamptz), ('2026-07-01 12:00+00'), (NULL)) v (x)"
    try:
        for zone in ("Europe/Berlin", "UTC", "America/New_York", "<+02>-02", "CET-1CEST"):
            with engine.connect() as connection:
                connection.execute(sa.text(f"SET TIME ZONE '{zone}'"))
                frame = pd.read_sql(sa.text(sql), connection)
                assert str(frame.dtypes["x"]) == "datetime64[us, UTC]", zone
                cells = connection.execute(sa.text(sql)).scalars().all()
                assert cells[0] == dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC) and cells[2] is None
                if "/" in zone:
                    assert {str(cell.tzinfo) for cell in cells if cell} == {zone}
                ends = "SELECT '0001-01-01 00:00:00+00'::timestamptz, '9999-12-31 23:59:59+00'::timestamptz"
                assert len(connection.execute(sa.text(ends)).one()) == 2
    finally:
        engine.dispose()
        live.stop()


MARIADB = [
    Case("BIGINT UNSIGNED", ("18446744073709551615", "0"), "uint64", "uint64"),
    Case("BIGINT", ("-1", "0"), "int64", "int64"),
    Case("INT UNSIGNED", ("4294967295", "0"), "int64", "int64"),
    Case("TINYINT(1)", ("1", "0"), "int64", "int64"),
    Case("YEAR", ("2026", "1999"), "int64", "int64"),
    Case("FLOAT", ("1.5", "0"), "double", "float64"),
    Case("DOUBLE", ("1.5", "0"), "double", "float64"),
    Case("DECIMAL(10,2)", ("1.5", "-1"), "decimal128(10, 2)"),
    Case("DECIMAL(65,30)", ("1.5", "-1"), "decimal256(65, 30)"),
    Case("DECIMAL(5,0) UNSIGNED", ("1", "2"), "decimal128(5, 0)"),
    Case("VARCHAR(9)", ("'é'", "''"), "string", "str"),
    Case("TEXT", ("'é'", "''"), "string", "str"),
    Case("ENUM('a','b')", ("'a'", "'b'"), "string", "str"),
    Case("BLOB", ("x'ff'", "x'00'"), "binary"),
    Case("BIT(3)", ("b'101'", "b'1'"), "binary"),
    Case("DATE", ("'2026-01-02'", "'1000-01-01'"), "date32[day]"),
    Case("TIME(6)", ("'01:02:03.000004'", "'-800:00:00'"), "duration[us]", "timedelta64[us]"),
    Case("DATETIME(6)", ("'2026-01-02 03:04:05.000006'", "'1000-01-01'"), "timestamp[us]", "datetime64[us]"),
    Case("JSON", ("'[1]'", "'null'"), "string", "str"),
    Case("UUID", ("'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'"), "string", "str"),
]
SQLITE = [
    Case("INTEGER", ("9223372036854775807", "-1"), "int64", "int64"),
    Case("REAL", ("1.5", "-1.0"), "double", "float64"),
    Case("TEXT", ("'é'", "''"), "string", "str"),
    Case("BLOB", ("x'ff'", "x''"), "binary"),
]


@pytest.mark.parametrize(("kind", "cases"), [("mariadb", MARIADB), ("sqlite", SQLITE)])
def test_each_type_of_the_others(live: Live, kind: str, cases: list[Case]) -> None:
    with Client(live.url, token=TOKEN) as client:
        db = client.database
        for case in cases:
            db.execute("main", "DROP TABLE IF EXISTS framed")
            db.execute("main", f"CREATE TABLE framed (i INTEGER PRIMARY KEY, x {case.db_type})")
            for number in range(5):
                db.execute("main", f"INSERT INTO framed VALUES ({number}, {case.samples[number % 2]})")
            db.execute("main", "INSERT INTO framed VALUES (5, NULL), (6, NULL)")
            whole = db.query("main", "SELECT x FROM framed ORDER BY i LIMIT 5")
            schema = whole.to_arrow().schema
            assert (str(schema.field("x").type), str(whole.to_pandas().dtypes["x"])) == (case.arrow, case.pandas), case
            found = pages(client, "SELECT x FROM framed ORDER BY i")
            assert all(page.rows.to_arrow().schema == schema for page in found) and len(found) == 4, case
            if kind == "mariadb":  # In SQLite only cells have types.
                for rest in ("WHERE 1 = 0", "WHERE x IS NULL"):
                    assert db.query("main", f"SELECT x FROM framed {rest}").to_arrow().schema == schema, case
        db.execute("main", "DROP TABLE framed")


def test_times_of_numpy_in_units_that_nobody_knows(postgresql: Client) -> None:
    db = postgresql.database
    for value, said in (
        (np.timedelta64(1, "M"), "it is in months, whose length differs: give days"),
        (np.timedelta64(3, "Y"), "it is in years, whose length differs: give days"),
        (np.timedelta64(7), "it has no unit"),
        # Converted to microseconds, numpy makes others of them, and calls these equal.
        *(
            (np.timedelta64(sign * 10**18, unit), "none that is equal")
            for unit in ("W", "D", "h", "m", "s", "ms")
            for sign in (1, -1)
        ),
        (np.timedelta64(10**9, "D"), "none that is equal"),
        *((np.datetime64(2**62, unit), "none that is equal") for unit in ("M", "W", "D", "h", "m", "s", "ms")),
        (np.datetime64(2**62 + 1, "ns"), "none that is equal"),
    ):
        with pytest.raises(Exception, match=said):
            db.query("main", "SELECT :x", {"x": value})
    assert db.query("main", "SELECT ?::interval", [np.timedelta64(3000, "ns")]).scalar() == dt.timedelta(0, 0, 3)
    assert db.query("main", "SELECT ?::interval", [np.timedelta64(2, "W")]).scalar() == dt.timedelta(14)
    assert db.query("main", "SELECT ?::date", [np.datetime64("2026-02", "M")]).scalar() == dt.date(2026, 2, 1)
    assert db.query("main", "SELECT ?::interval", [np.timedelta64("NaT", "M")]).scalar() is None
    assert db.query("main", "SELECT ARRAY['00000000-0000-0000-0000-000000000001'::uuid] a").to_arrow().column(
        0
    ).to_pylist() == [[uuid.UUID(int=1)]]
