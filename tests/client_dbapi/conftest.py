"""A live server over each of three real databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcclient import dbapi
from tests.client_dbapi.live import TOKEN, Live
from tests.services.database.conftest import my_superuser, my_uri, pg_superuser, pg_uri

__all__ = ["my_superuser", "my_uri", "pg_superuser", "pg_uri"]

KINDS = ("sqlite", "postgresql", "mariadb")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Starts servers with databases of a configuration of their own."""
    started: list[Live] = []

    def begin(**databases: Any) -> Live:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Live(folder, databases or {"main": {}}))
        return started[-1]

    yield begin
    for live in started:
        live.stop()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn."""
    return str(request.param)


@pytest.fixture
def database(request: pytest.FixtureRequest, kind: str) -> dict[str, Any]:
    """The configuration of a database of this kind."""
    if kind == "sqlite":
        return {}
    return {"url": request.getfixturevalue("pg_uri" if kind == "postgresql" else "my_uri")}


@pytest.fixture
def live(serve: Callable[..., Live], database: dict[str, Any]) -> Live:
    """A server whose database ``main`` is of this kind."""
    return serve(main=database)


@pytest.fixture
def made() -> Iterator[list[dbapi.Connection]]:
    """Connections to close in the end."""
    made: list[dbapi.Connection] = []
    yield made
    for connection in made:
        connection.close()


@pytest.fixture
def connect(live: Live, made: list[dbapi.Connection]) -> Callable[..., dbapi.Connection]:
    """Makes connections, and closes them in the end."""

    def begin(**options: Any) -> dbapi.Connection:
        made.append(dbapi.connect(live.url, token=TOKEN, **options))
        return made[-1]

    return begin


@pytest.fixture
def table(connect: Callable[..., dbapi.Connection], made: list[dbapi.Connection]) -> Iterator[str]:
    """An empty table ``t`` of ``id`` and ``x``."""
    with connect(autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x VARCHAR(200))")
    yield "t"
    for connection in made:
        connection.close()  # An open transaction would keep the table from being dropped.
    with connect(autocommit=True) as connection:
        connection.execute("DROP TABLE t")
