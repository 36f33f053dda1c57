"""Other databases while the service runs: what begins uses the new settings, what runs goes on where it was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rpcserver import ServiceConfigError
from rpcservices.database import DatabaseServiceConfig
from rpcservices.database.errors import TransactionLost, UnknownDatabase


async def reload(bench: Any, secrets_dir: Any = None, **databases: Any) -> None:
    """What the server does at a reload."""
    config = DatabaseServiceConfig.model_validate({"databases": databases, "secrets_dir": secrets_dir})
    prepared = await bench.service.prepare_reload(config, bench.service.runtime.roles)
    bench.service.config = config
    prepared.commit()


async def until_closed(bench: Any, *pools: Any) -> None:
    """Wait until pools that are not used any more have closed all their connections."""
    async with asyncio.timeout(30):
        while bench.service._closing:
            await asyncio.wait(set(bench.service._closing))
        for pool in pools:
            while pool.lent_count or pool._background or pool._idle:
                await asyncio.sleep(0.002)


def test_the_same_settings_change_nothing(run_with, any_database):
    async def work(bench):
        await bench.db.query("main", "SELECT 1")
        before = bench.service._targets["main"]
        await reload(bench, main=any_database)
        assert bench.service._targets["main"] is before

    run_with(work, main=any_database)


def test_databases_come_and_go(run_with, any_database):
    async def work(bench):
        db = bench.db
        with pytest.raises(UnknownDatabase):
            await db.query("shop", "SELECT 1")
        await reload(bench, main=any_database, shop={})
        assert (await db.query("shop", "SELECT 7")).scalar() == 7
        assert [each.name for each in await db.databases()] == ["main", "shop"]
        await reload(bench, shop={})
        with pytest.raises(UnknownDatabase, match="there are: shop"):
            await db.query("main", "SELECT 1")
        assert (await db.query("shop", "SELECT 8")).scalar() == 8

    run_with(work, main=any_database)


def test_what_runs_on_a_changed_database_goes_on(run_with, any_database, sql):
    """Its transaction, its session, a stream and a statement end as they would have; then its connections close."""

    async def work(bench):
        db, old = bench.db, bench.service._targets["main"]
        await db.execute("main", "DROP TABLE IF EXISTS kept")
        await db.execute("main", "CREATE TABLE kept (x INTEGER)")
        stream = await db.stream("main", sql.numbers(30_000))
        first = await anext(stream)
        tx = (await db.begin("main")).id
        await db.execute("main", "INSERT INTO kept VALUES (1)", transaction=tx)
        session = (await db.connect("main", readonly=True)).id
        await reload(bench, main={**any_database, "max_rows": 2, "pool_size": 3})
        assert bench.service._targets["main"] is not old
        assert len((await db.query("main", sql.numbers(9))).rows) == 2
        await db.execute("main", "INSERT INTO kept VALUES (2)", transaction=tx)
        assert len((await db.query("main", sql.numbers(9), transaction=session)).rows) == 2
        await db.commit(tx)
        await db.disconnect(session)
        assert len(first.rows) + sum([len(page.rows) async for page in stream]) == 30_000
        assert (await db.query("main", "SELECT count(*) FROM kept")).scalar() == 2
        await until_closed(bench, old.reading, old.writing)
        await db.execute("main", "DROP TABLE kept")

    run_with(work, main=any_database)


def test_transactions_on_a_removed_database_end(run_with, any_database, sql):
    async def work(bench):
        db, old = bench.db, bench.service._targets["main"]
        await db.execute("main", "DROP TABLE IF EXISTS lost")
        await db.execute("main", "CREATE TABLE lost (x INTEGER)")
        tx, session = (await db.begin("main")).id, (await db.connect("main")).id
        await db.execute("main", "INSERT INTO lost VALUES (1)", transaction=tx)
        stream = await db.stream("main", sql.numbers(30_000))
        await anext(stream)
        await reload(bench, shop={})
        for each in (tx, session):
            with pytest.raises(TransactionLost, match="taken out of the server's configuration"):
                await db.commit(each)
        rest = [page async for page in stream]  # What runs by itself goes on to its end.
        assert rest
        await until_closed(bench, old.reading, old.writing)
        await reload(bench, main=any_database)
        assert (await db.query("main", "SELECT count(*) FROM lost")).scalar() == 0
        await db.execute("main", "DROP TABLE lost")

    run_with(work, main=any_database)


def test_transactions_that_write_end_where_a_database_only_reads_now(run_with, any_database):
    async def work(bench):
        db = bench.db
        writing, reading = (await db.begin("main")).id, (await db.begin("main", readonly=True)).id
        await reload(bench, main={**any_database, "readonly": True})
        with pytest.raises(TransactionLost, match="has made the database read-only"):
            await db.query("main", "SELECT 1", transaction=writing)
        assert (await db.query("main", "SELECT 1", transaction=reading)).scalar() == 1
        await db.rollback(reading)

    run_with(work, main=any_database)


def test_who_waits_for_a_connection_still_gets_one(run_with, any_database):
    async def work(bench):
        db = bench.db
        tx = (await db.begin("main")).id
        waiting = asyncio.ensure_future(db.execute("main", "SELECT 1"))
        pool = bench.service._targets["main"].writing
        async with asyncio.timeout(30):
            while not pool._waiting:
                await asyncio.sleep(0.002)
        await reload(bench, main={**any_database, "pool_size": 1, "max_rows": 7})
        await db.rollback(tx)
        assert (await waiting).scalar() == 1
        await until_closed(bench, pool)

    run_with(work, main={**any_database, "pool_size": 1})


def test_a_transaction_that_begins_while_its_database_goes(run_with):
    async def work(bench):
        db = bench.db
        first = (await db.begin("main")).id
        late = asyncio.ensure_future(db.begin("main"))
        pool = bench.service._targets["main"].writing
        async with asyncio.timeout(30):
            while not pool._waiting:
                await asyncio.sleep(0.002)
        await reload(bench, shop={})
        second = (await late).id
        for each in (first, second):
            with pytest.raises(TransactionLost, match="taken out"):
                await db.commit(each)

    run_with(work, main={"pool_size": 1})


def test_another_password_makes_another_pool(run_with, tmp_path):
    """The settings are the same: only the file that they name is another one."""

    async def work(bench):
        folder = tmp_path / "secrets"
        before = bench.service._targets["main"]
        (folder / "main").write_text("new")
        config = {"url": "postgresql://app@127.0.0.1:9/x"}
        await reload(bench, folder, main=config)
        now = bench.service._targets["main"]
        assert now is not before
        assert (before.url.password, now.url.password) == ("old", "new")

    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    (folder / "main").write_text("old")
    (folder / "main").chmod(0o600)
    run_with(work, folder, main={"url": "postgresql://app@127.0.0.1:9/x"})


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ({"url": "postgresql://a@b/c", "password_env": "RPC_NO_SUCH_PASSWORD"}, "RPC_NO_SUCH_PASSWORD"),
        ({"url": "nonsense://a@b/c"}, "no dialect"),
        ({"attached": {"x": "/nowhere/x.sqlite3"}}, "unable to open database file: make its folder"),
        ({"url": "postgresql://a@b/c", "attached": {"x": "/x"}}, "only SQLite attaches files"),
    ],
)
def test_a_database_that_cannot_be_is_a_fault(run_with, database, message):
    async def work(bench):
        before = dict(bench.service._targets)
        config = DatabaseServiceConfig.model_validate({"databases": {"main": {}, "shop": database}})
        with pytest.raises(ServiceConfigError, match=message):
            await bench.service.prepare_reload(config, ())
        assert bench.service._targets == before
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={})
