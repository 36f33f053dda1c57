"""What type checkers must make of the public API. It is never run: mypy --strict and pyright read it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, assert_type

from rpcclient import (
    AsyncClient,
    AsyncDatabaseTransaction,
    AsyncProgram,
    AsyncStream,
    Client,
    CompletedProgram,
    Context,
    DatabaseTransaction,
    Program,
    Service,
    Stream,
    method,
)
from rpcclient.batch import BatchResult
from rpcclient.models import Hello, NodeInfo, NodesEvent, ServiceInfo
from rpcclient.stubs.database import Isolation, Page, Result
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
