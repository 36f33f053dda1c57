"""SQLAlchemy's own tests for dialects of third parties, through the native driver and through ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.client_dbapi.live import Live
from tests.dialects.runner import run_suite
from tests.measured import rest

KINDS = ("sqlite", "postgresql")

_BROKEN_KEY = (
    "Its tables have a foreign key to a column that is no key, Unitéble2.b: where foreign keys are enforced, SQLite refuses "
    "to use them ('foreign key mismatch'). The service enforces them, the native driver does not until told to."
)

EXCLUDED: dict[str, dict[str, str]] = {
    "sqlite": {
        "UnicodeSchemaTest.test_insert": _BROKEN_KEY,
        "UnicodeSchemaTest.test_col_targeting": _BROKEN_KEY,
        "UnicodeSchemaTest.test_reflect": _BROKEN_KEY,
        "UnicodeSchemaTest.test_repr": _BROKEN_KEY,
    },
    "postgresql": {},
}
"""Tests that the native driver passes and ours does not, by kind, each with the reason."""

ADJUSTED: dict[str, dict[str, str]] = {
    "sqlite": {
        "test_schema is attached by the configuration": "The suite attaches it on each connection. Clients of the"
        " service cannot attach files: which there are, the operator says.",
        "the database is not named after the process": "A native URL names a file, which the suite makes unique; a URL"
        " of ours names a database of the configuration.",
    },
    "postgresql": {
        "CREATE EXTENSION citext and hstore is left out": "The suite creates them on each engine. That takes rights that"
        " a role of the service should not have, and the PostgreSQL from a wheel lacks citext. Both drivers run without.",
    },
    "both": {
        "ServerSideCursorsTest._is_server_side": "The suite knows by a driver's name how to ask whether a cursor is one,"
        " and does not know ours: it is asked for the same, by another attribute.",
    },
}
"""What the set-up in compliance/ does otherwise for our dialects than the suite does for native ones, with the reason. It
counts as an exclusion does, though no test is left out by it."""

QUICK = (
    "InsertBehaviorTest or LastrowidTest or ReturningTest or RowFetchTest or ServerSideCursorsTest or RowCountTest "
    "or IsolationLevelTest or AutocommitIsolationTest or NumericTest or IntegerTest or BinaryTest or DateTimeTest "
    "or UuidTest or EnumTest or ArrayTest or HasTableTest or QuotedNameArgumentTest or EscapingTest "
    "or DifficultParametersTest or FetchLimitOffsetTest or ExceptionTest or UnicodeSchemaTest"
)


def urls(kind: str, tmp_path: Path, serve: Callable[..., Live], request: Any, driver: str = "rpc") -> tuple[str, str]:
    """The URLs of two databases of a kind: one for the native driver, one for ours."""
    if kind == "sqlite":
        live = serve(main={"attached": {"test_schema": tmp_path / "attached.sqlite3"}})
        native = "sqlite:///suite_pysqlite.db"
    else:
        make = request.getfixturevalue("pg_databases")
        native = make("native").replace("postgresql://", "postgresql+psycopg://")
        live = serve(main={"url": make("ours"), "pool_size": 40})
    return native, live.sqlalchemy(kind).replace("+rpc:", f"+{driver}:")


def compare(kind: str, tmp_path: Path, native_url: str, our_url: str, *arguments: str) -> Counter[str]:
    """Everything that passes natively must pass through us, but for what is excluded."""
    with rest():  # It runs nothing of ours.
        native = run_suite(tmp_path / "native", native_url, *arguments)
    ours = run_suite(tmp_path / "ours", our_url, *arguments)
    worse = {name: ours.get(name) for name, outcome in native.items() if outcome == "passed" != ours.get(name)}
    assert set(worse) == set(EXCLUDED[kind]) & set(native), worse
    assert len(EXCLUDED[kind]) + len(ADJUSTED[kind]) + len(ADJUSTED["both"]) < 15
    counts = Counter(ours.values())
    print(f"{kind}: native {dict(Counter(native.values()))}, ours {dict(counts)}")
    return counts


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_a_part(kind, tmp_path, serve, request):
    counts = compare(kind, tmp_path, *urls(kind, tmp_path, serve, request), "-k", QUICK)
    assert counts["passed"] > 200


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_all(kind, tmp_path, serve, request):
    counts = compare(kind, tmp_path, *urls(kind, tmp_path, serve, request))
    assert counts["passed"] > 1_500


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_all_through_the_asynchronous_dialect(kind, tmp_path, serve, request):
    counts = compare(kind, tmp_path, *urls(kind, tmp_path, serve, request, "rpc_async"))
    assert counts["passed"] > 1_500
