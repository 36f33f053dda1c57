"""Results of the client on three real databases: how they show themselves, and what they become."""

from __future__ import annotations

import enum
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from rpcclient.errors import InvalidParams
from rpcclient.stubs.database import DatabaseDataError


@pytest.fixture
def db(connect, table):
    return connect().client.database


def test_an_interactive_python_shows_a_table(db):
    db.execute("main", "INSERT INTO t VALUES (1, 'north'), (2, NULL)")
    found = db.query("main", "SELECT id, x FROM t ORDER BY id")
    assert repr(found).splitlines() == ["id │ x", "───┼──────", " 1 │ north", " 2 │ NULL", "(2 rows)"]
    assert found._repr_html_().count("<tr>") == 3
    cut = db.query("main", "SELECT id FROM t ORDER BY id", max_rows=1)
    assert repr(cut).endswith("(truncated: there are more rows)") and "more rows" in cut._repr_html_()
    assert repr(db.execute("main", "UPDATE t SET x = 'y' WHERE id = 1")) == "(1 row changed)"
    assert db.execute("main", "UPDATE t SET x = 'z'")._repr_html_() == "<p>(2 rows changed)</p>"
    with db.stream("main", "SELECT id FROM t ORDER BY id") as pages:
        page = next(pages)
    assert repr(page) == repr(page.rows) == "id\n──\n 1\n 2\n(2 rows)"
    assert page._repr_html_() == page.rows._repr_html_()


def test_pages_of_decimals_have_one_schema(db, kind):
    if kind == "sqlite":
        return  # It has no decimal numbers.
    db.execute("main", "DROP TABLE IF EXISTS money")
    db.execute("main", "CREATE TABLE money (id INTEGER PRIMARY KEY, cents DECIMAL(10, 2))")
    amounts = [None, Decimal("1.00"), Decimal("-99999999.99"), Decimal("0.10")]
    db.executemany("main", "INSERT INTO money VALUES (?, ?)", [[n, amount] for n, amount in enumerate(amounts)])
    with db.stream("main", "SELECT cents FROM money ORDER BY id", page_rows=1) as pages:
        tables = [page.rows.to_arrow() for page in pages]
    assert {table.schema.field("cents").type for table in tables} == {pa.decimal128(10, 2)}
    assert pa.concat_tables(tables).column("cents").to_pylist() == amounts
    db.execute("main", "DROP TABLE money")


LISTS = {  # As docs/database.md has them.
    "sqlite": "SELECT id FROM t WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id",
    "postgresql": "SELECT id FROM t WHERE id = ANY(:ids) ORDER BY id",
    "mariadb": "SELECT id FROM t WHERE id IN (SELECT id FROM JSON_TABLE(:ids, '$[*]' COLUMNS (id BIGINT PATH '$')) AS t)"
    " ORDER BY id",
}


def test_lists_as_the_guide_has_them(db, kind):
    db.executemany("main", "INSERT INTO t VALUES (?, NULL)", [[1], [2], [3]])
    for ids in ([1, 3], [], [2**40]):
        for found in (db.execute("main", LISTS[kind], {"ids": ids}), db.query("main", LISTS[kind], {"ids": ids})):
            assert found.column(0) == [number for number in ids if number < 4]
    if kind == "postgresql":
        assert db.query("main", "SELECT ?::bigint * ?", [200, 200]).scalar() == 40_000
        with pytest.raises(DatabaseDataError, match="smallint"):
            db.query("main", "SELECT ? * ?", [200, 200])
        for sql, given in (("to_jsonb(?)", [1, 2]), ("?::jsonb", "[1, 2]"), ("?::jsonb", {"a": 1})):
            assert db.query("main", f"SELECT {sql}", [given]).columns[0].db_type == "jsonb"


class Color(enum.Enum):
    RED = "red"


def test_scalars_of_numpy_are_parameters_like_others(db):
    db.execute("main", "INSERT INTO t VALUES (?, ?)", [np.int64(7), np.str_("seven")])
    assert db.query("main", "SELECT x FROM t WHERE id = :id", {"id": np.int32(7)}).scalar() == "seven"
    many = [{"id": np.int64(n), "x": None} for n in (8, 9)]
    assert db.executemany("main", "INSERT INTO t VALUES (:id, :x)", many).rowcount == 2


def test_what_cannot_be_sent_is_named(db, connect):
    for params, said in (
        ({"x": object()}, "params.x: a value of type object cannot be sent"),
        ([Color.RED], "params.0: a value of type Color cannot be sent: give its value"),
        (["\ud800"], "params.0: text with lone surrogates cannot be sent"),
        (5, "params: a list or a dict of values"),
    ):
        with pytest.raises(InvalidParams) as caught:
            db.query("main", "SELECT 1", params)
        assert said in caught.value.message and caught.value.executed == "no"
    assert db.query("main", "SELECT count(*) FROM t").scalar() == 0
