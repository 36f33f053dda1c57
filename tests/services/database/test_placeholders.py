"""Placeholders are found where SQL has them, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from rpcserver import InvalidParams
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
    found = translate(sql, dialect, style, named=True)
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
    found = translate(sql, dialect, style, named=False)
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
    assert translate(sql, syntax, "qmark", named=False).count == expected


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
