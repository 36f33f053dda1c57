"""Links a WebSocket connection to a peer. It is an :class:`asyncio.Protocol`. It reads and writes whole messages
itself, and uses the Sans-I/O layer of websockets for everything else. Server and client differ only in the handshake,
for which each has a subclass."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import CLIENT, OPEN, Event, Protocol

from rpcwire.assembly import Assembler, StreamBroken, hears_after, takes_data
from rpcwire.codec import Codec
from rpcwire.framing import FrameBoundaries, WholeFrames
from rpcwire.gauge import Gauge
from rpcwire.limits import LinkLimits
from rpcwire.liveness import PLAIN_HEARTBEAT_S, Farewell, Heartbeat, Keepalive, Look, Stall, heartbeat_s
from rpcwire.logs import QUIET

from .link import FrameReceiver, GoOn, Hold

TURN_BYTES = 32 * 1024
"""How much input of whole messages to read in one turn of the event loop, in bytes. What has arrived besides waits for
the next one, so that others have their turn: tiny messages take as long to handle as thousands of bytes."""
TURN_FRAMES = 256
"""How many frames that are no whole messages to read in one turn of the event loop: control frames and fragments. Each
takes as long as hundreds of bytes, and may have none."""
POLICY_VIOLATION = 1008
"""The close code for whoever has broken too many rules (RFC 6455, section 7.4.1)."""
LEAVE_S = 1.0
"""How long whoever has broken too many rules may take to read why the connection ends, in seconds."""


_NO_TIMERS: dict[Callable[[], None], asyncio.TimerHandle] = {}
"""Stands for the timers of links that have none; nothing is ever put into it."""


class WebSocketLink(asyncio.Protocol):
    """The part of a link that both ends have in common.

    Parameters:
        ws: the state of the WebSocket.
        limits: the limits of the link.
        holds_reading: whether to read nothing while the other side reads nothing, so that it cannot ask for more than
            it reads. At most one side may do so, otherwise both would wait for ever.
    """

    __slots__ = (
        "_alive_timer", "_assembler", "_boundaries", "_farewell", "_frame_rest", "_frames", "_gauge", "_heartbeat",
        "_holds_reading", "_ignores_input", "_is_between", "_is_deaf", "_is_lost", "_keepalive", "_last_steps",
        "_reason", "_stall", "_timers", "_turn_bytes", "_waiting", "_written_bytes", "limits", "loop", "receiver",
        "transport", "ws",
    )  # fmt: skip
    """A server has thousands of links, and a dictionary for each takes more memory than all the rest of it."""

    def __init__(self, ws: Protocol, limits: LinkLimits, *, holds_reading: bool) -> None:
        self.ws = ws
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.receiver: FrameReceiver | None = None
        self.transport: asyncio.Transport | None = None
        self._holds_reading = holds_reading
        self._assembler = Assembler(binary=False)
        self._frames = WholeFrames(binary=False, client=False)
        self._boundaries = FrameBoundaries()
        self._is_between = True
        self._is_deaf = False
        self._waiting = b""
        self._frame_rest: GoOn | None = None
        self._turn_bytes = TURN_BYTES
        self._last_steps: tuple[Callable[[], None], ...] = ()
        self._is_lost = False
        self._ignores_input = False
        self._reason = ""
        self._keepalive = Keepalive(limits, self.loop.time())
        self._heartbeat = Heartbeat(PLAIN_HEARTBEAT_S)
        self._stall = Stall(limits.stall_s)
        self._farewell: Farewell | None = None
        self._timers = _NO_TIMERS
        self._alive_timer: asyncio.TimerHandle | None = None
        self._gauge = Gauge(None)
        self._written_bytes = 0

    # --- called by asyncio -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare the socket, which is connected now."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=self.limits.high_water_bytes)
        sock = transport.get_extra_info("socket")
        self._gauge = Gauge(sock)
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Read bytes that have arrived."""
        now = self._keepalive.heard_at = self.loop.time()
        if self._ignores_input or self._is_deaf:
            return
        if self.receiver is None:
            self.head_received(data)
            return
        if self._waiting or self._frame_rest is not None:
            self._waiting += data
        else:
            self._read(self.receiver, data, self._turn_bytes)
        if self._heartbeat.note_input(now, len(data)) and self.ws.state is OPEN:
            self.ws.send_pong(b"")
            self._write()

    def _read(self, receiver: FrameReceiver, data: bytes, turn_bytes: int) -> None:
        """Read frames. Where more has arrived than one turn of the loop takes, the rest waits for the next one."""
        at, size, frames = 0, len(data), 0
        while True:
            if self._is_between and self._frame_rest is None:
                at = self._read_whole(receiver, data, at, turn_bytes)
            if self._frame_rest is not None:
                self._read_later(data[at:])
                return
            if at == size or self._is_deaf:
                return
            if at >= turn_bytes or frames >= TURN_FRAMES:
                self._read_later(data[at:])
                return
            at = self._read_by_websockets(data, at)
            frames += 1

    def _read_whole(self, receiver: FrameReceiver, data: bytes, at: int, turn_bytes: int) -> int:
        """Read whole messages from this place on, as many as one turn takes. Return the end of the last."""
        read, end, most_bytes = self._frames.read, min(len(data), turn_bytes), self.ws.max_message_size
        assert most_bytes is not None
        while at < end and self.ws.state is OPEN and (whole := read(data, at, most_bytes)) is not None:
            message, at = whole
            if (go_on := receiver.frame_received(message)) is not None:
                self._frame_rest = go_on
                break
        return at

    def _read_later(self, data: bytes) -> None:
        self._waiting = data
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        self._read_on_later()

    def _read_on_later(self) -> None:
        rest = self._frame_rest
        if isinstance(rest, Hold):
            rest.then(partial(self.take_turn, self._read_on))
        else:
            self.take_turn(self._read_on)

    def _read_on(self) -> None:
        """Handle more of a frame, or read some of the input that waits, because a new turn of the loop has begun."""
        go_on = self._frame_rest
        if go_on is not None:
            self._frame_rest = go_on()
            if self._frame_rest is not None or self._waiting:
                self._read_on_later()
            else:
                self._resume_reading()
        else:
            data, self._waiting = self._waiting, b""
            if data and self.receiver is not None:
                self._read(self.receiver, data, self._turn_bytes or 1)  # At least one frame.
                if not self._waiting:
                    self._resume_reading()
        if self._last_steps and not self._has_rest():
            steps, self._last_steps = self._last_steps, ()
            for step in steps:
                step()

    def _has_rest(self) -> bool:
        """Whether input waits for later turns of the loop."""
        return bool(self._waiting) or self._frame_rest is not None

    def _read_rest_before(self, step: Callable[[], None]) -> None:
        """Take a step that ends the input when all that waits was read, one turn of the loop after the other. An end
        overrides this if it drops what waits."""
        if self._has_rest():
            self._last_steps = (*self._last_steps, step)
        else:
            step()

    def _resume_reading(self) -> None:
        transport = self.transport
        if (
            transport is None
            or transport.is_closing()
            or self._waiting
            or self._frame_rest is not None
            or self._is_deaf
        ):
            return
        if not (self._holds_reading and self._check_stall in self._timers):
            transport.resume_reading()

    def _read_by_websockets(self, data: bytes, at: int) -> int:
        """Read one frame that begins or goes on at this place, or its part. Return the place of its end."""
        end = self._boundaries.follow(data, at) if self.ws.state is OPEN else len(data)
        self.ws.receive_data(data[at:end])
        self._after_receiving()
        self._is_between = self._boundaries.is_between and self._assembler.is_between
        self.input_waits(0 if self._is_between else len(self.ws.reader.buffer) + self._assembler.waiting_bytes)
        return end

    def eof_received(self) -> bool:
        """Note that the other side sends no more."""
        self._read_rest_before(self._read_end)
        return False

    def _read_end(self) -> None:
        if not self._ignores_input:
            self.ws.receive_eof()
            self._after_receiving()

    def connection_lost(self, exc: Exception | None) -> None:
        """End everything, because the socket is closed, when what had arrived is handled."""
        self._read_rest_before(partial(self._end, exc))

    def _end(self, exc: Exception | None) -> None:
        for timer in self._timers.values():
            timer.cancel()
        if self._alive_timer is not None:
            self._alive_timer.cancel()
        if self._is_lost:
            return
        self._is_lost = True
        if not self._reason:
            close = self.ws.close_rcvd or self.ws.close_sent
            if close is not None:
                self._reason = f"{int(close.code)} {close.reason}".strip()
            else:
                self._reason = f"connection lost: {exc}" if exc is not None else "connection lost"
        if self.receiver is not None:
            self.receiver.link_lost(self._reason)
        self.on_end()

    def pause_writing(self) -> None:
        """Note that more output waits than the other side reads."""
        assert self.transport is not None
        if self._holds_reading:
            self.transport.pause_reading()
        if self._check_stall not in self._timers:
            self._stall.begin(self.loop.time(), self._count_received())
            self._look_at(self._stall.look_at, self._check_stall)
        if self.receiver is not None:
            self.receiver.writing_paused()

    def resume_writing(self) -> None:
        """Note that the output was sent."""
        self._stall.end()
        self.output_waits(0)
        if self._check_stall in self._timers:
            self._timers.pop(self._check_stall).cancel()
        if self._holds_reading:
            self._resume_reading()
        if self.receiver is not None:
            self.receiver.writing_resumed()

    # --- called by the peer ----------------------------------------------------------------------------------------

    def attach(self, receiver: FrameReceiver, codec: Codec) -> None:
        """Hand frames to ``receiver`` from now on, because the handshake is over.

        Parameters:
            receiver: gets the frames.
            codec: the form of the wire.
        """
        self.receiver = receiver
        # The state of the handshake keeps the request with all its headers, and nobody needs it any more.
        self.ws = Protocol(self.ws.side, state=self.ws.state, max_size=self.ws.max_message_size, logger=QUIET)
        self._assembler = Assembler(binary=codec.binary)
        self._frames = WholeFrames(binary=codec.binary, client=self.ws.side is CLIENT)
        self._keepalive = Keepalive(self.limits, self.loop.time())
        self._heartbeat = Heartbeat(heartbeat_s(plain=codec.batches))
        if self.limits.ping_interval_s > 0:
            self._alive_timer = self.loop.call_at(self._keepalive.look_at, self._check_alive)

    def hand_over(self, receiver: FrameReceiver) -> None:
        """Hand frames to another receiver from now on. It is told first if the link takes no output at the moment."""
        self.receiver = receiver
        if self._check_stall in self._timers:
            receiver.writing_paused()

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent. They cannot when either side has begun to close."""
        return self.ws.state is OPEN

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order."""
        if self.ws.state is not OPEN:
            return
        write = self._frames.write
        self._transmit(write(frames[0]) if len(frames) == 1 else b"".join([write(frame) for frame in frames]))

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:
        """Close in an orderly way."""
        if self.ws.state is OPEN:
            self.ws.send_close(code, reason[:120])
            self._write()
            self._expect_close(patient=patient)
            if code == POLICY_VIOLATION:
                self._stop_reading()
        elif self.transport is not None:
            self.transport.close()

    def _stop_reading(self) -> None:
        """Read nothing more, and give the other side a moment to read why: whoever has broken too many rules may go on
        with it, and to read that would take the time of others."""
        if self.transport is None or self.transport.is_closing():
            return
        self._is_deaf, self._waiting, self._frame_rest = True, b"", None
        self.transport.pause_reading()
        self._look_at(self.loop.time() + LEAVE_S, self.abort)

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is None:
            return
        if not self.loop.is_closed():
            self.transport.abort()
        elif (sock := self.transport.get_extra_info("socket")) is not None:
            # Without its loop the transport can do nothing. Transports of uvloop have ended with the loop.
            with contextlib.suppress(OSError, TypeError):
                sock.shutdown(socket.SHUT_RDWR)

    def fail(self, code: int, reason: str) -> None:
        """Close the WebSocket with this code, and read nothing more, because the other side has broken a rule."""
        if self.ws.state is OPEN:
            self._reason = f"{code} {reason}"
            self.ws.fail(code, reason[:120])
            self._write()
            self._expect_close()

    # --- for the subclasses -------------------------------------------------------------------------------------

    def finish_reading(self) -> None:
        """Ignore all further input, because the request asks for no WebSocket."""
        self._ignores_input = True

    def head_received(self, data: bytes) -> None:
        """Read a part of the other side's handshake. An end overrides this to look at it first."""
        self.ws.receive_data(data)
        self._after_receiving()

    def handshake(self, event: Event) -> None:
        """Handle the other side's part of the handshake. Each end overrides this."""
        raise NotImplementedError

    def handshake_failed(self, exc: Exception) -> None:
        """Handle input that is not a handshake. Each end overrides this."""
        raise NotImplementedError

    def on_end(self) -> None:
        """Free what belongs to the connection, which has ended. An end overrides this if it has something to free."""

    def take_turn(self, step: Callable[[], None]) -> None:
        """Have more of the input read in a later turn of the loop. An end overrides this if it lets the other side wait
        for others.

        Parameters:
            step: reads more.
        """
        self.loop.call_soon(step)

    def input_waits(self, size_bytes: int) -> None:
        """Note how much of a message has arrived whose rest has not; 0 when all of it is there. An end overrides this
        if it counts input."""

    def output_waits(self, size_bytes: int) -> None:
        """Note how much output waits after a write, if it is more than the high-water mark; 0 when it was sent. An end
        overrides this if it counts output."""

    def _after_receiving(self) -> None:
        for event in self.ws.events_received():
            if isinstance(event, Frame):
                if event.opcode in DATA_OPCODES:
                    self._data_frame(event)
            else:
                self.handshake(event)
                if self._ignores_input:
                    return
        if self.receiver is None and self.ws.handshake_exc is not None and not self._reason:
            self._reason = "handshake failed"
            self.handshake_failed(self.ws.handshake_exc)
        self._write()
        if self.ws.state is not OPEN and self.ws.close_expected():
            self._expect_close()

    def _data_frame(self, frame: Frame) -> None:
        if self.receiver is None or (self.ws.close_sent is not None and not takes_data(self.ws)):
            return
        try:
            message = self._assembler.feed(frame)
        except StreamBroken as exc:
            self.fail(exc.code, exc.reason)
            return
        if message is not None:
            while self._frame_rest is not None:  # Several frames come at once when this side closes.
                self._frame_rest = self._frame_rest()
            self._frame_rest = self.receiver.frame_received(message)

    def _write(self) -> None:
        transport = self.transport
        if transport is None:
            return
        chunks = self.ws.data_to_send()
        if not chunks or transport.is_closing():
            return
        self._transmit(b"".join(chunks))
        if not chunks[-1]:  # An empty chunk of websockets means the end of the output.
            self._end_of_output(transport)

    def _transmit(self, data: bytes) -> None:
        transport = self.transport
        if transport is None or not data or transport.is_closing():
            return
        self._heartbeat.note_output()
        self._written_bytes += len(data)
        transport.write(data)
        waiting = transport.get_write_buffer_size()
        if waiting > self.limits.high_water_bytes:
            if waiting > self.limits.outgoing_bytes:
                self._reason = f"the other side does not read: {waiting} bytes wait"
                transport.abort()
            else:
                self.output_waits(waiting)

    def _end_of_output(self, transport: asyncio.Transport) -> None:
        if not transport.can_write_eof():
            transport.close()  # TLS has no half-closed connections, so this ends the whole connection.
            return
        try:
            transport.write_eof()
        except OSError:  # The other side has reset the connection, which the event loop has not noticed yet.
            self.abort()
        else:
            self._expect_close()

    # --- time ---------------------------------------------------------------------------------------------------

    def _look_at(self, when: float, look: Callable[[], None]) -> None:
        if self._timers is _NO_TIMERS:
            self._timers = {}
        self._timers[look] = self.loop.call_at(when, self._look, look)

    def _look(self, look: Callable[[], None]) -> None:
        del self._timers[look]
        look()

    def _count_received(self) -> int:
        assert self.transport is not None
        return self._gauge.count_received(self._written_bytes, self.transport.get_write_buffer_size())

    def _count_waiting(self) -> int:
        assert self.transport is not None
        return self._gauge.count_waiting(self.transport.get_write_buffer_size())

    def _expect_close(self, *, patient: bool = True) -> None:
        if self._farewell is None and self.transport is not None:
            now, timeout_s = self.loop.time(), self.limits.close_timeout_s
            self._farewell = Farewell(
                now,
                self._count_received(),
                self._count_waiting(),
                timeout_s,
                patient=patient,
                hears=hears_after(self.ws),
            )
            self._look_at(self._farewell.look_at, self._check_close)

    def _check_close(self) -> None:
        assert self._farewell is not None
        if self._farewell.look(self.loop.time(), self._count_received(), self._keepalive.heard_at):
            self.abort()
        else:
            self._look_at(self._farewell.look_at, self._check_close)

    def _check_stall(self) -> None:
        heard_at = -math.inf if self._holds_reading else self._keepalive.heard_at
        if not self._stall.look(self.loop.time(), self._count_received(), heard_at):
            self._look_at(self._stall.look_at, self._check_stall)
            return
        self._reason = f"the other side took next to nothing for {self.limits.stall_s:g} s"
        self.abort()

    def _check_alive(self) -> None:
        """Ping after a silence, or give the connection up if the other side shows no sign of life."""
        match self._keepalive.look(self.loop.time(), self._count_received(), self._count_waiting()):
            case Look.DEAD:
                self.fail(1011, f"no answer to a ping within {self.limits.ping_timeout_s:g} s")
                self.abort()
                return
            case Look.PING if self.ws.state is OPEN:
                self.ws.send_ping(b"")
                self._write()
        self._alive_timer = self.loop.call_at(self._keepalive.look_at, self._check_alive)
