"""Both sides call each other in turn, deeper than either has threads at work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
import uvloop

from rpcclient import AsyncClient, Client, Context, Service, method
from rpcclient.errors import Busy
from rpcwire.pool import PLACES, WAITING

DEEP = 2 * PLACES
ALL = PLACES + WAITING
LIMIT_S = 60.0

Ask = Callable[[str, list[Any]], Any]


class Well(Service):
    """Goes down by calls back and forth. `ask` makes a call of the server from a thread."""

    def __init__(self, ask: Ask | None = None) -> None:
        super().__init__()
        self.ask = ask

    @method()
    def down(self, depth: int, by: str = "desk.ask") -> int:
        """By a client that somebody shares with this."""
        if depth == 0:
            return 0
        assert self.ask is not None
        return 1 + int(self.ask(by, ["well.down", {"depth": depth - 1, "by": by}]))

    @method()
    def down_by_context(self, depth: int, ctx: Context) -> int:
        """By the connection of the call, from a plain function."""
        if depth == 0:
            return 0
        params = {"method": "well.down_by_context", "params": {"depth": depth - 1}}
        return 1 + int(asyncio.run(ctx.caller.call("desk.ask", params)))

    @method()
    def down_by_streams(self, depth: int, by: str = "desk.asked_items") -> int:
        """By a stream, for each of whose items the server calls back."""
        if depth == 0:
            return 0
        assert self.ask is not None
        return 1 + int(self.ask(f"stream {by}", ["well.down_by_streams", {"depth": depth - 1, "by": by}]))


def by_client(client: Client) -> Ask:
    def ask(name: str, params: list[Any]) -> Any:
        if name.startswith("stream "):
            return next(client.stream(name.removeprefix("stream "), params))
        return client.call(name, params)

    return ask


@pytest.fixture
def client(running: Any) -> Iterator[Client]:
    well = Well()
    with Client(running.unix, services=[well], timeout_s=LIMIT_S) as client:
        well.ask = by_client(client)
        yield client


@pytest.mark.parametrize("by", ["desk.ask", "desk.ask_in_a_thread"])
def test_a_sync_client(client: Client, by: str) -> None:
    assert client.call(by, ["well.down", {"depth": DEEP, "by": by}]) == DEEP


def test_by_the_connection_of_the_call(client: Client) -> None:
    assert client.call("desk.ask", ["well.down_by_context", {"depth": DEEP}]) == DEEP


@pytest.mark.parametrize("by", ["desk.asked_items", "desk.ask_items_in_threads"])
def test_by_streams(client: Client, by: str) -> None:
    assert client.call("desk.ask", ["well.down_by_streams", {"depth": DEEP, "by": by}]) == DEEP


def test_threads_of_ones_own(running: Any) -> None:
    """They count for the handler that waits for them where they run in its context."""
    well = Well()
    with Client(running.unix, services=[well], timeout_s=LIMIT_S) as client, ThreadPoolExecutor(DEEP) as pool:
        ask = by_client(client)
        well.ask = lambda name, params: pool.submit(copy_context().run, ask, name, params).result()
        assert client.call("desk.ask", ["well.down", {"depth": DEEP}]) == DEEP


def test_many_at_once(client: Client) -> None:
    found: list[int] = []

    def go_down() -> None:
        found.append(client.call("desk.ask", ["well.down", {"depth": 10}]))

    threads = [threading.Thread(target=go_down) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert found == [10] * 20


@pytest.mark.parametrize("by", ["desk.ask", "desk.ask_in_a_thread"])
def test_the_bound(client: Client, by: str) -> None:
    """It is told at once, and nothing is the worse for it."""
    with pytest.raises(Busy, match=f"all {ALL} threads for handlers wait"):
        client.call(by, ["well.down", {"depth": ALL + 10, "by": by}])
    assert client.call(by, ["well.down", {"depth": DEEP, "by": by}]) == DEEP
    names = [thread.name for thread in threading.enumerate()]
    assert sum(name.startswith("rpcclient-handler_") for name in names) <= ALL


def test_two_clients(running: Any) -> None:
    """Each calls the other, through the server."""
    wells = [Well(), Well()]
    with (
        Client(running.unix, services=[wells[0]], timeout_s=LIMIT_S) as one,
        Client(running.unix, services=[wells[1]], timeout_s=LIMIT_S) as two,
    ):
        one.call("desk.enter", ["one"])
        two.call("desk.enter", ["two"])
        wells[0].ask = lambda _, params: one.call("desk.ask_another", ["two", *params])
        wells[1].ask = lambda _, params: two.call("desk.ask_another", ["one", *params])
        assert one.call("desk.ask_another", ["two", "well.down", {"depth": 3 * DEEP}]) == 3 * DEEP


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_an_async_client(running: Any, loop_factory: Any) -> None:
    """Its plain functions have threads, too, and those of the loop are left alone."""

    async def main() -> None:
        well, loop = Well(), asyncio.get_running_loop()
        async with AsyncClient(running.unix, services=[well], timeout_s=LIMIT_S) as client:

            async def stream(name: str, params: list[Any]) -> Any:
                async with client.stream(name.removeprefix("stream "), params) as items:
                    return await anext(items)

            def ask(name: str, params: list[Any]) -> Any:
                work = stream(name, params) if name.startswith("stream ") else client.call(name, params)
                return asyncio.run_coroutine_threadsafe(work, loop).result(LIMIT_S)

            well.ask = ask
            for by in ("desk.ask", "desk.ask_in_a_thread"):
                assert await client.call(by, ["well.down", {"depth": DEEP, "by": by}]) == DEEP
            for name in ("down_by_context", "down_by_streams"):
                assert await client.call("desk.ask", [f"well.{name}", {"depth": DEEP}]) == DEEP
            many = [client.call("desk.ask", ["well.down", {"depth": 10}]) for _ in range(20)]
            assert await asyncio.gather(*many) == [10] * 20
            with pytest.raises(Busy, match=f"all {ALL} threads for handlers wait"):
                await client.call("desk.ask", ["well.down", {"depth": ALL + 10}])
            assert await asyncio.to_thread(int) == 0

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


def test_a_server_with_few_threads(start: Any) -> None:
    """Its setting bounds those at work: depth does not count."""
    server, well = start(limits={"threads": 2}), Well()
    with Client(server.unix, services=[well], timeout_s=LIMIT_S) as client:
        well.ask = by_client(client)
        by = "desk.ask_in_a_thread"
        assert client.call(by, ["well.down", {"depth": DEEP, "by": by}]) == DEEP
        assert client.call("desk.down_by_client", [server.unix, 20]) == 20
        with pytest.raises(Busy, match=f"all {2 + WAITING} threads for handlers wait"):
            client.call(by, ["well.down", {"depth": WAITING + 10, "by": by}])
        assert client.call(by, ["well.down", {"depth": 3, "by": by}]) == 3
