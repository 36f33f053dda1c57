"""Roles: who may do what to a database, and who does not even see it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rpcclient import AsyncClient
from rpcserver import Principal
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.database import Database, DatabaseConfig, DatabaseServiceConfig
from rpcservices.database.errors import DatabaseError, DatabaseRefused, UnknownDatabase
from rpcservices.database.models import Step
from tests.services.database.conftest import Bench, Peer

RunWith = Callable[..., Any]
ADA, BOB, EVE = (Principal(name, "token") for name in ("ada", "bob", "eve"))
RULE = "services.database.databases.main.roles"
ROLES = {
    "reader": {"principals": ["ada"]},
    "clerk": {"principals": ["bob"], "may": ["query", "execute", "transaction"]},
}


async def make_table(bench: Bench) -> None:
    await bench.db.execute("main", "CREATE TABLE t (x INTEGER)")
    await bench.db.execute("main", "INSERT INTO t VALUES (1)")


async def refused(work: Any, right: str, rule: str) -> None:
    with pytest.raises(DatabaseRefused) as caught:
        await work
    error = caught.value
    assert (error.database, error.right, error.rule, error.sqlstate) == ("main", right, rule, "42501")
    assert f'"{right}" to {rule}.may' in error.message and error.executed == "no"
    assert isinstance(error, DatabaseError)


def calls(db: Peer) -> dict[str, Callable[[], Any]]:
    return {
        "query": lambda: db.query("main", "SELECT x FROM t"),
        "stream": lambda: db.stream("main", "SELECT x FROM t"),
        "explain": lambda: db.explain("main", "SELECT x FROM t"),
        "describe": lambda: db.describe("main", "SELECT x FROM t"),
        "execute": lambda: db.execute("main", "UPDATE t SET x = 1"),
        "executemany": lambda: db.executemany("main", "INSERT INTO t VALUES (?)", [[2]]),
        "batch": lambda: db.batch("main", [Step("UPDATE t SET x = 1")]),
        "script": lambda: db.script("main", "UPDATE t SET x = 1; UPDATE t SET x = 1"),
        "schemas": lambda: db.schemas("main"),
        "tables": lambda: db.tables("main"),
        "table": lambda: db.table("main", "t"),
    }


RIGHTS = {
    "query": {"query", "stream", "explain", "describe"},
    "execute": {"execute", "executemany", "batch"},
    "script": {"script"},
    "schema": {"schemas", "tables", "table"},
}


async def check_rights(db: Peer, allowed: set[str], rule: str) -> None:
    for right, methods in RIGHTS.items():
        for name in sorted(methods):
            if right not in allowed:
                await refused(calls(db)[name](), right, rule)
                continue
            found = await calls(db)[name]()
            if name == "stream":
                await found.aclose()


def test_each_role_does_what_it_may(run_with: RunWith) -> None:
    async def work(bench: Bench) -> None:
        await make_table(bench)
        await check_rights(bench.peer("a", ADA), {"query", "schema"}, f"{RULE}.reader")
        await check_rights(bench.peer("b", BOB), {"query", "execute"}, f"{RULE}.clerk")
        await check_rights(bench.db, set(RIGHTS), "")

    run_with(work, main={"roles": ROLES})


def test_whoever_is_in_no_role_does_not_see_the_database(run_with: RunWith) -> None:
    async def work(bench: Bench) -> None:
        eve = bench.peer("e", EVE)
        assert [info.name for info in await eve.databases()] == ["open"]
        for call in calls(eve).values():
            with pytest.raises(UnknownDatabase, match="there are: open"):
                await call()
        for call in (eve.begin, eve.connect):
            with pytest.raises(UnknownDatabase):
                await call("main")
        ada = bench.peer("a", ADA)
        assert [info.name for info in await ada.databases()] == ["main", "open"]
        assert [info.name for info in await bench.db.databases()] == ["main", "open", "own"]

    run_with(work, main={"roles": ROLES}, open={"roles": {"all": {"principals": ["*"]}}}, own={})


def test_without_roles_only_the_owner_may(run_with: RunWith) -> None:
    async def work(bench: Bench) -> None:
        await make_table(bench)
        assert await bench.peer("a", ADA).databases() == []
        for number, owner in enumerate((Principal("owner", "token"), Principal("uid", "peer", os.geteuid()))):
            await check_rights(bench.peer(f"o{number}", owner), set(RIGHTS), "")
        assert await bench.peer("p", Principal("owner", "peer", os.geteuid() + 1)).databases() == []

    run_with(work)


def test_the_owner_may_be_left_out(run_with: RunWith) -> None:
    async def work(bench: Bench) -> None:
        with pytest.raises(UnknownDatabase):
            await bench.db.query("main", "SELECT 1")
        assert (await bench.peer("a", ADA).query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={"roles": ROLES, "unlisted": "nobody"})


def test_a_reader_cannot_write_in_a_transaction(run_with: RunWith, any_database: dict[str, Any]) -> None:
    roles = {"reader": {"principals": ["ada"], "may": ["query", "transaction"]}}

    async def work(bench: Bench) -> None:
        await bench.db.execute("main", "DROP TABLE IF EXISTS t")
        await make_table(bench)
        ada = bench.peer("a", ADA)
        for call in (ada.begin, ada.connect):
            with pytest.raises(DatabaseRefused, match="readonly=True") as caught:
                await call("main")
            assert caught.value.right == "execute"
        tx = await ada.begin("main", readonly=True)
        await refused(ada.execute("main", "UPDATE t SET x = 2", transaction=tx.id), "execute", f"{RULE}.reader")
        with pytest.raises(DatabaseError):
            await ada.query("main", "UPDATE t SET x = 2", transaction=tx.id)
        await ada.rollback(tx.id)
        assert (await ada.query("main", "SELECT x FROM t")).scalar() == 1

    run_with(work, main={**any_database, "roles": roles})


def test_who_may_not_begin(run_with: RunWith) -> None:
    async def work(bench: Bench) -> None:
        ada = bench.peer("a", ADA)
        for call in (ada.begin, ada.connect):
            await refused(call("main", readonly=True), "transaction", f"{RULE}.reader")
        bob = bench.peer("b", BOB)
        tx = await bob.begin("main")
        await bob.execute("main", "CREATE TABLE mine (x INTEGER)", transaction=tx.id)
        await refused(bob.script("main", "SELECT 1", transaction=tx.id), "script", f"{RULE}.clerk")
        await bob.commit(tx.id)

    run_with(work, main={"roles": ROLES})


def test_a_database_that_only_reads_needs_no_right_to_change(run_with: RunWith, tmp_path: Any) -> None:
    config = {"url": f"sqlite:///{tmp_path}/own.sqlite3"}

    async def make(bench: Bench) -> None:
        await make_table(bench)

    async def work(bench: Bench) -> None:
        ada = bench.peer("a", ADA)
        tx = await ada.begin("main")
        assert tx.readonly and (await ada.query("main", "SELECT x FROM t", transaction=tx.id)).scalar() == 1
        await ada.rollback(tx.id)

    run_with(make, main=config)
    role = {"reader": {"principals": ["ada"], "may": ["query", "transaction"]}}
    run_with(work, main={**config, "readonly": True, "roles": role})


def test_a_right_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"roles\.reader\.may"):
        DatabaseConfig.model_validate({"roles": {"reader": {"may": ["delete"]}}})


@pytest.mark.parametrize(
    ("service", "database", "sees"),
    [("owner", "", True), ("nobody", "", False), ("nobody", "owner", True), ("owner", "nobody", False)],
)
def test_a_database_goes_before_the_service(tmp_path: Path, service: str, database: str, sees: bool) -> None:
    settings = {"unlisted": service, "databases": {"main": {"unlisted": database}}}

    async def main() -> None:
        config = ServerConfig(state_dir=str(tmp_path))
        server = Server(config, [Database(DatabaseServiceConfig.model_validate(settings))], token="t" * 32)
        await server.start(listen=False)
        try:
            async with AsyncClient(memory=server.connect_memory) as client:
                assert bool(await client.database.databases()) == sees
        finally:
            await server.stop(grace_s=0)

    asyncio.run(main())
