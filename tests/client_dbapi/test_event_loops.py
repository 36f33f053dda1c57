"""Connections, transactions and engines in several event loops."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from rpcclient import AsyncClient
from rpcclient.dbapi import aio
from rpcclient.errors import LocalProtocolError
from rpcclient.stubs.database import TransactionLost, TxState
from tests.client_dbapi.live import TOKEN

LIMIT_S = 30.0
ENDED = "the connection belongs to an event loop that has ended: connect anew here"
ELSEWHERE = "belongs to another event loop, which is not closed: use it there"


@pytest.fixture(params=["asyncio", "asyncio debug", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes loops, of each kind in turn."""

    def make() -> asyncio.AbstractEventLoop:
        loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
        loop.set_debug(request.param.endswith("debug"))
        return loop

    return make


@pytest.fixture
def run(new_loop: Any) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs something in a loop that ends with it."""

    def begin(work: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(asyncio.wait_for(work, LIMIT_S))

    yield begin
    gc.collect()


@pytest.fixture
def kind() -> str:
    """What is tried here is the same with every database."""
    return "sqlite"


def test_a_connection_of_an_ended_loop(live, table, run):
    connection = run(aio.connect(live.url, token=TOKEN))
    run_in_each = (
        lambda: connection.execute("SELECT 1"),
        connection.commit,
        lambda: connection.cursor().executemany("INSERT INTO t VALUES (?, ?)", [(1, "one")]),
    )
    for number, use in enumerate(run_in_each):
        with pytest.raises(aio.Error) as caught:
            run(driven(use))
        assert ENDED in str(caught.value)
        assert isinstance(caught.value, aio.OperationalError) is (number == 0)
        assert caught.value.disconnected
        if number == 0:
            assert caught.value.__cause__.executed == "no"
    assert connection.closed
    run(connection.close())
    run(connection.close())


async def driven(use):
    return await use()


def test_a_transaction_ends_with_its_loop(live, table, run, connect):
    async def begin():
        connection = await aio.connect(live.url, token=TOKEN)
        cursor = await connection.execute("INSERT INTO t VALUES (1, 'one')")
        rows = connection.cursor(server_side=True)
        await rows.execute("SELECT id FROM t")
        return connection, cursor, rows

    connection, cursor, rows = run(begin())
    with pytest.raises(aio.OperationalError, match=ENDED) as caught:
        run(connection.commit())
    assert caught.value.disconnected
    assert not connection.in_transaction
    with pytest.raises(aio.Error, match="belongs to an event loop that has ended"):
        run(rows.fetchall())
    run(cursor.close())
    run(rows.close())
    run(connection.close())
    with connect(autocommit=True) as other:
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_client_that_is_given(live, run):
    """It goes on, and the connection that was made over it does not."""
    client = AsyncClient(live.url, token=TOKEN)
    old = run(aio.connect(client=client))

    async def anew():
        async with await aio.connect(client=client) as connection:
            with pytest.raises(aio.OperationalError, match=ENDED):
                await old.execute("SELECT 1")
            return await (await connection.execute("SELECT 7")).fetchone()

    assert run(anew()) == (7,)
    run(client.close())


def test_a_connection_used_elsewhere(live, table, run, there, connect):
    connection = there(aio.connect(live.url, token=TOKEN))
    cursor = there(connection.execute("INSERT INTO t VALUES (1, 'one')"))
    rows = connection.cursor(server_side=True)
    there(rows.execute("SELECT 1"))

    uses = [
        lambda: connection.execute("SELECT 1"),
        connection.commit,
        connection.rollback,
        connection.close,
        lambda: connection.__aexit__(None, None, None),
        lambda: cursor.execute("SELECT 1"),
        lambda: cursor.executemany("INSERT INTO t VALUES (?, ?)", [(2, "two")]),
        rows.close,
        lambda: rows.execute("SELECT 2"),
    ]
    for use in uses:
        with pytest.raises(aio.InterfaceError, match=f"the connection {ELSEWHERE}") as caught:
            run(driven(use))
        assert (caught.value.disconnected, caught.value.__cause__.executed) == (False, "no")
    assert connection.in_transaction and not connection.closed
    assert there(rows.fetchall()) == [(1,)]
    there(connection.commit())
    there(connection.close())
    with connect(autocommit=True) as other:
        assert other.execute("SELECT * FROM t").fetchall() == [(1, "one")]


def test_transactions_of_the_client(live, table, run, there, connect):
    client = AsyncClient(live.url, token=TOKEN)

    async def begin(number):
        tx = client.database.transaction("main")
        await tx.begin()
        await tx.execute("INSERT INTO t VALUES (?, 'one')", [number])
        return tx

    tx = there(begin(1))
    for use in (lambda: tx.query("SELECT 1"), tx.commit, tx.rollback):
        with pytest.raises(LocalProtocolError, match=f"the client {ELSEWHERE}"):
            run(driven(use))
    assert tx.state is TxState.ACTIVE
    there(tx.commit())
    there(client.close())

    client = AsyncClient(live.url, token=TOKEN)
    tx = run(begin(2))
    with pytest.raises(TransactionLost) as caught:
        run(tx.commit())
    assert caught.value.executed == "no"
    run(client.close())
    with connect(autocommit=True) as other:
        assert other.execute("SELECT id FROM t").fetchall() == [(1,)]


async def seven(engine: AsyncEngine) -> Any:
    async with engine.connect() as connection:
        return (await connection.execute(text("SELECT 7"))).scalar()


@pytest.mark.parametrize("pre_ping", [False, True])
def test_an_engine_in_one_loop_after_the_other(live, run, pre_ping):
    engine = create_async_engine(live.sqlalchemy("sqlite"), pool_pre_ping=pre_ping)
    assert run(seven(engine)) == 7
    if not pre_ping:
        with pytest.raises(DBAPIError, match=ENDED) as caught:
            run(seven(engine))
        assert caught.value.connection_invalidated
    assert run(seven(engine)) == 7
    run(engine.dispose())
    assert run(seven(engine)) == 7
    run(engine.dispose(close=False))
    assert run(seven(engine)) == 7
    run(engine.dispose())


def test_an_engine_in_two_loops_at_once(live, run, there):
    """SQLAlchemy's pool belongs to one loop; in another one it says so, and goes on in its own."""
    engine = create_async_engine(live.sqlalchemy("sqlite"))
    assert there(seven(engine)) == 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DBAPIError, match=ELSEWHERE):
            run(seven(engine))
    assert there(seven(engine)) == 7
    there(engine.dispose())


def test_what_fails_here_gives_way(live, table, run):
    """Whoever tries again in a loop does not keep everything else from running."""

    async def main():
        connection = await aio.connect(live.url, token=TOKEN)
        cursor = connection.cursor()
        wrong = [lambda: cursor.execute("SELECT ?", 5), cursor.fetchone, cursor.fetchmany, cursor.fetchall]
        for act in wrong:
            await fails_and_gives_way(act)
        await connection.close()
        for act in (lambda: connection.execute("SELECT 1"), connection.commit, *wrong):
            await fails_and_gives_way(act)

    async def fails_and_gives_way(act):
        turns = []
        others = asyncio.create_task(count(turns))
        for _ in range(2000):
            with pytest.raises(aio.Error):
                await act()
            if len(turns) >= 20:
                break
        assert len(turns) >= 20
        others.cancel()

    async def count(turns):
        while True:
            await asyncio.sleep(0)
            turns.append(1)

    run(main())
