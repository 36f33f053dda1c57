"""Observers of calls, over every way in: each call, notification and stream is told once, with what came of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from rpcclient import AsyncClient
from rpcclient.errors import Cancelled, DeadlineExceeded, InternalError, InvalidParams, MethodNotFound, Unauthenticated
from rpcserver import Context, Outcome, Service, method
from rpcserver.server import Server
from rpcwire.codec import Subprotocol, codec_for
from rpcwire.messages import Envelope

FORMS: tuple[Subprotocol, ...] = ("rpc.v1.json", "rpc.v1.msgpack")
WAYS = [(way, form) for way in ("memory", "websocket") for form in FORMS]


class Bench(Service):
    """What is observed."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.go = threading.Event()
        self.started: list[str] = []

    @method(kind="read")
    async def add(self, a: int, b: int) -> int:
        """Add at once."""
        return a + b

    @method()
    def thread(self, ctx: Context) -> str:
        """In a thread."""
        return ctx.method

    @method()
    async def wait(self) -> None:
        """Wait until released."""
        self.started.append("wait")
        await self.release.wait()

    @method()
    async def boom(self) -> None:
        """Fail."""
        raise ValueError("secret")

    @method()
    async def wrong(self) -> int:
        """Give what it does not declare."""
        return "text"  # type: ignore[return-value]

    @method()
    async def big(self, n: int) -> str:
        """Give much."""
        return "x" * n

    @method()
    async def count(self, n: int) -> AsyncIterator[int]:
        """Stream."""
        for i in range(n):
            yield i

    @method()
    def squares(self, n: int) -> Iterator[int]:
        """Stream from a thread."""
        for i in range(n):
            yield i * i

    @method()
    async def forever(self) -> AsyncIterator[int]:
        """Stream until nobody reads."""
        while True:
            yield 7
            await asyncio.sleep(0)

    @method()
    async def broken(self) -> AsyncIterator[int]:
        """Stream, and fail."""
        yield 1
        raise ValueError("secret")

    @method()
    async def total(self, items: AsyncIterator[int]) -> int:
        """Add up a stream."""
        return sum([item async for item in items])


class Metrics(Service):
    """An observer that is a plugin."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[Outcome] = []

    async def start(self) -> None:
        self.runtime.observe(self.outcomes.append)

    @method(kind="read")
    async def calls(self) -> int:
        """How many calls have ended."""
        return len(self.outcomes)


Main = Callable[[AsyncClient, Bench, list[Outcome]], Awaitable[None]]


def observed(
    tools: Any, way: tuple[str, Subprotocol], main: Main, *more: Service[Any], **sections: Any
) -> list[Outcome]:
    """Run a client against a server that is observed."""
    outcomes: list[Outcome] = []

    async def outer() -> None:
        bench = Bench()
        server = Server(tools.config(**sections), [bench, *more], token=tools.TOKEN, observers=[outcomes.append])
        await server.start()
        place, form = way
        where: dict[str, Any] = {"memory": server.connect_memory}
        if place == "websocket":
            where = {"url": server.addresses[0], "token": tools.TOKEN}
        try:
            async with AsyncClient(**where, subprotocol=form) as client:
                await client.call("bench.add", [0, 0])
                outcomes.clear()  # What the client itself asks when it connects.
                await main(client, bench, outcomes)
        finally:
            bench.release.set()
            await server.stop(grace_s=0)

    tools.run(outer())
    return outcomes


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, Subprotocol]:
    found: tuple[str, Subprotocol] = request.param
    return found


def test_calls(tools: Any, way: tuple[str, Subprotocol]) -> None:
    async def main(client: AsyncClient, _: Bench, outcomes: list[Outcome]) -> None:
        assert await client.call("bench.add", [1, 2]) == 3
        assert await client.call("bench.thread") == "bench.thread"
        for name, params, kind in (
            ("bench.none", None, MethodNotFound), ("bench.add", ["x", 1], InvalidParams),
            ("bench.boom", None, InternalError), ("bench.wrong", None, InternalError),
        ):  # fmt: skip
            with pytest.raises(kind):
                await client.call(name, params)
        await tools.until(lambda: len(outcomes) == 6)

    outcomes = observed(tools, way, main)
    assert {o.subject for o in outcomes} == {"call"}
    told = [(o.method, o.kind, None if o.error is None else o.error.type, o.executed) for o in outcomes]
    assert told == [
        ("bench.add", "read", None, "yes"), ("bench.thread", "once", None, "yes"),
        ("bench.none", None, "MethodNotFound", "no"), ("bench.add", "read", "InvalidParams", "no"),
        ("bench.boom", "once", "InternalError", "yes"), ("bench.wrong", "once", "InternalError", "yes"),
    ]  # fmt: skip
    principals = {None if o.principal is None else (o.principal.name, o.principal.method) for o in outcomes}
    assert principals == {("memory", "memory") if way[0] == "memory" else ("owner", "token")}
    first, second = outcomes[:2]
    assert (first.received_bytes, first.sent_bytes) == ((5, 1) if way[1] == "rpc.v1.json" else (3, 1))
    assert second.received_bytes == 0
    assert second.sent_bytes >= len("bench.thread")
    assert all(o.sent_bytes == 0 for o in outcomes[2:])
    assert all(o.duration_s >= 0 for o in outcomes)


def test_calls_that_are_stopped_or_have_no_room(tools: Any, way: tuple[str, Subprotocol]) -> None:
    async def main(client: AsyncClient, bench: Bench, outcomes: list[Outcome]) -> None:
        calls = [asyncio.ensure_future(client.call("bench.wait")) for _ in range(2)]
        await tools.until(lambda: len(bench.started) == 2)
        with pytest.raises(Exception, match="2 calls are in flight"):
            await client.options(timeout_s=0.5).call("bench.add", [1, 2])
        await tools.until(lambda: bool(outcomes))
        assert {(type(o.error).__name__, o.executed, o.method) for o in outcomes} == {("Busy", "no", "bench.add")}
        outcomes.clear()
        calls.pop().cancel()
        await tools.until(lambda: len(outcomes) == 1)
        assert isinstance(outcomes[0].error, Cancelled)
        with pytest.raises(DeadlineExceeded):
            await client.options(timeout_s=0.05).call("bench.wait")
        await tools.until(lambda: len(outcomes) == 2)
        assert isinstance(outcomes[1].error, DeadlineExceeded)
        assert outcomes[1].duration_s >= 0.04
        bench.release.set()
        await asyncio.gather(*calls)
        with pytest.raises(Exception, match="answer has"):
            await client.call("bench.big", [100_000])

    *_, released, big = observed(tools, way, main, limits={"calls_in_flight": 2, "message_bytes": 65536})
    assert (released.error, released.executed) == (None, "yes")
    assert big.error is not None
    assert (big.error.type, big.executed, big.sent_bytes) == ("TooLarge", "yes", 0)


def test_notifications(tools: Any, way: tuple[str, Subprotocol]) -> None:
    async def main(client: AsyncClient, bench: Bench, outcomes: list[Outcome]) -> None:
        for number, (name, params) in enumerate((
            ("bench.add", [1, 2]), ("bench.none", None), ("bench.add", ["x"]), ("bench.count", [1]), ("bench.boom", None),
        ), 1):  # fmt: skip
            await client.notify(name, params)
            await tools.until(lambda expected=number: len(outcomes) == expected)
        for number in (1, 2):
            await client.notify("bench.wait")
            await tools.until(lambda expected=number: len(bench.started) == expected)
        await client.notify("bench.wait")
        await tools.until(lambda: len(outcomes) == 6)

    outcomes = observed(tools, way, main, limits={"calls_in_flight": 2})
    assert {(o.subject, o.id) for o in outcomes} == {("notification", None)}
    told = [(o.method, None if o.error is None else o.error.type, o.executed) for o in outcomes]
    assert told == [
        ("bench.add", None, "yes"), ("bench.none", "MethodNotFound", "no"), ("bench.add", "InvalidParams", "no"),
        ("bench.count", "InvalidRequest", "no"), ("bench.boom", "InternalError", "yes"), ("bench.wait", "Busy", "no"),
        ("bench.wait", "Cancelled", "yes"), ("bench.wait", "Cancelled", "yes"),
    ]  # fmt: skip


def test_streams(tools: Any, way: tuple[str, Subprotocol]) -> None:
    async def main(client: AsyncClient, _: Bench, outcomes: list[Outcome]) -> None:
        for name, params, items in (("bench.count", [5], [0, 1, 2, 3, 4]), ("bench.squares", [3], [0, 1, 4])):
            async with client.stream(name, params) as stream:
                assert [item async for item in stream] == items
        await tools.until(lambda: len(outcomes) == 4)
        async with client.stream("bench.forever") as stream:
            await anext(stream)
        await tools.until(lambda: len(outcomes) == 6)
        async with client.stream("bench.broken") as stream:
            with pytest.raises(InternalError):
                async for item in stream:
                    assert item == 1
        await tools.until(lambda: len(outcomes) == 8)

    outcomes = observed(tools, way, main)
    assert [o.subject for o in outcomes] == ["call", "stream"] * 4
    for call, stream in zip(outcomes[::2], outcomes[1::2], strict=True):
        assert (call.method, call.id, call.error) == (stream.method, stream.id, None)
        assert stream.duration_s >= call.duration_s
    told = [(o.items, o.sent_bytes, None if o.error is None else o.error.type) for o in outcomes[1::2]]
    assert told[0] == (5, 5, None)
    assert told[1] == (3, 3, None)
    assert (told[2][0] > 0, told[2][2]) == (True, "Cancelled")
    assert told[3] == (1, 1, "InternalError")


@pytest.mark.parametrize("form", FORMS)
def test_uploads(tools: Any, form: Subprotocol) -> None:
    outcomes: list[Outcome] = []
    codec = codec_for(form)
    pack = msgspec.msgpack.encode if codec.binary else msgspec.json.encode

    async def outer() -> None:
        server = Server(tools.config(), [Bench()], token=tools.TOKEN, observers=[outcomes.append])
        await server.start()
        try:
            async with tools.connect(server, form) as connection:
                for number, item in enumerate(("x", 7)):
                    stream = {"stream": f"c{number}"}
                    for message in (
                        {"id": number, "method": "bench.total", "params": [stream]},
                        {"method": "rpc.stream.item", "params": {**stream, "items": [1, 2, item]}},
                        {"method": "rpc.stream.end", "params": stream},
                    ):
                        data = pack({"jsonrpc": "2.0", **message})
                        await connection.send(data if codec.binary else data.decode())
                answers: dict[Any, Envelope] = {}
                async with asyncio.timeout(tools.SECONDS):
                    while len(answers) < 2:
                        for answer in codec.decode(await connection.recv(decode=False)).messages:
                            assert isinstance(answer, Envelope)
                            if answer.method is UNSET:
                                answers[answer.id] = answer
                assert answers[1].error is UNSET
                assert answers[0].error is not UNSET
                await tools.until(lambda: len(outcomes) == 4)
        finally:
            await server.stop(grace_s=0)

    tools.run(outer())
    told = {(o.subject, o.id): o for o in outcomes}
    assert sorted(told) == [("call", 0), ("call", 1), ("upload", 0), ("upload", 1)]
    assert isinstance(told["call", 0].error, InvalidParams)
    assert told["call", 1].error is None
    assert [(o.items, o.error) for o in (told["upload", 0], told["upload", 1])] == [(3, None), (3, None)]
    assert told["upload", 1].received_bytes == 3
    assert told["upload", 0].received_bytes == 2 + len(pack("x"))


def test_the_end_of_a_connection(tools: Any, way: tuple[str, Subprotocol]) -> None:
    async def main(client: AsyncClient, bench: Bench, outcomes: list[Outcome]) -> None:
        waiting = asyncio.ensure_future(client.call("bench.wait"))
        await tools.until(lambda: bool(bench.started))
        async with client.stream("bench.forever") as stream:
            await anext(stream)
            await client.close()
        await asyncio.gather(waiting, return_exceptions=True)
        await tools.until(lambda: len(outcomes) == 3)

    outcomes = observed(tools, way, main)
    told = {(o.subject, o.method): o for o in outcomes}
    assert told["call", "bench.forever"].error is None
    for key in (("call", "bench.wait"), ("stream", "bench.forever")):
        assert isinstance(told[key].error, Cancelled)
        assert told[key].executed == "yes"


def test_who_is_not_authenticated(tools: Any) -> None:
    outcomes: list[Outcome] = []

    async def outer() -> None:
        server = Server(tools.config(), [Bench()], token=tools.TOKEN, observers=[outcomes.append])
        await server.start()
        try:
            async with tools.connect(server, "rpc.v1.json", token=None) as connection:
                assert "error" in await tools.call(connection, "bench.add", [1, 2])
                assert "error" in await tools.call(connection, "rpc.authenticate", {"token": "wrong"}, 2)
                assert "result" in await tools.call(connection, "rpc.authenticate", {"token": tools.TOKEN}, 3)
        finally:
            await server.stop(grace_s=0)

    tools.run(outer())
    refused, wrong, right = outcomes
    for outcome, name in ((refused, "bench.add"), (wrong, "rpc.authenticate")):
        assert (outcome.method, outcome.principal, outcome.executed) == (name, None, "no")
        assert isinstance(outcome.error, Unauthenticated)
    assert right.error is None
    assert right.principal is not None
    assert right.principal.name == "owner"


def test_a_plugin_observes(tools: Any, way: tuple[str, Subprotocol]) -> None:
    metrics = Metrics()

    async def main(client: AsyncClient, _: Bench, outcomes: list[Outcome]) -> None:
        metrics.outcomes.clear()
        for _n in range(3):
            await client.call("bench.add", [1, 2])
        assert await client.call("metrics.calls") == 3
        await tools.until(lambda: len(outcomes) == 4)

    outcomes = observed(tools, way, main, metrics)
    assert metrics.outcomes == outcomes
