"""The connections to a database are shared among principals: none holds so many that others get none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rpcserver import Principal
from rpcservices.database.config import DatabaseConfig
from rpcservices.database.errors import DatabaseOperationalError
from tests.services.database.conftest import Bench, Sql

SECONDS = 20.0
OTHER = Principal("other", "token")
ROLES = {"all": {"principals": ["test", "other"], "permissions": ["database.*"]}}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.002)


def config_of(any_database: dict[str, Any], **more: Any) -> DatabaseConfig:
    return DatabaseConfig.model_validate({**any_database, **more})


def test_endless_queries_leave_readers_for_others(
    run_with: Callable[..., Any], any_database: dict[str, Any], sql: Sql
) -> None:
    """Five of one principal; its own sixth waits for one of them, and other principals do not."""

    async def work(bench: Bench) -> None:
        pool, other = bench.service._targets["main"].reading, bench.peer("c2", OTHER)
        endless = [asyncio.ensure_future(bench.db.query("main", sql.endless("count(*)"))) for _ in range(5)]
        await until(lambda: pool.lent_count == 4 and bool(pool._waiting))
        for _ in range(3):
            assert list(await other.query("main", "SELECT 7")) == [(7,)]
        assert len(await other.tables("main")) >= 0
        assert pool.lent_count >= 4
        with pytest.raises(DatabaseOperationalError, match="your statements hold 4, and may hold no more") as caught:
            await bench.db.query("main", "SELECT 1")
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        for task in endless:
            task.cancel()
        await asyncio.wait(endless)
        await pool.wait_idle()
        assert list(await bench.db.query("main", "SELECT 1")) == [(1,)]
        await pool.wait_idle()
        assert pool.lent_count == 0
        assert not pool._lent
        assert not pool._waiting

    run_with(work, roles=ROLES, main=config_of(any_database, pool_timeout_s=0.5))


def test_who_holds_the_fewest_goes_first(run_with: Callable[..., Any], any_database: dict[str, Any]) -> None:
    """Among those that wait; each in the order of its own calls."""

    async def work(bench: Bench) -> None:
        pool, other = bench.service._targets["main"].reading, bench.peer("c2", OTHER)
        mine = [await bench.db.begin("main", readonly=True) for _ in range(2)]
        theirs = await other.begin("main", readonly=True)
        order: list[str] = []

        async def wait(peer: Any, name: str) -> Any:
            transaction = await peer.begin("main", readonly=True)
            order.append(name)
            return transaction

        first = asyncio.ensure_future(wait(bench.db, "mine"))
        await until(lambda: "test" in pool._waiting)
        second = asyncio.ensure_future(wait(other, "theirs"))
        await until(lambda: "other" in pool._waiting)
        await other.rollback(theirs.id)
        await second
        assert order == ["theirs"]
        await bench.db.rollback(mine[0].id)
        await first
        assert order == ["theirs", "mine"]

    run_with(work, roles=ROLES, main=config_of(any_database, read_pool_size=3))
