"""An asynchronous client that nobody holds any more is closed, with a ResourceWarning, on asyncio's loop and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from rpcclient import AsyncClient, Context, Service, method
from rpcclient.aio.exchange import perform
from rpcclient.errors import RpcError
from rpcclient.methods import Method
from rpcclient.options import CallOptions
from tests.leftovers import state

UNCLOSED = r"unclosed client of (unix|ws|memory)"


@pytest.fixture(params=[None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(
    request: pytest.FixtureRequest, running: Any, token: str, until: Any
) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs a coroutine on each kind of loop; nothing may be left of it, also while the loop lives on."""
    gc.collect()
    with asyncio.Runner(loop_factory=request.param) as runner:

        async def connect_once() -> None:  # The loop opens some files of its own, which stay.
            for url in (running.tcp, running.unix):
                async with AsyncClient(url, token=token):
                    pass

        runner.run(connect_once())
        until(lambda: not running.server.connections)
        threads, files = state()
        yield runner.run

        def nothing_left() -> bool:
            runner.run(asyncio.sleep(0))  # A loop has files of its own while it runs.
            return not running.server.connections and state()[0] <= threads and state()[1] <= files

        until(nothing_left)


async def dropped(running: Any) -> None:
    """Collect the garbage until the server has seen the client go."""
    async with asyncio.timeout(60):
        while running.server.connections:
            gc.collect()
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_the_last_reference(run: Any, running: Any, token: str, where: str) -> None:
    async def main() -> None:
        client = AsyncClient(getattr(running, where), token=token)
        assert await client.call("desk.add", [1, 2]) == 3
        assert await client.service("desk").add(1, 2) == 3
        assert client.hardware is not None
        with pytest.warns(ResourceWarning, match=UNCLOSED):
            del client
            await dropped(running)

    run(main())


def test_in_memory_of_the_same_loop(running: Any, recwarn: pytest.WarningsRecorder) -> None:
    async def main() -> None:
        client = AsyncClient(memory=running.server.connect_memory)
        assert await client.call("desk.add", [1, 2]) == 3
        del client
        await dropped(running)

    running.run(main())
    assert [str(warning.message) for warning in recwarn.list if warning.category is ResourceWarning] == [
        "unclosed client of memory"
    ]


def test_it_is_closed_in_an_orderly_way(run: Any, scripted: Any) -> None:
    codes: list[int | None] = []

    def script(connection: Any) -> None:
        connection.handshake()
        codes.append(connection.wait_closed())

    async def main() -> None:
        client = await AsyncClient(scripted(script), token="x").connect()
        with pytest.warns(ResourceWarning, match=UNCLOSED):
            del client
            while not codes:
                gc.collect()
                await asyncio.sleep(0.005)

    run(main())
    assert codes == [1000]


def test_nothing_to_close(run: Any, running: Any, recwarn: pytest.WarningsRecorder) -> None:
    """One that was closed, that never connected, or that could not."""

    async def main() -> None:
        async with AsyncClient(running.unix) as closed:
            await closed.call("desk.add", [1, 2])
        never, failed = AsyncClient(running.unix), AsyncClient("ws://127.0.0.1:9", token="x")
        with pytest.raises(RpcError):
            await failed.connect()
        del closed, never, failed
        gc.collect()

    run(main())
    assert not [warning for warning in recwarn.list if warning.category is ResourceWarning]


def test_its_loop_has_ended(running: Any, token: str, until: Any) -> None:
    """The connection has ended with it."""
    gc.collect()
    before = state()

    async def main() -> AsyncClient:
        return await AsyncClient(running.tcp, token=token).connect()

    for factory in (None, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            client: Any = runner.run(main())
        del runner
        client = None
        gc.collect()
        until(lambda: not running.server.connections)
        until(lambda: state()[1] <= before[1])
    assert client is None


class Keeper(Service):
    """Holds the client that offers it, as a service may."""

    def __init__(self) -> None:
        super().__init__()
        self.client: AsyncClient | None = None
        self.began, self.go = asyncio.Event(), asyncio.Event()

    @method()
    async def work(self) -> int:
        """Work until told to end."""
        self.began.set()
        await self.go.wait()
        return 1

    @method()
    async def count(self) -> AsyncIterator[int]:
        """Give a first item, and the next when told to."""
        yield 1
        self.began.set()
        await self.go.wait()
        yield 2

    @method()
    def in_a_thread(self, ctx: Context) -> str:
        """Work in a thread of the client's."""
        return ctx.method


def test_a_cycle_is_found(run: Any, running: Any) -> None:
    async def main() -> None:
        keeper = Keeper()
        client = await AsyncClient(running.unix, services=[keeper]).connect()
        keeper.client = client
        assert await client.call("desk.ask", ["keeper.in_a_thread", {}]) == "keeper.in_a_thread"
        with contextlib.suppress(RpcError):
            await client.call("desk.nothing")
        with pytest.warns(ResourceWarning, match=UNCLOSED):
            del client, keeper
            await dropped(running)

    run(main())


@pytest.mark.parametrize("which", ["work", "count"])
def test_a_handler_that_runs_keeps_its_client(run: Any, running: Any, which: str, until: Any) -> None:
    async def main() -> None:
        keeper = Keeper()
        client = await AsyncClient(running.unix, services=[keeper]).connect()
        until(lambda: running.server.connections)
        (peer,) = running.server.connections.values()

        async def ask() -> Any:
            streams = which == "count"
            answer = await perform(peer, Method(f"keeper.{which}"), None, CallOptions(), 60.0, streams=streams)
            return [item async for item in answer] if streams else answer

        future = asyncio.run_coroutine_threadsafe(ask(), running.loop)
        await keeper.began.wait()
        connector = weakref.ref(client._connector)
        del client
        gc.collect()
        assert connector() is not None
        with pytest.warns(ResourceWarning, match=UNCLOSED):
            keeper.go.set()
            assert await asyncio.wrap_future(future) == {"work": 1, "count": [1, 2]}[which]
            await dropped(running)

    run(main())


def test_one_that_waits_for_its_server_to_come_back(process: Any, until: Any) -> None:
    """It offers services, so it tries again and again, until nobody holds it."""
    process.start()

    async def main() -> None:
        client = await AsyncClient(process.url, token_file=process.token_file, services=[Keeper()]).connect()
        process.kill()
        async with asyncio.timeout(60):
            while client.connected or client._connector._connect_task is None:
                await asyncio.sleep(0.005)
            task = client._connector._connect_task
            with pytest.warns(ResourceWarning, match=UNCLOSED):
                del client
                while not task.done():
                    gc.collect()
                    await asyncio.sleep(0.005)

    asyncio.run(main())
