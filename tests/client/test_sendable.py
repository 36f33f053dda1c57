"""What the other side could not read is refused at once, by either side and in either direction; nobody waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from rpcclient import AsyncClient, Client, Service, method
from rpcclient.errors import InternalError, InvalidParams, InvalidRequest, RpcError, TooLarge
from rpcserver.server import Server

from .conftest import TOKEN, Running

FORMS = ["jsonrpc", "rpc.v1.json", "rpc.v1.msgpack"]


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


TWICE: Any = {1: "a", "1": "b"}


def bad(form: str) -> Any:
    return nested(70) if form == "rpc.v1.msgpack" else TWICE


class Shop(Service):
    """What a client offers."""

    @method()
    def give(self, deep: bool) -> Any:
        """What cannot be sent."""
        return nested(70) if deep else TWICE

    @method()
    def take(self, value: Any) -> None:
        """Anything."""


@pytest.mark.parametrize("form", FORMS)
def test_what_is_asked(running: Any, form: Any) -> None:
    with Client(running.unix, subprotocol=form, services=[Shop()], timeout_s=20) as client:
        for value in (bad(form), nested(70)):
            with pytest.raises(InvalidParams) as failed:
                client.call("desk.add", [value])
            assert failed.value.executed == "no"
            assert failed.value.errors[0]["loc"][0] == 0
            with pytest.raises(InvalidParams):
                client.notify("desk.add", {"a": value})
            with pytest.raises(InvalidParams):
                client.stream("desk.count", {"n": value}).open()
            with pytest.raises(InvalidParams), client.batch() as batch:
                batch.call("desk.add", [1])
                batch.call("desk.add", [value])
            with pytest.raises(InvalidParams) as failed:
                client.service("desk").total(items=iter([1, value]))
            assert "items" in failed.value.message
            # The server asks this client for what cannot be sent, and is told so.
            with pytest.raises(InternalError, match=r"shop\.give returned something that cannot be sent"):
                client.call("desk.ask", ["shop.give", {"deep": value is not TWICE}])
        for name in ("desk.\ud800",):
            with pytest.raises(InvalidRequest, match="method"):
                client.call(name)
        assert client.call("desk.add", [1, 2]) == 3
        assert client.connected


@pytest.mark.parametrize("form", FORMS)
def test_what_is_asked_asynchronously(running: Any, form: Any) -> None:
    async def items(value: Any) -> AsyncIterator[Any]:
        yield 1
        yield value

    async def main() -> None:
        async with AsyncClient(running.unix, subprotocol=form, services=[Shop()], timeout_s=20) as client:
            for value in (bad(form), nested(70)):
                with pytest.raises(InvalidParams) as failed:
                    await client.call("desk.add", {"a": value})
                assert failed.value.executed == "no"
                assert failed.value.errors[0]["loc"][0] == "a"
                with pytest.raises(InvalidParams):
                    await client.notify("desk.add", {"a": value})
                with pytest.raises(InvalidParams):
                    await client.stream("desk.count", {"n": value}).open()
                with pytest.raises(InvalidParams):
                    async with client.batch() as batch:
                        batch.call("desk.add", [value])
                with pytest.raises(InvalidParams, match="items"):
                    await client.service("desk").total(items=items(value))
                with pytest.raises(InternalError, match="cannot be sent"):
                    await client.call("desk.ask", ["shop.give", {"deep": value is not TWICE}])
            with pytest.raises(InvalidRequest, match="method"):
                await client.call("desk.\ud800")
            assert await client.call("desk.add", [1, 2]) == 3

    asyncio.run(main())


class Giver(Service):
    """What a server offers."""

    @method()
    async def give(self, deep: bool) -> Any:
        """What cannot be sent."""
        return nested(70) if deep else TWICE

    @method()
    async def give_many(self, deep: bool) -> AsyncIterator[Any]:
        """One that can be sent, and one that cannot."""
        yield 1
        yield nested(70) if deep else TWICE

    @method()
    async def fail(self) -> None:
        """With details that cannot be sent."""
        raise RpcError("it failed", details={"x": nested(80), "y": {1: 1, "1": 2}}, executed="yes")


class Generous(Running):
    """A server that offers this service, too."""

    async def _start(self) -> Server:
        server = Server(self.config, [self.desk, Giver()], token=TOKEN)
        await server.start()
        return server


@pytest.fixture(scope="module")
def giver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Generous(tmp_path_factory.mktemp("giver"))
    yield running
    running.stop()


@pytest.mark.parametrize("form", FORMS)
def test_what_is_answered(giver: Any, form: Any) -> None:
    with Client(giver.unix, subprotocol=form, timeout_s=20) as client:
        for deep in (True, False) if form != "rpc.v1.msgpack" else (True,):
            with pytest.raises(InternalError, match=r"giver\.give returned something that cannot be sent") as failed:
                client.call("giver.give", [deep])
            assert failed.value.executed == "yes"
            stream = client.stream("giver.give_many", [deep])
            assert next(stream) == 1
            with pytest.raises(InternalError, match=r"giver\.give_many returned something that cannot be sent"):
                next(stream)
        with pytest.raises(RpcError, match="it failed"):
            client.call("giver.fail")
        with client.batch() as batch:
            answers = [batch.call("giver.give", [True]), batch.call("giver.fail"), batch.call("desk.add", [1, 2])]
        assert answers[2].result() == 3
        for answer in answers[:2]:
            with pytest.raises(RpcError):
                answer.result()


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_an_answer_that_cannot_be_read_ends_its_call(scripted: Any, flavour: str) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        connection.receive()
        connection.send('{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}')
        connection.wait_closed()

    options: Any = {"token": "x", "subprotocol": "rpc.v1.json", "timeout_s": 60}
    with pytest.raises(InternalError, match="cannot be read") as failed:
        if flavour == "sync":
            with Client(scripted(script), **options) as client:
                client.call("a.b")
        else:

            async def main() -> None:
                async with AsyncClient(scripted(script), **options) as client:
                    await client.call("a.b")

            asyncio.run(main())
    assert failed.value.executed == "yes"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [49, 50, 51, 101, 120])
def test_a_batch_of_more_calls_than_the_server_takes_in_one(running: Any, form: Any, count: int) -> None:
    with Client(running.unix, subprotocol=form, timeout_s=20) as client:
        with client.batch() as batch:
            answers = []
            for number in range(count):
                answers.append(batch.call("desk.add", [number, 1]))
                batch.notify("desk.add", [number, 1])
        assert [answer.result() for answer in answers] == list(range(1, count + 1))

    async def main() -> None:
        async with AsyncClient(running.unix, subprotocol=form, timeout_s=20) as client:
            async with client.batch() as batch:
                answers = [batch.call("desk.add", [number, 1]) for number in range(count)]
            assert [answer.result() for answer in answers] == list(range(1, count + 1))

    asyncio.run(main())


@pytest.mark.parametrize("most", [1, 2, 7, 49, 51, 200])
@pytest.mark.parametrize("by", ["unix", "memory"])
@pytest.mark.parametrize("form", FORMS)
def test_a_batch_of_more_calls_than_a_server_is_set_to_take(
    start: Callable[..., Any], form: Any, by: str, most: int
) -> None:
    running = start(limits={"batch_items": most})
    options: Any = {"subprotocol": form, "timeout_s": 60}

    with Client(running.unix if by == "unix" else None, **options, **memory_of(running, by)) as client:
        with client.batch() as batch:
            answers = []
            for number in range(101):
                answers.append(batch.call("desk.add", [number, 1]))
                batch.notify("desk.note", [str(number)])
        assert [answer.result() for answer in answers] == list(range(1, 102))
        assert client.call("desk.add", [1, 2]) == 3
    assert sorted(running.desk.seen, key=int) == [str(number) for number in range(101)]

    async def main() -> None:
        async with AsyncClient(running.unix if by == "unix" else None, **options, **memory_of(running, by)) as client:
            async with client.batch() as batch:
                answers = [batch.call("desk.add", [number, 1]) for number in range(101)]
            assert [answer.result() for answer in answers] == list(range(1, 102))

    running.run(main()) if by == "memory" else asyncio.run(main())


def memory_of(running: Any, by: str) -> dict[str, Any]:
    return {"memory": running.server.connect_memory} if by == "memory" else {}


@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize(
    ("said", "sizes"),
    [
        ({"RPC-Batch-Items": "3"}, [3] * 18),
        ({"RPC-Batch-Items": "50"}, [50, 4]),
        ({"RPC-Batch-Items": "1000"}, [50, 4]),
        ({"RPC-Batch-Items": "0"}, [50, 4]),
        ({"RPC-Batch-Items": "-1"}, [50, 4]),
        ({"RPC-Batch-Items": "x"}, [50, 4]),
        ({"RPC-Batch-Items": "9" * 5000}, [50, 4]),
        ({"RPC-Batch-Items": ""}, [50, 4]),
        ({}, [50, 4]),
    ],
    ids=["3", "50", "1000", "0", "-1", "x", "digits", "empty", "nothing"],
)
def test_what_the_server_says_of_the_batches_it_takes(
    scripted: Any, flavour: str, said: dict[str, str], sizes: list[int]
) -> None:
    seen: list[int] = []

    def script(connection: Any) -> None:
        connection.handshake(said)
        while sum(seen) < sum(sizes):
            asked = json.loads(connection.receive())
            seen.append(len(asked))
            connection.send(json.dumps([{"jsonrpc": "2.0", "id": call["id"], "result": 1} for call in asked]))
        connection.wait_closed()

    options: Any = {"token": "x", "subprotocol": "jsonrpc", "timeout_s": 60}
    if flavour == "sync":
        with Client(scripted(script), **options) as client:
            with client.batch() as batch:
                answers: list[Any] = [batch.call("a.b") for _ in range(sum(sizes))]
            assert [answer.result() for answer in answers] == [1] * sum(sizes)
    else:

        async def main() -> None:
            async with AsyncClient(scripted(script), **options) as client:
                async with client.batch() as batch:
                    answers = [batch.call("a.b") for _ in range(sum(sizes))]
                assert [answer.result() for answer in answers] == [1] * sum(sizes)

        asyncio.run(main())
    assert seen == sizes


@pytest.mark.parametrize("by", ["unix", "memory"])
@pytest.mark.parametrize("form", FORMS)
def test_more_values_than_the_server_takes_in_a_message(start: Callable[..., Any], form: Any, by: str) -> None:
    """They are counted before anything is sent, and the connection goes on."""
    running = start(limits={"message_nodes": 2000})
    options: Any = {"subprotocol": form, "timeout_s": 60}
    much, enough = [1] * 4000, [1] * 1500

    def check(failed: pytest.ExceptionInfo[TooLarge]) -> None:
        assert "more than 2000 values" in failed.value.message
        assert failed.value.executed == "no"

    with Client(running.unix if by == "unix" else None, **options, **memory_of(running, by)) as client:
        assert client.hello().limits.message_nodes == 2000
        with pytest.raises(TooLarge) as failed:
            client.call("desk.add", [much])
        check(failed)
        with pytest.raises(TooLarge) as failed:
            client.notify("desk.note", [much])
        check(failed)
        with pytest.raises(TooLarge) as failed, client.batch() as batch:
            batch.call("desk.add", [much])
        check(failed)
        with pytest.raises(InvalidParams):
            client.call("desk.add", [enough])
        with client.batch() as batch:  # Joined to frames that the server takes.
            answers = [batch.call("desk.add", [number, 1]) for number in range(300)]
        assert [answer.result() for answer in answers] == list(range(1, 301))

    async def main() -> None:
        async with AsyncClient(running.unix if by == "unix" else None, **options, **memory_of(running, by)) as client:
            with pytest.raises(TooLarge) as failed:
                await client.call("desk.add", [much])
            check(failed)
            with pytest.raises(InvalidParams):
                await client.call("desk.add", [enough])
            assert await client.call("desk.add", [1, 2]) == 3

    running.run(main()) if by == "memory" else asyncio.run(main())
