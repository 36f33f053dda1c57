"""What the other side may do wrong on the wire, and how the synchronous link guards itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from rpcclient import AsyncClient, Client
from rpcclient.errors import ConnectionLost, DeadlineExceeded, InternalError, RemoteProtocolError, RpcError, TooLarge
from rpcclient.sync.dial import OpenSocket
from rpcwire.aio.websocket import WebSocketLink
from rpcwire.codec import codec_for
from rpcwire.limits import LinkLimits
from rpcwire.threads.link import SocketLink
from rpcwire.threads.waiter import READABLE, Waiter


def answers(*texts: str) -> Any:
    """A script that answers one call with these messages, one after the other."""

    def script(connection: Any) -> None:
        connection.handshake()
        call = json.loads(connection.receive())
        for text in texts:
            connection.send(text.replace("ID", str(call["id"])))
        connection.wait_closed()

    return script


def call(url: str, **options: Any) -> Any:
    with Client(url, token="x", subprotocol="rpc.v1.json", **options) as client:
        return client.call("a.b", [1])


def test_odd_but_harmless(scripted: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What concerns no call of ours is logged, and the call goes on."""
    odd = [
        "not json",
        "[]",
        '{"jsonrpc":"2.0","id":99,"result":1}',
        '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"odd\\n"}}',
        '{"jsonrpc":"2.0","method":"rpc.stream.item","params":{"stream":"s9","items":[1]}}',
        '{"jsonrpc":"2.0","method":"rpc.stream.end","params":{"stream":"s9"}}',
        '{"jsonrpc":"2.0","method":"rpc.stream.credit","params":{"stream":"c9","n":-1}}',
        '{"jsonrpc":"2.0","method":"rpc.progress","params":{"id":"x","done":1}}',
        '{"jsonrpc":"2.0","method":"nobody.offers"}',
        '{"jsonrpc":"2.0","id":1,"method":"nobody.offers"}',
        '{"jsonrpc":"2.0","id":2,"method":"rpc.cancel","params":{"id":5}}',
    ]
    with caplog.at_level(logging.WARNING):
        assert call(scripted(answers(*odd, '{"jsonrpc":"2.0","id":ID,"result":"fine"}'))) == "fine"
    assert len(caplog.records) >= 6
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_error_object_that_is_none(scripted: Any) -> None:
    with pytest.raises(InternalError, match="malformed"):
        call(scripted(answers('{"jsonrpc":"2.0","id":ID,"error":{"code":"x"}}')))


def test_result_that_is_not_of_its_type(scripted: Any) -> None:
    url = scripted(answers('{"jsonrpc":"2.0","id":ID,"result":"x"}'))
    with (
        Client(url, token="x", subprotocol="rpc.v1.json") as client,
        pytest.raises(RemoteProtocolError, match="does not fit"),
    ):
        client.call("a.b", returns=int)


def test_stream_with_more_items_than_granted(scripted: Any) -> None:
    many = json.dumps({"jsonrpc": "2.0", "method": "rpc.stream.item", "params": {"stream": "s1", "items": [0] * 500}})
    url = scripted(answers('{"jsonrpc":"2.0","id":ID,"result":{"stream":"s1"}}', many))
    with Client(url, token="x", subprotocol="rpc.v1.json") as client, pytest.raises(RpcError, match="more items"):
        list(client.stream("a.b"))


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_an_answer_that_comes_together_with_the_close(scripted: Any, flavour: str) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        call = json.loads(connection.receive())
        connection.ws.send_text(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": "fine"}).encode())
        connection.ws.send_close(1001, "the server is stopping")
        connection.flush()
        connection.wait_closed()

    async def main() -> None:
        async with AsyncClient(scripted(script), token="x", subprotocol="rpc.v1.json") as client:
            assert await client.call("a.b", [1]) == "fine"

    if flavour == "async":
        asyncio.run(main())
    else:
        assert call(scripted(script)) == "fine"


def test_stream_that_is_open_already(scripted: Any) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        for _ in range(2):
            while "id" not in (sent := json.loads(connection.receive())):
                pass  # Credit for the first.
            connection.send(json.dumps({"jsonrpc": "2.0", "id": sent["id"], "result": {"stream": "s1"}}))
        connection.wait_closed()

    with Client(scripted(script), token="x", subprotocol="rpc.v1.json") as client:
        first = client.stream("a.b").open()
        with pytest.raises(RemoteProtocolError, match="open already"):
            client.stream("a.b").open()
        assert first is not None


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_the_name_of_a_stream_that_is_no_text(scripted: Any, flavour: str) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        for result in ({"stream": "s1"}, "fine"):
            sent = msgspec.msgpack.decode(connection.receive())
            answer = msgspec.msgpack.encode({"jsonrpc": "2.0", "id": sent["id"], "result": result})
            connection.send(answer.replace(b"\xa2s1", b"\xa2\xff\xff"))
        connection.wait_closed()

    async def main() -> None:
        options: Any = {"token": "x", "subprotocol": "rpc.v1.msgpack", "timeout_s": 10, "reconnect": False}
        async with AsyncClient(scripted(script), **options) as client:
            with pytest.raises(RemoteProtocolError, match="no stream"):
                await client.stream("a.b").open()
            assert await client.call("a.c") == "fine"

    if flavour == "async":
        asyncio.run(main())
        return
    url = scripted(script)
    with Client(url, token="x", subprotocol="rpc.v1.msgpack", timeout_s=10, reconnect=False) as client:
        with pytest.raises(RemoteProtocolError, match="no stream"):
            client.stream("a.b").open()
        assert client.call("a.c") == "fine"


def closes_with(code: int, *frames: Any) -> Any:
    def script(connection: Any) -> None:
        connection.handshake()
        connection.receive()
        for frame in frames:
            frame(connection.ws)
            connection.flush()
        assert connection.wait_closed() == code

    return script


def fragments(ws: Any) -> None:
    ws.send_text(b"a", fin=False)
    for _ in range(1100):
        ws.send_continuation(b"", fin=False)


@pytest.mark.parametrize(
    ("code", "frame"),
    [
        (1003, lambda ws: ws.send_binary(b"x")),
        (1007, lambda ws: ws.send_text(b"\xff")),
        (1009, fragments),
        (1002, lambda ws: ws.writes.append(b"\xff\xff\xff\xff")),
    ],
    ids=["binary", "no UTF-8", "fragments", "no frame"],
)
def test_broken_frames_close_the_connection(scripted: Any, code: int, frame: Any) -> None:
    with pytest.raises(ConnectionLost):
        call(scripted(closes_with(code, frame)), reconnect=False)


def test_fragments_make_one_message(scripted: Any) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        sent = json.loads(connection.receive())
        connection.ws.send_text(b'{"jsonrpc":"2.0",', fin=False)
        connection.ws.send_ping(b"between")
        connection.ws.send_continuation(f'"id":{sent["id"]},"result":5}}'.encode(), fin=True)
        connection.flush()
        connection.wait_closed()

    assert call(scripted(script)) == 5


def test_a_connection_that_breaks_without_a_word(scripted: Any) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        connection.receive()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with pytest.raises(ConnectionLost, match="connection lost"):
        call(scripted(script), reconnect=False)


def test_an_answer_after_the_deadline_is_dropped(scripted: Any) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        late = json.loads(connection.receive())
        cancel = json.loads(connection.receive())
        assert cancel == {"jsonrpc": "2.0", "method": "rpc.cancel", "params": {"id": late["id"]}}
        connection.send(json.dumps({"jsonrpc": "2.0", "id": late["id"], "result": {"stream": "s1"}}))
        # The next call may overtake what the late answer brings about.
        seen: dict[str, Any] = {}
        while not {"rpc.stream.cancel", "a.b"} <= seen.keys():
            for line in connection.receive().splitlines():
                message = json.loads(line)
                seen[message["method"]] = message
        assert seen.keys() <= {"rpc.stream.cancel", "rpc.stream.credit", "a.b"}
        sent = seen["a.b"]
        connection.send(json.dumps({"jsonrpc": "2.0", "id": sent["id"], "result": "next"}))
        connection.wait_closed()

    with Client(scripted(script), token="x", subprotocol="rpc.v1.json", timeout_s=0.1) as client:
        with pytest.raises(DeadlineExceeded, match="did not come in time"):
            client.stream("a.b").open()
        assert client.options(timeout_s=10).call("a.b") == "next"


def test_messages_beyond_the_limit_are_not_sent(start: Any) -> None:
    running = start(limits={"message_bytes": 10_000})
    with Client(running.unix) as client:
        with pytest.raises(TooLarge) as caught:
            client.call("desk.swallow", [bytes(20_000)])
        assert caught.value.executed == "no"
        with pytest.raises(TooLarge), client.batch() as batch:
            batch.call("desk.add", [1])
            batch.call("desk.swallow", [bytes(20_000)])
        with pytest.raises(TooLarge):
            client.call("desk.blob", [20_000])
        assert client.call("desk.add", [1]) == 11


@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize("outgoing_mib", [64, 128])
def test_what_the_client_does_not_take_is_not_sent(start: Any, token: str, flavour: str, outgoing_mib: int) -> None:
    """The server may send more than the client takes, and is told so."""
    running = start(limits={"message_bytes": 128 * 2**20, "outgoing_bytes": outgoing_mib * 2**20})
    size = 65 * 2**20
    if flavour == "sync":
        with Client(running.tcp, token=token, reconnect=False) as client:
            with pytest.raises(TooLarge, match=f"the limit is {64 * 2**20}") as caught:
                client.call("desk.blob", [size])
            with pytest.raises(TooLarge, match=r"an item of a stream") as of_item:
                list(client.stream("desk.pieces", [1, size]))
            assert client.call("desk.add", [1]) == 11
    else:

        async def main() -> tuple[Any, Any]:
            async with AsyncClient(running.tcp, token=token, reconnect=False) as client:
                with pytest.raises(TooLarge, match=f"the limit is {64 * 2**20}") as caught:
                    await client.call("desk.blob", [size])
                with pytest.raises(TooLarge, match=r"an item of a stream") as of_item:
                    async for _ in client.stream("desk.pieces", [1, size]):
                        pass
                assert await client.call("desk.add", [1]) == 11
                return caught, of_item

        caught, of_item = asyncio.run(main())
    assert (caught.value.executed, of_item.value.executed) == ("yes", "yes")


def test_uploads_whose_call_is_refused(running: Any) -> None:
    """More than there may be streams: none of them stays open."""
    with Client(running.unix) as client:
        desk = client.service("desk")
        for _ in range(300):
            with pytest.raises(RpcError):
                desk.total(items=[1], start="x")
        assert desk.total(items=[1, 2]) == 3


def test_large_messages_both_ways(running: Any, token: str) -> None:
    """More than a socket takes at once: the reader writes what the caller could not."""
    with Client(running.tcp, token=token) as client:
        data = bytes(8_000_000)
        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.append(client.call("desk.swallow", [data]))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        assert client.call("desk.blob", [8_000_000], returns=bytes) == data
        for thread in threads:
            thread.join(20)
        assert results == [8_000_000] * 3


# --- the link alone, over a socket pair ---------------------------------------------------------------------------------


class Receiver:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.lost: list[str] = []

    def frame_received(self, frame: bytes) -> None:
        if frame == b"boom":
            raise RuntimeError("a bug")
        self.frames.append(frame)

    def woken(self) -> None:
        pass

    def link_lost(self, reason: str) -> None:
        self.lost.append(reason)


class Pair:
    def __init__(self, limits: LinkLimits) -> None:
        own, self.other = socket.socketpair()
        own.setblocking(False)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.waiter = Waiter()
        self.waiter.watch(own)
        ws = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN)
        self.link = SocketLink(OpenSocket(own, ws, None, Response(101, "", {}), b""), self.waiter, limits, binary=True)  # type: ignore[arg-type]
        self.receiver = Receiver()
        self.thread = threading.Thread(target=self.link.run, args=(self.receiver,))
        self.thread.start()

    def send(self, size: int) -> None:
        with self.link.lock:
            self.link.send([bytes(size)])

    def ended(self) -> str:
        self.thread.join(10)
        assert not self.thread.is_alive()
        (reason,) = self.receiver.lost
        return reason


@pytest.fixture
def pair() -> Iterator[Any]:
    made: list[Pair] = []

    def make(**limits: Any) -> Pair:
        made.append(Pair(LinkLimits(**limits)))
        return made[-1]

    yield make
    for each in made:
        each.link.abort()
        each.thread.join(10)
        each.other.close()
        each.waiter.close()


def test_a_side_that_takes_nothing_is_given_up(pair: Any) -> None:
    ends = pair(stall_s=0.1, high_water_bytes=10_000)
    ends.send(1_000_000)
    assert not ends.link.room.is_set()
    assert ends.ended() == "the other side took nothing for 0.1 s"
    assert ends.link.room.is_set()
    assert not ends.link.is_open
    ends.send(1)


def test_too_much_output_ends_the_connection(pair: Any) -> None:
    ends = pair(outgoing_bytes=100_000)
    ends.send(1_000_000)
    assert ends.ended().startswith("the other side does not read")


def test_output_drains_and_there_is_room_again(pair: Any) -> None:
    ends = pair(high_water_bytes=10_000)
    ends.send(500_000)
    assert not ends.link.room.is_set()
    ends.other.settimeout(10)
    left = 500_000
    while left > 0:
        left -= len(ends.other.recv(65536))
    assert ends.link.room.wait(10)
    ends.link.close(1000, "done")
    ends.other.close()
    assert ends.ended().startswith(("1000 done", "connection lost"))


def test_a_silent_side_is_pinged_and_given_up(pair: Any) -> None:
    ends = pair(ping_interval_s=0.05, ping_timeout_s=0.1)
    ends.other.settimeout(10)
    assert ends.other.recv(100)[0] == 0x89
    assert ends.ended() == "no answer to a ping within 0.1 s"


def test_a_side_that_does_not_close_is_dropped(pair: Any) -> None:
    ends = pair(close_timeout_s=0.1)
    ends.link.close(1000, "")
    assert ends.ended() == "the other side did not close in time"


BROKEN = {"protocol": b"\xff\xff\xff\xff", "kind": b"\x81\x01x", "close": b"\x88\x02\x0f\xa0"}
"""What ends a connection, as the other side sends it: no frame, a text among binary frames, a close with the code 4000."""


@pytest.mark.parametrize("kind", BROKEN)
def test_a_side_that_goes_on_after_the_end_is_dropped(pair: Any, kind: str) -> None:
    """It reads nothing, and sends without end: that is no sign that it will read what waits."""
    ends = pair(close_timeout_s=0.1)
    ends.send(100_000)
    ends.other.sendall(BROKEN[kind])

    def flood() -> None:
        with contextlib.suppress(OSError):
            while True:
                ends.other.sendall(bytes(65536))

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        ends.ended()
    finally:
        ends.link.abort()
        flooding.join()


@pytest.mark.parametrize("kind", BROKEN)
def test_an_asynchronous_link_drops_such_a_side_too(kind: str) -> None:
    async def main() -> None:
        own, other = socket.socketpair()
        other.setblocking(False)
        receiver, loop = Receiver(), asyncio.get_running_loop()
        ws = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN)
        link = WebSocketLink(ws, LinkLimits(close_timeout_s=0.1), holds_reading=False)
        await loop.create_connection(lambda: link, sock=own)
        link.attach(receiver, codec_for("rpc.v1.msgpack"))
        link.send([bytes(10_000_000)])
        with other, pytest.raises(ConnectionError):
            await loop.sock_sendall(other, BROKEN[kind])
            async with asyncio.timeout(10):
                while True:
                    await loop.sock_sendall(other, bytes(65536))
        while not receiver.lost:
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_bug_above_ends_the_connection_and_nothing_waits(pair: Any, caplog: pytest.LogCaptureFixture) -> None:
    ends = pair()
    ends.other.sendall(b"\x82\x01x\x82\x04boom")
    assert ends.ended() == "RuntimeError while receiving"
    assert ends.receiver.frames == [b"x"]
    assert "a bug" in caplog.text


def test_an_interruption_while_sending_drops_the_connection(running: Any) -> None:
    """Half a change of the session, or half a frame, would be worse than a new connection."""

    class Interrupt(BaseException):
        pass

    def interrupted() -> None:
        raise Interrupt

    with Client(running.unix) as client:
        peer = client._connector.peer(time.monotonic() + 5)
        with pytest.raises(Interrupt):
            peer.exclusively(interrupted)
        assert peer.closed.wait(10)
        assert client.call("desk.add", [1]) == 11


def test_waiter() -> None:
    waiter = Waiter()
    for _ in range(100_000):
        waiter.wake()  # More than fits: nobody blocks.
    assert waiter.wait(READABLE, 10) == 0
    waiter.stop()
    assert waiter.is_stopped
    waiter.close()
    waiter.wake()


def test_garbage_in_a_thread_that_holds_the_lock(running: Any, until: Any) -> None:
    """A stream may become garbage at any moment, also while its own connection's lock is held."""
    with Client(running.unix) as client:
        peer = client._connector.peer(time.monotonic() + 5)
        stream: Any = client.stream("desk.count", [10**9]).open()
        with peer.link.lock:
            del stream
            gc.collect()
        until(lambda: len(peer.session.streams) == 0)
