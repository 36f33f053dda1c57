"""What becomes of calls when the server goes and comes again."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
from typing import Any

import pytest

from rpcclient import AsyncClient, Client, Service, method
from rpcclient.errors import ConnectFailed, ConnectionClosed, ConnectionLost, NotSent, RpcError, Unauthenticated
from rpcclient.options import ConnectOptions
from rpcwire.limits import LinkLimits


def test_a_lost_answer_and_a_call_that_waits_for_the_server(process: Any) -> None:
    process.start()
    client = Client(process.url, token_file=process.token_file)
    assert client.call("desk.add", [1, 2]) == 3
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            client.call("desk.wait")
        except RpcError as exc:
            errors.append(exc)

    thread = threading.Thread(target=wait)
    thread.start()
    process.expect("desk began")
    process.kill()
    thread.join(10)
    assert [type(error) for error in errors] == [ConnectionLost]
    assert (errors[0].executed, errors[0].retryable) == ("unknown", True)  # type: ignore[attr-defined]

    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(client.options(timeout_s=20).call("desk.add", [3, 4])))
    thread.start()
    with pytest.raises(NotSent):
        client.options(timeout_s=0.3).call("desk.add", [1, 1])
    process.start()
    thread.join(20)
    assert answers == [7]
    client.close()


def test_the_same_asynchronously(process: Any) -> None:
    async def main() -> None:
        process.start()
        async with AsyncClient(process.url, token_file=process.token_file) as client:
            task = asyncio.create_task(client.call("desk.wait"))
            await asyncio.to_thread(process.expect, "desk began")
            process.kill()
            with pytest.raises(ConnectionLost):
                await task
            later = asyncio.create_task(client.options(timeout_s=20).call("desk.add", [3, 4]))
            with pytest.raises(NotSent):
                await client.options(timeout_s=0.3).call("desk.add", [1, 1])
            await asyncio.to_thread(process.start)
            assert await later == 7

    asyncio.run(main())


def test_a_server_that_stops_in_an_orderly_way(process: Any) -> None:
    process.start()
    with Client(process.url, token_file=process.token_file) as client:
        for _ in range(2):
            assert client.call("desk.add", [1, 2]) == 3
            process.kill(signal.SIGTERM)
            process.start()
        client.notify("desk.add", [1, 2])
        with client.batch() as batch:
            one = batch.call("desk.add", [1, 2])
        assert one.result() == 3


def test_the_first_connection_is_not_retried(process: Any) -> None:
    client = Client(process.url, token="x")
    begun = time.monotonic()
    with pytest.raises(ConnectFailed):
        client.call("desk.add", [1, 2])
    assert time.monotonic() - begun < 5
    client.close()


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_reconnect_may_be_off(process: Any, flavour: str) -> None:
    process.start()
    if flavour == "sync":
        with Client(process.url, token_file=process.token_file, reconnect=False) as client:
            assert client.call("desk.add", [1, 2]) == 3
            process.kill()
            with pytest.raises((ConnectionLost, NotSent, ConnectionClosed)):
                client.call("desk.add", [1, 2])
            while client.connected:
                threading.Event().wait(0.005)
            with pytest.raises(ConnectionClosed, match="reconnect is off"):
                client.call("desk.add", [1, 2])
        return

    async def main() -> None:
        async with AsyncClient(process.url, token_file=process.token_file, reconnect=False) as client:
            assert await client.call("desk.add", [1, 2]) == 3
            process.kill()
            while client.connected:
                await asyncio.sleep(0.005)
            with pytest.raises(ConnectionClosed, match="reconnect is off"):
                await client.call("desk.add", [1, 2])

    asyncio.run(main())


def test_a_server_that_refuses_for_good_is_not_asked_again(process: Any, until: Any) -> None:
    process.start()
    with Client(process.url, token_file=process.token_file) as client:
        client.call("desk.add", [1, 2])
        process.kill()
        until(lambda: not client.connected)
        process.token_file.write_text("another-token-" + "1" * 32)
        process.start()
        with pytest.raises(Unauthenticated):
            client.call("desk.add", [1, 2])


class Echo(Service):
    """What a client offers."""

    def __init__(self) -> None:
        super().__init__()
        self.called = threading.Event()

    @method()
    def ring(self) -> None:
        """Note the call."""
        self.called.set()


def test_who_offers_services_comes_back_by_himself(start: Any, token: str, until: Any) -> None:
    running = start()
    echo = Echo()
    with Client(running.unix, services=[echo]) as client:
        client.call("desk.ask", ["echo.ring", {}])
        assert echo.called.wait(10)
        echo.called.clear()
        (peer,) = running.server.connections.values()
        running.loop.call_soon_threadsafe(peer.link.abort)
        until(lambda: running.server.connections and peer not in running.server.connections.values())
        (again,) = running.server.connections.values()
        running.run(again.connection.caller.call("echo.ring"))
        assert echo.called.wait(10)
        until(lambda: client.connected)


def test_async_who_offers_services_comes_back_by_himself(start: Any) -> None:
    running = start()
    echo = Echo()

    async def main() -> None:
        async with AsyncClient(running.unix, services=[echo]) as client:
            await client.call("desk.add", [1])
            (peer,) = running.server.connections.values()
            running.loop.call_soon_threadsafe(peer.link.abort)
            for _ in range(2000):
                others = set(running.server.connections.values()) - {peer}
                if peer.closed.done() and others and client.connected:
                    break
                await asyncio.sleep(0.005)
            (again,) = running.server.connections.values()
            assert again is not peer
            await asyncio.to_thread(running.run, again.connection.caller.call("echo.ring"))
            assert echo.called.is_set()

    asyncio.run(main())


def test_streams_end_with_the_connection(start: Any) -> None:
    running = start()
    with Client(running.unix) as client:
        stream = client.options(window=1).stream("desk.count", [10**9])
        assert next(stream) == 0
        (peer,) = running.server.connections.values()
        running.loop.call_soon_threadsafe(peer.link.abort)
        with pytest.raises(ConnectionLost):
            list(itertools.islice(stream, 10_000))
        stream.close()
        with pytest.raises(ConnectionLost):
            client.service("desk").total(items=broken_off(running))


def broken_off(running: Any) -> Any:
    yield 1
    for peer in list(running.server.connections.values()):
        running.loop.call_soon_threadsafe(peer.link.abort)
    while True:
        yield 2


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_call_while_the_server_closes_is_sent_to_the_next(scripted: Any, flavour: str) -> None:
    """Once the server has said that it closes, nothing more is sent on this connection: it would be lost."""
    closing = threading.Event()
    may_end = threading.Event()

    def first(connection: Any) -> None:
        connection.handshake()
        connection.ws.send_close(1001, "restart")
        connection.flush()
        assert connection.wait_closed() is not None
        closing.set()
        may_end.wait(10)

    def second(connection: Any) -> None:
        connection.handshake()
        assert b'"desk.add"' in connection.receive()
        connection.send('{"jsonrpc":"2.0","id":1,"result":3}')
        connection.wait_closed()

    url = scripted(first, second)
    if flavour == "sync":
        with Client(url, token="x", subprotocol="rpc.v1.json") as client:
            assert closing.wait(10)
            threading.Timer(0.1, may_end.set).start()
            assert client.call("desk.add", [1, 2]) == 3
        return

    async def main() -> None:
        async with AsyncClient(url, token="x", subprotocol="rpc.v1.json") as client:
            assert await asyncio.to_thread(closing.wait, 10)
            asyncio.get_running_loop().call_later(0.1, may_end.set)
            assert await client.call("desk.add", [1, 2]) == 3

    asyncio.run(main())


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_what_must_not_go_elsewhere_fails_before_the_connection_is_gone(
    scripted: Any, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that must not be sent over another connection raises as soon as this one closes: both clients, and for
    calls, notifications, streams and batches alike. Nothing was executed."""
    closing, tried = threading.Event(), threading.Event()
    # The client itself does not end the connection meanwhile.
    monkeypatch.setattr(ConnectOptions, "link_limits", property(lambda _: LinkLimits(close_timeout_s=300)))

    def play(connection: Any) -> None:
        connection.handshake()
        connection.ws.send_close(1001, "restart")
        connection.flush()
        assert connection.wait_closed() is not None
        closing.set()
        assert tried.wait(30), "the client waits until the connection is gone"

    url = scripted(play)
    if flavour == "sync":
        with Client(url, token="x", subprotocol="rpc.v1.json") as client:
            here = client.options(resend=False)
            assert closing.wait(10)

            def send_batch() -> None:
                with here.batch() as batch:
                    batch.call("desk.add", [1, 2])

            acts: list[Any] = [
                lambda: here.call("desk.add", [1, 2]),
                lambda: here.notify("desk.note", ["x"]),
                lambda: here.stream("desk.count", [1]).open(),
                send_batch,
            ]
            try:
                for act in acts:
                    with pytest.raises(NotSent) as caught:
                        act()
                    assert caught.value.executed == "no"
            finally:
                tried.set()
        return

    async def main() -> None:
        async with AsyncClient(url, token="x", subprotocol="rpc.v1.json") as client:
            here = client.options(resend=False)
            assert await asyncio.to_thread(closing.wait, 10)

            async def send_batch() -> None:
                async with here.batch() as batch:
                    batch.call("desk.add", [1, 2])

            acts: list[Any] = [
                lambda: here.call("desk.add", [1, 2]),
                lambda: here.notify("desk.note", ["x"]),
                lambda: here.stream("desk.count", [1]).open(),
                send_batch,
            ]
            try:
                for act in acts:
                    with pytest.raises(NotSent) as caught:
                        await act()
                    assert caught.value.executed == "no"
            finally:
                tried.set()

    asyncio.run(main())


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_what_must_not_go_elsewhere_fails_with_the_connection(scripted: Any, flavour: str) -> None:
    """One that is under way when the connection is lost, and the next ones, when it is gone: no other is made."""

    def play(connection: Any) -> None:
        connection.handshake()
        assert b'"desk.add"' in connection.receive()

    url = scripted(play)
    if flavour == "sync":
        with Client(url, token="x", subprotocol="rpc.v1.json") as client:
            here = client.options(resend=False)
            with pytest.raises(ConnectionLost):
                here.call("desk.add", [1, 2])
            with pytest.raises(NotSent):
                here.call("desk.add", [1, 2])
        return

    async def main() -> None:
        async with AsyncClient(url, token="x", subprotocol="rpc.v1.json") as client:
            here = client.options(resend=False)
            with pytest.raises(ConnectionLost):
                await here.call("desk.add", [1, 2])
            with pytest.raises(NotSent):
                await here.call("desk.add", [1, 2])

    asyncio.run(main())


def test_connecting_again_without_a_call_and_ending_the_connection_at_once(process: Any) -> None:
    process.start()
    with Client(process.url, token_file=process.token_file) as client:
        results: list[BaseException] = []

        def wait() -> None:
            try:
                client.call("desk.wait")
            except RpcError as exc:
                results.append(exc)

        thread = threading.Thread(target=wait)
        thread.start()
        process.expect("desk began")
        client.abort()
        thread.join(20)
        assert [type(result) for result in results] == [ConnectionLost]
        assert client.connect(timeout_s=20).connected
        process.kill()
        with pytest.raises((ConnectionLost, NotSent)):
            client.options(resend=False).call("desk.wait")
        with pytest.raises(NotSent):
            client.connect(timeout_s=0.3)
        process.start()
        assert client.connect(timeout_s=20).connected
        assert client.call("desk.add", [1, 2]) == 3
    client.abort()


def test_connecting_again_and_ending_the_connection_asynchronously(process: Any) -> None:
    async def main() -> None:
        process.start()
        async with AsyncClient(process.url, token_file=process.token_file) as client:
            task = asyncio.create_task(client.call("desk.wait"))
            await asyncio.to_thread(process.expect, "desk began")
            await asyncio.to_thread(client.abort)
            with pytest.raises(ConnectionLost):
                await task
            assert (await client.connect(timeout_s=20)).connected
            process.kill()
            with pytest.raises((ConnectionLost, NotSent)):
                await client.options(resend=False).call("desk.wait")
            with pytest.raises(NotSent):
                await client.connect(timeout_s=0.3)
            await asyncio.to_thread(process.start)
            assert (await client.connect(timeout_s=20)).connected
            assert await client.call("desk.add", [1, 2]) == 3
        client.abort()

    asyncio.run(main())
