"""After close() nothing is left: no thread, no file, no task, whatever was going on."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient, Client, Context, Service, method
from rpcclient.errors import ConnectFailed, RpcError


def state() -> tuple[set[str], set[str]]:
    """The client's threads, and the open files of this process."""
    gc.collect()
    threads = {t.name for t in threading.enumerate() if t.name.startswith("rpcclient")}
    files = set()
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            files.add(str(file.readlink()))
    return threads, files


@pytest.fixture(autouse=True)
def nothing_left(running: Any, until: Any) -> Iterator[None]:
    before = state()
    yield
    until(lambda: not running.server.connections, 10)
    until(lambda: state()[0] == before[0], 10)
    until(lambda: state()[1] <= before[1], 10)


class Busy(Service):
    """Handlers that are at work when the client closes."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()

    @method()
    def work(self, ctx: Context) -> None:
        """Work until told to stop."""
        self.began.set()
        while not ctx.cancelled:
            time.sleep(0.001)

    @method()
    def count(self) -> Iterator[int]:
        """Count without end."""
        yield from itertools.count()


def test_plain_use(running: Any, token: str) -> None:
    for url in (running.tcp, running.unix):
        for _ in range(3):
            with Client(url, token=token) as client:
                assert client.call("desk.add", [1]) == 11


def test_memory(running: Any) -> None:
    with Client(memory=running.server.connect_memory) as client:
        assert client.call("desk.add", [1]) == 11


def test_failed_attempts() -> None:
    for _ in range(5):
        client = Client("ws://127.0.0.1:9", token="x")
        with pytest.raises(ConnectFailed):
            client.connect()
        client.close()


def test_never_connected(running: Any) -> None:
    Client(running.unix).close()


def test_in_the_middle_of_everything(running: Any) -> None:
    """A call, an upload and a download under way; a handler at work; a stream that nobody reads."""
    busy = Busy()
    client = Client(running.unix, services=[busy])
    client.connect()
    errors: list[BaseException] = []

    def attempt(act: Any) -> None:
        try:
            act()
        except RpcError as exc:
            errors.append(exc)

    calls = [
        lambda: client.call("desk.wait"),
        lambda: client.call("desk.ask", ["busy.work", {}]),
        lambda: client.service("desk").total(items=slowly()),
    ]
    threads = [threading.Thread(target=attempt, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    stream = client.stream("desk.count", [10**9])
    assert next(stream) == 0
    assert running.desk.began.wait(10)
    assert busy.began.wait(10)
    client.close()
    for thread in threads:
        thread.join(10)
    assert len(errors) == 3
    assert running.desk.ended.wait(10)


def slowly() -> Iterator[int]:
    for number in itertools.count():
        yield number
        time.sleep(0.001)


def test_closing_from_within_a_handler(running: Any) -> None:
    class Closer(Service):
        """Closes its own client."""

        @method()
        def close(self) -> None:
            """Close."""
            client.close()

    client = Client(running.unix, services=[Closer()])
    with pytest.raises(RpcError):
        client.call("desk.ask", ["closer.close", {}])


def test_async_in_the_middle_of_everything(running: Any) -> None:
    async def main() -> None:
        busy = Busy()
        client = await AsyncClient(running.unix, services=[busy]).connect()
        calls = [
            asyncio.ensure_future(client.call("desk.wait")),
            asyncio.ensure_future(client.call("desk.ask", ["busy.work", {}])),
            asyncio.ensure_future(client.service("desk").total(items=slowly())),
        ]
        stream = client.stream("desk.count", [10**9])
        assert await anext(stream) == 0
        assert await asyncio.to_thread(busy.began.wait, 10)
        await client.close()
        for call in calls:
            with pytest.raises(RpcError):
                await call
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=10)
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    asyncio.run(main())


def test_async_task_cancelled_in_the_turn_of_its_answer(running: Any) -> None:
    """The answer, a stream, has come, and the task is cancelled before it looks: the stream must not stay open."""

    async def main() -> None:
        async with AsyncClient(running.unix) as client:
            peer = await client._connector.peer(asyncio.get_running_loop().time() + 10)
            tasks: list[asyncio.Task[Any]] = []

            class CancelWithTheAnswer:
                def frame_received(self, frame: bytes) -> None:
                    peer.frame_received(frame)
                    tasks[0].cancel()

                def __getattr__(self, name: str) -> Any:
                    return getattr(peer, name)

            stream = client.stream("desk.count", [10**9])
            tasks.append(asyncio.create_task(stream.open()))
            peer.link.receiver = CancelWithTheAnswer()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            peer.link.receiver = peer
            for _ in range(2000):
                if len(peer.session.streams) == 0:
                    break
                await asyncio.sleep(0.005)
            assert len(peer.session.streams) == 0

    asyncio.run(main())
