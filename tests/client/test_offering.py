"""What a client may offer, and the streams that it sends."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import pytest

from rpcclient import Client, Context, Service, method
from rpcwire.limits import SessionLimits
from rpcwire.outcomes import Outcome
from rpcwire.pool import PLACES
from rpcwire.service import SlowPolicy


class Shop(Service):
    """What the client offers."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.got: list[Any] = []
        self.ended = threading.Event()

    @method()
    def block(self, n: int) -> Iterator[int]:
        """Wait for the reader."""
        try:
            yield from range(n)
        finally:
            self.ended.set()

    @method(slow_policy=SlowPolicy.LATEST)
    def latest(self, n: int) -> Iterator[int]:
        """Only the newest matters."""
        yield from range(n)

    @method(slow_policy=SlowPolicy.DROP_OLDEST, buffer_items=3)
    def newest(self, n: int) -> Iterator[int]:
        """The newest three."""
        yield from range(n)

    @method(slow_policy=SlowPolicy.CLOSE, buffer_items=3)
    def strict(self, n: int) -> Iterator[int]:
        """End where the reader is too slow."""
        yield from range(n)

    @method()
    def listed(self) -> Iterator[int]:
        """An iterator that is no generator."""
        return iter([1, 2])

    @method()
    def failing(self) -> Iterator[int]:
        """Fail in the middle."""
        yield 1
        raise ValueError("secret")

    @method()
    def take(self, items: Iterator[int], times: int = 1) -> int:
        """A stream from the server."""
        return sum(items) * times

    @method()
    def twice(self, items: Iterator[int]) -> Iterator[int]:
        """A stream for a stream."""
        for item in items:
            yield item * 2

    @method()
    def ctx(self, ctx: Context) -> dict[str, Any]:
        """What a handler is told, and may do."""
        ctx.progress(1, 2, "half")
        return {"left": ctx.remaining_s(), "key": ctx.key, "trace": ctx.traceparent, "cancelled": ctx.cancelled}

    @method(deadline_s=0.05)
    def slow(self, ctx: Context) -> int:
        """Longer than allowed."""
        while not ctx.cancelled:
            time.sleep(0.001)
        return 1

    @method()
    def sleep(self) -> None:
        """Until the test says so."""
        self.go.wait(60)


class Wire:
    """The server's side of a scripted connection in the form rpc.v1.json."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.last = 0
        self.messages: list[Any] = []

    def send(self, method: str, params: Any = None, **more: Any) -> None:
        message = {"jsonrpc": "2.0", "method": method, **more}
        if params is not None:
            message["params"] = params
        self.connection.send(json.dumps(message))

    def receive(self) -> Any:
        while not self.messages:
            self.messages += [json.loads(line) for line in self.connection.receive().split(b"\n")]
        return self.messages.pop(0)

    def call(self, method: str, params: Any = None, **ctx: Any) -> Any:
        self.last += 1
        self.send(method, params, id=self.last, **({"ctx": ctx} if ctx else {}))
        while (message := self.receive()).get("id") != self.last:
            pass
        return message

    def items(self, count: int | None = None) -> tuple[list[Any], Any]:
        """Items of a stream until its end, or until there are as many."""
        found: list[Any] = []
        while count is None or len(found) < count:
            message = self.receive()
            if message["method"] == "rpc.stream.end":
                return found, message["params"].get("error")
            found += message["params"]["items"]
        return found, None


@pytest.fixture
def shop(scripted: Any) -> Any:
    """Runs a script against a client that offers the shop."""

    def run(script: Any) -> Shop:
        shop = Shop()
        done = threading.Event()

        def play(connection: Any) -> None:
            try:
                connection.handshake()
                script(Wire(connection))
            finally:
                done.set()
            connection.wait_closed()

        with Client(scripted(play), token="x", subprotocol="rpc.v1.json", services=[shop]):
            assert done.wait(20)
        return shop

    return run


def test_streams_of_a_client(shop: Any) -> None:
    def script(wire: Wire) -> None:
        for name in ("block", "newest", "strict", "latest"):
            assert "stream" in wire.call(f"shop.{name}", [5])["result"]
            assert wire.items() == ([0, 1, 2, 3, 4], None)
        wire.call("shop.listed")
        assert wire.items() == ([1, 2], None)
        wire.call("shop.failing")
        items, error = wire.items()
        assert items == [1]
        assert error["code"] == -32603
        assert "secret" not in str(error)

    shop(script)


def test_a_slow_reader(shop: Any) -> None:
    def script(wire: Wire) -> None:
        stream = wire.call("shop.strict", [100])["result"]["stream"]
        items, error = wire.items()
        assert items == list(range(16))
        assert error["data"]["type"] == "SlowConsumer"

        for name, expected in (("latest", [99]), ("newest", [97, 98, 99])):
            stream = wire.call(f"shop.{name}", [100])["result"]["stream"]
            assert wire.items(16) == (list(range(16)), None)
            threading.Event().wait(0.1)  # The rest is made meanwhile; more of it would not matter.
            wire.send("rpc.stream.credit", {"stream": stream, "n": 50})
            assert wire.items() == (expected, None)

        stream = wire.call("shop.block", [1000])["result"]["stream"]
        assert wire.items(16) == (list(range(16)), None)
        wire.send("rpc.stream.credit", {"stream": stream, "n": 4})
        assert wire.items(4) == ([16, 17, 18, 19], None)
        wire.send("rpc.stream.cancel", {"stream": stream})
        assert wire.items() == ([], None)

        stream = wire.call("shop.latest", [1000])["result"]["stream"]
        assert len(wire.items(16)[0]) == 16
        wire.send("rpc.stream.cancel", {"stream": stream})
        assert wire.items() == ([], None)

    assert shop(script).ended.is_set()


def test_streams_to_a_client(shop: Any) -> None:
    def script(wire: Wire) -> None:
        for params in ([{"stream": "s1"}, 2], {"items": {"stream": "s1"}, "times": 2}):
            wire.last += 1
            wire.send("shop.take", params, id=wire.last)
            wire.send("rpc.stream.item", {"stream": "s1", "items": [1, 2, 3]})
            wire.send("rpc.stream.end", {"stream": "s1"})
            while "id" not in (message := wire.receive()):
                assert message["method"] == "rpc.stream.credit"
            assert message["result"] == 12

        wire.last += 1
        wire.send("shop.twice", [{"stream": "s2"}], id=wire.last)
        while "id" not in wire.receive():
            pass
        for item in range(3):
            wire.send("rpc.stream.item", {"stream": "s2", "items": [item]})
            assert wire.items(1) == ([item * 2], None)
        wire.send("rpc.stream.end", {"stream": "s2"})
        assert wire.items() == ([], None)

        wire.last += 1
        wire.send("shop.take", [{"stream": "s3"}], id=wire.last)
        wire.send("rpc.stream.item", {"stream": "s3", "items": ["x"]})
        while "id" not in (message := wire.receive()):
            pass
        assert message["error"]["code"] == -32602
        assert message["error"]["data"]["errors"][0]["loc"] == ["items"]

    shop(script)


def test_context_deadline_and_notifications(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def script(wire: Wire) -> None:
        wire.send("shop.ctx", id=1, ctx={"ttl_ms": 5000, "key": "k", "traceparent": trace})
        progress = wire.receive()
        assert progress["params"] == {"id": 1, "done": 1, "total": 2, "message": "half"}
        told = wire.receive()["result"]
        assert 0 < told.pop("left") <= 5
        assert told == {"key": "k", "trace": trace, "cancelled": False}
        wire.last = 1
        assert wire.call("shop.slow")["error"]["code"] == -32004
        for name, params in (("ctx", None), ("nope", None), ("take", [1]), ("block", [1]), ("failing", None)):
            wire.send(f"shop.{name}", params)
        wire.send("shop.slow")
        assert wire.call("shop.ctx")["result"]["key"] is None
        assert wire.call("shop.nope")["error"]["code"] == -32601
        assert wire.call("shop.block", ["x"])["error"]["code"] == -32602

    with caplog.at_level("INFO"):
        shop(script)
    assert "notification 'shop.nope'" in caplog.text


def test_a_deadline_that_is_not_a_number(scripted: Any) -> None:
    """Only MessagePack can say it. The method's own deadline holds then."""
    answers: list[Any] = []

    def script(connection: Any) -> None:
        connection.handshake()
        call = {"jsonrpc": "2.0", "id": 1, "method": "shop.slow", "ctx": {"ttl_ms": math.nan}}
        connection.send(msgspec.msgpack.encode(call))
        answers.append(msgspec.msgpack.decode(connection.receive()))
        done.set()
        connection.wait_closed()

    done = threading.Event()
    with Client(scripted(script), token="x", subprotocol="rpc.v1.msgpack", services=[Shop()]):
        assert done.wait(10)
    assert answers[0]["error"]["code"] == -32004


def test_cancelled_before_a_thread_is_free(shop: Any) -> None:
    found: list[Any] = []

    def script(wire: Wire) -> None:
        for number in range(1, PLACES + 1):
            wire.send("shop.sleep", id=number)
        wire.send("shop.sleep", id=99)
        wire.send("rpc.cancel", {"id": 99})
        wire.send("rpc.cancel", {"id": 98})
        wire.send("shop.ctx", id=100)
        wire.last = 200
        assert wire.call("shop.nothing")["error"]["code"] == -32601  # Answered at once, and after all that came before.
        released.set()
        while all(message.get("id") != 99 for message in found):
            found.append(wire.receive())

    released = threading.Event()

    def release() -> None:
        released.wait(60)
        holder[0].go.set()

    holder: list[Shop] = []
    original = Shop.__init__

    def remember(self: Shop) -> None:
        original(self)
        holder.append(self)

    Shop.__init__ = remember  # type: ignore[method-assign]
    thread = threading.Thread(target=release)
    thread.start()
    try:
        shop(script)
    finally:
        Shop.__init__ = original  # type: ignore[method-assign]
        thread.join(60)
    cancelled = [message for message in found if message.get("id") == 99]
    assert [message["error"]["code"] for message in cancelled] == [-32800]


class Asynchronous(Service):
    @method()
    async def wait(self) -> None:
        """Await something."""
        import asyncio

        await asyncio.sleep(0)


class AsynchronousStream(Service):
    @method()
    async def items(self) -> AsyncIterator[int]:
        """An async generator."""
        yield 1


class AsynchronousParameter(Service):
    @method()
    def total(self, items: AsyncIterator[int]) -> int:
        """Take a stream that a thread cannot read."""
        return 0


@pytest.mark.parametrize("service", [Asynchronous, AsynchronousStream, AsynchronousParameter])
def test_what_needs_a_loop_is_refused(service: type[Service]) -> None:
    with pytest.raises(TypeError, match="AsyncClient"):
        Client("ws://127.0.0.1:9", token="x", services=[service()])


def test_two_services_of_one_name() -> None:
    with pytest.raises(TypeError, match="shop"):
        Client("ws://127.0.0.1:9", token="x", services=[Shop(), Shop()])


def test_the_caller_of_a_handler(running: Any) -> None:
    """`ctx.caller` is the server: its coroutines wait in the handler's thread."""
    answers: list[Any] = []

    class Back(Service):
        """Calls back."""

        @method()
        def ask(self, ctx: Context) -> None:
            """Call the server, and notify it."""
            for coroutine in (ctx.caller.call("desk.add", {"a": 1}), ctx.caller.notify("desk.note", {"value": "back"})):
                try:
                    coroutine.send(None)  # type: ignore[attr-defined]
                except StopIteration as done:
                    answers.append(done.value)

    with Client(running.unix, services=[Back()]) as client:
        client.call("desk.ask", ["back.ask", {}])
    assert answers == [11, None]
    from rpcclient.sync.remote import SyncCaller

    with pytest.raises(Exception, match="not there yet"):
        SyncCaller()._require_peer()


def test_what_comes_of_calls_in_threads_is_told(
    scripted: Any, until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """``Client`` has no public way to observe: this is for the driver with threads."""
    shop, outcomes, most = Shop(), list[Outcome](), SessionLimits().calls_in_flight
    observed, done = threading.Event(), threading.Event()

    def play(connection: Any) -> None:
        try:
            connection.handshake()
            wire = Wire(connection)
            assert observed.wait(20)
            wire.call("shop.ctx", key="k")
            wire.call("shop.nope")
            wire.call("shop.block", [3])
            wire.items()
            wire.call("shop.failing")
            wire.items()
            wire.send("shop.take", [{"stream": "s1"}])
            for _ in range(most + 1):
                wire.send("shop.sleep")
        finally:
            done.set()
        connection.wait_closed()

    with (
        caplog.at_level("INFO"),
        Client(scripted(play), token="x", subprotocol="rpc.v1.json", services=[shop]) as client,
    ):
        client._connector.handlers.handlers._dispatch.observe(outcomes.append)
        observed.set()
        assert done.wait(20)
        until(lambda: "dropped" in caplog.text)
        shop.go.set()
        until(lambda: len(outcomes) == 8 + most)
    told = [(o.subject, o.method, o.items, None if o.error is None else o.error.type, o.executed) for o in outcomes]
    assert told[:8] == [
        ("call", "shop.ctx", 0, None, "yes"),
        ("call", "shop.nope", 0, "MethodNotFound", "no"),
        ("call", "shop.block", 0, None, "yes"),
        ("stream", "shop.block", 3, None, "yes"),
        ("call", "shop.failing", 0, None, "yes"),
        ("stream", "shop.failing", 1, "InternalError", "yes"),
        ("notification", "shop.take", 0, "InvalidRequest", "no"),
        ("notification", "shop.sleep", 0, "Busy", "no"),
    ]
    assert set(told[8:]) == {("notification", "shop.sleep", 0, None, "yes")}
    assert outcomes[0].ctx is not None
    assert outcomes[0].ctx.key == "k"
    assert "notification 'shop.sleep': Busy" in caplog.text
