"""Roles: who may do what to a database, and who does not even see it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from rpcclient import AsyncClient
from rpcserver import PermissionDenied, Principal, RpcError
from rpcserver.config import ConfigError, RoleConfig, ServerConfig
from rpcserver.security.roles import Roles
from rpcserver.server import Server
from rpcserver.system import System
from rpcservices.database import Database, DatabaseServiceConfig
from rpcservices.database.errors import DatabaseError, DatabaseRefused, UnknownDatabase
from rpcservices.database.models import Step
from rpcservices.database.roles import Right
from tests.services.database.conftest import Bench, Peer

RunWith = Callable[..., Any]
ADA, BOB, EVE = (Principal(name, "token") for name in ("ada", "bob", "eve"))
READER = {"principals": ["ada"], "permissions": ["database.query", "database.schema"]}
CLERK = {"principals": ["bob"], "permissions": ["database.query", "database.execute", "database.transaction"]}
BY_PERMISSIONS = {"reader": READER, "clerk": CLERK}
"""The rights of both roles, by their permissions: the gate refuses."""
BY_CONDITIONS = {
    "reader": {
        "principals": ["ada"], "permissions": ["database.*"], "database": {"may": {"main": ["query", "schema"]}}
    },
    "clerk": {
        "principals": ["bob"],
        "permissions": ["database.*"],
        "database": {"may": {"main": ["query", "execute", "transaction"]}},
    },
}  # fmt: skip
"""The same rights, by conditions on one database: the guard refuses."""


@pytest.fixture(params=["permissions", "conditions"])
def roles(request: pytest.FixtureRequest) -> dict[str, Any]:
    return BY_PERMISSIONS if request.param == "permissions" else BY_CONDITIONS


async def make_table(bench: Bench) -> None:
    await bench.db.execute("main", "CREATE TABLE t (x INTEGER)")
    await bench.db.execute("main", "INSERT INTO t VALUES (1)")


async def refused(work: Any, right: str, role: str, roles: dict[str, Any]) -> None:
    """See that the refusal names what is missing, and where to add it."""
    expected: type[RpcError] = PermissionDenied if roles is BY_PERMISSIONS else DatabaseRefused
    with pytest.raises(expected) as caught:
        await work
    error = caught.value
    assert type(error) is expected
    assert (error.executed, error.code) == ("no", -32002)
    if isinstance(error, DatabaseRefused):
        rule = f"roles.{role}.database.may.main"
        assert (error.database, error.right, error.rule, error.sqlstate) == ("main", right, rule, "42501")
        assert f'"{right}" to {rule}' in error.message
        assert isinstance(error, DatabaseError)
    else:
        assert f'"database.{right}" to roles.{role}.permissions' in error.message


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


async def check_rights(db: Peer, allowed: set[str], role: str, roles: dict[str, Any]) -> None:
    for right, methods in RIGHTS.items():
        for name in sorted(methods):
            if right not in allowed:
                await refused(calls(db)[name](), right, role, roles)
                continue
            answer = await calls(db)[name]()
            if name == "stream":
                await answer.aclose()


def test_each_role_does_what_it_may(run_with: RunWith, roles: dict[str, Any]) -> None:
    async def work(bench: Bench) -> None:
        await make_table(bench)
        await check_rights(bench.peer("a", ADA), {"query", "schema"}, "reader", roles)
        await check_rights(bench.peer("b", BOB), {"query", "execute"}, "clerk", roles)
        await check_rights(bench.db, set(RIGHTS), "", roles)

    run_with(work, roles=roles, main={})


def test_a_database_that_a_role_does_not_list_does_not_exist_for_it(run_with: RunWith) -> None:
    some = {"principals": ["eve"], "permissions": ["database.*"], "database": {"databases": ["op*"]}}
    none = {"principals": ["*"], "permissions": ["database.*"], "database": {"databases": []}}

    async def work(bench: Bench) -> None:
        for peer, names in ((bench.peer("e", EVE), ["open"]), (bench.peer("b", BOB), [])):
            assert [info.name for info in await peer.databases()] == names
            for call in calls(peer).values():
                with pytest.raises(UnknownDatabase, match=f"there are: {names[0] if names else 'none'}"):
                    await call()
            for call in (peer.begin, peer.connect):
                with pytest.raises(UnknownDatabase) as caught:
                    await call("main")
                assert (caught.value.database, caught.value.executed) == ("main", "no")
        assert (await bench.peer("e", EVE).query("open", "SELECT 1")).scalar() == 1
        ada = bench.peer("a", ADA)
        assert [info.name for info in await ada.databases()] == ["main", "open", "own"]
        assert [info.name for info in await bench.db.databases()] == ["main", "open", "own"]

    run_with(work, roles={"reader": READER, "some": some, "none": none}, main={}, open={}, own={})


def test_without_roles_only_the_owner_may(run_with: RunWith) -> None:
    async def work(bench: Bench) -> None:
        await make_table(bench)
        strangers = (ADA, Principal("owner", "peer", os.geteuid() + 1), Principal("owner", "memory", os.geteuid() + 1))
        for number, stranger in enumerate(strangers):
            peer = bench.peer(f"s{number}", stranger)
            for call in (peer.databases, *calls(peer).values(), lambda peer=peer: peer.begin("main")):
                with pytest.raises(PermissionDenied, match=f"{stranger.name} is in no role"):
                    await call()
        for number, owner in enumerate((Principal("owner", "token"), Principal("uid", "peer", os.geteuid()))):
            await check_rights(bench.peer(f"o{number}", owner), set(RIGHTS), "", {})

    run_with(work)


def test_the_owner_may_be_left_out(run_with: RunWith) -> None:
    async def work(bench: Bench) -> None:
        with pytest.raises(PermissionDenied, match=r'"database\.query" to roles\.owner\.permissions'):
            await bench.db.query("main", "SELECT 1")
        assert (await bench.peer("a", ADA).query("main", "SELECT 1")).scalar() == 1

    run_with(work, roles={"owner": {}, "reader": READER}, main={})


BEGINNER = ["database.query", "database.transaction"]


def test_a_reader_cannot_write_in_a_transaction(run_with: RunWith, any_database: dict[str, Any]) -> None:
    async def work(bench: Bench) -> None:
        await bench.db.execute("main", "DROP TABLE IF EXISTS t")
        await make_table(bench)
        for peer, rule, lacks in (
            (bench.peer("a", ADA), "roles.reader.permissions", "database.execute"),
            (bench.peer("b", BOB), "roles.there.database.may.main", "execute"),
        ):
            for call in (peer.begin, peer.connect):
                with pytest.raises(DatabaseRefused, match="readonly=True") as caught:
                    await call("main")
                assert (caught.value.right, caught.value.rule) == ("execute", rule)
                assert f'"{lacks}" to {rule}' in caught.value.message
            tx = await peer.begin("main", readonly=True)
            with pytest.raises(RpcError, match=f'"{lacks}" to {rule}'):
                await peer.execute("main", "UPDATE t SET x = 2", transaction=tx.id)
            with pytest.raises(DatabaseError):
                await peer.query("main", "UPDATE t SET x = 2", transaction=tx.id)
            await peer.rollback(tx.id)
            assert (await peer.query("main", "SELECT x FROM t")).scalar() == 1

    roles = {
        "reader": {"principals": ["ada"], "permissions": BEGINNER},
        "there": {
            "principals": ["bob"],
            "permissions": ["database.*"],
            "database": {"may": {"main": ["query", "transaction"]}},
        },
    }
    run_with(work, roles=roles, main=any_database)


def test_who_may_not_begin(run_with: RunWith, roles: dict[str, Any]) -> None:
    async def work(bench: Bench) -> None:
        ada = bench.peer("a", ADA)
        for call in (ada.begin, ada.connect):
            await refused(call("main", readonly=True), "transaction", "reader", roles)
        bob = bench.peer("b", BOB)
        tx = await bob.begin("main")
        await bob.execute("main", "CREATE TABLE mine (x INTEGER)", transaction=tx.id)
        await refused(bob.script("main", "SELECT 1", transaction=tx.id), "script", "clerk", roles)
        await bob.commit(tx.id)

    run_with(work, roles=roles, main={})


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
    reader = {"principals": ["ada"], "permissions": BEGINNER}
    run_with(work, roles={"reader": reader}, main={**config, "readonly": True})


def test_a_name_goes_before_a_pattern_and_the_first_pattern_counts(run_with: RunWith) -> None:
    may = {"l*": ["query"], "*": ["schema"], "lab": ["query", "execute"]}

    async def work(bench: Bench) -> None:
        ada = bench.peer("a", ADA)
        await ada.execute("lab", "CREATE TABLE t (x INTEGER)")
        assert (await ada.query("log", "SELECT 1")).scalar() == 1
        for call, rule in (
            (ada.execute("log", "CREATE TABLE t (x INTEGER)"), '"l*"'),
            (ada.query("main", "SELECT 1"), '"*"'),
            (ada.tables("lab"), "lab"),
        ):
            with pytest.raises(DatabaseRefused) as caught:
                await call
            assert caught.value.rule == f"roles.lab.database.may.{rule}"  # As TOML has it.
        assert await ada.tables("main") == []

    role = {"principals": ["ada"], "permissions": ["database.*"], "database": {"may": may}}
    run_with(work, roles={"lab": role}, main={}, lab={}, log={})


MISTAKES: list[tuple[dict[str, Any], list[str], str]] = [
    ({"may": {"main": ["delete"]}}, ["database.*"], r"roles\.reader\.database\.may\.main\.0"),
    ({"may": {"mian": ["query"]}}, ["database.*"], r"roles\.reader\.database\.may: .*'mian': did you mean 'main'\?"),
    ({"may": {"x*": ["query"]}}, ["database.*"], r"roles\.reader\.database\.may: .* there are: main, shop$"),
    ({"databases": ["shp"]}, ["database.*"], r"roles\.reader\.database\.databases: .* did you mean 'shop'\?"),
    (
        {"databases": ["shop"], "may": {"main": ["query"]}},
        ["*"],
        r"does not see main: add it to roles\.reader\.database",
    ),
    ({"may": {"main": ["query", "execute"]}}, ["database.query"], r'"execute" gives nothing: add "database\.execute"'),
    ({"database": ["main"]}, ["database.*"], r"roles\.reader\.database\.database: .*databases"),
]


@pytest.mark.parametrize(("conditions", "permissions", "message"), MISTAKES)
def test_conditions_that_forbid_nothing_are_refused(
    conditions: dict[str, Any], permissions: list[str], message: str
) -> None:
    service = Database(DatabaseServiceConfig.model_validate({"databases": {"main": {}, "shop": {}}}))
    section = RoleConfig.model_validate({"permissions": permissions, "database": conditions})
    with pytest.raises(ConfigError, match=message):
        Roles({"reader": section}, [service], os.geteuid(), System)


def test_conditions_that_make_sense_are_not_refused() -> None:
    service = Database(DatabaseServiceConfig.model_validate({"databases": {"main": {}, "shop": {}, "a[b": {}}}))
    for conditions in (
        {"databases": ["*"], "may": {"*": ["query"]}},
        {"databases": ["m*", "a[b", "archive-*"], "may": {"main": list(get_args(Right)), "a[b": []}},
        {"databases": []},
    ):
        section = RoleConfig.model_validate({"permissions": ["database.*"], "database": conditions})
        assert "reader" in Roles({"reader": section}, [service], os.geteuid(), System)


@pytest.mark.parametrize(
    ("owner", "sees"),
    [
        ({}, None),
        ({"permissions": ["*"]}, True),
        ({"permissions": ["database.query"], "database": {"databases": ["main"]}}, True),
        ({"permissions": ["*"], "database": {"databases": []}}, False),
    ],
)
def test_a_table_for_the_owner_goes_before_the_default(
    tmp_path: Path, owner: dict[str, Any], sees: bool | None
) -> None:
    async def main() -> None:
        config = ServerConfig.model_validate({"state_dir": str(tmp_path), "roles": {"owner": owner}})
        server = Server(config, [Database()], token="t" * 32)
        await server.start(listen=False)
        try:
            async with AsyncClient(memory=server.connect_memory) as client:
                if sees is None:
                    with pytest.raises(PermissionDenied, match=r'"database\.query" to roles\.owner\.permissions'):
                        await client.database.databases()
                else:
                    assert bool(await client.database.databases()) == sees
        finally:
            await server.stop(grace_s=0)

    asyncio.run(main())
