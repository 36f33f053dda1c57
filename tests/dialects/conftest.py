"""A server over real databases for SQLAlchemy's suite."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.client_dbapi.live import Live
from tests.services.database.conftest import my_superuser, my_uri, pg_superuser

__all__ = ["my_superuser", "my_uri", "pg_superuser"]

collect_ignore = ["compliance"]  # For a pytest of its own.


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Starts servers."""
    started: list[Live] = []

    def begin(**databases: Any) -> Live:
        folder = tmp_path / f"server{len(started)}"
        folder.mkdir()
        started.append(Live(folder, databases or {"main": {}}))
        return started[-1]

    yield begin
    for live in started:
        live.stop()


@pytest.fixture(scope="session")
def pg_databases(pg_superuser: str) -> Callable[[str], str]:
    """Makes databases that SQLAlchemy's suite can use, and tells their URIs."""
    path, _, query = pg_superuser.partition("?")
    path = path.rpartition("/")[0]
    with psycopg.connect(pg_superuser, autocommit=True) as connection:
        connection.execute("CREATE ROLE suite LOGIN PASSWORD 'suite-secret'")

    numbers = itertools.count(1)

    def make(purpose: str) -> str:
        name = f"{purpose}_{next(numbers)}"
        with psycopg.connect(pg_superuser, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER suite")
        with psycopg.connect(f"{path}/{name}?{query}", autocommit=True) as connection:
            connection.execute("CREATE SCHEMA test_schema AUTHORIZATION suite")
            connection.execute("CREATE SCHEMA test_schema_2 AUTHORIZATION suite")
        return f"{path}/{name}?{query}".replace("postgres:@", "suite:suite-secret@")

    return make
