"""What type checkers must make of the public API. It is never run: mypy --strict and pyright read it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, assert_type

from rpcclient import (
    AsyncClient,
    AsyncDatabaseTransaction,
    AsyncGroup,
    AsyncGroupStream,
    AsyncOutcomes,
    AsyncProgram,
    AsyncStream,
    Client,
    CompletedProgram,
    Context,
    DatabaseTransaction,
    Group,
    GroupItem,
    GroupNode,
    GroupStream,
    NodeOutcome,
    Outcomes,
    Program,
    RpcError,
    Service,
    Stream,
    method,
)
from rpcclient.batch import BatchResult
from rpcclient.models import EventNews, Hello, NodeInfo, NodesEvent, ServiceInfo
from rpcclient.stubs.database import Isolation, Page, Result
from rpcclient.stubs.hardware import DeviceEvent, Memory, Snapshot
from rpcclient.stubs.programs import ProgramInfo, RunEvent
from rpcwire.publishing import Event
from rpcwire.rows.row import Row


def sync_client(client: Client) -> None:
    assert_type(client.call("calc.add", [1, 2]), Any)
    assert_type(client.call("calc.add", {"a": 1, "b": 2}, returns=int), int)
    assert_type(client.stream("calc.count", [3], items=int), Stream[int])
    assert_type(client.stream("calc.count", [3]), Stream[Any])
    assert_type(client.hello(), Hello)
    assert_type(client.services(), list[ServiceInfo])
    assert_type(client.nodes(), list[NodeInfo])
    assert_type(client.watch_nodes(), Stream[NodesEvent])
    assert_type(client.subscribe("hardware.device_changed"), Stream[EventNews])
    assert_type(client.everyone().subscribe(policy="latest"), Stream[EventNews])
    assert_type(client.hardware.device_changed(), Stream[Event[DeviceEvent]])
    assert_type(client.options(timeout_s=1.5), Client)
    assert_type(client.programs.run(["true"]).stdout, bytes)
    with client.database.transaction("main", isolation="serializable", readonly=True) as tx:
        assert_type(tx, DatabaseTransaction)
        assert_type(tx.query("SELECT 1", {"id": 3}), Result)
        assert_type(tx.query("SELECT 1")[0], Row)
        with tx.savepoint(), tx.stream("SELECT 1") as pages:
            for page in pages:
                assert_type(page, Page)
    assert_type(client.programs.run(["true"], text=True), CompletedProgram[str])
    assert_type(client.programs.run(("true",), encoding="latin-1", check=True, timeout_s=5), CompletedProgram[str])
    assert_type(client.programs.start(["true"], cwd="/tmp"), Program[bytes])
    with client.programs.start(["cat"], text=True) as program:
        assert_type(program.stdout.read(), str)
        for piece in client.programs.attach(program.id).stdout:
            assert_type(piece, bytes)
    with client.batch() as batch:
        assert_type(batch.call("calc.add", [1, 2], returns=int), BatchResult[int])
    with client.stream("calc.count", [3], items=int) as items:
        for item in items:
            assert_type(item, int)


async def async_client(client: AsyncClient) -> None:
    assert_type(await client.call("calc.add", [1, 2]), Any)
    assert_type(await client.call("calc.add", {"a": 1, "b": 2}, returns=int), int)
    assert_type(client.stream("calc.count", [3], items=int), AsyncStream[int])
    assert_type(await client.hello(), Hello)
    assert_type(await client.services(), list[ServiceInfo])
    assert_type(await client.nodes(), list[NodeInfo])
    assert_type(client.watch_nodes(), AsyncStream[NodesEvent])
    assert_type(client.subscribe("hardware.device_changed"), AsyncStream[EventNews])
    assert_type(client.hardware.device_changed(), AsyncStream[Event[DeviceEvent]])
    assert_type(client.options(timeout_s=1.5), AsyncClient)
    assert_type((await client.programs.run(["true"])).stdout, bytes)
    async with client.database.transaction("main", isolation=Isolation.SERIALIZABLE) as tx:
        assert_type(tx, AsyncDatabaseTransaction)
        assert_type(await tx.query("SELECT 1", {"id": 3}), Result)
        async with tx.savepoint(), tx.stream("SELECT 1") as pages:
            async for page in pages:
                assert_type(page, Page)
    assert_type(await client.programs.run(["true"], text=True), CompletedProgram[str])
    async with await client.programs.start(["cat"], text=True) as program:
        assert_type(program, AsyncProgram[str])
        async for line in program.stdout.lines():
            assert_type(line, str)
    async with client.stream("calc.count", [3], items=int) as items:
        async for item in items:
            assert_type(item, int)


class Clock(Service):
    """A service declared on the client's side."""

    @method(kind="read")
    async def ticks(self, count: int, ctx: Context) -> AsyncIterator[int]:
        """Count."""
        for tick in range(count):
            ctx.progress(tick, count)
            yield tick


def sync_group(client: Client) -> None:
    group = client.group("role=web,zone!=eu", timeout_s=5, parallel=10, stop_after_failures=2, canary=1)
    assert_type(group, Group)
    assert_type(client.group(["web-1", "web-2"]), Group)
    assert_type(client.group(client.nodes()), Group)
    assert_type(client.group(group.hardware.memory().wait().failed), Group)
    assert_type(client.group(group.hardware.memory().wait().missing), Group)
    assert_type(client.everyone().rolling(batch=3, stop_after_failures=2, canary=1).any(2), Group)
    assert_type(group.hardware.memory(), Outcomes[Memory])
    assert_type(group.programs.list(), Outcomes[list[ProgramInfo]])
    assert_type(group.programs.forget("p1"), Outcomes[None])
    assert_type(group.programs.run(["true"]), Outcomes[CompletedProgram[bytes]])
    assert_type(group.programs.run(["true"], text=True, check=True), Outcomes[CompletedProgram[str]])
    assert_type(group.programs.stream(["true"]), GroupStream[RunEvent])
    assert_type(group.database.query("main", "SELECT 1"), Outcomes[Result])
    assert_type(group.call("calc.add", [1, 2]), Outcomes[Any])
    assert_type(group.call("calc.add", [1, 2], returns=int), Outcomes[int])
    assert_type(group.stream("calc.count", [3], items=int), GroupStream[int])
    for outcome in group.hardware.memory():
        assert_type(outcome, NodeOutcome[Memory])
        assert_type(outcome.node, GroupNode)
        assert_type(outcome.result, Memory | None)
        assert_type(outcome.error, RpcError | None)
        assert_type(outcome.unwrap(), Memory)
    outcomes = group.hardware.memory().raise_for_failures()
    assert_type(outcomes, Outcomes[Memory])
    assert_type(outcomes.wait(), Outcomes[Memory])
    assert_type(outcomes.missing, list[GroupNode])
    assert_type(outcomes.ok, list[NodeOutcome[Memory]])
    with group.hardware.watch(["cpu"]) as items:
        assert_type(items, GroupStream[Snapshot])
        for item in items:
            assert_type(item, GroupItem[Snapshot])
            assert_type(item.value, Snapshot)
    assert_type(group.one().hardware.memory(), Memory)
    assert_type(group.first().programs.run(["true"], text=True), CompletedProgram[str])
    assert_type(group.one().call("calc.add", [1, 2], returns=int), int)
    assert_type(group.one().hardware.watch(), Stream[Snapshot])
    # What belongs to a connection, or takes a stream, is not there.
    group.database.begin("main")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    group.database.copy_in("main", "t", [])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    group.programs.start(["true"])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    group.hardware.open_serial("p")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


async def async_group(client: AsyncClient) -> None:
    group = client.group("role=web,zone!=eu", timeout_s=5, parallel=10, stop_after_failures=2, canary=1)
    assert_type(group, AsyncGroup)
    assert_type(client.everyone().rolling(batch=3).any(2), AsyncGroup)
    assert_type(group.hardware.memory(), AsyncOutcomes[Memory])
    assert_type(group.programs.run(["true"], text=True), AsyncOutcomes[CompletedProgram[str]])
    assert_type(group.call("calc.add", [1, 2], returns=int), AsyncOutcomes[int])
    async for outcome in group.hardware.memory():
        assert_type(outcome, NodeOutcome[Memory])
        assert_type(outcome.unwrap(), Memory)
    assert_type(await group.hardware.memory(), AsyncOutcomes[Memory])
    assert_type(await group.hardware.memory().raise_for_failures(), AsyncOutcomes[Memory])
    async with group.hardware.watch(["cpu"]) as items:
        assert_type(items, AsyncGroupStream[Snapshot])
        async for item in items:
            assert_type(item, GroupItem[Snapshot])
    async for event in group.programs.stream(["true"]).events():
        assert_type(event, GroupItem[RunEvent] | NodeOutcome[None])
    assert_type(await group.one().hardware.memory(), Memory)
    assert_type(await group.first().programs.run(["true"], text=True), CompletedProgram[str])
    assert_type(group.one().hardware.watch(), AsyncStream[Snapshot])
    group.database.begin("main")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
