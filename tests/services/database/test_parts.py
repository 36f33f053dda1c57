"""Sets of parameters that are too many for one message go over a stream: all of them count, or none."""

from __future__ import annotations

import asyncio

import pytest

from rpcclient.errors import PermissionDenied
from rpcclient.stubs.database import DatabaseDataError, DatabaseIntegrityError, DatabaseOperationalError
from rpcservices.database import Database, DatabaseServiceConfig


def test_a_divided_executemany_needs_its_own_permission_only_and_counts_rows_over_the_whole(with_ada, tmp_path):
    config = DatabaseServiceConfig.model_validate({"databases": {"main": {"url": f"sqlite:///{tmp_path}/m.db"}}})
    sets = [[number, "x" * 50] for number in range(30_000)]
    insert = "INSERT INTO many VALUES (?, ?)"

    async def scenario(owner, ada):
        db = ada.database
        await owner.database.execute("main", "CREATE TABLE many (id INTEGER PRIMARY KEY, x TEXT)")
        with pytest.raises(PermissionDenied):
            await db.begin("main")
        changed = await db.executemany("main", insert, sets)
        assert (changed.rowcount, changed.statements, changed.tx_state.value) == (30_000, 30_000, "none")

        async def count():
            return (await owner.database.query("main", "SELECT count(*) FROM many")).scalar()

        wrong = [[number + 50_000, "y"] for number in range(30_000)]
        wrong[25_000][1] = 2**70
        with pytest.raises(DatabaseDataError, match=r"params\[25000\]\[1\]") as caught:
            await db.executemany("main", insert, wrong)
        assert (caught.value.tx_state, await count()) == ("none", 30_000)
        async with owner.database.transaction("main") as tx:
            with pytest.raises(DatabaseDataError, match=r"params\[25000\]\[1\]"):
                await tx.executemany(insert, wrong)
        with pytest.raises(DatabaseIntegrityError):
            await db.executemany("main", insert, [[-number, "y"] for number in range(30_000)])
        assert await count() == 30_000

    with_ada(Database(config), scenario, {"hers": {"principals": ["ada"], "permissions": ["database.execute"]}})


def test_who_sends_no_further_sets_holds_no_transaction(with_ada, tmp_path):
    config = DatabaseServiceConfig.model_validate(
        {"databases": {"main": {"url": f"sqlite:///{tmp_path}/m.db", "stream_idle_s": 0.05}}}
    )

    async def scenario(owner, ada):
        await owner.database.execute("main", "CREATE TABLE t (id INTEGER PRIMARY KEY)")
        never = asyncio.Event()

        async def parts():
            yield [[1]]
            await never.wait()

        with pytest.raises(
            DatabaseOperationalError, match=r"nobody sent anything for 0\.05 s, so the statement was undone"
        ):
            await owner.database.executemany_parts("main", "INSERT INTO t VALUES (?)", parts())
        assert (await owner.database.executemany("main", "INSERT INTO t VALUES (?)", [[1]])).rowcount == 1

    with_ada(Database(config), scenario)
