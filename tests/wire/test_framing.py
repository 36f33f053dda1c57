"""Whole frames, and where frames begin, by RFC 6455. websockets is the reference."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol, Side
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from rpcwire.aio.websocket import WebSocketLink
from rpcwire.assembly import Assembler, StreamBroken, takes_data
from rpcwire.codec import codec_for
from rpcwire.framing import FrameBoundaries, WholeFrames
from rpcwire.limits import LinkLimits
from rpcwire.threads.link import OpenSocket, SocketLink
from rpcwire.threads.waiter import Waiter

MOST_BYTES = 200_000
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70_000]


def protocol(side: Side, max_size: int = MOST_BYTES) -> Protocol:
    if side is SERVER:
        return ServerProtocol(state=OPEN, max_size=max_size)
    return ClientProtocol(parse_uri("ws://localhost/"), state=OPEN, max_size=max_size)


def other(side: Side) -> Side:
    return CLIENT if side is SERVER else SERVER


both_sides = pytest.mark.parametrize("side", [CLIENT, SERVER])
both_kinds = pytest.mark.parametrize("binary", [False, True])


@both_sides
@both_kinds
@pytest.mark.parametrize("size", SIZES)
def test_websockets_reads_what_is_written(side: Side, binary: bool, size: int) -> None:
    frames, message = WholeFrames(binary=binary, client=side is CLIENT), b"x" * size
    reader = protocol(other(side))
    for _ in range(300):  # More than the masking keys that are made at once.
        reader.receive_data(frames.write(message))
        (frame,) = reader.events_received()
        assert isinstance(frame, Frame)
        assert (bytes(frame.data), frame.fin, frame.opcode is Opcode.BINARY) == (message, True, binary)
        if size > 1000:
            break


@both_sides
@both_kinds
@pytest.mark.parametrize("size", SIZES)
def test_what_websockets_writes_is_read(side: Side, binary: bool, size: int) -> None:
    writer, message = protocol(other(side)), b"x" * size
    (writer.send_binary if binary else writer.send_text)(message)
    data = b"".join(writer.data_to_send())
    frames = WholeFrames(binary=binary, client=side is CLIENT)
    expected = None if size > 65535 else (message, 3 + len(data))
    assert frames.read(b"abc" + data + b"more", 3, MOST_BYTES) == expected
    assert frames.read(data[:-1], 0, MOST_BYTES) is None
    assert frames.read(data, 0, size - 1) is None


def test_keys_differ() -> None:
    frames = WholeFrames(binary=True, client=True)
    keys = {frames.write(bytes(8))[2:6] for _ in range(1000)}
    assert len(keys) > 990


# --- the same as websockets, however the bytes arrive ----------------------------------------------------------------


@dataclass
class Outcome:
    """What the reader of a connection has got, and how the connection ended."""

    messages: list[bytes] = field(default_factory=list)
    close_code: int | None = None


def reference(side: Side, frames: list[bytes], *, binary: bool) -> Outcome:
    """Read frame by frame by websockets only."""
    ws, assembler, outcome = protocol(side), Assembler(binary=binary), Outcome()
    for data in frames:
        ws.receive_data(data)
        for event in ws.events_received():
            if isinstance(event, Frame) and event.opcode in DATA_OPCODES and takes_data(ws):
                try:
                    message = assembler.feed(event)
                except StreamBroken as exc:
                    ws.fail(exc.code, "")
                    continue
                if message is not None:
                    outcome.messages.append(message)
    outcome.close_code = None if ws.close_sent is None else ws.close_sent.code
    return outcome


class Wire(asyncio.Transport):
    """Takes output and drops it."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class ResetWire(Wire):
    """Has lost the other side, which shows when something is done with it."""

    is_aborted = False

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    def abort(self) -> None:
        self.is_aborted = True


class Receiver:
    """Keeps the messages."""

    def woken(self) -> None:
        pass

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def frame_received(self, frame: bytes) -> None:
        self.messages.append(frame)

    def link_lost(self, reason: str) -> None:
        pass

    writing_paused = writing_resumed = cast("Callable[[], None]", lambda self: None)


async def read_by_link(side: Side, pieces: list[bytes], *, binary: bool) -> Outcome:
    ws, receiver = protocol(side), Receiver()
    link = WebSocketLink(ws, LinkLimits(ping_interval_s=0), holds_reading=False)
    link.connection_made(Wire())
    link.attach(receiver, codec_for("rpc.v1.msgpack" if binary else "rpc.v1.json"))
    for piece in pieces:
        link.data_received(piece)
    while link._waiting:  # It reads some in each turn of the loop.
        await asyncio.sleep(0)
    code = None if link.ws.close_sent is None else link.ws.close_sent.code
    link.connection_lost(None)
    return Outcome(receiver.messages, code)


def read_by_socket_link(pieces: list[bytes], *, binary: bool) -> Outcome:
    own, far = socket.socketpair()
    with own, far:
        own.setblocking(False)
        ws, receiver, waiter = protocol(CLIENT), Receiver(), Waiter()
        assert isinstance(ws, ClientProtocol)
        opened = OpenSocket(own, ws, None, Response(101, "", Headers()), b"")
        link = SocketLink(opened, waiter, LinkLimits(ping_interval_s=0), binary=binary)
        for piece in pieces:
            link._read(piece, receiver)  # A socket may join pieces.
        waiter.close()
    return Outcome(receiver.messages, None if ws.close_sent is None else ws.close_sent.code)


def encode(side: Side, frame: Frame, *, is_masked: bool = True) -> bytes:
    """Encode a frame of the other side of ``side``. websockets encodes no frame with a reserved bit."""
    data = Frame(frame.opcode, frame.data, frame.fin).serialize(mask=(side is SERVER) is is_masked)
    return bytes((data[0] | (0x40 if frame.rsv1 else 0),)) + data[1:]


payloads = st.one_of(st.binary(max_size=20), st.sampled_from([b"x" * size for size in SIZES]), st.just("€".encode()))
whole = st.builds(Frame, st.sampled_from([Opcode.TEXT, Opcode.BINARY]), payloads)
odd = st.one_of(
    st.builds(Frame, st.sampled_from(list(DATA_OPCODES)), st.binary(max_size=5), st.booleans(), st.booleans()),
    st.builds(Frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125)),
    st.just(Frame(Opcode.CLOSE, b"\x03\xe8")),
)


@both_sides
@both_kinds
@given(
    st.lists(st.one_of(whole, whole, whole, odd), max_size=8),
    st.lists(st.integers(0, 10**6), max_size=12),
    st.sampled_from([True, True, True, False]),
    st.booleans(),
)
@example([Frame(Opcode.TEXT, b"\xff"), Frame(Opcode.BINARY, b"\x90")], [], True, True)
@example([Frame(Opcode.BINARY, b"x" * 300, fin=False), Frame(Opcode.BINARY, b"x")], [3, 5], True, True)
def test_a_link_reads_as_websockets_does(
    side: Side, binary: bool, frames: list[Frame], cuts: list[int], is_masked: bool, by_bytes: bool
) -> None:
    encoded = [encode(side, frame) for frame in frames[:-1]]
    encoded += [encode(side, frame, is_masked=is_masked) for frame in frames[-1:]]
    data = b"".join(encoded)
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    if by_bytes and len(data) < 3000:
        places = list(range(len(data)))
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]
    expected = reference(side, encoded, binary=binary)
    assert asyncio.run(read_by_link(side, pieces, binary=binary)) == expected
    if side is CLIENT:
        assert read_by_socket_link(pieces, binary=binary) == expected


@given(st.lists(whole, max_size=6), st.integers(0, 10**6))
def test_boundaries(frames: list[Frame], cut: int) -> None:
    encoded = [encode(SERVER, frame) for frame in frames]
    data, ends = b"".join(encoded), {0}
    for frame in encoded:
        ends.add(max(ends) + len(frame))
    boundaries, place = FrameBoundaries(), cut % (len(data) + 1)
    at = 0
    while at < place:
        at = boundaries.follow(data[:place], at)
        assert at in ends or at == place
    assert boundaries.is_between is (place in ends)
    while at < len(data):
        at = boundaries.follow(data, at)
        assert at in ends
    assert boundaries.is_between


def test_a_link_ends_whose_other_side_has_reset_the_connection() -> None:
    async def main() -> None:
        wire = ResetWire()
        link = WebSocketLink(protocol(SERVER), LinkLimits(ping_interval_s=0), holds_reading=False)
        link.connection_made(wire)
        link.attach(Receiver(), codec_for("rpc.v1.json"))
        link.data_received(encode(SERVER, Frame(Opcode.CLOSE, b"\x03\xe8")))
        assert wire.is_aborted
        link.connection_lost(None)

    asyncio.run(main())
