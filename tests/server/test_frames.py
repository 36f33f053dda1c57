"""Frames: what breaks a WebSocket stream closes it with the right code; what does not, does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
import trustme
from websockets.exceptions import InvalidStatus

from rpcclient import AsyncClient
from rpcserver import Service, method
from rpcserver.door.link import ServerLink
from rpcwire.aio.handlers import Handlers
from rpcwire.aio.peer import Peer
from rpcwire.aio.websocket import TURN_BYTES, TURN_FRAMES
from rpcwire.context import Connection
from rpcwire.dispatch import Upload
from rpcwire.events import IncomingCall
from rpcwire.limits import TURN_EVENTS

BROKEN = {
    "a binary frame in a text subprotocol": ("rpc.v1.json", 2, b"\x80", {}, 1003),
    "a binary frame in plain JSON-RPC": (None, 2, b"{}", {}, 1003),
    "a text frame in a binary subprotocol": ("rpc.v1.msgpack", 1, b"{}", {}, 1003),
    "invalid UTF-8": (None, 1, b'{"a": "\xff"}', {}, 1007),
    "half a character": (None, 1, b'{"a": "\xe2\x82', {}, 1007),
    "a surrogate in UTF-8": (None, 1, b"\xed\xa0\x80", {}, 1007),
    "an unmasked frame": (None, 1, b"{}", {"masked": False}, 1002),
    "a reserved bit": (None, 1, b"{}", {"rsv": 0x40}, 1002),
    "a reserved opcode": (None, 3, b"{}", {}, 1002),
    "a reserved control opcode": (None, 11, b"", {}, 1002),
    "a continuation of nothing": (None, 0, b"{}", {}, 1002),
    "a fragmented ping": (None, 9, b"", {"fin": False}, 1002),
    "a long ping": (None, 9, b"x" * 126, {}, 1002),
    "a close with one byte": (None, 8, b"x", {}, 1002),
    "a close with a bad code": (None, 8, b"\x03\xe7", {}, 1002),
    "a message beyond the limit": (None, 1, b'"' + b"x" * 70_000 + b'"', {}, 1009),
}


@pytest.mark.parametrize(("subprotocol", "opcode", "data", "how", "code"), BROKEN.values(), ids=BROKEN.keys())
def test_what_breaks_the_stream_closes_it(
    tools: Any, subprotocol: str | None, opcode: int, data: bytes, how: Any, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with tools.serve(limits={"message_bytes": 65536}) as server, tools.connect(server) as other:
            raw = await tools.websocket(server, Sec_WebSocket_Protocol=subprotocol)
            await raw.send(tools.frame(opcode, data, **how))
            assert await raw.close_code() == code
            await raw.send(tools.frame(1, tools.request("calc.add", [1, 2]).encode()))
            await raw.send(tools.frame(8, code.to_bytes(2, "big")))
            assert await raw.rest() == b"", "nothing is answered any more"
            await raw.close()
            await tools.until(lambda: len(server.connections) == 1)
            assert (await tools.call(other, "calc.add", [1, 2]))["result"] == 3

    with caplog.at_level(logging.INFO):
        tools.run(main())
    (line,) = [r for r in caplog.records if "disconnected" in r.getMessage() and str(code) in r.getMessage()]
    assert "\n" not in line.getMessage()


def test_a_message_in_fragments_with_a_ping_between(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.websocket(server)
            text = tools.request("calc.add", [1, 2]).encode()
            await raw.send(tools.frame(1, text[:10], fin=False))
            await raw.send(tools.frame(9, b"hey"))
            await raw.send(tools.frame(0, b"", fin=False) + tools.frame(0, text[10:]))
            assert await raw.frame() == (10, b"hey")
            assert json.loads((await raw.frame())[1])["result"] == 3
            await raw.close()

    tools.run(main())


@pytest.mark.parametrize("authorization", ["Bearer a-token-for-the-tests", None])
def test_five_thousand_empty_fragments(tools: Any, authorization: str | None) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.websocket(server, Authorization=authorization)
            await raw.send(tools.frame(1, b"", fin=False) + tools.frame(0, b"", fin=False) * 5000)
            assert await raw.close_code() == 1009
            await raw.close()

    tools.run(main())


def test_fragments_beyond_the_limit_together(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(limits={"message_bytes": 65536}) as server:
            raw = await tools.websocket(server)
            await raw.send(tools.frame(1, b'"', fin=False) + tools.frame(0, b"x" * 20_000, fin=False) * 4)
            assert await raw.close_code() == 1009
            await raw.close()

    tools.run(main())


def test_an_orderly_close(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.websocket(server)
            await raw.send(tools.frame(8, (1000).to_bytes(2, "big") + b"bye"))
            assert await raw.close_code() == 1000
            assert await raw.rest() == b""
            await raw.close()
            await tools.until(lambda: not server.connections)

    tools.run(main())


class Notes(Service):
    """Takes notes."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    @method()
    async def take(self, text: str) -> None:
        """Take one."""
        self.taken.append(text)


def test_what_comes_together_with_a_close(tools: Any) -> None:
    """What was sent before the close frame counts, what follows a broken frame does not."""

    async def main() -> None:
        notes = Notes()
        async with tools.serve(notes) as server:
            for number, middle in enumerate([b"", tools.frame(1, b"\xff")]):
                raw = await tools.websocket(server)
                first, last = (tools.request("notes.take", [f"{number} {word}"], None) for word in ("a", "b"))
                close = tools.frame(8, (1000).to_bytes(2, "big"))
                await raw.send(tools.frame(1, first.encode()) + middle + tools.frame(1, last.encode()) + close)
                await raw.rest()
                await raw.close()
            await tools.until(lambda: not server.connections)
            assert notes.taken == ["0 a", "0 b", "1 a"]

    tools.run(main())


def test_a_client_that_vanishes(tools: Any) -> None:
    async def main() -> None:
        calc = tools.Calc()
        async with tools.serve(calc) as server:
            raw = await tools.websocket(server)
            await raw.send(tools.frame(1, tools.request("calc.wait").encode()))
            await tools.until(lambda: calc.log)
            raw.writer.transport.abort()
            await tools.until(lambda: "cancelled" in calc.log)
            await tools.until(lambda: not server.connections)

    tools.run(main())


# --- keeping alive -----------------------------------------------------------------------------------------------------


def test_pings_and_a_peer_that_answers_them(tools: Any) -> None:
    async def main() -> None:
        keepalive = {"ping_interval_s": 0.05, "ping_timeout_s": 0.3}
        async with tools.serve(keepalive=keepalive) as server:
            raw = await tools.websocket(server)
            for _ in range(4):
                opcode, data = await raw.frame()
                assert opcode == 9
                await raw.send(tools.frame(10, data))
            assert server.connections
            await raw.close()

    tools.run(main())


def test_a_dead_peer_is_found(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        calc = tools.Calc()
        keepalive = {"ping_interval_s": 0.05, "ping_timeout_s": 0.1}
        async with tools.serve(calc, keepalive=keepalive) as server:
            dead = await tools.websocket(server)
            await dead.send(tools.frame(1, tools.request("calc.wait").encode()))
            async with tools.connect(server) as alive:
                await tools.until(lambda: len(server.connections) == 1)
                assert (await tools.call(alive, "calc.add", [1, 2]))["result"] == 3
            await tools.until(lambda: "cancelled" in calc.log)
            await dead.close()

    with caplog.at_level(logging.INFO):
        tools.run(main())
    assert "no answer to a ping within 0.1 s" in caplog.text


def test_no_pings(tools: Any) -> None:
    async def main() -> None:
        keepalive = {"ping_interval_s": 0, "ping_timeout_s": 0.05}
        async with tools.serve(keepalive=keepalive) as server:
            raw = await tools.websocket(server)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(raw.reader.read(1), 0.3)
            assert len(server.connections) == 1
            await raw.close()

    tools.run(main())


# --- readers that do not read --------------------------------------------------------------------------------------------


async def small_window(tools: Any, server: Any, **headers: Any) -> Any:
    """A raw WebSocket with a small receive buffer, so that the server soon has to wait."""
    raw = await tools.raw(server, receive_buffer=4096)
    await raw.send(tools.upgrade(server, **headers))
    assert (await raw.head()).startswith(b"HTTP/1.1 101")
    return raw


def test_a_reader_that_stalls_is_dropped_and_the_others_are_not(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve(limits={"stall_s": 0.3}) as server:
            slow = await small_window(tools, server)
            with contextlib.suppress(OSError, RuntimeError):  # It may be dropped before all of it is sent.
                for number in range(20):
                    await slow.send(tools.frame(1, tools.request("calc.echo", ["x" * 500_000], number).encode()))
            async with tools.connect(server) as good:
                worst = 0.0
                loop = asyncio.get_running_loop()
                for number in range(300):
                    begun = loop.time()
                    assert (await tools.call(good, "calc.add", [number, 1], number))["result"] == number + 1
                    worst = max(worst, loop.time() - begun)
                assert worst < 1.0
                await tools.until(lambda: len(server.connections) == 1)
            await slow.close()

    with caplog.at_level(logging.INFO):
        tools.run(main())
    assert "took next to nothing for 0.3 s" in caplog.text


def test_a_reader_that_is_slow_but_reads_is_kept(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(limits={"stall_s": 0.2, "json_message_bytes": 16 * 2**20}) as server:
            slow = await small_window(tools, server)
            await slow.send(tools.frame(1, tools.request("calc.echo", ["x" * 8_000_000]).encode()))
            got = 0
            loop = asyncio.get_running_loop()
            begun = loop.time()
            while got < 8_000_000:
                # 8 MB/s: one message takes five times as long as a stall may.
                data = await asyncio.wait_for(slow.reader.read(65536), tools.SECONDS)
                assert data, "the server has dropped a reader that reads"
                got += len(data)
                ahead = got / 8_000_000 - (loop.time() - begun)
                if ahead > 0:
                    await asyncio.sleep(ahead)
            assert loop.time() - begun > 0.6
            await slow.close()

    tools.run(main())


def test_output_beyond_the_limit_drops_the_connection(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve(limits={"outgoing_bytes": 200_000, "message_bytes": 2**20}) as server:
            slow = await small_window(tools, server)
            await slow.send(tools.frame(1, tools.request("calc.echo", ["x" * 150_000]).encode()) * 60)
            await tools.until(lambda: not server.connections)
            await slow.close()

    with caplog.at_level(logging.INFO):
        tools.run(main())
    assert "does not read" in caplog.text


def test_a_stalled_reader_of_streams_holds_its_own_streams_only(tools: Any) -> None:
    """A slow socket stops its streams and nothing else: what waits for it stays within the high-water mark."""

    async def main() -> None:
        async with tools.serve() as server:
            slow = await small_window(tools, server, Sec_WebSocket_Protocol="rpc.v1.json")
            for number in range(10):
                await slow.send(tools.frame(1, tools.request("calc.count", [10_000, 20_000], number).encode()))
                grant = tools.request("rpc.stream.credit", {"stream": f"s{number + 1}", "n": 10_000}, None)
                await slow.send(tools.frame(1, grant.encode()))
            (link,) = server.door.entrance.links
            await tools.until(lambda: link.transport.get_write_buffer_size() > 1_000_000)
            async with tools.connect(server) as good:
                for number in range(100):
                    assert (await tools.call(good, "calc.add", [number, 1], number))["result"] == number + 1
            assert link.transport.get_write_buffer_size() < 4_000_000
            await slow.close()

    tools.run(main())


def test_what_the_client_does_not_take_is_not_sent(tools: Any) -> None:
    """It says in the handshake how large a message may be."""

    async def main(form: str | None) -> None:
        async with tools.serve() as server, tools.connect(server, form, headers={"RPC-Message-Bytes": "16384"}) as wire:
            error = (await tools.call(wire, "calc.echo", ["x" * 30_000]))["error"]
            assert (error["code"], error["data"]["type"], error["data"]["executed"]) == (-32005, "TooLarge", "yes")
            assert "the limit is 16384" in error["message"]
            assert (await tools.call(wire, "calc.echo", ["x" * 16_000], 2))["result"] == "x" * 16_000

            stream = (await tools.call(wire, "calc.count", [3, 30_000], 3))["result"]["stream"]
            await wire.send(tools.request("rpc.stream.credit", {"stream": stream, "n": 10}, None))
            ended = None
            while ended is None:
                for line in str(await wire.recv(decode=True)).splitlines():
                    message = json.loads(line)
                    if message.get("method") == "rpc.stream.end":
                        ended = message["params"]["error"]
            assert (ended["code"], ended["data"]["type"], ended["data"]["executed"]) == (-32005, "TooLarge", "yes")
            assert (await tools.call(wire, "calc.add", [1, 2], 4))["result"] == 3

            if form is None:
                calls = ",".join(tools.request("calc.echo", ["x" * 10_000], number) for number in (5, 6))
                await wire.send(f"[{calls}]")
                answers = str(await wire.recv(decode=True))
                assert len(answers) <= 16384
                assert sorted("error" in answer for answer in json.loads(answers)) == [False, True]

    for form in (None, "rpc.v1.json"):
        tools.run(main(form))


@pytest.mark.parametrize("said", ["", "x", "-1", "16383", "9" * 20, "20000, 40000"])
def test_a_limit_that_is_none_is_refused(tools: Any, said: str) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            with pytest.raises(InvalidStatus) as caught:
                async with tools.connect(server, headers={"RPC-Message-Bytes": said}):
                    pass
            assert caught.value.response.status_code == 400
            assert b"RPC-Message-Bytes must be one number of bytes" in caught.value.response.body

    tools.run(main())


@pytest.mark.parametrize("subprotocol", [None, "rpc.v1.json"])
def test_a_message_with_too_many_values_is_refused_and_the_connection_stays(
    tools: Any, subprotocol: str | None
) -> None:
    async def main() -> None:
        many = [[]] * 600
        async with tools.serve(limits={"message_nodes": 5000}) as server:
            raw = await tools.websocket(server, Sec_WebSocket_Protocol=subprotocol, Authorization=None)
            await raw.send(tools.frame(1, tools.request("rpc.ping", [many], 7).encode()))
            answer = json.loads((await raw.frame())[1])
            assert answer["id"] == 7
            assert "more than 1000 values" in answer["error"]["message"]
            await raw.send(tools.frame(1, tools.request("rpc.ping", None, 8).encode()))
            assert json.loads((await raw.frame())[1])["result"] == "pong"
            await raw.close()
            raw = await tools.websocket(server, Sec_WebSocket_Protocol=subprotocol)
            await raw.send(tools.frame(1, tools.request("calc.echo", [many], 9).encode()))
            assert json.loads((await raw.frame())[1])["error"]["data"]["type"] == "InvalidParams", "it was decoded"
            await raw.send(tools.frame(1, tools.request("calc.echo", [many * 9], 10).encode()))
            answer = json.loads((await raw.frame())[1])
            assert answer["id"] == 10
            assert (answer["error"]["data"]["type"], answer["error"]["data"]["executed"]) == ("TooLarge", "no")
            await raw.send(tools.frame(1, tools.request("calc.add", [1, 2], 11).encode()))
            assert json.loads((await raw.frame())[1])["result"] == 3
            await raw.close()

    tools.run(main())


@pytest.mark.parametrize("subprotocol", [None, "rpc.v1.json", "rpc.v1.msgpack"])
def test_a_message_in_json_is_smaller_than_one_in_messagepack(tools: Any, subprotocol: str | None) -> None:
    """To decode JSON takes ten times as long. The handshake says how much the server takes in the form that it chose."""
    packed = subprotocol == "rpc.v1.msgpack"

    def echo(size: int) -> bytes:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "calc.echo", "params": ["x" * (size - 100)]}
        return tools.frame(2 if packed else 1, msgspec.msgpack.encode(asked) if packed else json.dumps(asked).encode())

    async def main() -> None:
        async with tools.serve(limits={"message_bytes": 200_000, "json_message_bytes": 100_000}) as server:
            most = 200_000 if packed else 100_000
            raw = await tools.raw(server)
            await raw.send(tools.upgrade(server, Sec_WebSocket_Protocol=subprotocol))
            head = await raw.head()
            assert b"\r\nRPC-Message-Bytes: %d\r\n" % most in head
            assert b"\r\nRPC-Message-Nodes: 20480\r\n" in head
            await raw.send(echo(most))
            assert len((await raw.frame())[1]) > most - 200
            await raw.send(echo(most + 200))
            assert await raw.close_code() == 1009

    tools.run(main())


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_much_input_is_read_in_several_turns_of_the_loop(
    tools: Any, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, tls: dict[str, str], secure: bool
) -> None:
    """What comes at once does not keep others waiting until the last of it is answered; and all of it is read, even if
    the connection ends behind it."""
    turns: list[int] = [0]
    receive = Peer.frame_received

    def frame_received(self: Peer, frame: bytes) -> None:
        turns[-1] += len(frame)
        receive(self, frame)

    async def main() -> None:
        notes = Notes()
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        async with tools.serve(notes, tls=tls if secure else {}) as server:
            monkeypatch.setattr(Peer, "frame_received", frame_received)
            loop = asyncio.get_running_loop()

            def turn() -> None:
                turns.append(0)
                if not ended:
                    loop.call_soon(turn)

            ended: list[bool] = []
            loop.call_soon(turn)
            one = tools.frame(1, tools.request("notes.take", ["x" * 100], None).encode())
            for last in (b"", tools.frame(8, (1000).to_bytes(2, "big"))):
                notes.taken.clear()
                raw = await tools.raw(server, ssl=trusting if secure else None)
                await raw.send(tools.upgrade(server))
                assert (await raw.head()).startswith(b"HTTP/1.1 101")
                raw.writer.write(one * 3000 + last)
                if not last and not secure:
                    raw.writer.write_eof()
                await tools.until(lambda: len(notes.taken) == 3000)
                await raw.close()
            ended.append(True)

    tools.run(main())
    assert max(turns) <= 2 * TURN_BYTES + 1000, "the rest of the last input, and the beginning of the next"


class Wide(Service):
    """Takes values of types that take many steps."""

    @method()
    async def take(self, values: list[int | float | UUID | Decimal]) -> int:
        """Count them."""
        return len(values)

    @method()
    async def count(self, value: int) -> int:
        """Answer at once."""
        return value

    @method()
    async def pour(self, items: AsyncIterator[list[int | float | UUID | Decimal]]) -> int:
        """Count items."""
        return len([item async for item in items])

    @method()
    async def glue(self, items: AsyncIterator[str]) -> int:
        """Count texts."""
        return len([item async for item in items])

    @method()
    async def later(self, value: int) -> int:
        """Answer in a task."""
        await asyncio.sleep(0)
        return value


WAYS = {
    "calls": ("wide.count", 1, TURN_EVENTS + 1),
    "wrong calls": ("wide.count", "x", TURN_EVENTS + 1),
    "calls of unknown methods": ("wide.nothing", 1, TURN_EVENTS // 8 + 1),
    "calls in tasks": ("wide.later", 1, TURN_EVENTS // 2 + 1),
    "calls that take many steps to read": ("wide.take", [1], 1),
    "such calls that are wrong": ("wide.take", ["x"], 1),
}


class PerTurn:
    """Counts in each turn of the loop, by a function that replaces a method."""

    def __init__(self) -> None:
        self.turns = [0]
        self.has_ended = False

    def begin_turn(self) -> None:
        """Begin a new turn in each turn of the loop from now on."""
        self.turns.append(0)
        if not self.has_ended:
            asyncio.get_running_loop().call_soon(self.begin_turn)

    def counting(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """The method, counted."""

        def count(*args: Any) -> Any:
            self.turns[-1] += 1
            return act(*args)

        return count


@pytest.mark.parametrize("together", [True, False], ids=["one frame", "frames"])
@pytest.mark.parametrize("kind", WAYS)
def test_the_calls_of_a_frame_are_handled_in_several_turns_of_the_loop(
    tools: Any, monkeypatch: pytest.MonkeyPatch, kind: str, together: bool
) -> None:
    """A frame of 1,500 wrong calls took 44 ms, in which nobody else was served."""
    name, param, most = WAYS[kind]
    counted = PerTurn()
    monkeypatch.setattr(Handlers, "start", counted.counting(Handlers.start))

    async def main() -> None:
        async with tools.serve(Wide(), limits={"violations": 10_000}) as server:
            raw = await tools.websocket(server, Sec_WebSocket_Protocol="rpc.v1.json")
            counted.begin_turn()
            calls = [tools.request(name, [param], number).encode() for number in range(500)]
            pieces = [b"\n".join(calls), *[tools.request("rpc.ping", None, "last").encode()]] if together else calls
            raw.writer.write(b"".join(tools.frame(1, piece) for piece in pieces))
            ids: list[Any] = []
            while len(ids) < 500 + together:
                ids += [json.loads(line)["id"] for line in (await raw.frame())[1].splitlines()]
            if kind != "calls in tasks":
                assert ids == [*range(500), *["last"] * together], "one frame after the other"
            counted.has_ended = True
            await raw.close()

    tools.run(main())
    assert sum(counted.turns) == 500 + together
    if together or most == 1:
        assert max(counted.turns) <= most


def test_the_notifications_of_a_frame_are_handled_in_several_turns_of_the_loop(
    tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = PerTurn()
    monkeypatch.setattr(Handlers, "start_notification", counted.counting(Handlers.start_notification))

    async def main() -> None:
        async with tools.serve(Wide()) as server:
            raw = await tools.websocket(server, Sec_WebSocket_Protocol="rpc.v1.json")
            counted.begin_turn()
            for name, param in (("wide.count", 1), ("wide.take", [1]), ("wide.take", ["x"])):
                calls = [tools.request(name, [param], None) for _ in range(300)]
                raw.writer.write(tools.frame(1, "\n".join([*calls, tools.request("rpc.ping", None, 1)]).encode()))
                assert json.loads((await raw.frame())[1])["result"] == "pong"
                assert sum(counted.turns) == 300
                assert max(counted.turns) <= (1 if name == "wide.take" else TURN_EVENTS // 2 + 1)
                counted.turns = [0]
            counted.has_ended = True
            await raw.close()

    tools.run(main())


def test_items_of_a_stream_that_take_long_are_decoded_in_several_turns_of_the_loop(
    tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = PerTurn()
    monkeypatch.setattr(Upload, "load", counted.counting(Upload.load))

    async def main() -> None:
        async with tools.serve(Wide(), tools.Calc()) as server:
            raw = await tools.websocket(server, Sec_WebSocket_Protocol="rpc.v1.json")
            counted.begin_turn()
            for name, item, most in (("wide.pour", [1], 1), ("wide.glue", "x" * 20_000, 2), ("wide.glue", "x", 32)):
                stream = f"c{most}"
                items = tools.request("rpc.stream.item", {"stream": stream, "items": [item] * 32}, None)
                end = tools.request("rpc.stream.end", {"stream": stream}, None)
                call = tools.request(name, [{"stream": stream}], most)
                raw.writer.write(tools.frame(1, f"{call}\n{items}\n{end}".encode()))
                while '"result":32' not in (text := (await raw.frame())[1].decode()):
                    assert "error" not in text
                assert max(counted.turns) <= most
                counted.turns = [0]
            counted.has_ended = True
            await raw.close()

    tools.run(main())


def test_a_large_call_is_decoded_in_one_turn_and_handled_in_the_next(
    tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    receive, start = Peer.frame_received, Handlers.start

    def note_frame(peer: Peer, frame: bytes, *more: Any) -> Any:
        if len(frame) > 20_000:
            asyncio.get_running_loop().call_soon(order.append, "turn")
            order.append("frame")
        return receive(peer, frame, *more)

    def note_start(handlers: Handlers, call: IncomingCall) -> int:
        if call.method == "calc.echo":
            order.append("call")
        return start(handlers, call)

    async def main() -> None:
        async with tools.serve() as server, tools.connect(server) as wire:
            monkeypatch.setattr(Peer, "frame_received", note_frame)
            monkeypatch.setattr(Handlers, "start", note_start)
            for number in range(3):
                assert (await tools.call(wire, "calc.echo", ["x" * 30_000], number))["result"] == "x" * 30_000

    tools.run(main())
    assert order == ["frame", "turn", "call"] * 3


def test_what_follows_a_frame_that_takes_several_turns_is_not_lost(tools: Any) -> None:
    """Whether it comes later, or the connection ends behind it; nor over a connection in memory."""

    async def main() -> None:
        notes = Notes()
        limits = {"violations": 10_000}
        async with tools.serve(notes, limits=limits) as server:
            for ending in ("eof", "close", "later", "halves"):
                notes.taken.clear()
                raw = await tools.websocket(server, Sec_WebSocket_Protocol="rpc.v1.json")
                calls = [tools.request("notes.take", [f"{number}"], None).encode() for number in range(1000)]
                frame = tools.frame(1, b"\n".join(calls[:900]))
                if (
                    ending == "halves"
                ):  # The layer of websockets joins this frame, and whole ones follow in the same read.
                    raw.writer.write(frame[:-1000])
                    await raw.writer.drain()
                    (peer,) = server.connections.values()
                    await tools.until(lambda peer=peer: not cast("Any", peer).link._is_between)
                    frame = frame[-1000:]
                raw.writer.write(frame)
                if ending == "later":
                    await raw.writer.drain()
                    await asyncio.sleep(0)
                raw.writer.write(b"".join(tools.frame(1, call) for call in calls[900:]))
                if ending == "eof":
                    raw.writer.write_eof()
                if ending == "close":
                    raw.writer.write(tools.frame(8, (1000).to_bytes(2, "big")))
                await tools.until(lambda: len(notes.taken) == 1000)
                assert notes.taken == [str(number) for number in range(1000)]
                await raw.close()
            async with AsyncClient(memory=server.connect_memory) as client:
                notes.taken.clear()
                async with client.batch() as batch:
                    for number in range(900):
                        batch.call("notes.take", [str(number)])
                await client.call("notes.take", ["last"])
                assert notes.taken == [*map(str, range(900)), "last"]

    tools.run(main())


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_connection_that_ends_behind_a_frame_has_it_handled_in_several_turns(
    tools: Any, monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, tls: dict[str, str], secure: bool
) -> None:
    """Whoever sends a large frame and goes away kept all others waiting until its last call was handled."""
    notes, counted = Notes(), PerTurn()
    start = counted.counting(Handlers.start_notification)

    def start_and_lose(self: Handlers, *args: Any) -> Any:
        if not any(counted.turns):  # The rest of the frame waits when this turn ends.
            cast("Any", self._peer).link.abort()
        return start(self, *args)

    monkeypatch.setattr(Handlers, "start_notification", start_and_lose)

    async def main() -> None:
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        async with tools.serve(notes, tls=tls if secure else {}) as server:
            raw = await tools.raw(server, ssl=trusting if secure else None)
            await raw.send(tools.upgrade(server, Sec_WebSocket_Protocol="rpc.v1.json"))
            assert (await raw.head()).startswith(b"HTTP/1.1 101")
            (peer,) = server.connections.values()
            counted.begin_turn()
            calls = [tools.request("notes.take", [str(number)], None).encode() for number in range(1000)]
            raw.writer.write(tools.frame(1, b"\n".join(calls)))
            await tools.until(lambda: not server.connections)
            counted.has_ended = True
            assert notes.taken == [str(number) for number in range(1000)]
            assert cast("Any", peer).link._is_lost
            await raw.close()

    tools.run(main())
    assert max(counted.turns) <= TURN_EVENTS + 1


MANY_FRAMES: dict[str, Callable[[Callable[..., bytes]], bytes]] = {
    "empty pings": lambda frame: frame(9, b"") * 500,
    "empty pongs": lambda frame: frame(10, b"") * 500,
    "messages": lambda frame: frame(1, b'{"jsonrpc": "2.0", "id": 1, "method": "rpc.ping"}') * 500,
    "fragments": lambda frame: (frame(1, b"", fin=False) + frame(0, b"", fin=False) * 98 + frame(0, b"[]")) * 5,
}


class Turns:
    """Counts, in each turn of the loop, the frames that a server reads of clients that it knows, and of others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known, self.strange = [0], [0]
        self._has_ended = self._is_counted = False
        receive, read = Peer.frame_received, ServerLink._read_by_websockets

        def frame_received(peer: Peer, message: bytes) -> None:
            if not self._is_counted:
                self._count(peer.connection)
            receive(peer, message)

        def read_by_websockets(link: ServerLink, data: bytes, at: int) -> int:
            self._count(cast("Peer", link.receiver).connection)
            self._is_counted = True  # The message that the frame completes.
            try:
                return read(link, data, at)
            finally:
                self._is_counted = False

        monkeypatch.setattr(Peer, "frame_received", frame_received)
        monkeypatch.setattr(ServerLink, "_read_by_websockets", read_by_websockets)

    def _count(self, connection: Connection) -> None:
        (self.strange if connection.principal is None else self.known)[-1] += 1

    def follow(self) -> None:
        """Begin a new turn in each turn of the loop from now on."""
        self.known.append(0)
        self.strange.append(0)
        if not self._has_ended:
            asyncio.get_running_loop().call_soon(self.follow)

    def end(self) -> None:
        self._has_ended = True


@pytest.mark.parametrize("kind", MANY_FRAMES)
def test_strangers_together_have_one_frame_in_each_turn_of_the_loop(
    tools: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Whatever they send, and however much at once, those who are in are served in between."""
    turns, frames = Turns(monkeypatch), MANY_FRAMES[kind](tools.frame)

    async def main() -> None:
        auth = {"unauthenticated_per_address": 64, "violations": 100_000}
        async with tools.serve(auth=auth) as server, tools.connect(server) as owner:
            turns.follow()
            strangers = [await tools.websocket(server, Authorization=None) for _ in range(5)]
            early = await tools.raw(server)  # Its frames come with the handshake.
            for raw in strangers:
                raw.writer.write(frames)
            early.writer.write(tools.upgrade(server, Authorization=None) + frames)
            last = tools.request("rpc.authenticate", [tools.TOKEN]).encode()
            strangers[-1].writer.write(tools.frame(1, last))
            assert not any(turns.strange), "the loop has had no turn since, so the call comes among all these frames"
            assert (await tools.call(owner, "rpc.ping"))["result"] == "pong"
            await tools.until(lambda: sum(c.principal is not None for c in server.connections) == 2)
            await tools.until(lambda: sum(turns.strange) >= 6 * 500)
            for raw in strangers:
                await raw.close()  # One leaves the queue while the others wait in it.
            await tools.until(lambda: len(server.connections) == 2)
            turns.end()

    tools.run(main())
    assert max(turns.strange) == 1


def test_the_rest_of_a_stranger_who_has_gone_is_not_read(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch)

    async def main() -> None:
        async with tools.serve() as server, tools.connect(server) as owner:
            turns.follow()
            for _ in range(3):
                raw = await tools.websocket(server, Authorization=None)
                raw.writer.write(MANY_FRAMES["messages"](tools.frame))
                raw.writer.write_eof()
                await raw.rest()
                await raw.close()
            await tools.until(lambda: len(server.connections) == 1)
            assert (await tools.call(owner, "rpc.ping"))["result"] == "pong"
            turns.end()

    tools.run(main())
    assert max(turns.strange) <= 1


def test_control_frames_are_read_in_several_turns_of_the_loop(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control frame without data takes six bytes, and as long as hundreds of others."""
    turns = Turns(monkeypatch)

    async def main() -> None:
        async with tools.serve() as server:
            turns.follow()
            raw = await tools.websocket(server)
            raw.writer.write(tools.frame(9, b"") * 5000)
            await tools.until(lambda: sum(turns.known) == 5000)
            turns.end()
            await raw.close()

    tools.run(main())
    assert max(turns.known) <= 2 * TURN_FRAMES, "the rest of the last input, and the beginning of the next"


def test_whoever_breaks_too_many_rules_is_read_no_more(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    later: list[int] = []
    close, receive = ServerLink.close, ServerLink.data_received

    def close_link(self: ServerLink, code: int, reason: str, *, patient: bool = True) -> None:
        close(self, code, reason, patient=patient)
        closed.append(code == 1008)

    def data_received(self: ServerLink, data: bytes) -> None:
        if closed:
            later.append(len(data))
        receive(self, data)

    async def main() -> None:
        async with tools.serve(limits={"violations": 10}) as server:
            raw = await tools.websocket(server)
            monkeypatch.setattr(ServerLink, "close", close_link)
            monkeypatch.setattr(ServerLink, "data_received", data_received)
            bad = tools.frame(1, b"{}")
            await raw.send(bad * 20)
            assert await raw.close_code() == 1008
            with contextlib.suppress(ConnectionError):
                while True:  # Until the connection ends, though this side goes on and never says goodbye.
                    raw.writer.write(bad * 10_000)
                    await asyncio.wait_for(raw.writer.drain(), tools.SECONDS)
            await tools.until(lambda: not server.connections)

    tools.run(main())
    assert closed == [True]
    assert not later
