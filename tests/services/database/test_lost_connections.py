"""Connections that the database has closed: idle ones are never lent, and whoever had one is told that it is lost, and
whether the database has seen the statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from asyncmy import errors as my_errors

from rpcservices.database.errors import DatabaseDataError, DatabaseOperationalError, TransactionLost
from rpcservices.database.failures import is_lost, translate_error
from rpcservices.database.models import Step
from rpcwire.errors import InvalidParams

from .conftest import Bench, running
from .lost import Ending

LIMIT_S = 30.0
SLOW = {"postgresql": "SELECT pg_sleep(60)", "mariadb": "SELECT SLEEP(60)"}


@pytest.fixture(params=["postgresql", "mariadb"])
def ending(request: pytest.FixtureRequest) -> Ending:
    superuser = request.getfixturevalue("pg_superuser" if request.param == "postgresql" else "my_superuser")
    return Ending(request.param, superuser)


@pytest.fixture
def run_lost(tmp_path, ending, database_urls):
    """Run something with a service over the database that :func:`ending` ends connections of."""

    def run(work: Callable[[Bench], Awaitable[None]], *, loop: Any = uvloop.new_event_loop, **config: Any) -> None:
        async def main() -> None:
            async with running(tmp_path, main={**database_urls(ending.kind), **config}) as bench:
                await work(bench)

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(main())

    return run


async def settled(bench: Bench) -> None:
    target = bench.service._targets["main"]
    await target.reading.wait_idle()
    await target.writing.wait_idle()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_idle_connections_that_ended_are_never_lent(run_lost, ending, loop):
    async def work(bench: Bench) -> None:
        calls = [lambda: bench.db.query("main", "SELECT 1"), lambda: bench.db.execute("main", "SELECT 1")]
        for _ in range(3):
            for call in calls:
                assert [result.scalar() for result in await asyncio.gather(*(call() for _ in range(5)))] == [1] * 5
            await settled(bench)
            assert await asyncio.to_thread(ending.end_all) == 10
            # All at once, so that each is lent.
            for call in calls:
                assert [result.scalar() for result in await asyncio.gather(*(call() for _ in range(5)))] == [1] * 5
            await settled(bench)
        for pool in (bench.service._targets["main"].reading, bench.service._targets["main"].writing):
            assert pool.lent_count == 0 and len(pool._idle) == 5

    run_lost(work, loop=loop, pool_size=5, read_pool_size=5, pool_share=1.0)


@pytest.mark.parametrize("way", ["query", "stream", "begin", "connect", "tables"])
def test_the_only_connection_ends_while_idle(run_lost, ending, way):
    async def work(bench: Bench) -> None:
        db = bench.db
        for _ in range(2):
            await db.query("main", "SELECT 1")
            await db.execute("main", "SELECT 1")
            await settled(bench)
            await asyncio.to_thread(ending.end_all)
            if way == "query":
                assert (await db.query("main", "SELECT 2")).scalar() == 2
            elif way == "stream":
                assert [row[0] async for page in await db.stream("main", "SELECT 3") for row in page] == [3]
            elif way == "begin":
                await db.rollback((await db.begin("main")).id)
            elif way == "connect":
                await db.disconnect((await db.connect("main")).id)
            else:
                await db.tables("main")

    run_lost(work, pool_size=1, read_pool_size=1)


CALLS: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
    "query": lambda db, tx: db.query("main", "SELECT 1", transaction=tx),
    "parameters": lambda db, tx: db.query("main", "SELECT ?", ["\\"], transaction=tx),
    "execute": lambda db, tx: db.execute("main", "CREATE TABLE never (i INT)", transaction=tx),
    "executemany": lambda db, tx: db.executemany("main", "SELECT ?", [[1], [2]], transaction=tx),
    "batch": lambda db, tx: db.batch("main", [Step("SELECT 1"), Step("SELECT 2")], transaction=tx),
    "script": lambda db, tx: db.script("main", "SELECT 1; SELECT 2", transaction=tx),
    "stream": lambda db, tx: db.stream("main", "SELECT 1", transaction=tx),
    "explain": lambda db, tx: db.explain("main", "SELECT 1", transaction=tx),
    "describe": lambda db, tx: db.describe("main", "SELECT 1", transaction=tx),
    "savepoint": lambda db, tx: db.savepoint(tx, "a"),
    "commit": lambda db, tx: db.commit(tx),
    "rollback": lambda db, tx: db.rollback(tx),
    "begin": lambda db, tx: db.begin("main", session=tx),
}


WITHIN = ("transaction", "session with transaction")
PLACES = [
    *((own, call) for own in WITHIN for call in CALLS if call != "begin"),
    *(("session", call) for call in CALLS if call not in ("commit", "rollback", "savepoint")),
]


@pytest.mark.parametrize(("own", "call"), PLACES)
def test_what_the_database_never_saw(run_lost, ending, call, own):
    async def work(bench: Bench) -> None:
        db = bench.db
        tx = (await (db.begin if own == "transaction" else db.connect)("main")).id
        if own == "session with transaction":
            await db.begin("main", session=tx)
        await db.query("main", "SELECT 1", transaction=tx)
        await asyncio.to_thread(ending.end_all)
        with pytest.raises((DatabaseOperationalError, TransactionLost)) as raised:
            await CALLS[call](db, tx)
        error = raised.value
        assert error.executed == "no"
        if isinstance(error, DatabaseOperationalError):
            assert error.connection_lost and error.retryable and error.tx_state in ("ended", "none")
            if ending.kind == "postgresql" and error.sqlstate is not None:
                assert error.sqlstate == "57P01" and "administrator" in error.message
        with pytest.raises(TransactionLost) as gone:
            await db.query("main", "SELECT 1", transaction=tx)
        assert gone.value.executed == "no"
        await settled(bench)
        assert (await db.query("main", "SELECT 1")).scalar() == 1

    run_lost(work)


@pytest.mark.parametrize("own", [None, "begin", "connect"])
@pytest.mark.parametrize("method", ["query", "execute", "batch", "stream"])
def test_what_the_database_may_have_done(run_lost, ending, own, method):
    async def work(bench: Bench) -> None:
        db = bench.db
        tx = (await getattr(db, own)("main")).id if own else None
        argument = [Step(SLOW[ending.kind])] if method == "batch" else SLOW[ending.kind]
        task = asyncio.ensure_future(getattr(db, method)("main", argument, transaction=tx))
        await asyncio.to_thread(ending.wait_asleep)
        await asyncio.to_thread(ending.end_all)
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(DatabaseOperationalError) as raised:
                await task
        assert (raised.value.executed, raised.value.retryable, raised.value.connection_lost) == ("unknown", True, True)
        if tx:
            assert raised.value.tx_state == "ended"
            with pytest.raises(TransactionLost):
                await db.query("main", "SELECT 1", transaction=tx)
        await settled(bench)
        assert (await db.query("main", "SELECT 1")).scalar() == 1

    run_lost(work, pool_size=1, read_pool_size=1)


def test_rows_of_a_stream_that_is_cut(run_lost, ending):
    more = "REPEAT('x', 1000)"
    rows = {
        "postgresql": f"SELECT i, {more} FROM generate_series(1, 1000000) i",
        "mariadb": f"SELECT seq, {more} FROM seq_1_to_1000000",
    }[ending.kind]

    async def work(bench: Bench) -> None:
        stream = await bench.db.stream("main", rows)
        assert len(await anext(stream))
        await asyncio.to_thread(ending.end_all)
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(DatabaseOperationalError) as raised:
                async for _ in stream:
                    pass
        assert (raised.value.executed, raised.value.connection_lost) == ("unknown", True)
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_lost(work, read_pool_size=1)


@pytest.mark.parametrize(
    ("setting", "open_", "state"),
    [
        ("SET idle_in_transaction_session_timeout = 100", True, "25P03"),
        ("SET idle_session_timeout = 100", False, "57P05"),
        ("SET transaction_timeout = 100", True, "25P04"),
        ("SET wait_timeout = 1", False, None),
        ("SET wait_timeout = 1", True, None),
        ("SET SESSION idle_transaction_timeout = 1", True, None),
    ],
)
def test_limits_of_the_database_that_end_connections(run_lost, ending, setting, open_, state):
    if (ending.kind == "postgresql") != (state is not None):
        return

    async def work(bench: Bench) -> None:
        db = bench.db
        session = (await db.connect("main")).id
        await db.execute("main", setting, transaction=session)
        if open_:
            await db.begin("main", session=session)
            await db.query("main", "SELECT 1", transaction=session)
        await asyncio.to_thread(ending.wait_gone, await asyncio.to_thread(ending.ids))
        with pytest.raises(DatabaseOperationalError) as raised:
            await db.query("main", "SELECT 1", transaction=session)
        assert (raised.value.executed, raised.value.connection_lost) == ("no", True)
        if state:
            assert raised.value.sqlstate == state
        with pytest.raises(TransactionLost):
            await db.query("main", "SELECT 1", transaction=session)

    run_lost(work, pool_size=1)


def test_what_a_caller_did_wrong_is_told_before_what_is_lost(run_lost, ending):
    async def work(bench: Bench) -> None:
        session = (await bench.db.connect("main")).id
        await asyncio.to_thread(ending.end_all)
        with pytest.raises((DatabaseDataError, DatabaseOperationalError)) as raised:
            await bench.db.query("main", "SELECT ?", [{"a": {1}}], transaction=session)
        assert raised.value.executed == "no"
        session = (await bench.db.connect("main")).id
        await asyncio.to_thread(ending.end_all)
        with pytest.raises(InvalidParams):
            await bench.db.query("main", "SELECT ?", [1, 2], transaction=session)

    run_lost(work)


def test_connections_of_other_drivers(run_with, pg_uri, pg_superuser):
    pytest.importorskip("asyncpg")
    ending = Ending("postgresql", pg_superuser)
    url = pg_uri.replace("postgresql://", "postgresql+asyncpg://")

    async def work(bench: Bench) -> None:
        tx = (await bench.db.begin("main")).id
        await bench.db.query("main", "SELECT 1", transaction=tx)
        await asyncio.to_thread(ending.end_all)
        with pytest.raises(DatabaseOperationalError) as raised:
            await bench.db.query("main", "SELECT 1", transaction=tx)
        assert raised.value.connection_lost and raised.value.retryable
        with pytest.raises(TransactionLost):
            await bench.db.query("main", "SELECT 1", transaction=tx)
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1
        await settled(bench)
        await asyncio.to_thread(ending.end_all)
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={"url": url, "allow_unguarded_reads": True})


@pytest.mark.parametrize(
    ("exc", "lost"),
    [
        (my_errors.InterfaceError(0, "Not connected"), True),
        (my_errors.OperationalError(2006, "MySQL server has gone away"), True),
        (my_errors.OperationalError(2013, "Lost connection to MySQL server during query"), True),
        (my_errors.OperationalError(1927, "Connection was killed"), True),
        (my_errors.OperationalError(1053, "Server shutdown in progress"), True),
        (my_errors.OperationalError(4031, "The client was disconnected by the server because of inactivity."), True),
        (my_errors.OperationalError(4031, "Referenced trigger 't' for the given action time does not exist"), False),
        (my_errors.OperationalError(1317, "Query execution was interrupted"), False),
        (my_errors.IntegrityError(1062, "Duplicate entry"), False),
        (ConnectionResetError("reset"), True),
        (TimeoutError(), False),
    ],
)
def test_errors_that_tell_of_lost_connections(exc, lost):
    error = translate_error(exc)
    assert isinstance(error, DatabaseOperationalError) or not lost
    assert (is_lost(exc), error.connection_lost) == (lost, lost)  # type: ignore[attr-defined]
    assert error.executed == ("unknown" if lost else "yes")
