"""Drives one end of a circuit in the event loop: hands frames on as they come, sends what the circuit has ready once in
a turn of the loop, and counts the bytes that it holds."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

from rpcwire.accounts import Account, Loan
from rpcwire.aio.link import Hold
from rpcwire.errors import Busy
from rpcwire.limits import CLOSE_TIMEOUT_S

from .circuit import PROBE_S, WINDOW_BYTES, Circuit, Datagram, Drain, End, Kind

COUNTED_BYTES = 64 * 1024
"""If an end holds more than this, it is counted."""
TOGETHER_S = 0.0002
"""Frames that come sooner than this after one another wait for the end of the loop's turn, and travel together."""
BUSY_CODE = 1013
"""The close code for an end that holds too much (Try Again Later, in the registry of RFC 6455, section 11.7)."""


class LineUser(Protocol):
    """What a line hands frames to."""

    @property
    def is_ready(self) -> bool:
        """Whether it takes a frame at once."""
        ...

    def take_frame(self, frame: bytes) -> None:
        """Take a frame, before which none waits. Called only while :attr:`is_ready` is true."""
        ...

    def line_received(self) -> None:
        """Take frames from the line, if there is room for them (:meth:`Line.take`)."""
        ...

    def line_has_room(self) -> None:
        """Send more: what waited was sent."""
        ...

    def line_drains(self, drain: Drain) -> None:
        """Let the calls end that run, and close the line then: the node at the other end stops soon."""
        ...

    def line_ended(self, end: End) -> None:
        """End everything: no more frames come. Called once, when all frames are taken that came before."""
        ...


class Line:
    """One end of a circuit, at work.

    Parameters:
        circuit: the circuit.
        other: the id of the node at the other end.
        epoch: the number of its life.
        post: sends a datagram to that node.
        forget: called when the circuit has ended and everything is sent.

    Attributes:
        circuit, other, epoch: the parameters.
        user: gets the frames.
        is_full: whether more waits to be sent than should. When it is less, the user is told.
    """

    def __init__(
        self,
        circuit: Circuit,
        other: int,
        epoch: int,
        post: Callable[[int, bytes], None],
        forget: Callable[[Line], None],
    ) -> None:
        self.circuit = circuit
        self.other = other
        self.epoch = epoch
        self.user: LineUser | None = None
        self._post = post
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._is_flush_due = False
        self._is_over = False
        self.is_full = False
        self._loan: Loan | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._hold: Hold | None = None
        self._is_wanted = True
        self._sent_at = 0.0
        self._is_paused = self._is_asking = False

    # --- for the user ------------------------------------------------------------------------------------------

    def start(self, user: LineUser, account: Account | None) -> None:
        """Hand frames to ``user`` from now on, those first that have arrived already.

        Parameters:
            user: gets the frames.
            account: counts what the line holds; ``None`` if nobody does.
        """
        self.user = user
        self.count_by(account)
        self._hand_on()
        self._loop.call_soon(self._look_at_end)

    def count_by(self, account: Account | None) -> None:
        """Have the bytes that the line holds counted by another account."""
        if self._loan is not None:
            self._loan.give_back()
        self._loan = None if account is None else Loan(account)
        self._count()

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return self.circuit.end is None and self._closing is None

    def send(self, frame: bytes) -> None:
        """Send a frame soon."""
        if not self._is_flush_due and not self.is_full and (now := time.monotonic()) >= self._sent_at + TOGETHER_S:
            datagram = self.circuit.send_alone(frame, now)
            if datagram is not None:  # A frame that comes alone goes at once.
                self._sent_at = now
                self._post(self.other, datagram)
                return
        self.circuit.send(frame)
        if self.circuit.waiting_bytes > WINDOW_BYTES:
            self.is_full = True
        self._count()
        self.flush_soon()

    def hold(self) -> Hold | None:
        """Return what a link waits for before it reads more; ``None`` if it need not wait."""
        if not self.is_full or not self.is_open:
            return None
        if self._hold is None:
            self._hold = Hold()
        return self._hold

    def take(self) -> bytes | None:
        """Return the next frame; ``None`` if there is none."""
        circuit = self.circuit
        frame = circuit.take()
        if frame is None:
            return None
        if circuit.has_output:
            self.flush_soon()
        if self._loan is not None:
            self._count()
        if circuit.end is not None and not circuit.has_frames:
            self._loop.call_soon(self._look_at_end)
        return frame

    def close(self, code: int, reason: str) -> None:
        """Close the circuit in order. It is dropped if the other end takes nothing for some seconds."""
        if self._closing is None and self.circuit.end is None:
            self.circuit.close(code, reason)
            self._expect_progress(-1)
            self.flush_soon()

    def ask_to_drain(self, grace_s: float, reason: str) -> None:
        """Ask the other end to let the calls end that run, and to close then.

        Parameters:
            grace_s: how long they may take, in seconds.
            reason: the reason, for a person.
        """
        self.circuit.ask_to_drain(grace_s, reason)
        self.flush_soon()

    def abort(self, reason: str) -> None:
        """Drop the circuit at once."""
        self._is_wanted = False
        self.circuit.abort(reason)
        self.flush_soon()

    # --- for the hub -------------------------------------------------------------------------------------------

    def receive(self, datagram: Datagram, now: float) -> None:
        """Take a datagram of the other end."""
        if self._is_asking:  # It hears.
            self._is_paused = self._is_asking = False
            self._sent_at = 0.0
            self.flush_soon()
        self.circuit.receive(datagram, now)
        if datagram.kind is Kind.DATA:
            self._hand_on()
            self._count()
        elif datagram.kind is Kind.DRAIN and self.circuit.drain is not None and self.user is not None:
            self.user.line_drains(self.circuit.drain)
        if self.circuit.end is not None or self.circuit.has_output:
            self.flush_soon()

    def receive_alone(self, offset: int, credit: int, size: int, data: bytes) -> bool:
        """Take a datagram of the other end, if it has one whole frame, and the user takes that at once.

        Parameters:
            offset, credit, size, data: as of :meth:`~rpcserver.group.circuit.Circuit.receive_alone`.

        Returns:
            Whether that was done. If it was not, nothing has changed, and :meth:`receive` must look at the datagram.
        """
        user, circuit = self.user, self.circuit
        if user is None or self._is_asking or not user.is_ready:
            return False
        frame = circuit.receive_alone(offset, credit, size, data, self._loop.time())
        if frame is None:
            return False
        user.take_frame(frame)
        if circuit.has_output:
            self.flush_soon()
        return True

    def tick(self, now: float) -> None:
        """Let the circuit look at the time."""
        self.circuit.tick(now)
        if self.circuit.has_output:
            self.flush_soon()

    def probe(self, now: float) -> None:
        """Ask the other end whether it still has the circuit."""
        self.circuit.probe(now)
        self.flush_soon()

    def pause(self) -> None:
        """Keep what is to be sent, because there is no connection on which it could be."""
        self._is_paused, self._is_asking = True, False
        self._sent_at = math.inf  # So no frame goes at once.
        self.flush_soon()

    def resume(self) -> None:
        """Send what was kept as soon as the other end answers: it may have lost its connection, too."""
        self._is_asking = self._is_paused
        self.circuit.ask_anew(self._loop.time())
        self.flush_soon()

    def note_gone(self, reason: str) -> None:
        """Note that the node at the other end is gone."""
        self.circuit.note_gone(reason)
        self.flush_soon()

    # --- within ------------------------------------------------------------------------------------------------

    def _hand_on(self) -> None:
        if self.user is not None and self.circuit.has_frames:
            self.user.line_received()

    def flush_soon(self) -> None:
        """Send what the circuit has ready before the loop's next turn: so the frames of a turn travel together."""
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._is_asking and self.is_open:
            for datagram in self.circuit.output(self._loop.time(), is_asking=True):
                self._post(self.other, datagram)
        elif self._is_paused and self.is_open:
            if self.circuit.waiting_bytes:  # Somebody waits: the circuit is not to be silent for long.
                self.circuit.wake_at = min(self.circuit.wake_at, self._loop.time() + PROBE_S)
        elif self.circuit.has_output:
            self._send_ready()
        if self.is_full and (self.circuit.waiting_bytes <= WINDOW_BYTES // 2 or not self.is_open):
            self.is_full = False
            if self.user is not None:
                self.user.line_has_room()
        if self._hold is not None and not self.is_full:
            hold, self._hold = self._hold, None
            hold.release()
        self._look_at_end()

    def _send_ready(self) -> None:
        for datagram in self.circuit.output(self._loop.time()):
            self._post(self.other, datagram)
        self._count()

    def _look_at_end(self) -> None:
        circuit = self.circuit
        if self._is_over or not (circuit.has_said_last or (circuit.end is not None and not circuit.has_frames)):
            return
        end = circuit.end
        if end is not None and self.user is None and self._is_wanted:
            return  # Whoever takes the line over will be told.
        self._is_over = True
        if self._closing is not None:
            self._closing.cancel()
        if self._loan is not None:
            self._loan.give_back()
        self._forget(self)
        if end is not None and self.user is not None:
            self.user.line_ended(end)

    def _expect_progress(self, sent_bytes: int) -> None:
        if self.circuit.sent_bytes == sent_bytes:
            self.abort("the other end took nothing for too long")
            return
        self._closing = self._loop.call_later(CLOSE_TIMEOUT_S, self._expect_progress, self.circuit.sent_bytes)

    def _count(self) -> None:
        if self._loan is None or self._is_over:
            return
        size = self.circuit.held_bytes
        if size <= COUNTED_BYTES and not self._loan.held_bytes:
            return
        try:
            self._loan.resize(size if size > COUNTED_BYTES else 0)
        except Busy as exc:
            self._loan.give_back()
            self.circuit.abort(exc.message, BUSY_CODE)
            self.flush_soon()
