"""Connections to the database that end under the DB-API and SQLAlchemy: they are known to be lost at the first error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from rpcclient import dbapi
from rpcclient.dbapi import aio
from tests.client_dbapi.live import TOKEN, Live
from tests.services.database.lost import Ending

THREE = 3


@pytest.fixture(params=["postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """Databases that have connections."""
    return str(request.param)


@pytest.fixture
def ending(request: pytest.FixtureRequest, kind: str) -> Ending:
    return Ending(kind, request.getfixturevalue("pg_superuser" if kind == "postgresql" else "my_superuser"))


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("open_", [True, False])
@pytest.mark.parametrize("how", ["execute", "executemany", "server_side"])
def test_the_first_error_tells_it(connect, ending, autocommit, open_, how):
    connection = connect(autocommit=autocommit)
    if open_:
        connection.execute("SELECT 1").fetchall()
    ending.end_all()
    cursor = connection.cursor(server_side=how == "server_side")
    with pytest.raises(dbapi.OperationalError) as caught:
        cursor.executemany("SELECT ?", [[1], [2]]) if how == "executemany" else cursor.execute("SELECT 1")
    assert caught.value.disconnected and caught.value.retryable and connection.closed
    assert not connection.in_transaction
    if ending.kind == "postgresql":
        assert caught.value.sqlstate == "57P01"
    for use in (connection.commit, connection.rollback, lambda: connection.execute("SELECT 1")):
        with pytest.raises(
            dbapi.InterfaceError, match=r"(?s)^the connection was lost (?!.*was lost).*: connect anew$"
        ) as told:
            use()
        assert told.value.disconnected
    connection.close()
    with pytest.raises(dbapi.InterfaceError) as told:
        connection.execute("SELECT 1")
    assert told.value.disconnected  # Closing changes nothing of that.


def test_the_first_error_tells_it_to_the_twin(live: Live, ending: Ending):
    async def main() -> None:
        connection = await aio.connect(live.url, token=TOKEN)
        await connection.execute("SELECT 1")
        await asyncio.to_thread(ending.end_all)
        with pytest.raises(dbapi.OperationalError) as caught:
            await connection.commit()
        assert caught.value.disconnected and connection.closed
        await connection.close()

    asyncio.run(main())


def hold(engine: sa.Engine) -> None:
    """Fill the pool."""
    connections = [engine.connect() for _ in range(THREE)]
    for connection in connections:
        connection.execute(sa.text("SELECT 1"))
    for connection in connections:
        connection.close()


def failures(engine: sa.Engine, use: Callable[[sa.Connection], Any]) -> int:
    """How many of the next uses of connections fail, while all are held at once."""
    failed = 0
    held = []
    for _ in range(THREE + 1):
        connection = engine.connect()
        held.append(connection)
        try:
            use(connection)
        except DBAPIError as exc:
            assert exc.connection_invalidated
            failed += 1
    for connection in held:
        connection.close()
    return failed


@pytest.mark.parametrize("pre_ping", [True, False])
@pytest.mark.parametrize("level", [None, "AUTOCOMMIT"])
def test_engines_whose_connections_end(live, kind, ending, pre_ping, level):
    options: dict[str, Any] = {"isolation_level": level} if level else {}
    engine = sa.create_engine(live.sqlalchemy(kind), pool_size=THREE, pool_pre_ping=pre_ping, **options)
    for _ in range(2):
        hold(engine)
        assert ending.end_all() >= THREE
        failed = failures(engine, lambda connection: connection.execute(sa.text("SELECT 1")).scalar_one())
        assert failed == 0 if pre_ping else failed <= 1
        assert failures(engine, lambda connection: connection.execute(sa.text("SELECT 1")).scalar_one()) == 0
    engine.dispose()


@pytest.mark.parametrize("pre_ping", [True, False])
def test_asynchronous_engines_whose_connections_end(live, kind, ending, pre_ping):
    async def main() -> None:
        engine = create_async_engine(live.sqlalchemy(kind), pool_size=THREE, pool_pre_ping=pre_ping)
        connections = [await engine.connect() for _ in range(THREE)]
        for connection in connections:
            await connection.execute(sa.text("SELECT 1"))
        for connection in connections:
            await connection.close()
        await asyncio.to_thread(ending.end_all)
        failed = 0
        held = []
        for _ in range(THREE):
            held.append(await engine.connect())
            try:
                await held[-1].execute(sa.text("SELECT 1"))
            except DBAPIError as exc:
                assert exc.connection_invalidated
                failed += 1
        assert failed == 0 if pre_ping else failed <= 1
        for connection in held:
            await connection.close()
        await engine.dispose()

    asyncio.run(main())


def test_a_transaction_of_an_engine_ends_with_its_connection(live, kind, ending):
    engine = sa.create_engine(live.sqlalchemy(kind), pool_pre_ping=True)
    with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
        connection.execute(sa.text("SELECT 1"))
        ending.end_all()
        connection.execute(sa.text("SELECT 2"))
    assert caught.value.connection_invalidated
    with engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT 3")) == 3
    engine.dispose()
