"""Calls over a real socket: running, cancelling, deadlines, streams, limits; and what a handler may do wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, field_validator

from rpcserver import Busy, Context, RpcError, Service, SlowPolicy, method


class Picky(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def check(cls, n: int) -> int:
        if n == 13:
            raise KeyError("a bug in the validator")
        return n


class Odd(Service):
    """What handlers may do, and should not."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.go = threading.Event()

    @method()
    def thread(self, ctx: Context) -> str:
        """Wait in a thread, looking at ctx.cancelled now and then."""
        self.log.append(f"thread in {threading.current_thread().name}")
        while not ctx.cancelled and not self.go.wait(0.005):
            ctx.progress(1)
        self.log.append("thread ended")
        return "cancelled" if ctx.cancelled else "done"

    @method(deadline_s=0.1)
    async def slow(self) -> None:
        """Longer than it may."""
        try:
            await asyncio.sleep(30)
        finally:
            self.log.append("slow ended")

    @method()
    async def stubborn(self) -> str:
        """Takes its time to be cancelled."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0.05)
        self.log.append("stubborn ended")
        return "all the same"

    @method()
    def numbers(self, n: int) -> Iterator[int]:
        """In a thread, one by one."""
        try:
            yield from range(n)
        finally:
            self.log.append("numbers closed")

    @method()
    def listed(self) -> Iterable[int]:
        """A list will do."""
        return [1, 2, 3]

    @method()
    async def opened(self) -> AsyncIterator[int]:
        """A coroutine that gives an iterator."""
        await asyncio.sleep(0)

        async def made() -> AsyncIterator[int]:
            yield 7

        return made()

    @method()
    async def breaks(self, at: int) -> AsyncIterator[int]:
        """A stream that fails."""
        for i in range(at):
            yield i
        raise Busy("enough")

    @method()
    async def wrong_items(self) -> AsyncIterator[int]:
        """A stream of something else."""
        yield "x"  # type: ignore[misc]

    @method(slow_policy=SlowPolicy.LATEST)
    async def latest(self, n: int) -> AsyncIterator[int]:
        """Only the newest waits."""
        for i in range(n):
            yield i
            await asyncio.sleep(0)

    @method(slow_policy=SlowPolicy.DROP_OLDEST, buffer_items=3)
    async def newest(self, n: int) -> AsyncIterator[int]:
        """The newest three wait."""
        for i in range(n):
            yield i
            await asyncio.sleep(0)

    @method(slow_policy=SlowPolicy.CLOSE, buffer_items=3)
    async def strict(self, n: int) -> AsyncIterator[int]:
        """Who falls behind is out."""
        for i in range(n):
            yield i
            await asyncio.sleep(0)

    @method()
    async def leave(self) -> None:
        """Call sys.exit()."""
        sys.exit(3)

    @method()
    async def leave_later(self) -> None:
        """Call sys.exit() in a task."""
        await asyncio.sleep(0)
        sys.exit(3)

    @method()
    def leave_thread(self) -> None:
        """Call sys.exit() in a thread."""
        sys.exit(3)

    @method()
    async def leave_stream(self) -> AsyncIterator[int]:
        """Call sys.exit() in a stream."""
        yield 1
        sys.exit(3)

    @method()
    def stop_iteration(self) -> int:
        """A common slip."""
        return next(iter([]))

    @method()
    async def cancels_itself(self) -> None:
        """Something in it was cancelled."""
        raise asyncio.CancelledError

    @method()
    async def cancels_itself_later(self) -> None:
        """Something in it was cancelled."""
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    @method()
    async def wrong_type(self) -> int:
        """Not what it declares."""
        return "x"  # type: ignore[return-value]

    @method()
    async def nothing_for_something(self) -> int:
        """Not what it declares."""
        return None  # type: ignore[return-value]

    @method()
    async def bad_error(self) -> None:
        """An error that cannot be sent."""
        raise RpcError("odd \ud800", details={"x": object()})

    @method()
    async def picky(self, value: Picky) -> int:
        """A validator with a bug."""
        return value.n

    @method()
    async def context_first(self, ctx: Context, a: int, b: int = 2) -> list[Any]:
        """The context may stand anywhere."""
        return [ctx.method, a, b, ctx.key, round(ctx.remaining_s()), ctx.traceparent]

    @method()
    async def call_back(self, ctx: Context, method_name: str) -> Any:
        """Call the caller."""
        await ctx.caller.notify("client.note", {"x": 1})
        return await ctx.caller.call(method_name, {"x": 2}, timeout_s=5)

    @method()
    async def big(self, size: int) -> str:
        """A large answer."""
        return "x" * size

    @method()
    async def two_readers(self, items: AsyncIterator[int]) -> str:
        """Read one stream twice."""
        first = asyncio.ensure_future(anext(items))
        await asyncio.sleep(0)
        try:
            await anext(items)
        except RpcError as exc:
            return exc.message
        finally:
            first.cancel()
        return ""

    @method()
    async def first_only(self, items: AsyncIterator[int]) -> int:
        """Read one item and leave."""
        return await anext(items)


def run(
    tools: Any, main: Any, *services: Service[Any], subprotocol: str | None = "rpc.v1.json", **sections: Any
) -> None:
    async def outer() -> None:
        async with tools.serve(*services, **sections) as server, tools.connect(server, subprotocol) as connection:
            await main(server, connection)
            # Whatever happened: a good call still answers.
            answer = await tools.call(connection, "rpc.ping", None, "last")
            assert answer["result"] == "pong"

    tools.run(outer())


async def messages(connection: Any) -> AsyncIterator[Any]:
    """All messages as they come."""
    while True:
        async with asyncio.timeout(10):
            frame = await connection.recv()
        for line in frame.split("\n"):
            yield json.loads(line)


async def items_of(connection: Any, tools: Any, *, grant: int = 0) -> tuple[list[Any], Any]:
    """The items of the stream that comes, and the error of its end."""
    items: list[Any] = []
    async for message in messages(connection):
        if message.get("method") == "rpc.stream.item":
            items += message["params"]["items"]
            if grant:
                await connection.send(
                    tools.request("rpc.stream.credit", {"stream": message["params"]["stream"], "n": grant}, None)
                )
        elif message.get("method") == "rpc.stream.end":
            return items, message["params"].get("error")
        elif "error" in message:
            return items, message["error"]
    raise AssertionError


# --- the protocol's own methods ------------------------------------------------------------------------------------------


def test_hello_ping_services_discover(tools: Any) -> None:
    async def main(server: Any, connection: Any) -> None:
        hello = (await tools.call(connection, "rpc.hello"))["result"]
        assert hello["server"].startswith("rpcserver/")
        assert hello["subprotocol"] == "rpc.v1.json"
        assert hello["limits"]["message_bytes"] == 1024 * 1024
        assert hello["limits"]["message_nodes"] == 20480
        assert hello["limits"]["batch_items"] == 50
        assert (await tools.call(connection, "rpc.ping"))["result"] == "pong"
        calc, rpc = (await tools.call(connection, "rpc.services"))["result"]
        assert (calc["name"], calc["summary"], rpc["name"]) == ("calc", "Sums and such.", "rpc")
        add = calc["methods"][0]
        assert add == {
            "name": "calc.add", "summary": "Add two numbers.", "signature": "(a: int, b: int) -> int",
            "permission": "calc.add", "kind": "read", "streams": False, "is_event": False, "deadline_s": 60.0,
        }  # fmt: skip
        document = (await tools.call(connection, "rpc.discover"))["result"]
        assert "calc.add" in {m["name"] for m in document["methods"]}

    run(tools, main)


# --- how handlers are run --------------------------------------------------------------------------------------------------


def test_slow_calls_hold_up_nobody(tools: Any) -> None:
    calc = tools.Calc()

    async def main(_: Any, connection: Any) -> None:
        for number in range(64):
            await connection.send(tools.request("calc.wait", None, f"slow {number}"))
        begun = time.monotonic()
        for number in range(64):
            assert (await tools.call(connection, "calc.add", [number, 1], number))["result"] == number + 1
        assert time.monotonic() - begun < 5
        calc.release.set()
        ended = {m["id"] async for m in take(messages(connection), 64)}
        assert ended == {f"slow {n}" for n in range(64)}

    run(tools, main, calc)


async def take(source: AsyncIterator[Any], count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await anext(source)


def test_errors_of_handlers(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main(_: Any, connection: Any) -> None:
        error = (await tools.call(connection, "calc.boom"))["error"]
        assert error["code"] == -32603
        assert "secret" not in json.dumps(error)
        assert error["data"]["executed"] == "yes"
        assert error["data"]["details"]["incident"] in caplog.text
        error = (await tools.call(connection, "calc.refuse"))["error"]
        assert error["code"] == -32000
        assert error["data"] == {
            "type": "Refused", "executed": "yes", "retryable": False, "details": {"why": "because"},
        }  # fmt: skip

    run(tools, main)


@pytest.mark.parametrize("subprotocol", [None, "rpc.v1.json"])
@pytest.mark.parametrize(
    ("name", "params", "executed"),
    [
        ("leave", None, "yes"), ("leave_later", None, "yes"), ("leave_thread", None, "yes"), ("stop_iteration", None, "yes"),
        ("cancels_itself", None, "yes"), ("cancels_itself_later", None, "yes"), ("wrong_type", None, "yes"),
        ("nothing_for_something", None, "yes"), ("bad_error", None, "unknown"), ("picky", [{"n": 13}], "no"),
    ],
)  # fmt: skip
def test_whatever_a_handler_does_its_call_is_answered(
    tools: Any, name: str, params: Any, executed: str, subprotocol: str | None
) -> None:
    async def main(server: Any, connection: Any) -> None:
        error = (await tools.call(connection, f"odd.{name}", params))["error"]
        assert error["code"] == -32603
        assert error["data"]["executed"] == executed
        await connection.send(tools.request(f"odd.{name}", params, None))
        assert (await tools.call(connection, "rpc.ping"))["result"] == "pong"
        (peer,) = server.connections.values()
        await tools.until(lambda: len(peer.handlers) == 0 and peer.session.calls_running == 0)

    run(tools, main, Odd(), subprotocol=subprotocol)


def test_the_context_may_stand_anywhere(tools: Any) -> None:
    async def main(_: Any, connection: Any) -> None:
        name = "odd.context_first"
        assert (await tools.call(connection, name, [5]))["result"] == [name, 5, 2, None, 60, None]
        assert (await tools.call(connection, name, {"b": 6, "a": 5}))["result"][1:3] == [5, 6]
        ctx = {"ttl_ms": 5000, "key": "k", "traceparent": "t", "attempt": 2, "other": 1}
        assert (await tools.call(connection, name, [5], ctx=ctx))["result"] == [name, 5, 2, "k", 5, "t"]

    run(tools, main, Odd())


def test_a_plain_function_runs_in_a_thread_and_reports(tools: Any) -> None:
    odd = Odd()

    async def main(_: Any, connection: Any) -> None:
        await connection.send(tools.request("odd.thread"))
        async for message in messages(connection):
            if message.get("method") == "rpc.progress":
                assert message["params"]["done"] == 1
                odd.go.set()
            else:
                assert message["result"] == "done"
                break
        assert odd.log[0].startswith("thread in rpc-handler")

    run(tools, main, odd)


# --- cancelling and deadlines ------------------------------------------------------------------------------------------------


def cancel(tools: Any, call_id: Any = 1) -> str:
    return str(tools.request("rpc.cancel", {"id": call_id}, None))


async def answer_of(connection: Any) -> Any:
    async for message in messages(connection):
        if "method" not in message:
            return message
    raise AssertionError


def test_cancelling_a_task(tools: Any) -> None:
    calc = tools.Calc()

    async def main(_: Any, connection: Any) -> None:
        await connection.send(tools.request("calc.wait"))
        await tools.until(lambda: calc.log)
        await connection.send(cancel(tools))
        answer = await answer_of(connection)
        assert (answer["id"], answer["error"]["code"], answer["error"]["data"]["executed"]) == (1, -32800, "yes")
        assert calc.log == ["started", "cancelled", "ended, calc.wait"], "it has stopped before the answer"

    run(tools, main, calc)


@pytest.mark.parametrize("name", ["calc.wait", "odd.thread", "calc.count", "odd.numbers"])
def test_a_call_and_its_cancellation_in_one_frame(tools: Any, name: str) -> None:
    calc, odd = tools.Calc(), Odd()

    async def main(server: Any, connection: Any) -> None:
        params = [10**9] if name in ("calc.count", "odd.numbers") else None
        await connection.send(tools.request(name, params) + "\n" + cancel(tools))
        answer = await answer_of(connection)
        assert answer["id"] == 1
        if "error" in answer:
            assert answer["error"]["code"] == -32800
        (peer,) = server.connections.values()
        if "stream" in (answer.get("result") or {}):
            await connection.send(tools.request("rpc.stream.cancel", answer["result"], None))
        await tools.until(lambda: len(peer.handlers) == 0)
        await tools.until(lambda: len(peer.session.streams) == 0)

    run(tools, main, calc, odd)


def test_cancelling_a_thread_is_answered_when_it_has_ended(tools: Any) -> None:
    odd = Odd()

    async def main(_: Any, connection: Any) -> None:
        await connection.send(tools.request("odd.thread"))
        await tools.until(lambda: odd.log)
        await connection.send(cancel(tools))
        answer = await answer_of(connection)
        assert answer.get("result") == "cancelled" or answer["error"]["code"] == -32800
        assert odd.log[-1] == "thread ended"

    run(tools, main, odd)


def test_cancelling_what_goes_on_all_the_same(tools: Any) -> None:
    odd = Odd()

    async def main(_: Any, connection: Any) -> None:
        await connection.send(tools.request("odd.stubborn"))
        await connection.send(cancel(tools))
        answer = await answer_of(connection)
        assert answer.get("result") == "all the same" or answer["error"]["code"] == -32800
        assert odd.log == ["stubborn ended"]

    run(tools, main, odd)


@pytest.mark.parametrize("call_id", [2, "1", 1.5, None])
def test_cancelling_another_call_does_nothing(tools: Any, call_id: Any) -> None:
    calc = tools.Calc()

    async def main(_: Any, connection: Any) -> None:
        await connection.send(tools.request("calc.wait"))
        await connection.send(cancel(tools, call_id))
        assert (await tools.call(connection, "calc.add", [1, 2], "next"))["result"] == 3
        assert calc.log == ["started"]
        calc.release.set()
        assert (await answer_of(connection))["result"] == "released"

    run(tools, main, calc)


def test_the_deadline_of_the_method(tools: Any) -> None:
    odd = Odd()

    async def main(_: Any, connection: Any) -> None:
        error = (await tools.call(connection, "odd.slow"))["error"]
        assert (error["code"], error["data"]["executed"]) == (-32004, "yes")
        assert odd.log == ["slow ended"]

    run(tools, main, odd)


@pytest.mark.parametrize("ttl", [50, 0, -5, 0.5])
@pytest.mark.parametrize("name", ["calc.wait", "odd.thread"])
def test_the_deadline_of_the_caller(tools: Any, ttl: float, name: str) -> None:
    async def main(_: Any, connection: Any) -> None:
        error = (await tools.call(connection, name, ctx={"ttl_ms": ttl}))["error"]
        assert error["code"] == -32004

    run(tools, main, tools.Calc(), Odd())


@pytest.mark.parametrize("ttl", [1e308, 10**400, 2**63, 1e15])
def test_deadlines_without_end(tools: Any, ttl: float) -> None:
    calc = tools.Calc()

    async def main(_: Any, connection: Any) -> None:
        await connection.send(tools.request("calc.wait", ctx={"ttl_ms": ttl}))
        await tools.until(lambda: calc.log)
        calc.release.set()
        assert (await answer_of(connection))["result"] == "released"

    run(tools, main, calc)


def test_a_deadline_that_is_not_a_number(tools: Any) -> None:
    calc = tools.Calc()

    async def outer() -> None:
        async with tools.serve(calc) as server, tools.connect(server, "rpc.v1.msgpack") as connection:
            call = {"jsonrpc": "2.0", "id": 1, "method": "calc.wait", "ctx": {"ttl_ms": float("nan")}}
            await connection.send(msgspec.msgpack.encode(call))
            await tools.until(lambda: calc.log)
            calc.release.set()
            assert msgspec.msgpack.decode(await connection.recv())["result"] == "released"

    tools.run(outer())


# --- streams -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("calc.count", [5], ["0", "1", "2", "3", "4"]),
        ("calc.count", [0], []),
        ("odd.numbers", [100], list(range(100))),
        ("odd.listed", None, [1, 2, 3]),
        ("odd.opened", None, [7]),
        ("calc.count", [300], [str(n) for n in range(300)]),
    ],
)
@pytest.mark.parametrize("subprotocol", [None, "rpc.v1.json"])
def test_streams(tools: Any, name: str, params: Any, expected: list[Any], subprotocol: str | None) -> None:
    async def main(server: Any, connection: Any) -> None:
        await connection.send(tools.request(name, params))
        assert await items_of(connection, tools, grant=16) == (expected, None)
        (peer,) = server.connections.values()
        assert len(peer.session.streams) == 0

    run(tools, main, tools.Calc(), Odd(), subprotocol=subprotocol)


@pytest.mark.parametrize(
    ("name", "params", "items", "code"),
    [("breaks", [3], [0, 1, 2], -32003), ("wrong_items", None, [], -32603), ("leave_stream", None, [1], -32603)],
)
def test_streams_that_fail(tools: Any, name: str, params: Any, items: list[int], code: int) -> None:
    async def main(_: Any, connection: Any) -> None:
        await connection.send(tools.request(f"odd.{name}", params))
        got, error = await items_of(connection, tools)
        assert got == items
        assert error["code"] == code

    run(tools, main, Odd())


def test_a_reader_that_grants_nothing_gets_what_all_begin_with(tools: Any) -> None:
    calc = tools.Calc()

    async def main(server: Any, connection: Any) -> None:
        await connection.send(tools.request("calc.count", [1000]))
        got: list[Any] = []
        async for message in messages(connection):
            if message.get("method") == "rpc.stream.item":
                got += message["params"]["items"]
            if len(got) == 16:
                break
        assert (await tools.call(connection, "calc.add", [1, 2], "other"))["result"] == 3
        await connection.send(tools.request("rpc.stream.cancel", {"stream": "s1"}, None))
        await tools.until(lambda: calc.log == ["count ended"])
        assert (await anext(messages(connection)))["method"] == "rpc.stream.end"

    run(tools, main, calc)


def test_one_stalled_stream_beside_another(tools: Any) -> None:
    async def main(_: Any, connection: Any) -> None:
        await connection.send(tools.request("calc.count", [10**6], "stalled"))
        await connection.send(tools.request("calc.count", [2000], "read"))
        names: dict[str, str] = {}
        got: list[str] = []
        async for message in messages(connection):
            if "result" in message:
                names[message["result"]["stream"]] = message["id"]
            elif message.get("method") == "rpc.stream.item" and names[message["params"]["stream"]] == "read":
                got += message["params"]["items"]
                credit = {"stream": message["params"]["stream"], "n": len(message["params"]["items"])}
                await connection.send(tools.request("rpc.stream.credit", credit, None))
            elif message.get("method") == "rpc.stream.end":
                assert names[message["params"]["stream"]] == "read"
                break
        assert got == [str(n) for n in range(2000)]

    run(tools, main)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("latest", [*range(16), 199]), ("newest", [*range(16), 197, 198, 199]), ("strict", None)],
)
def test_policies_for_slow_readers(tools: Any, name: str, expected: list[int] | None) -> None:
    async def main(server: Any, connection: Any) -> None:
        await connection.send(tools.request(f"odd.{name}", [200]))
        got: list[int] = []
        error = None
        async for message in messages(connection):
            if message.get("method") == "rpc.stream.item":
                got += message["params"]["items"]
                if len(got) == 16 and expected is not None:
                    (peer,) = server.connections.values()
                    (outbox,) = peer._outboxes.values()
                    await tools.until(lambda outbox=outbox: outbox._waiting and int(outbox._waiting[-1]) == 199)
                    await connection.send(tools.request("rpc.stream.credit", {"stream": "s1", "n": 100}, None))
            elif message.get("method") == "rpc.stream.end":
                error = message["params"].get("error")
                break
        if expected is None:
            assert got == list(range(16))
            assert error["code"] == -32007
        else:
            assert (got, error) == (expected, None)

    run(tools, main, Odd())


def upload(tools: Any, stream: str, *items: Any) -> str:
    lines = [tools.request("rpc.stream.item", {"stream": stream, "items": [item]}, None) for item in items]
    return "\n".join([*lines, tools.request("rpc.stream.end", {"stream": stream}, None)])


@pytest.mark.parametrize("by_name", [True, False])
def test_uploads_also_in_the_frame_of_their_call(tools: Any, by_name: bool) -> None:
    async def main(server: Any, connection: Any) -> None:
        reference = {"stream": "c1"}
        call = tools.request("calc.total", {"items": reference} if by_name else [reference])
        await connection.send(call + "\n" + upload(tools, "c1", 1, 2, 3))
        progress = []
        async for message in messages(connection):
            if message.get("method") == "rpc.progress":
                progress.append((message["params"]["done"], message["params"]["message"]))
            elif "id" in message:
                assert message["result"] == 6
                break
        assert progress == [(1, "adding"), (3, "adding"), (6, "adding")]
        (peer,) = server.connections.values()
        assert len(peer.session.streams) == 0

    run(tools, main)


def test_uploads_that_break_the_rules(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main(server: Any, connection: Any) -> None:
        await connection.send(tools.request("calc.total", [{"stream": "c1"}]) + "\n" + upload(tools, "c1", 1, "x"))
        error = (await answer_of(connection))["error"]
        assert error["code"] == -32602
        assert error["data"]["errors"][0]["loc"] == ["items"]
        assert error["data"]["executed"] == "yes"
        await connection.send(tools.request("calc.total", [{"stream": "c2"}]))
        await connection.send(tools.request("rpc.stream.item", {"stream": "c2", "items": [1] * 65}, None))
        error = (await answer_of(connection))["error"]
        assert error
        await connection.send(tools.request("calc.total", [{"stream": "c3"}], "a"))
        await connection.send(tools.request("calc.total", [{"stream": "c3"}], "b"))
        error = (await answer_of(connection))["error"]
        assert "open already" in error["message"]
        end = {"stream": "c3", "error": {"code": -32003, "message": "broken off"}}
        await connection.send(tools.request("rpc.stream.end", end, None))
        error = (await answer_of(connection))["error"]
        assert error["message"]
        for number, wrong in enumerate(("c1", 5, {"stream": 5}, {}, None)):
            answer = await tools.call(connection, "calc.total", [wrong], f"wrong {number}")
            assert answer["error"]["code"] == -32602

    run(tools, main)


def test_handlers_and_their_uploads(tools: Any) -> None:
    async def main(server: Any, connection: Any) -> None:
        await connection.send(tools.request("odd.two_readers", [{"stream": "c1"}]))
        assert "two tasks read one stream" in (await answer_of(connection))["result"]
        await connection.send(tools.request("odd.first_only", [{"stream": "c2"}]))
        await connection.send(tools.request("rpc.stream.item", {"stream": "c2", "items": [5, 6]}, None))
        seen = []
        async for message in messages(connection):
            seen.append(message.get("method") or message["result"])
            if message.get("method") == "rpc.stream.cancel" and message["params"]["stream"] == "c2":
                break
        assert 5 in seen or (await answer_of(connection))["result"] == 5

    run(tools, main, Odd())


# --- limits --------------------------------------------------------------------------------------------------------------------


def test_too_many_calls_in_flight(tools: Any) -> None:
    calc = tools.Calc()

    async def main(_: Any, connection: Any) -> None:
        for number in range(5):
            await connection.send(tools.request("calc.wait", None, number))
        await tools.until(lambda: calc.log == ["started"] * 5)
        error = (await tools.call(connection, "calc.add", [1, 2], "sixth"))["error"]
        assert (error["code"], error["data"]["executed"], error["data"]["retryable"]) == (-32003, "no", True)
        await connection.send(tools.request("calc.wait", None, None))
        calc.release.set()
        ended = {m["id"] async for m in take(messages(connection), 5)}
        assert ended == set(range(5))

    run(tools, main, calc, limits={"calls_in_flight": 5})


def test_notifications_count_too(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    calc = tools.Calc()

    async def main(_: Any, connection: Any) -> None:
        for _ in range(8):
            await connection.send(tools.request("calc.wait", None, None))
        await tools.until(lambda: calc.log == ["started"] * 5)
        await tools.until(lambda: caplog.text.count("dropped") == 3)
        calc.release.set()
        await tools.until(lambda: len(calc.log) == 10)

    run(tools, main, calc, limits={"calls_in_flight": 5})


def test_too_many_streams(tools: Any) -> None:
    async def main(_: Any, connection: Any) -> None:
        for number in range(3):
            await connection.send(tools.request("calc.count", [1000], number))
        async for message in messages(connection):
            if "error" in message:
                assert message["id"] == 2
                assert message["error"]["code"] == -32003
                break
        answers = {}
        await connection.send(tools.request("calc.total", [{"stream": "c1"}], "a"))
        await connection.send(tools.request("calc.total", [{"stream": "c2"}], "b"))
        await connection.send(tools.request("calc.total", [{"stream": "c3"}], "c"))
        async for message in messages(connection):
            if message.get("id") == "c":
                answers = message
                break
        assert answers["error"]["code"] == -32003

    run(tools, main, limits={"streams": 2})


def test_too_large_an_answer(tools: Any) -> None:
    async def main(_: Any, connection: Any) -> None:
        error = (await tools.call(connection, "odd.big", [100_000]))["error"]
        assert error["code"] == -32005
        assert "stream" in error["message"]

    run(tools, main, Odd(), limits={"message_bytes": 65536})


# --- notifications, and calls the other way ----------------------------------------------------------------------------------


def test_notifications(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    calc = tools.Calc()

    async def main(server: Any, connection: Any) -> None:
        with caplog.at_level(logging.INFO):
            for name, params in (
                ("calc.boom", None), ("calc.add", ["x"]), ("no.such", None), ("calc.count", [5]),
                ("calc.total", [{"stream": "c1"}]), ("calc.wait", None), ("calc.add", [1, 2]),
            ):  # fmt: skip
                await connection.send(tools.request(name, params, None))
            await tools.until(lambda: calc.log == ["started"])
            assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
            (peer,) = server.connections.values()
            await peer.handlers.finish(0)
        assert calc.log[1] == "cancelled"

    run(tools, main, calc)
    for words in ("calc.boom failed", "InvalidParams", "no.such", "calc.count streams", "calc.wait: cancelled"):
        assert words in caplog.text


def test_calling_the_caller(tools: Any) -> None:
    async def main(server: Any, connection: Any) -> None:
        await connection.send(tools.request("odd.call_back", ["client.twice"]))
        source = messages(connection)
        note, call = await anext(source), await anext(source)
        assert note == {"jsonrpc": "2.0", "method": "client.note", "params": {"x": 1}}
        assert (call["method"], call["params"], call["ctx"]) == ("client.twice", {"x": 2}, {"ttl_ms": 5000})
        await connection.send(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": [4]}))
        assert (await answer_of(connection))["result"] == [4]
        await connection.send(tools.request("odd.call_back", ["client.none"], 2))
        await anext(source)
        call = await anext(source)
        error = {"code": -32601, "message": "no such method"}
        await connection.send(json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": error}))
        assert (await answer_of(connection))["error"]["code"] == -32601

    run(tools, main, Odd())


# --- the end -------------------------------------------------------------------------------------------------------------------


def test_stopping_gives_running_calls_their_time(tools: Any) -> None:
    calc = tools.Calc()

    async def outer() -> None:
        async with tools.serve(calc) as server, tools.connect(server, "rpc.v1.json") as connection:
            await connection.send(tools.request("calc.wait"))
            await tools.until(lambda: calc.log)
            stopping = asyncio.ensure_future(server.stop(grace_s=5))
            await tools.until(lambda: server.is_stopping)
            error = (await tools.call(connection, "calc.add", [1, 2], 2))["error"]
            assert (error["code"], error["data"]["executed"], error["data"]["retryable"]) == (-32006, "no", True)
            calc.release.set()
            assert (await answer_of(connection))["result"] == "released"
            await connection.wait_closed()
            assert connection.close_code == 1001
            await stopping

    tools.run(outer())


def test_stopping_cancels_what_takes_longer(tools: Any) -> None:
    calc = tools.Calc()

    async def outer() -> None:
        async with tools.serve(calc) as server, tools.connect(server, "rpc.v1.json") as connection:
            await connection.send(tools.request("calc.wait"))
            await connection.send(tools.request("calc.count", [10**9], 2))
            await tools.until(lambda: calc.log)
            await server.stop(grace_s=0.05)
            seen: list[Any] = []
            with contextlib.suppress(Exception):
                async for message in messages(connection):
                    seen += [message]
            assert [m["error"]["code"] for m in seen if m.get("id") == 1] == [-32800]
            assert [m for m in seen if m.get("method") == "rpc.stream.end"]
            assert {"cancelled", "count ended"} <= set(calc.log)
            assert connection.close_code == 1001

    tools.run(outer())


def test_connections_in_memory(tools: Any) -> None:
    class Collector:
        def __init__(self) -> None:
            self.frames: list[bytes] = []
            self.lost: list[str] = []

        def frame_received(self, frame: bytes) -> None:
            self.frames.append(frame)

        def writing_paused(self) -> None: ...
        def writing_resumed(self) -> None: ...
        def link_lost(self, reason: str) -> None:
            self.lost.append(reason)

    async def outer() -> None:
        async with tools.serve(listen={"tcp": True}) as server:
            for ending in ("close", "abort", "stop"):
                link, seen = server.connect_memory("rpc.v1.json"), Collector()
                link.attach(seen)
                link.send([tools.request("rpc.hello").encode()])
                await tools.until(lambda seen=seen: seen.frames)
                assert json.loads(seen.frames[0])["result"]["principal"]["method"] == "memory"
                if ending == "close":
                    link.close(1000, "bye")
                elif ending == "abort":
                    link.abort()
                else:
                    await server.stop(grace_s=0)
                await tools.until(lambda seen=seen: seen.lost)
                link.send([b"{}"])
                assert not server.connections

    tools.run(outer())
