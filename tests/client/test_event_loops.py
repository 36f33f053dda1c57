"""An asynchronous client in several event loops: one after the other, or at the same time."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from rpcclient import AsyncClient, Context, Service, method
from rpcclient.errors import ConnectionClosed, LocalProtocolError, RpcError

LIMIT_S = 30.0
Run = Callable[[Coroutine[Any, Any, Any]], Any]
ELSEWHERE = "belongs to another event loop, which is not closed: use it there, by asyncio.run_coroutine_threadsafe"


@pytest.fixture(params=["asyncio", "asyncio debug", "uvloop", "uvloop debug"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of event loop in turn."""
    return str(request.param)


@pytest.fixture
def new_loop(kind: str) -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    made: list[asyncio.AbstractEventLoop] = []

    def begin() -> asyncio.AbstractEventLoop:
        loop = uvloop.new_event_loop() if kind.startswith("uvloop") else asyncio.new_event_loop()
        loop.set_debug(kind.endswith("debug"))
        made.append(loop)
        return loop

    yield begin
    for loop in made:
        loop.close()


@pytest.fixture
def run(kind: str) -> Run:
    """Runs a coroutine as asyncio.run does: in a loop that ends with it."""

    def begin(work: Coroutine[Any, Any, Any]) -> Any:
        async def main() -> Any:
            async with asyncio.timeout(LIMIT_S):
                return await work

        factory = uvloop.new_event_loop if kind.startswith("uvloop") else None
        with asyncio.Runner(loop_factory=factory, debug=kind.endswith("debug")) as runner:
            return runner.run(main())

    return begin


class Elsewhere:
    """An event loop that runs in another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.Thread(target=loop.run_forever)
        self.thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT_S)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(LIMIT_S)


@pytest.fixture
def elsewhere(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[Elsewhere]:
    there = Elsewhere(new_loop())
    yield there
    there.stop()


@pytest.fixture(params=["tcp", "unix"])
def client(request: pytest.FixtureRequest, running: Any, token: str) -> AsyncClient:
    return AsyncClient(running.tcp if request.param == "tcp" else running.unix, token=token)


@pytest.fixture(autouse=True)
def _no_garbage() -> Iterator[None]:
    """What a test leaves behind is told of as that test's: a transport that was not closed is a warning, and an error."""
    yield
    gc.collect()


async def driven(work: Coroutine[Any, Any, Any]) -> Any:
    return await work


def by_hand(work: Coroutine[Any, Any, Any]) -> Any:
    """Take a coroutine a step further where no loop runs."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    finally:
        work.close()
    raise AssertionError("it waits")


# --- one after the other --------------------------------------------------------------------------------------------


def test_it_connects_anew_in_each_loop(client: AsyncClient, run: Run, running: Any, until: Any) -> None:
    for number in range(3):
        assert not client.connected
        assert run(client.call("desk.add", [number, 1])) == number + 1
        assert not client.connected
        until(lambda: not running.server.connections)
    run(client.close())
    with pytest.raises(ConnectionClosed, match="the client is closed"):
        run(client.call("desk.add", [1, 2]))


def test_every_way_of_calling(client: AsyncClient, run: Run, running: Any) -> None:
    async def all_of_them() -> None:
        async with client.batch() as batch:
            answer = batch.call("desk.add", [1, 2])
        assert answer.result() == 3
        assert await client.service("desk").add(a=1, b=4) == 5
        assert [item async for item in client.stream("desk.count", [3])] == [0, 1, 2]
        assert await client.service("desk").total(items=[1, 2, 3]) == 6
        await client.notify("desk.note", ["here"])
        assert await client.options(timeout_s=5).call("desk.add", [1]) == 11
        assert "add" in (await client.describe("desk")).methods
        await client.hello()
        assert await asyncio.gather(*(client.call("desk.add", [1, n]) for n in range(5))) == [1, 2, 3, 4, 5]

    for _ in range(2):
        run(all_of_them())
    run(client.close())


def test_closing_after_the_loop(client: AsyncClient, run: Run, running: Any, until: Any) -> None:
    run(client.connect())
    run(client.close())
    assert not client.connected
    until(lambda: not running.server.connections)


def test_closing_without_a_loop(client: AsyncClient, run: Run) -> None:
    """There is nothing left to close."""
    run(client.connect())
    by_hand(client.close())
    assert not client.connected
    by_hand(client.close())


def test_closing_what_was_never_used(client: AsyncClient, run: Run) -> None:
    by_hand(client.close())
    with pytest.raises(ConnectionClosed):
        run(client.connect())


def test_entering_it_in_each_loop(client: AsyncClient, run: Run) -> None:
    async def main() -> int:
        async with client:
            return int(await client.call("desk.add", [1, 2]))

    assert run(main()) == 3
    with pytest.raises(ConnectionClosed, match="the client is closed"):
        run(main())


def test_a_client_that_does_not_reconnect(running: Any, token: str, run: Run) -> None:
    """The first connection in a loop is no other one."""
    client = AsyncClient(running.tcp, token=token, reconnect=False)
    assert run(client.call("desk.add", [1, 2])) == 3
    assert run(client.call("desk.add", [1, 2])) == 3
    run(client.close())


def test_a_loop_that_ends_without_a_word(client: AsyncClient, kind: str, new_loop: Any, run: Run) -> None:
    """Closed as it is, without the steps that asyncio.run takes: asyncio itself warns of the transport then."""
    loop = new_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert loop.run_until_complete(client.call("desk.add", [1, 2])) == 3
        stream = client.stream("desk.count", [10**6])
        assert loop.run_until_complete(anext(stream)) == 0
        waits = loop.create_task(client.call("desk.wait"))
        loop.run_until_complete(asyncio.sleep(0.01))
        assert client.connected
        waits.cancel()
        loop.run_until_complete(asyncio.wait([waits]))
        loop.close()
        assert not client.connected
        assert run(client.call("desk.add", [3, 4])) == 7
        with pytest.raises(ConnectionClosed, match="the stream belongs to an event loop that has ended") as caught:
            run(driven(anext(stream)))
        assert caught.value.executed == "no"
        by_hand(stream.aclose())
        run(client.close())
        del waits, stream
        gc.collect()


def test_the_server_sees_that_a_loop_has_ended(client: AsyncClient, new_loop: Any, running: Any, until: Any) -> None:
    loop = new_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loop.run_until_complete(client.connect())
        until(lambda: running.server.connections)
        loop.close()
        by_hand(client.close())
        until(lambda: not running.server.connections)
        gc.collect()


def test_a_loop_that_ends_while_it_connects(scripted: Any, new_loop: Any, run: Run) -> None:
    """Nothing of the attempt is left, and the next loop makes its own."""
    came = threading.Event()

    def silent(script: Any) -> None:
        came.set()
        assert script.wait_closed() is None

    def answers(script: Any) -> None:
        script.handshake()
        script.receive()
        script.send('{"jsonrpc": "2.0", "id": 1, "result": 3}')
        script.wait_closed()

    client = AsyncClient(scripted(silent, answers), token="x", subprotocol="rpc.v1.json")

    async def begins() -> None:
        task = asyncio.ensure_future(client.connect())
        await asyncio.to_thread(came.wait, LIMIT_S)
        task.cancel()

    run(begins())
    assert run(client.call("desk.add", [1, 2])) == 3
    run(client.close())


def test_streams_of_a_loop_that_has_ended(client: AsyncClient, run: Run) -> None:
    stream = client.stream("desk.count", [10**6])
    assert run(driven(anext(stream))) == 0
    for use in (lambda: driven(anext(stream)), stream.open, lambda: driven(anext(stream))):
        with pytest.raises(ConnectionClosed, match="the stream belongs to an event loop that has ended") as caught:
            run(use())
        assert (caught.value.executed, caught.value.retryable) == ("no", False)
    run(stream.aclose())

    unopened = client.stream("desk.count", [2])

    async def items() -> list[int]:
        return [item async for item in unopened]

    assert run(items()) == [0, 1]
    run(client.close())


def test_what_ends_with_the_loop_may_still_call(client: AsyncClient, run: Run, running: Any) -> None:
    """The connection is the last that ends."""
    said = len(running.desk.seen)

    async def left_in_the_middle() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await client.call("desk.note", ["the end"])

    async def main() -> Any:
        await client.connect()
        kept = left_in_the_middle()
        await anext(kept)
        return kept

    run(main())
    assert running.desk.seen[said:] == ["the end"]
    run(client.close())


def test_services_offered_in_each_loop(running: Any, token: str, run: Run) -> None:
    class Here(Service):
        """Says where it runs."""

        @method()
        async def loop(self) -> int:
            """The loop."""
            return id(asyncio.get_running_loop())

        @method()
        def thread(self) -> str:
            """The thread."""
            return threading.current_thread().name

    client = AsyncClient(running.tcp, token=token, services=[Here()])

    async def main() -> None:
        assert await client.call("desk.ask", ["here.loop", {}]) == id(asyncio.get_running_loop())
        assert (await client.call("desk.ask", ["here.thread", {}])).startswith("rpcclient-handler")

    for _ in range(2):
        run(main())
    run(client.close())


# --- at the same time -----------------------------------------------------------------------------------------------


async def _batch(client: AsyncClient) -> None:
    async with client.batch() as batch:
        batch.call("desk.add", [1, 2])


USES: dict[str, Callable[[AsyncClient], Coroutine[Any, Any, Any]]] = {
    "call": lambda client: client.call("desk.add", [1, 2]),
    "notify": lambda client: client.notify("desk.note", ["no"]),
    "connect": lambda client: client.connect(),
    "close": lambda client: client.close(),
    "enter": lambda client: client.__aenter__(),
    "leave": lambda client: client.__aexit__(None, None, None),
    "stream": lambda client: driven(anext(client.stream("desk.count", [3]))),
    "upload": lambda client: client.service("desk").total(items=[1]),
    "options": lambda client: client.options(timeout_s=1).call("desk.add", [1, 2]),
    "batch": _batch,
    "describe": lambda client: client.describe("desk"),
}


@pytest.mark.parametrize("place", ["loop", "none"])
def test_use_from_elsewhere_harms_nothing(client: AsyncClient, run: Run, elsewhere: Elsewhere, place: str) -> None:
    waits = asyncio.run_coroutine_threadsafe(client.call("desk.sleep", [0.3]), elsewhere.loop)
    stream = client.stream("desk.count", [3])
    assert elsewhere.do(driven(anext(stream))) == 0
    for use in USES.values():
        with pytest.raises(LocalProtocolError) as caught:
            (run if place == "loop" else by_hand)(use(client))
        said = f"the client {ELSEWHERE}" if place == "loop" else "no event loop of asyncio runs here"
        assert said in str(caught.value)
        assert (caught.value.executed, caught.value.retryable) == ("no", False)
    assert client.connected
    assert waits.result(LIMIT_S) == "done"
    assert elsewhere.do(client.call("desk.add", [3, 4])) == 7
    assert elsewhere.do(driven(anext(stream))) == 1
    elsewhere.do(stream.aclose())
    elsewhere.do(client.close())


def test_streams_from_elsewhere(client: AsyncClient, run: Run, elsewhere: Elsewhere) -> None:
    stream = client.stream("desk.count", [3])
    assert elsewhere.do(driven(anext(stream))) == 0
    for use in (lambda: driven(anext(stream)), stream.open, stream.aclose):
        with pytest.raises(LocalProtocolError, match=f"the stream {ELSEWHERE}"):
            run(use())
        with pytest.raises(LocalProtocolError, match="no event loop of asyncio runs here"):
            by_hand(use())
    assert elsewhere.do(driven(anext(stream))) == 1
    assert elsewhere.do(driven(anext(stream))) == 2
    assert elsewhere.do(driven(anext(stream, "the end"))) == "the end"
    elsewhere.do(client.close())


def test_a_loop_that_stands_still(client: AsyncClient, new_loop: Any, run: Run) -> None:
    """It may go on at any time, and the client with it."""
    loop = new_loop()
    assert loop.run_until_complete(client.call("desk.add", [1, 2])) == 3
    with pytest.raises(LocalProtocolError, match=ELSEWHERE):
        run(client.call("desk.add", [1, 2]))
    with pytest.raises(LocalProtocolError, match=ELSEWHERE):
        run(client.close())
    assert client.connected
    assert loop.run_until_complete(client.call("desk.add", [3, 4])) == 7
    loop.run_until_complete(client.close())
    run(client.close())


def test_no_loop_at_all(client: AsyncClient, run: Run) -> None:
    for name, use in USES.items():
        if name not in ("close", "leave"):
            with pytest.raises(LocalProtocolError, match=r"no event loop of asyncio runs here: .* or use Client"):
                by_hand(use(client))
    assert run(client.call("desk.add", [1, 2])) == 3
    run(client.close())


def test_two_loops_that_begin_together(client: AsyncClient, new_loop: Any) -> None:
    """One of them gets the client."""
    loops = [Elsewhere(new_loop()) for _ in range(4)]
    barrier = threading.Barrier(len(loops))

    async def begin() -> int:
        barrier.wait(LIMIT_S)
        return int(await client.call("desk.add", [1, 2]))

    futures = [asyncio.run_coroutine_threadsafe(begin(), each.loop) for each in loops]
    found = [future.exception(LIMIT_S) for future in futures]
    assert sum(error is None for error in found) == 1
    assert all(isinstance(error, LocalProtocolError) for error in found if error is not None)
    owner = loops[found.index(None)]
    assert owner.do(client.call("desk.add", [3, 4])) == 7
    owner.do(client.close())
    for each in loops:
        each.stop()


def test_a_handler_in_a_thread_that_uses_its_client(running: Any, token: str, run: Run) -> None:
    """A plain function has no loop: the client cannot be used with asyncio.run in it, but the context can."""

    class Here(Service):
        """Calls back."""

        @method()
        def by_client(self) -> str:
            """In the wrong loop."""
            try:
                asyncio.run(client.call("desk.add", [1, 2]))
            except RpcError as exc:
                return type(exc).__name__
            return "it went well"

        @method()
        def by_context(self, ctx: Context) -> int:
            """In the right one."""
            return int(asyncio.run(ctx.caller.call("desk.add", {"a": 1, "b": 2})))

    client = AsyncClient(running.tcp, token=token, services=[Here()])

    async def main() -> list[Any]:
        async with client:
            return [await client.call("desk.ask", [f"here.{name}", {}]) for name in ("by_client", "by_context")]

    assert run(main()) == ["LocalProtocolError", 3]
