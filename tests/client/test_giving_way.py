"""Calls that fail at once: neither they nor whoever tries again in a loop keeps everything else from running, and
whoever tries again gets through as soon as the server is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from rpcclient import AsyncClient, Client
from rpcclient.errors import NotSent, RpcError

TRIES = 2000


async def numbers() -> AsyncIterator[int]:
    for number in (1, 2, 3):
        yield number


Act = Callable[[AsyncClient], Awaitable[Any]]


async def upload(client: AsyncClient) -> None:
    assert await client.service("desk").total(items=numbers()) == 6


async def download(client: AsyncClient) -> None:
    assert [item async for item in client.stream("desk.count", [3])] == [0, 1, 2]


async def batch(client: AsyncClient) -> None:
    async with client.batch() as calls:
        one = calls.call("desk.add", [1, 2])
    assert one.result() == 3


ACTS: dict[str, Act] = {
    "call": lambda client: client.call("desk.add", [1, 2]),
    "upload": upload,
    "download": download,
    "notify": lambda client: client.notify("desk.note", ["x"]),
    "batch": batch,
    "over this connection": lambda client: client.options(resend=False).call("desk.add", [1, 2]),
}


@pytest.mark.parametrize("name", [name for name in ACTS if name != "over this connection"])
def test_trying_again_in_a_loop_gets_through(running: Any, name: str) -> None:
    """Whatever the cut hit, the next try waits for the connection as any call does, and takes nothing before of what it
    streams."""

    async def main() -> int:
        async with AsyncClient(running.unix) as client:
            await ACTS[name](client)
            failures = 0
            for _ in range(3):
                link = client._connector.live.link  # type: ignore[union-attr]
                link.abort()
                for _ in range(TRIES):
                    try:
                        await ACTS[name](client)
                        break
                    except RpcError:
                        failures += 1
                else:
                    pytest.fail("it never got through")
            return failures

    assert asyncio.run(main()) <= 6


async def closed(running: Any) -> AsyncClient:
    client = await AsyncClient(running.unix).connect()
    await client.close()
    return client


async def without_reconnect(running: Any) -> AsyncClient:
    client = await AsyncClient(running.unix, reconnect=False).connect()
    client._connector.live.link.close(1000, "")  # type: ignore[union-attr]
    return client


async def without_time(running: Any) -> AsyncClient:
    return (await AsyncClient(running.unix).connect()).options(timeout_s=-1)


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("broken", [closed, without_reconnect, without_time])
def test_what_fails_at_once_gives_way(running: Any, name: str, broken: Callable[[Any], Awaitable[AsyncClient]]) -> None:
    async def main() -> None:
        client = await broken(running)
        done = asyncio.Event()

        async def other() -> None:
            for _ in range(20):
                await asyncio.sleep(0)
            done.set()

        task = asyncio.create_task(other())
        failures = 0
        for _ in range(TRIES):
            try:
                await ACTS[name](client)
            except RpcError:
                failures += 1
            if done.is_set():
                break
        await task
        assert 0 < failures < TRIES
        await client.close()

    asyncio.run(main())


async def begin_twice(client: AsyncClient) -> None:
    await client.database.transaction("main").execute("SELECT 1")


async def after_close(client: AsyncClient) -> None:
    other = AsyncClient(client.url)
    await other.close()
    await other.connect()


@pytest.mark.parametrize(
    "act",
    {
        "arguments that do not fit": lambda client: client.service("desk").add(1, 2, 3),
        "a method that is not there": lambda client: client.service("desk").no_such(),
        "a transaction that has not begun": begin_twice,
        "arguments of a program": lambda client: client.programs.run("true"),
        "input of a program": lambda client: client.programs.run(["true"], input=5),
        "the start of a program": lambda client: client.programs.start("true"),
        "connect after close": after_close,
    }.items(),
    ids=lambda item: item[0],
)
def test_what_fails_here_gives_way(running: Any, act: tuple[str, Act]) -> None:
    """It never comes to a call, and nothing is waited for."""

    async def main() -> None:
        async with AsyncClient(running.unix) as client:
            await client.describe("desk")
            await fails_and_gives_way(lambda: act[1](client))

    asyncio.run(main())


async def fails_and_gives_way(act: Callable[[], Awaitable[Any]]) -> None:
    done = asyncio.Event()

    async def other() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        done.set()

    task = asyncio.create_task(other())
    for _ in range(TRIES):
        with pytest.raises(Exception):  # noqa: B017 - each has its own
            await act()
        if done.is_set():
            break
    assert done.is_set()
    await task


def test_notifications_in_a_loop_leave(running: Any) -> None:
    """They are not gathered in memory until somebody waits for something else."""

    async def main() -> None:
        async with AsyncClient(running.unix) as client:
            for _ in range(TRIES):
                await client.notify("desk.add", [1, 2])
                assert client._connector.live.session.messages_waiting < 64  # type: ignore[union-attr]
                if client._connector.live.has_received:  # type: ignore[union-attr]
                    break

    asyncio.run(main())


def test_a_handler_that_calls_back_in_a_loop_gives_way(running: Any) -> None:
    """On the server: the caller is gone, and whatever it offered."""

    async def main() -> None:
        done = asyncio.Event()

        async def other() -> None:
            for _ in range(20):
                await asyncio.sleep(0)
            done.set()

        (connection,) = [peer.connection for peer in running.server.connections.values()][-1:]
        running.server.connections[connection].link.abort()
        while not connection.closed:
            await asyncio.sleep(0)
        task = asyncio.create_task(other())
        for act in (connection.caller.call, connection.caller.notify):
            for _ in range(TRIES):
                with pytest.raises(NotSent):
                    await act("bell.ring")
                if done.is_set():
                    break
            assert done.is_set()
        await task

    with Client(running.unix):
        running.run(main())


# --- a connection that has ended, and whose end was not dealt with yet ----------------------------------------------------


@pytest.fixture
def held(running: Any) -> Iterator[Client]:
    """A client whose connection is dead, while the thread that would clear it away is kept from doing so."""
    with Client(running.unix) as client:
        assert client.call("desk.add", [1, 2]) == 3
        peer = client._connector.live
        assert peer is not None
        with peer.link.lock:
            peer.link.abort()
            yield client
        assert peer.closed.wait(10)


def test_a_dead_connection_is_replaced_at_once(held: Client) -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in (1, 2, 3):
            taken.append(number)
            yield number

    assert not held.connected
    assert held.options(timeout_s=10).service("desk").total(items=source()) == 6
    assert taken == [1, 2, 3]
    assert held.connected


def test_a_dead_connection_and_calls_that_are_for_it_alone(held: Client) -> None:
    with pytest.raises(NotSent):
        held.options(resend=False).call("desk.add", [1, 2])
    with pytest.raises(NotSent):
        held.options(resend=False).notify("desk.add", [1, 2])
    assert held.call("desk.add", [1, 2]) == 3
    assert held.options(resend=False).call("desk.add", [1, 2]) == 3


def test_the_same_asynchronously(running: Any) -> None:
    async def main() -> None:
        async with AsyncClient(running.unix) as client:
            await client.call("desk.add", [1, 2])
            for _ in range(2):
                client._connector.live.link.close(1000, "")  # type: ignore[union-attr]
                assert not client.connected
                with pytest.raises(NotSent):
                    await client.options(resend=False).call("desk.add", [1, 2])
                assert await client.call("desk.add", [1, 2]) == 3

    asyncio.run(main())


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_server_that_ends_every_connection_at_once(scripted: Any, flavour: str) -> None:
    """It is not asked again and again without a pause, also by whoever offers services and so comes back by himself."""

    def ends(connection: Any) -> None:
        connection.handshake()
        connection.ws.send_close(1011, "not now")
        connection.flush()
        connection.wait_closed()

    def serves(connection: Any) -> None:
        connection.handshake()
        assert b"desk.add" in connection.receive()
        connection.send('{"jsonrpc":"2.0","id":1,"result":3}')
        connection.wait_closed()

    url = scripted(ends, ends, ends, serves)
    pauses: list[int] = []

    def watch(client: Any) -> None:
        begin_s = client._connector.pauses.before_first_s

        def noted() -> Any:
            pauses.append(client._connector.pauses._failures)
            return begin_s()

        client._connector.pauses.before_first_s = noted

    def tries() -> Iterator[int]:
        return iter(range(50))

    options: Any = {"token": "x", "subprotocol": "rpc.v1.json", "timeout_s": 20}
    if flavour == "sync":
        with Client(url, **options) as client:
            watch(client)
            for _ in tries():
                try:
                    assert client.call("desk.add", [1, 2]) == 3
                    break
                except RpcError:
                    pass
    else:

        async def main() -> None:
            async with AsyncClient(url, **options) as client:
                watch(client)
                for _ in tries():
                    try:
                        assert await client.call("desk.add", [1, 2]) == 3
                        break
                    except RpcError:
                        pass

        asyncio.run(main())
    assert pauses == [1, 2, 3]
