"""The client's end of a WebSocket without an event loop. One thread reads, and writes output that a caller could
not."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Response
from websockets.protocol import OPEN, Event

from rpcwire.assembly import Assembler, StreamBroken, hears_after, takes_data
from rpcwire.framing import FrameBoundaries, WholeFrames
from rpcwire.gauge import Gauge
from rpcwire.limits import LinkLimits
from rpcwire.liveness import Farewell, Heartbeat, Keepalive, Look, Stall, heartbeat_s

from .interrupts import Flag
from .waiter import READABLE, WRITABLE, Waiter

if TYPE_CHECKING:
    from .tls import Layer

logger = logging.getLogger("rpcclient")


RECEIVE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """A WebSocket that has just opened.

    Attributes:
        sock: its socket, which does not block.
        ws: its state.
        tls: the TLS layer between the two; ``None`` without TLS.
        response: the server's part of the handshake.
        rest: the input that arrived together with the handshake, and follows it.
    """

    sock: socket.socket
    ws: ClientProtocol
    tls: Layer | None
    response: Response
    rest: bytes


class FrameReceiver(Protocol):
    """The object to which a link reports. The link never calls it while holding its lock."""

    def frame_received(self, frame: bytes) -> None:
        """Handle one whole frame."""
        ...

    def woken(self) -> None:
        """Run what other threads have left for the link's thread. Called after each wait."""
        ...

    def link_lost(self, reason: str) -> None:
        """End everything: the connection has ended, for whatever reason. Called once."""
        ...


class Link(Protocol):
    """Carries whole frames to the other side and back.

    Attributes:
        lock: guards the link, and everything that belongs to its connection.
        room: set while the link accepts output; cleared while too much output waits.
        whole: whether :meth:`send` has accepted all frames, even if an interruption came after that. The caller clears
            it before.
    """

    lock: threading.Lock
    room: Flag
    whole: bool

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        ...

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order, without waiting. The lock must be held."""
        ...

    @property
    def closes_by(self) -> float:
        """The time until which the link waits for the other side to close, too, on the clock of :func:`time.monotonic`.
        It moves on while the other side reads output that was sent before."""
        ...

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:
        """Close in an orderly way (RFC 6455, section 7.4): frames sent before still arrive.

        Parameters:
            code: the WebSocket close code.
            reason: a text for a person, at most 123 bytes.
            patient: whether to wait as long as the other side keeps reading what was sent before; otherwise wait some
                seconds only.
        """
        ...

    def leave(self) -> None:
        """Have the link's thread close in an orderly way. Takes no lock, because the garbage collector may call it at
        any moment."""
        ...

    def abort(self) -> None:
        """Drop the connection at once. Takes no lock."""
        ...

    def on_fork(self) -> None:
        """Give the connection up after a fork: it belongs to the parent."""
        ...

    def wake(self) -> None:
        """Have the link's thread call the receiver's ``woken``. Takes no lock."""
        ...

    def run(self, receiver: FrameReceiver) -> None:
        """Receive until the connection has ended."""
        ...


class SocketLink:
    """A link over a socket.

    Parameters:
        opening: the WebSocket.
        waiter: waits for the socket.
        limits: the limits of the link.
        binary: whether to send messages in binary frames; otherwise in text frames.
        plain: whether other programs speak this form of the wire, too.
    """

    def __init__(
        self, opening: OpenSocket, waiter: Waiter, limits: LinkLimits, *, binary: bool, plain: bool = False
    ) -> None:
        self.lock = threading.Lock()
        self.room = Flag(up=True)
        self.whole = True
        self._sock: socket.socket = opening.sock
        self._ws = opening.ws
        self._tls = opening.tls
        self._rest = opening.rest
        self._waiter = waiter
        self._limits = limits
        self._assembler = Assembler(binary=binary)
        self._frames = WholeFrames(binary=binary, client=True)
        self._boundaries = FrameBoundaries()
        self._is_between = True
        self._output = bytearray()
        self._written_bytes = 0
        self._gauge = Gauge(opening.sock)
        self._keepalive = Keepalive(limits, time.monotonic())
        self._heartbeat = Heartbeat(heartbeat_s(plain=plain))
        self._stall = Stall(limits.stall_s)
        self._farewell: Farewell | None = None
        self._must_close = False
        self._is_over = False
        self._reason = ""

    # --- called by any thread -----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self._ws.state is OPEN and not self._is_over

    def send(self, frames: Sequence[bytes]) -> None:
        if self._ws.state is OPEN and not self._is_over:
            write = self._frames.write
            self._transmit(write(frames[0]) if len(frames) == 1 else b"".join([write(frame) for frame in frames]))
        self.whole = True

    @property
    def closes_by(self) -> float:
        farewell = self._farewell
        return math.inf if farewell is None else farewell.look_at

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:
        with self.lock:
            if self._ws.state is OPEN:
                self._ws.send_close(code, reason[:120])
                self._write()
            self._expect_close(patient=patient)
        self._waiter.wake()

    def leave(self) -> None:
        self._must_close = True
        self._waiter.wake()

    def on_fork(self) -> None:
        self._is_over = True
        self.lock = threading.Lock()
        self.room = Flag(up=True)

    def abort(self) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._waiter.wake()

    def wake(self) -> None:
        self._waiter.wake()

    def _write(self) -> None:
        """Write the WebSocket's output to the socket. The thread sends later what the socket does not accept now."""
        chunks = self._ws.data_to_send()
        if not chunks:
            return
        is_last = not chunks[-1]  # An empty chunk of websockets means the end of the output.
        if is_last:
            self._expect_close()
        self._transmit(b"".join(chunks), is_last=is_last)

    def _transmit(self, data: bytes, *, is_last: bool = False) -> None:
        self._heartbeat.note_output()
        if self._tls is not None:
            data = self._tls.encrypt(data)
            if is_last:
                data += self._tls.end()
        self._written_bytes += len(data)
        if self._output:
            self._keep(data)
        elif data:
            self._push_or_keep(data)

    def _push_or_keep(self, data: bytes) -> None:
        """Send what the socket accepts, and keep the rest. Ctrl-C often comes here: the other side has the message and
        works on it while this thread waits for its turn to go on. So the output is whole even after an
        interruption."""
        sizes: list[int] = []
        try:
            # This is one step of the interpreter: no interruption can come between sending and storing the size.
            sizes.extend(map(self._sock.send, (data,)))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            self._fail(f"connection lost: {exc.strerror or exc}")
            sizes.append(len(data))
        finally:
            if (sent_bytes := sum(sizes)) < len(data):
                self._keep(memoryview(data)[sent_bytes:])
            self.whole = True

    def _keep(self, data: bytes | memoryview) -> None:
        """Leave output to the thread."""
        begins = not self._output
        self._output += data
        if begins:
            self._stall.begin(time.monotonic(), self._count_received())
            self._waiter.wake()
        if len(self._output) > self._limits.high_water_bytes:
            self.room.clear()
        if len(self._output) > self._limits.outgoing_bytes:
            self._fail(f"the other side does not read: {len(self._output)} bytes wait")

    def _push(self, data: bytes | bytearray) -> int:
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as exc:
            self._fail(f"connection lost: {exc.strerror or exc}")
            return len(data)

    def _fail(self, reason: str) -> None:
        """Give the connection up. The thread notices it."""
        self._reason = self._reason or reason
        self._is_over = True
        self._waiter.wake()

    # --- in the link's thread
    # ---------------------------------------------------------------------------------------------

    def run(self, receiver: FrameReceiver) -> None:
        try:
            self.run_while(lambda: True, receiver, math.inf)
        except Exception as exc:
            logger.exception("the connection failed")
            self._reason = self._reason or f"{type(exc).__name__} while receiving"
        finally:
            self._is_over = True
            self._waiter.watch(None)
            with self.lock:
                self._sock.close()
            self.room.set()
            receiver.link_lost(self._reason or self._last_words())

    def run_while(self, is_wanted: Callable[[], bool], receiver: FrameReceiver, until: float) -> None:
        """Receive while ``is_wanted`` returns true. :meth:`run` goes on after that, or ends the connection.

        Parameters:
            is_wanted: whether to go on.
            receiver: gets the frames.
            until: the end of the wait, on the clock of :func:`time.monotonic`.
        """
        rest, self._rest = self._rest, b""
        if rest:
            self._read(rest, receiver)
        while not self._is_over and is_wanted() and (rest_s := until - time.monotonic()) > 0:
            self._step(receiver, rest_s)

    def _step(self, receiver: FrameReceiver, rest_s: float) -> None:
        if self._must_close and self._ws.state is OPEN:
            self.close(1000, "", patient=False)
        wait = min(self._tend(), rest_s)
        if self._is_over:
            return
        ready = self._waiter.wait(READABLE | WRITABLE if self._output else READABLE, wait)
        if ready & WRITABLE:
            with self.lock:
                self._drain()
        if ready & ~WRITABLE:
            self._receive(receiver)
        receiver.woken()

    def _drain(self) -> None:
        size = self._push(self._output)
        if not size:
            return
        del self._output[:size]
        if not self._output:
            self._stall.end()
        if len(self._output) <= self._limits.high_water_bytes // 4:
            self.room.set()

    def _receive(self, receiver: FrameReceiver) -> None:
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._fail(f"connection lost: {exc.strerror or exc}")
            return
        self._keepalive.heard_at = time.monotonic()
        is_last = not data
        if self._tls is not None and data:
            data, is_last = self._decrypt(self._tls, data)
        self._read(data, receiver, is_last=is_last)

    def _decrypt(self, tls: Layer, data: bytes) -> tuple[bytes, bool]:
        """Return what the other side sent, and whether that is its end."""
        try:
            with self.lock:
                return tls.decrypt(data)
        except OSError as exc:  # An ssl.SSLError. Whoever uses no TLS does not load its module.
            self._reason = self._reason or f"connection lost: TLS: {getattr(exc, 'reason', None) or exc}"
            return b"", True

    def _read(self, data: bytes, receiver: FrameReceiver, *, is_last: bool = False) -> None:
        """Read input of the WebSocket."""
        at, size = 0, len(data)
        while True:
            if self._is_between:
                at = self._read_whole(data, at, receiver)
            if at == size:
                break
            at = self._read_by_websockets(data, at, receiver)
        if is_last:
            self._read_end(receiver)
        if self._heartbeat.note_input(self._keepalive.heard_at, size) and self._ws.state is OPEN:
            with self.lock:
                self._ws.send_pong(b"")
                self._write()

    def _read_whole(self, data: bytes, at: int, receiver: FrameReceiver) -> int:
        """Read whole messages from this place on. Return the place of the end of the last."""
        read, size, most_bytes = self._frames.read, len(data), self._ws.max_message_size
        assert most_bytes is not None
        while at < size and self._ws.state is OPEN and (whole := read(data, at, most_bytes)) is not None:
            message, at = whole
            receiver.frame_received(message)
        return at

    def _read_by_websockets(self, data: bytes, at: int, receiver: FrameReceiver) -> int:
        """Read one frame that begins or goes on at this place, or its part. Return the place of its end."""
        with self.lock:
            end = self._boundaries.follow(data, at) if self._ws.state is OPEN else len(data)
            self._ws.receive_data(data[at:end])
            events = self._ws.events_received()
            self._answer()
        self._handle(events, receiver)
        self._is_between = self._boundaries.is_between and self._assembler.is_between
        return end

    def _read_end(self, receiver: FrameReceiver) -> None:
        with self.lock:
            self._ws.receive_eof()
            self._is_over = True
            events = self._ws.events_received()
            self._answer()
        self._handle(events, receiver)

    def _answer(self) -> None:
        """Send the WebSocket's own output: pongs, and its part of a close."""
        self._write()
        if self._ws.close_expected():
            self._expect_close()

    def _handle(self, events: Iterable[Event], receiver: FrameReceiver) -> None:
        for event in events:
            if isinstance(event, Frame) and event.opcode in DATA_OPCODES and takes_data(self._ws):
                try:
                    message = self._assembler.feed(event)
                except StreamBroken as exc:
                    self._break_off(exc.code, exc.reason)
                    return
                if message is not None:
                    receiver.frame_received(message)

    def _break_off(self, code: int, reason: str) -> None:
        """Close the WebSocket with this code, and read nothing more, because the other side has broken a rule."""
        with self.lock:
            self._reason = self._reason or f"{code} {reason}"
            self._ws.fail(code, reason[:120])
            self._write()
            self._expect_close()

    def _count_received(self) -> int:
        return self._gauge.count_received(self._written_bytes, len(self._output))

    def _count_waiting(self) -> int:
        return self._gauge.count_waiting(len(self._output))

    def _expect_close(self, *, patient: bool = True) -> None:
        if self._farewell is None:
            now, timeout_s = time.monotonic(), self._limits.close_timeout_s
            self._farewell = Farewell(
                now,
                self._count_received(),
                self._count_waiting(),
                timeout_s,
                patient=patient,
                hears=hears_after(self._ws),
            )

    def _tend(self) -> float:
        """Check all time limits. Return the seconds until the next check."""
        now = time.monotonic()
        keepalive, stall, farewell = self._keepalive, self._stall, self._farewell
        if farewell and now >= farewell.look_at and farewell.look(now, self._count_received(), keepalive.heard_at):
            self._fail("the other side did not close in time")
        if now >= stall.look_at and stall.look(now, self._count_received(), keepalive.heard_at):
            self._fail(f"the other side took nothing for {self._limits.stall_s:g} s")
        if now >= keepalive.look_at:
            self._check_alive(now)
        return min(keepalive.look_at, stall.look_at, self.closes_by if farewell else math.inf) - now

    def _check_alive(self, now: float) -> None:
        with self.lock:
            look = self._keepalive.look(now, self._count_received(), self._count_waiting())
            if look is Look.PING and self._ws.state is OPEN:
                self._ws.send_ping(b"")
                self._write()
        if look is Look.DEAD:
            self._fail(f"no answer to a ping within {self._limits.ping_timeout_s:g} s")

    def _last_words(self) -> str:
        close = self._ws.close_rcvd or self._ws.close_sent
        return "connection lost" if close is None else f"{int(close.code)} {close.reason}".strip()
