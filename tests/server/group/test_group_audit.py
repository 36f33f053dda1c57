"""What the audit logs of nodes say of group calls and of wishes for events, also of those that are refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcserver import event
from rpcwire.errors import ConnectFailed, InvalidParams, PermissionDenied, ServiceError
from rpcwire.group.outcomes import NodeOutcome
from tests.server.group.test_group_calls import (  # noqa: F401 - the broker is a fixture
    LIMIT_S,
    NAMES,
    ROLES,
    TOKEN,
    Work,
    broker,
    start,
)
from tests.server.test_audit import records, whole

AUDIT = {"enabled": True}
ALL_AUDITED: dict[str, dict[str, Any]] = {name.replace("-", "_"): {"audit": AUDIT} for name in NAMES}


class Station(Work):
    """Tells, too."""

    permissions = {"station.secret": "learn of secrets"}  # noqa: RUF012 - as services write it

    @event()
    def train_left(self, number: int) -> None:
        """A train has left."""

    @event(permission="station.secret")
    def key_lost(self, number: int) -> None:
        """A key is lost."""


def lines(folder: Path, name: str, *methods: str) -> list[tuple[str, str, str]]:
    """The lines about calls of these methods, and of none: method, outcome, and who has called."""
    whole(folder / name)
    return [
        (line.get("method", ""), line["outcome"], line["client"].get("principal") or line["client"]["address"])
        for line in records(folder / name)
        if line["event"] == "completed" and line.get("method", "") in methods and "count" not in line
    ]


async def states(client: AsyncClient, method: str, params: Any = None) -> dict[str, str]:
    outcomes: list[NodeOutcome[Any]] = (await client.everyone().call(method, params)).outcomes
    return {each.name: each.state if each.error is None else each.error.type for each in outcomes}


def test_each_refused_group_call_has_a_line(tmp_path: Path, broker: str) -> None:  # noqa: F811
    """At the gateway, and at each node that refuses it: also where no connection was made of it."""
    node = ""

    async def main() -> None:
        nonlocal node
        strict = {"url": broker, "name": "db-1", "labels": {"role": "db"}}
        sections = {**ALL_AUDITED, "db_1": {"audit": AUDIT, "group": strict}}
        async with start(broker, tmp_path, **sections) as (group, client):
            node = group.node("web-1")
            for selector, error in (("role=none", ServiceError), ("role>", InvalidParams)):
                call = {"target": {"selector": selector}, "method": "work.echo"}
                with pytest.raises(error):
                    await client.stream("rpc.call_nodes", call).open()
            expected = {"web-1": "ok", "web-2": "ok", "db-1": "PermissionDenied"}
            assert await states(client, "work.echo", [1]) == expected
            assert await states(client, "work.hold") == {
                "web-1": "InvalidRequest", "web-2": "InvalidRequest", "db-1": "PermissionDenied"
            }  # fmt: skip
            large = {"data": b"x" * 3_000_000, "answer_bytes": 1}  # In more than one message of the broker.
            assert await states(client, "work.measure", large) == expected
            executing = group.servers["web-2"].group.calls
            assert executing is not None
            executing.executing.is_leaving = True
            assert (await states(client, "work.echo", [2]))["web-2"] == "Unavailable"

    asyncio.run(asyncio.wait_for(main(), LIMIT_S))
    methods = "work.echo", "work.hold", "work.measure", ""
    assert [outcome for _, outcome, _ in lines(tmp_path, "web-1", "rpc.call_nodes")][:2] == ["NoNodes", "InvalidParams"]
    owner = "owner via web-1"
    assert sorted(lines(tmp_path, "web-2", *methods)) == [
        ("work.echo", "Unavailable", owner),
        ("work.echo", "ok", owner),
        ("work.hold", "InvalidRequest", owner),
        ("work.measure", "ok", owner),
    ]
    gateway = f"the node {node}"
    # Further refusals of one kind are counted for a minute, as those of anybody who is not let in.
    assert lines(tmp_path, "db-1", *methods) == [
        ("work.echo", "PermissionDenied", gateway),
        ("work.hold", "PermissionDenied", gateway),
        ("", "PermissionDenied", gateway),
    ]
    assert [line["count"] for line in records(tmp_path / "db-1") if "count" in line] == [1]


def test_each_refused_circuit_has_a_line(tmp_path: Path, broker: str) -> None:  # noqa: F811
    """At the node that refuses it, where no connection was made: of one that takes no clients from the gateway, and of
    one that stops. The gateway has a line for the call that has asked for it."""
    node = ""

    async def main() -> None:
        nonlocal node
        strict = {"url": broker, "name": "db-1", "labels": {"role": "db"}}
        sections = {**ALL_AUDITED, "db_1": {"audit": AUDIT, "group": strict}}
        async with start(broker, tmp_path, **sections) as (group, client):
            node = group.node("web-1")
            with pytest.raises(PermissionDenied, match=r"group\.gateways"):
                await client.node("db-1").call("work.echo", [1])
            group.servers["web-2"].group.is_stopping = True
            with pytest.raises(ConnectFailed, match="stopping"):
                await client.node("web-2").call("work.echo", [1])

    asyncio.run(asyncio.wait_for(main(), LIMIT_S))
    connect = "rpc.connect_node"
    assert lines(tmp_path, "db-1", connect) == [(connect, "PermissionDenied", f"the node {node}")]
    assert lines(tmp_path, "web-2", connect) == [(connect, "Unavailable", "owner via web-1")]
    at_gateway = [(method, outcome) for method, outcome, _ in lines(tmp_path, "web-1", connect)]
    assert at_gateway == [(connect, "PermissionDenied"), (connect, "Unavailable")]


def test_wishes_for_events_have_lines(tmp_path: Path, broker: str) -> None:  # noqa: F811
    """One for what a node tells, and one for what it refuses; not one for each repetition."""
    node = ""

    async def main() -> None:
        nonlocal node
        guests = {**ROLES, "ops": {"principals": ["owner via web-1"], "permissions": ["station.train_left"]}}
        strict = {"url": broker, "name": "db-1", "labels": {"role": "db"}}
        sections: dict[str, dict[str, Any]] = {
            "web_1": {"audit": AUDIT},
            "web_2": {"audit": AUDIT, "roles": guests},
            "db_1": {"audit": AUDIT, "group": strict},
        }
        async with start(broker, tmp_path, Station, **sections) as (group, client):
            node = group.node("web-1")
            names = ["station.train_left", "station.key_lost", "station.nothing"]
            news = client.everyone().subscribe(*names)
            marks: set[tuple[str, str, str]] = set()
            async with asyncio.timeout(LIMIT_S), news:
                async for each in news:
                    marks.add((each.kind, each.node, each.event))
                    if len(marks) == 6:
                        break
                assert marks == {
                    ("following", "web-1", ""), ("refused", "web-1", "station.nothing"),
                    ("following", "web-2", ""), ("refused", "web-2", "station.key_lost"),
                    ("refused", "web-2", "station.nothing"), ("refused", "db-1", ""),
                }  # fmt: skip
                for server in group.servers.values():  # All are asked again.
                    exchange = server.group.exchange
                    assert exchange is not None
                    for reader in exchange._readers.values():
                        reader.follower.ask_all(asyncio.get_running_loop().time())
                station = group.work["web-2"]
                assert isinstance(station, Station)
                station.train_left(1)
                async for each in news:
                    if each.kind == "event":
                        break

    asyncio.run(asyncio.wait_for(main(), LIMIT_S))
    owner = "owner via web-1"
    assert sorted(lines(tmp_path, "web-2", "rpc.follow")) == [
        ("rpc.follow", "MethodNotFound", owner),
        ("rpc.follow", "PermissionDenied", owner),
        ("rpc.follow", "ok", owner),
    ]
    assert lines(tmp_path, "db-1", "rpc.follow") == [("rpc.follow", "PermissionDenied", f"the node {node}")]
    # The client's own call, and what its own node has refused.
    own = [line[1] for line in lines(tmp_path, "web-1", "rpc.follow")]
    assert sorted(own) == ["Cancelled", "MethodNotFound", "ok"]
