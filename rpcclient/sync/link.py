"""The client's end of a WebSocket without an event loop: one thread reads, and writes what a caller could not."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import OPEN, Event

from rpcwire.assembly import Assembler, StreamBroken, takes_data
from rpcwire.limits import CLOSE_TIMEOUT_S, LinkLimits

from .dial import RECEIVE_BYTES, Opened
from .keepalive import Keepalive
from .waiter import READABLE, WRITABLE, Waiter

logger = logging.getLogger("rpcclient")


class FrameReceiver(Protocol):
    """What a link reports. Never called while its lock is held."""

    def frame_received(self, frame: bytes) -> None:
        """One whole frame has come."""
        ...

    def woken(self) -> None:
        """The link's thread has been waiting, and may have been woken."""
        ...

    def link_lost(self, reason: str) -> None:
        """The connection has ended, for whatever reason. Called once."""
        ...


class Link(Protocol):
    """A way for whole frames to the other side.

    Attributes:
        lock: guards the link, and all that belongs to its connection.
        room: whether the other side takes what is sent; cleared while too much of it waits.
    """

    lock: threading.Lock
    room: threading.Event

    @property
    def is_open(self) -> bool:
        """Whether frames still go out."""
        ...

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order, without waiting. The lock must be held."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close in an orderly way (RFC 6455, section 7.4); what was sent before still goes out."""
        ...

    def abort(self) -> None:
        """Drop the connection at once. Takes no lock."""
        ...

    def wake(self) -> None:
        """Have the receiver's ``woken`` called. Takes no lock."""
        ...

    def run(self, receiver: FrameReceiver) -> None:
        """Receive until the connection has ended."""
        ...


class SocketLink:
    """A link over a socket.

    Parameters:
        opened: the WebSocket.
        waiter: what its thread waits with.
        limits: how it guards itself.
        binary: whether messages go in binary frames; text otherwise.
    """

    def __init__(self, opened: Opened, waiter: Waiter, limits: LinkLimits, *, binary: bool) -> None:
        self.lock = threading.Lock()
        self.room = threading.Event()
        self.room.set()
        self._sock: socket.socket = opened.sock
        self._ws = opened.ws
        self._tls = opened.tls
        self._early: Iterable[Event] = opened.events
        self._waiter = waiter
        self._limits = limits
        self._assembler = Assembler(binary=binary)
        self._send_frame = self._ws.send_binary if binary else self._ws.send_text
        self._output = bytearray()
        self._taken_at = math.inf  # When the other side last took any output, while some waits.
        self._keepalive = Keepalive(limits, time.monotonic())
        self._close_by = math.inf
        self._over = False
        self._reason = ""

    # --- for any thread -----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self._ws.state is OPEN and not self._over

    def send(self, frames: Sequence[bytes]) -> None:
        if self.is_open:
            for frame in frames:
                self._send_frame(frame)
            self._write()

    def close(self, code: int, reason: str) -> None:
        with self.lock:
            if self._ws.state is OPEN:
                self._ws.send_close(code, reason[:120])
                self._write()
            self._close_by = min(self._close_by, time.monotonic() + CLOSE_TIMEOUT_S)
        self._waiter.wake()

    def abort(self) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._waiter.wake()

    def wake(self) -> None:
        self._waiter.wake()

    def _write(self) -> None:
        """Hand to the socket what the WebSocket has to say; what it does not take now, the thread sends later."""
        chunks = self._ws.data_to_send()
        if not chunks:
            return
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if self._tls is not None:
            data = self._tls.encrypt(data)
        if not chunks[-1]:  # websockets says end-of-file by an empty chunk.
            self._close_by = min(self._close_by, time.monotonic() + CLOSE_TIMEOUT_S)
            if self._tls is not None:
                data += self._tls.end()
        if self._output:
            self._output += data
        elif data and (taken := self._push(data)) < len(data):
            self._output += memoryview(data)[taken:]
            self._taken_at = time.monotonic()
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
        """Give the connection up; its thread will notice."""
        self._reason = self._reason or reason
        self._over = True
        self._waiter.wake()

    # --- its thread ---------------------------------------------------------------------------------------------

    def run(self, receiver: FrameReceiver) -> None:
        try:
            with self.lock:
                self._answer()  # To what came together with the handshake.
            self._handle(self._early, receiver)
            while not self._over:
                self._step(receiver)
        except Exception as exc:
            logger.exception("the connection failed")
            self._reason = self._reason or f"{type(exc).__name__} while receiving"
        finally:
            self._over = True
            self._waiter.watch(None)
            with self.lock:
                self._sock.close()
            self.room.set()
            receiver.link_lost(self._reason or self._farewell())

    def _step(self, receiver: FrameReceiver) -> None:
        wait = self._tend()
        if self._over:
            return
        ready = self._waiter.wait(READABLE | WRITABLE if self._output else READABLE, wait)
        if ready & WRITABLE:
            with self.lock:
                self._drain()
        if ready & ~WRITABLE:
            self._receive(receiver)
        receiver.woken()

    def _drain(self) -> None:
        taken = self._push(self._output)
        if not taken:
            return
        del self._output[:taken]
        self._taken_at = time.monotonic() if self._output else math.inf
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
        self._keepalive.heard(time.monotonic())
        with self.lock:
            last = not data
            try:
                if self._tls is not None and data:
                    data, last = self._tls.decrypt(data)
            except ssl.SSLError as exc:
                data, last = b"", True
                self._reason = self._reason or f"connection lost: TLS: {exc.reason or exc}"
            if data:
                self._ws.receive_data(data)
            if last:
                self._ws.receive_eof()
                self._over = True
            events = self._ws.events_received()
            self._answer()
        self._handle(events, receiver)

    def _answer(self) -> None:
        """Send what the WebSocket itself has to say: pongs, and its part of a close."""
        self._write()
        if self._ws.close_expected():
            self._close_by = min(self._close_by, time.monotonic() + CLOSE_TIMEOUT_S)

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
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self._keepalive.answered()

    def _break_off(self, code: int, reason: str) -> None:
        """The stream is broken: close it with this code, and read nothing more."""
        with self.lock:
            self._reason = self._reason or f"{code} {reason}"
            self._ws.fail(code, reason[:120])
            self._write()
            self._close_by = min(self._close_by, time.monotonic() + CLOSE_TIMEOUT_S)

    def _tend(self) -> float:
        """See to whatever time demands; returns the seconds until the next look."""
        now = time.monotonic()
        if now >= self._close_by:
            self._fail("the other side did not close in time")
        if now >= self._taken_at + self._limits.stall_s:
            self._fail(f"the other side took nothing for {self._limits.stall_s:g} s")
        look_at = self._keepalive.look_at
        if now >= look_at:
            look_at = self._check_alive(now)
        return min(look_at, self._close_by, self._taken_at + self._limits.stall_s) - now

    def _check_alive(self, now: float) -> float:
        if self._keepalive.is_dead(now):
            self._fail(f"no answer to a ping within {self._limits.ping_timeout_s:g} s")
        elif self._keepalive.wants_ping(now) and self._ws.state is OPEN:
            with self.lock:
                self._ws.send_ping(b"")
                self._write()
        return self._keepalive.look_at

    def _farewell(self) -> str:
        said = self._ws.close_rcvd or self._ws.close_sent
        return "connection lost" if said is None else f"{int(said.code)} {said.reason}".strip()
