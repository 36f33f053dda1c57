"""Placeholders are found where SQL has them, and nowhere else."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from rpcserver import InvalidParams
from rpcservices.database.apart import AT_ONCE_CHARACTERS, read_sql
from rpcservices.database.backends import parameters
from rpcservices.database.backends.parameters import missing_parameters
from rpcservices.database.errors import DatabaseProgrammingError
from rpcservices.database.models import Step
from rpcservices.database.placeholders import translate


@pytest.mark.parametrize(
    ("dialect", "style", "sql", "expected", "names"),
    [
        ("postgresql", "numeric_dollar", "SELECT :a, :b, :a", "SELECT $1, $2, $1", ("a", "b")),
        ("postgresql", "numeric_dollar", "SELECT x::int, a[1:2], ':a', \":a\" -- :a\n/* :a */", None, ()),
        ("postgresql", "numeric_dollar", "SELECT $$ :a $$, $t$ :a $$ $t$, E'\\':a', :b", "SELECT $$ :a $$, $t$ :a $$ $t$, E'\\':a', $1", ("b",)),
        ("postgresql", "numeric_dollar", r"SELECT a[\:b]", "SELECT a[:b]", ()),
        ("postgresql", "numeric_dollar", "SELECT :val::jsonb, a[:lo:hi]", "SELECT $1::jsonb, a[:lo:hi]", ("val",)),
        ("postgresql", "numeric_dollar", "SELECT 'a'':x', :y", "SELECT 'a'':x', $1", ("y",)),
        ("postgresql", "numeric_dollar", "SELECT /* /* */ :x */ :y", "SELECT /* /* */ :x */ $1", ("y",)),
        ("postgresql", "numeric_dollar", "SELECT 1 /* /* */ :x", None, ()),
        ("sqlite", "qmark", "SELECT /* /* */ :x", "SELECT /* /* */ ?", ("x",)),
        ("mysql", "format", "SELECT '%', :a, 5 % 2, '\\':b' # :c", "SELECT '%%', %s, 5 %% 2, '\\':b' # :c", ("a",)),
        ("mysql", "format", "SELECT :a, :a, `:b`", "SELECT %s, %s, `:b`", ("a", "a")),
        ("sqlite", "qmark", "SELECT :a, [:b], `:c`, ':d'", "SELECT ?, [:b], `:c`, ':d'", ("a",)),
        ("sqlite", "qmark", "SELECT ':a", None, ()),
    ],
)  # fmt: skip
def test_names(dialect, style, sql, expected, names):
    found = translate(sql, dialect, style, has_names=True)
    assert found.sql == (sql if expected is None else expected)
    assert found.names == names


@pytest.mark.parametrize(
    ("dialect", "style", "sql", "expected", "count"),
    [
        ("postgresql", "numeric_dollar", "SELECT ?, ?, '?' -- ?", "SELECT $1, $2, '?' -- ?", 2),
        ("postgresql", "numeric_dollar", "SELECT j ?? 'k', ?", "SELECT j ? 'k', $1", 1),
        ("mysql", "format", "SELECT ?, '%?'", "SELECT %s, '%%?'", 1),
        ("sqlite", "qmark", "SELECT ?, [a?]", "SELECT ?, [a?]", 1),
    ],
)
def test_marks(dialect, style, sql, expected, count):
    found = translate(sql, dialect, style, has_names=False)
    assert (found.sql, found.count, found.names) == (expected, count, None)


@pytest.mark.parametrize(
    ("syntax", "sql", "expected"),
    [
        ("mysql", r"SELECT '\'?', ?", 1),
        ("mysql plain", r"SELECT '\', ?, '?'", 1),
        ("mysql plain", r'SELECT "\", ?, "?"', 1),
        ("mysql", r'SELECT "\"?", ?', 1),
        ("mysql ansi", r'SELECT "\", ?, "?"', 1),
        ("mysql ansi", r"SELECT '\'?', ?", 1),
        ("postgresql", r"SELECT '\', ?, E'\'?', '?'", 1),
        ("postgresql escaping", r"SELECT '\'?', ?, E'\'?'", 1),
        ("postgresql", "SELECT a$b$c, ?, $b$?$b$", 1),
        ("mysql", "SELECT ? --", 1),
    ],
)
def test_what_is_quoted_follows_the_syntax(syntax, sql, expected):
    assert translate(sql, syntax, "qmark", has_names=False).count == expected


@pytest.mark.parametrize(
    ("sql", "params", "said"),
    [
        ("SELECT ':x', :a", [1], r"^params: the statement has :a: give the values by names, in a dictionary$"),
        ("SELECT '?', ?", {"a": 1}, r"^params: the statement has \?: give the values by positions, in a list$"),
        ("SELECT ?, ?", [1], r"^params: 1 value for 2 placeholders '\?'$"),
        ("SELECT ?", [1, 2], r"^params: 2 values for 1 placeholder '\?'$"),
        ("SELECT 1", [1], r"^params: 1 value for 0 placeholders '\?'$"),
        ("SELECT 1", {"a": 1}, r"^params.a: the statement has no :a$"),
    ],
)
def test_values_that_do_not_fit_the_statement(sql: str, params: Any, said: str) -> None:
    statement = translate(sql, "sqlite", "qmark", isinstance(params, dict))
    with pytest.raises(InvalidParams, match=said):
        statement.arguments(params)


@pytest.mark.parametrize(
    ("syntax", "style", "sql", "expected", "numbers"),
    [
        ("mysql", "format", "SELECT ?1", "SELECT %s", (1,)),
        ("mysql", "format", "SELECT ?2, ?1, ?2, '?3'", "SELECT %s, %s, %s, '?3'", (2, 1, 2)),
        ("postgresql", "numeric_dollar", "SELECT ?2::int, ?1::int, ?2", "SELECT $1::int, $2::int, $1", (2, 1)),
        ("postgresql", "numeric_dollar", "SELECT ?10::int", "SELECT $1::int", (10,)),
        ("sqlite", "qmark", "SELECT ?2, ?1, ?2", "SELECT ?, ?, ?", (2, 1, 2)),
        ("sqlite", "qmark", "SELECT ?, ?3, ?, ?1", "SELECT ?, ?, ?, ?", (1, 3, 4, 1)),
        ("sqlite", "qmark", "SELECT a ?? 1, ?1", "SELECT a ? 1, ?", (1,)),
    ],
)
def test_numbered_placeholders(syntax, style, sql, expected, numbers):
    found = translate(sql, syntax, style, has_names=False)
    assert (found.sql, found.numbers, found.count) == (expected, numbers, max(numbers))
    values = [f"v{number}" for number in range(1, found.count + 1)]
    assert found.arguments(values) == [f"v{number}" for number in numbers]
    assert found.place(0) == f"params[{numbers[0] - 1}]"
    with pytest.raises(InvalidParams, match=rf"^params: 0 values, and the highest placeholder is \?{found.count}$"):
        found.arguments([])


@pytest.mark.parametrize("number", [0, 65536, 10**20])
def test_numbers_that_no_placeholder_has(number):
    with pytest.raises(InvalidParams, match=rf"^sql: \?{number}: placeholders have numbers from 1 to 65535$"):
        translate(f"SELECT ?{number}", "mysql", "format", has_names=False)


@pytest.mark.parametrize(("sign", "style"), [("?", "format"), ("$", "numeric_dollar")])
def test_numbers_with_more_digits_than_python_converts(sign, style):
    with pytest.raises(InvalidParams) as caught:
        translate(f"SELECT {sign}{'9' * 5000}", "postgresql", style, has_names=False).arguments([])
    assert len(str(caught.value)) < 200
    assert translate(f"SELECT ?{'0' * 5000}7", "postgresql", "format", has_names=False).count == 7


@pytest.mark.parametrize("sql", ["SELECT ?1, ?2, ?1", "SELECT ?1, ?, ?1"])
def test_numbered_placeholders_in_every_database(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        for session in (None, (await db.connect("main")).id):
            assert (await db.query("main", sql, ["a", "b"], transaction=session)).rows == [("a", "b", "a")]
            pages = [page async for page in await db.stream("main", sql, ["a", "b"], transaction=session)]
            assert pages[0].rows == [("a", "b", "a")]
            (done,) = await db.batch("main", [Step(sql, ["a", "b"])], transaction=session)
            assert done.result is not None and done.result.rows == [("a", "b", "a")]
            with pytest.raises(InvalidParams, match="3 values, and the highest placeholder is"):
                await db.query("main", sql, [1, 2, 3], transaction=session)
        assert [known.position for known in (await db.describe("main", sql)).parameters] == [1, 2]
        await db.execute("main", "DROP TABLE IF EXISTS numbered")
        await db.execute("main", "CREATE TABLE numbered (a VARCHAR(9), b VARCHAR(9), c VARCHAR(9))")
        await db.executemany("main", "INSERT INTO numbered VALUES (?2, ?1, ?2)", [["x", "y"], ["z", "w"]])
        assert sorted((await db.query("main", "SELECT a, b, c FROM numbered")).rows) == [
            ("w", "z", "w"),
            ("y", "x", "y"),
        ]
        await db.execute("main", "DROP TABLE numbered")

    run_with(work, main=any_database)


def test_the_types_of_numbered_placeholders(run_with, pg_uri):
    async def work(bench):
        told = await bench.db.describe("main", "SELECT ?3::int, ?1::text, ?3")
        assert [(known.position, known.db_type) for known in told.parameters] == [(1, "text"), (2, None), (3, "int4")]

    run_with(work, main={"url": pg_uri})


@pytest.mark.parametrize(
    ("sql", "params", "expected"),
    [
        ("SELECT 1 WHERE 1=?AND 2=?", [1, 2], [(1,)]),
        ("SELECT ?AS x", [5], [(5,)]),
        ("SELECT ?e5", [1], [(1,)]),
        ("SELECT :a'b'", {"a": 1}, [(1,)]),
        ("SELECT 7`x`, ?`y`", ["a"], [(7, "a")]),
        ("SELECT ?\u2014, ?\u00a0", [1, 2], [(1, 2)]),
    ],
)
def test_values_do_not_run_into_what_is_beside_them(run_with, my_uri, sql, params, expected):
    async def work(bench):
        assert (await bench.db.query("main", sql, params)).rows == expected

    run_with(work, main={"url": my_uri})


@pytest.mark.parametrize(
    ("sql", "params"),
    [("SELECT ?1?2", [1, 2]), ("SELECT 1.?", [5]), ("SELECT ?.5", [5]), ("SELECT .?", [5]), ("SELECT ?2?1.?2", [1, 2])],
)
def test_no_number_is_made_of_several_parts(run_with, my_uri, sql, params):
    async def work(bench):
        with pytest.raises(DatabaseProgrammingError):
            await bench.db.query("main", sql, params)

    run_with(work, main={"url": my_uri})


@pytest.mark.parametrize("style", ["qmark", "format", "numeric_dollar"])
def test_more_placeholders_than_any_database_takes(style):
    """They are not even counted to their end: that would hold up everybody."""
    dialect = {"qmark": "sqlite", "format": "mysql", "numeric_dollar": "postgresql"}[style]
    assert translate("SELECT " + "?," * 65_535, dialect, style, has_names=False).count == 65_535
    for sign, named in (("?,", False), (":a,", True)):
        with pytest.raises(InvalidParams, match="sql: more than 65535 placeholders: give fewer values"):
            translate("SELECT " + sign * 65_536, dialect, style, has_names=named)


def test_forgotten_placeholders_are_looked_for_in_short_statements(monkeypatch):
    """The hint is worth little in others, and everybody would wait for it."""
    assert missing_parameters("SELECT ?", "sqlite", "qmark") == "params: missing, for 1 placeholder '?'"

    def refuse(*_: Any, **__: Any) -> Any:
        pytest.fail("it was searched")

    monkeypatch.setattr(parameters, "translate", refuse)
    for text in ("?," * 10_000, "/*" * 10_000, ":a," * 10_000):
        assert missing_parameters(f"SELECT {text}", "sqlite", "qmark") is None


def test_long_statements_are_read_beside_the_event_loop():
    """A megabyte of quotes or comments used to hold everybody up for seconds."""

    async def work():
        def where(sql):
            return threading.get_ident()

        here = threading.get_ident()
        assert await read_sql(where, "x" * AT_ONCE_CHARACTERS) == here
        assert await read_sql(where, "x" * (AT_ONCE_CHARACTERS + 1)) != here

    asyncio.run(work())


@pytest.mark.parametrize("named", [True, False])
def test_a_long_statement_with_parameters(run_with, any_database, sql, named):
    mark = ":n" if named else "?"
    text = f"SELECT {mark} AS x /*{' * ' * 4000}*/, '{'q' * 9000}' AS q"

    async def work(bench):
        params = {"n": 5} if named else [5]
        row = (await bench.db.query("main", text, params)).one()
        assert (int(row[0]), len(row[1])) == (5, 9000)
        await bench.db.execute("main", f"CREATE TABLE long_{named} (n INTEGER)")
        insert = f"INSERT INTO long_{named} VALUES ({mark}) -- {'x' * 9000}"
        sets = [{"n": 1}, {"n": 2}] if named else [[1], [2]]
        await bench.db.executemany("main", insert, sets)
        assert (await bench.db.query("main", f"SELECT count(*) FROM long_{named}")).scalar() == 2

    run_with(work, main=any_database)
