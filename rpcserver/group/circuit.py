"""One end of a circuit: the connection of a client with a node, through another node that the client is connected to.

The client's own node (the gateway) passes whole frames on, which it does not read, and so does this module. It knows no
broker, no event loop and no clock: it is given datagrams and the time, and returns datagrams and frames.

**What is below** delivers the datagrams of one sender in their order, each once or never. So a circuit counts bytes, as
TCP does (RFC 9293, section 3.4), and a datagram that does not begin where the last one has ended tells that something
was lost. Then the circuit ends, at once, at both ends, and says so: a gap is never passed over. Nothing is sent again.
If the last datagram of all was lost, nothing follows that could tell. So whoever has heard for a second that what it
sent has not arrived asks (PROBE), and the answer (CREDIT) or the gap shows at once.

**Frames** are sent as a stream of bytes, each after its length. So small frames that are ready together travel in one
datagram, and large ones in many.

**Back-pressure.** No more bytes are on their way than the receiver has granted. It grants more when frames are taken.

**The end.** Either end closes in order (CLOSE comes after all frames), or drops the circuit (RESET). The death of the
node at the other end is told by the roster, which knows it within three seconds; a circuit has no beats of its own.
"""

from __future__ import annotations

import struct
from collections import deque
from enum import Enum, IntEnum, unique
from typing import NamedTuple

import msgspec

from rpcwire.codec import UNREADABLE

from .members import InvalidGroupMessage

HEADER = struct.Struct("!BQQQ")
"""The head of each datagram, as :class:`Datagram` has it."""
HEADER_BYTES = HEADER.size
CHUNK_BYTES = 256 * 1024
"""The largest part of the stream in one datagram. The broker takes 1 MiB, and copies each message some times."""
WINDOW_BYTES = 4 * 1024 * 1024
"""How many bytes may be on their way in one direction, or wait at the receiver for somebody to take them."""
PROBE_S = 1.0
"""How long to wait for a sign that what was sent has arrived, in seconds, before asking for one."""
IDLE_PROBE_S = 30.0
"""How long nothing may be heard of a circuit on which nothing is sent, in seconds, before asking whether the other end
still has it: the datagram that has ended it may be lost."""
MOST_PROBES = 4
"""After so many questions without an answer the circuit ends."""
REASON_BYTES = 120
"""The longest reason of an end, as a WebSocket takes it (RFC 6455, section 5.5), in bytes."""
LOST_CODE = 1014
"""The close code for the client of a circuit that has failed: the gateway has no good connection behind it (1014, Bad
Gateway, in the registry of RFC 6455, section 11.7)."""
TOO_LARGE_CODE = 1009
"""The close code for a frame that is larger than the receiver takes (RFC 6455, section 7.4.1)."""
_LENGTH = struct.Struct("!I")
_LENGTH_BYTES = _LENGTH.size
HEAD_OF_ONE = struct.Struct("!BQQQI")
"""The head of a datagram of one frame, as that of a call alone: that of each datagram, and the length of the frame."""
HEAD_OF_ONE_BYTES = HEAD_OF_ONE.size
_MOST_CODE = 4999
_MOST_GRACE_S = 3600.0


@unique
class Kind(IntEnum):
    """What a datagram is."""

    OPEN = 1
    """Asks for a circuit. The body says for whom."""
    ACCEPT = 2
    """Grants it. The body has the limits of the node."""
    REFUSE = 3
    """Refuses it. The body is the error."""
    DATA = 4
    """A part of the stream, which begins at the offset."""
    CREDIT = 5
    """Everything up to the offset has arrived."""
    PROBE = 6
    """Everything up to the offset was sent: has it arrived?"""
    CLOSE = 7
    """The stream ends at this offset. The body says why."""
    RESET = 8
    """There is no such circuit any more. The body says why."""
    DRAIN = 9
    """The sender, which is a gateway, stops soon: let the calls end that run, and close. The body says how long."""


_DATA = int(Kind.DATA)
_KINDS = {int(kind): kind for kind in Kind}


class Datagram(NamedTuple):
    """A datagram, as it has arrived.

    Attributes:
        kind: what it is.
        number: the number of the circuit.
        offset: a place in the sender's stream, or in the receiver's for CREDIT.
        credit: how many bytes of the receiver's stream are taken.
        body: the rest.
    """

    kind: Kind
    number: int
    offset: int
    credit: int
    body: bytes


def pack(kind: Kind, number: int, offset: int = 0, credit: int = 0, body: bytes = b"") -> bytes:
    """Return a datagram as bytes. The parameters are those of :class:`Datagram`."""
    return HEADER.pack(kind, number, offset, credit) + body


def read_datagram(data: bytes) -> Datagram:
    """Read a datagram of another node.

    Raises:
        InvalidGroupMessage: the bytes are none.
    """
    if len(data) < HEADER_BYTES:
        raise InvalidGroupMessage("datagram", f"it must have {HEADER_BYTES} bytes at least")
    number_of_kind, number, offset, credit = HEADER.unpack_from(data)
    kind = _KINDS.get(number_of_kind)
    if kind is None:
        raise InvalidGroupMessage("kind", "it must be one that this version knows")
    return Datagram(kind, number, offset, credit, data[HEADER_BYTES:])


@unique
class Cause(Enum):
    """Why a circuit has ended."""

    CLOSED = "closed"
    """The other end has closed it in order."""
    LOST = "lost"
    """A datagram was lost on the way."""
    SILENT = "silent"
    """The other end answers no more."""
    RESET = "reset"
    """The other end has dropped it."""
    GONE = "gone"
    """The node at the other end has died or left."""
    WRONG = "wrong"
    """The other end has broken a rule, or has sent a frame that is too large."""
    ABORTED = "aborted"
    """This end has dropped it."""


class End(NamedTuple):
    """How a circuit has ended.

    Attributes:
        cause: why.
        code: the close code for whoever is connected by it (RFC 6455, section 7.4).
        reason: the reason, for a person; at most 120 bytes.
    """

    cause: Cause
    code: int
    reason: str


class _Farewell(msgspec.Struct, frozen=True):
    """The body of CLOSE and RESET."""

    code: int = LOST_CODE
    reason: str = ""


class Drain(msgspec.Struct, frozen=True):
    """The body of DRAIN.

    Attributes:
        grace_s: how long running calls may take to end, in seconds; at most an hour.
        reason: why, for a person.
    """

    grace_s: float = 0.0
    reason: str = ""


class Circuit:
    """One end of a circuit that is open.

    All times are seconds of a clock that does not jump.

    Parameters:
        number: the number of the circuit.
        now: the present time.
        chunk_bytes: the largest part of the stream in one datagram.
        most_frame_bytes: the largest frame that may arrive.
        window_bytes: how many bytes may be on their way, or wait; it is the same for both ends.

    Attributes:
        number: the parameter.
        end: how the circuit has ended; ``None`` as long as it has not. Frames that have arrived before can be taken.
        waiting_bytes: the bytes of frames that are not sent yet.
        most_frame_bytes: the parameter.
        arriving_bytes: the bytes of the frame whose rest has not arrived.
        drain: what the other end has asked for, because it stops soon; ``None`` if it has not.
        sent_bytes, received_bytes: the bytes of the stream in each direction.
        wake_at: when to call :meth:`tick`.
    """

    __slots__ = (
        "_arrivals", "_arrivals_bytes", "_chunk_bytes", "_confirmed_bytes", "_control", "_credit_told", "_farewell",
        "_granted_bytes", "_has_said_last", "_head", "_missing_bytes", "_other_farewell",
        "_owes_credit", "_parts", "_probes", "_queue", "_window_bytes", "arriving_bytes", "drain", "end",
        "most_frame_bytes", "number", "received_bytes", "sent_bytes", "taken_bytes", "waiting_bytes", "wake_at",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        now: float,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        most_frame_bytes: int,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self.number = number
        self.end: End | None = None
        self.drain: Drain | None = None
        self.waiting_bytes = self.arriving_bytes = 0
        self.sent_bytes = self.received_bytes = 0
        self.taken_bytes = 0
        self.wake_at = now + IDLE_PROBE_S
        # Credit comes in quarters of the window, so that the last quarter may stay untold.
        self._chunk_bytes = max(min(chunk_bytes, window_bytes // 2), 1)
        self._window_bytes = window_bytes
        self.most_frame_bytes = most_frame_bytes
        self._queue: deque[bytes | memoryview] = deque()
        self._control: list[bytes] = []
        self._granted_bytes = 0  # Of ours, the other end has taken so many.
        self._confirmed_bytes = 0  # Of ours, so many have arrived there.
        self._credit_told = 0
        self._owes_credit = False
        self._probes = 0
        self._head = b""
        self._parts: list[bytes] = []
        self._missing_bytes = 0
        self._arrivals: deque[bytes] = deque()
        self._arrivals_bytes = 0
        self._farewell: _Farewell | None = None
        self._other_farewell: _Farewell | None = None
        self._has_said_last = False

    # --- what goes out -----------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Send a frame after those before. Does nothing if the circuit is closing or has ended."""
        if self.end is not None or self._farewell is not None:
            return
        self._queue.append(_LENGTH.pack(len(frame)))
        if frame:
            self._queue.append(frame)
        self.waiting_bytes += _LENGTH_BYTES + len(frame)

    def send_alone(self, frame: bytes, now: float) -> bytes | None:
        """Send a frame now if nothing waits and it fits into one datagram, as that of a call alone does.

        Parameters:
            frame: the frame.
            now: the present time.

        Returns:
            The datagram; ``None`` if that cannot be done, and nothing has changed.
        """
        size, sent_bytes = len(frame) + _LENGTH_BYTES, self.sent_bytes
        if (
            self.waiting_bytes
            or self._control
            or size > self._chunk_bytes
            or size > self._granted_bytes + self._window_bytes - sent_bytes
            or self.end is not None
            or self._farewell is not None
        ):
            return None
        if sent_bytes == self._confirmed_bytes:
            self.wake_at = now + PROBE_S
        self._owes_credit = False
        self._credit_told = taken_bytes = self.taken_bytes
        self.sent_bytes = sent_bytes + size
        return HEAD_OF_ONE.pack(_DATA, self.number, sent_bytes, taken_bytes, size - _LENGTH_BYTES) + frame

    def close(self, code: int, reason: str) -> None:
        """Close the circuit when all frames are sent.

        Parameters:
            code: the close code (RFC 6455, section 7.4).
            reason: the reason, for a person.
        """
        if self.end is None and self._farewell is None:
            self._farewell = _Farewell(code, _cut(reason))

    def ask_to_drain(self, grace_s: float, reason: str) -> None:
        """Ask the other end to let the calls end that run, and to close then. Whatever waits to be sent comes later.

        Parameters:
            grace_s: how long they may take, in seconds.
            reason: the reason, for a person.
        """
        if self.end is None and self._farewell is None:
            body = msgspec.msgpack.encode(Drain(grace_s, _cut(reason)))
            self._control.append(self._header(Kind.DRAIN, self.sent_bytes) + body)

    def abort(self, reason: str, code: int = LOST_CODE) -> None:
        """Drop the circuit at once.

        Parameters:
            reason: the reason, for a person.
            code: the close code for whoever is connected by it.
        """
        if self.end is None:
            self._reset(Cause.ABORTED, code, reason)

    def note_gone(self, reason: str) -> None:
        """Note that the node at the other end is gone, as the roster says. If it was only frozen, it is told when it
        wakes up."""
        if self.end is None:
            self._reset(Cause.GONE, LOST_CODE, reason)

    @property
    def has_said_last(self) -> bool:
        """Whether this end has closed the circuit, and :meth:`output` has returned everything before."""
        return self._has_said_last

    def output(self, now: float, *, is_asking: bool = False) -> list[bytes]:
        """Return the datagrams that may be sent now.

        Parameters:
            now: the present time.
            is_asking: whether only questions are sent, because nobody knows whether the other end hears.
        """
        datagrams, self._control = self._control, []
        if self.end is not None or is_asking:
            return datagrams
        room = self._granted_bytes + self._window_bytes - self.sent_bytes
        # A tail that is smaller than a datagram waits for more room, unless it is all there is: otherwise large frames
        # would be sent in crumbs.
        while self.waiting_bytes and room > 0 and (room >= min(self.waiting_bytes, self._chunk_bytes)):
            size = min(self._chunk_bytes, self.waiting_bytes, room)
            if self.sent_bytes == self._confirmed_bytes:
                self.wake_at = now + PROBE_S
            datagrams.append(b"".join([self._header(Kind.DATA, self.sent_bytes), *self._cut_off(size)]))
            self.sent_bytes += size
            room -= size
        if self._owes_credit:
            datagrams.append(self._header(Kind.CREDIT, self.received_bytes))
        if self._farewell is not None and not self.waiting_bytes and not self._has_said_last:
            self._has_said_last = True
            datagrams.append(self._header(Kind.CLOSE, self.sent_bytes) + msgspec.msgpack.encode(self._farewell))
        return datagrams

    def _header(self, kind: Kind, offset: int) -> bytes:
        self._owes_credit = False
        self._credit_told = self.taken_bytes
        return HEADER.pack(kind, self.number, offset, self.taken_bytes)

    def _cut_off(self, size: int) -> list[bytes | memoryview]:
        """Take so many bytes from the beginning of what waits."""
        self.waiting_bytes -= size
        pieces: list[bytes | memoryview] = []
        while size:
            piece = self._queue.popleft()
            if len(piece) > size:
                view = memoryview(piece)
                pieces.append(view[:size])
                self._queue.appendleft(view[size:])
                break
            pieces.append(piece)
            size -= len(piece)
        return pieces

    # --- what comes in -----------------------------------------------------------------------------------------

    def receive(self, datagram: Datagram, now: float) -> None:
        """Take a datagram of the other end.

        Parameters:
            datagram: the datagram: DATA, CREDIT, PROBE, DRAIN, CLOSE or RESET of this circuit.
            now: the present time.
        """
        if self.end is not None:
            return
        self._probes = 0
        kind = datagram.kind
        if kind is Kind.RESET:
            farewell = _read_farewell(datagram.body)
            self._finish(Cause.RESET, farewell.code, farewell.reason or "the other end has dropped the circuit")
            return
        credit = datagram.credit
        if credit > self.sent_bytes or (kind is Kind.CREDIT and datagram.offset > self.sent_bytes):
            self._reset(Cause.WRONG, LOST_CODE, "more was confirmed than was sent")
            return
        if credit > self._granted_bytes:  # noqa: PLR1730 - a call of max() takes longer
            self._granted_bytes = credit
        if kind is Kind.CREDIT:
            self._note_arrival_there(max(credit, datagram.offset), now)
            return
        self._note_arrival_there(credit, now)
        if datagram.offset != self.received_bytes:
            self._reset(
                Cause.LOST,
                LOST_CODE,
                f"the group's broker lost {datagram.offset - self.received_bytes} bytes of the connection",
            )
            return
        if kind is Kind.PROBE:
            self._owes_credit = True
        elif kind is Kind.DRAIN:
            self.drain = _read_drain(datagram.body)
        elif kind is Kind.CLOSE:
            self._other_farewell = _read_farewell(datagram.body)
            self._end_if_all_is_taken()
        elif kind is Kind.DATA and self._other_farewell is None:
            self._take_data(datagram.body)

    def receive_alone(self, offset: int, credit: int, size: int, data: bytes, now: float) -> bytes | None:
        """Take a datagram of the other end, and its frame at once, if it has one whole frame and no other one waits, as
        that of a call alone. So it takes a fraction of the time.

        Parameters:
            offset, credit: as of :class:`Datagram`.
            size: the length of the frame, as the datagram tells it.
            data: the datagram, of the kind DATA, with its head (:data:`HEAD_OF_ONE`).
            now: the present time.

        Returns:
            The frame, which is taken; ``None`` if that cannot be done, and nothing has changed: :meth:`receive` must
            look at the datagram.
        """
        end_bytes = offset + len(data) - HEADER_BYTES
        if (
            offset != self.received_bytes
            or size + HEAD_OF_ONE_BYTES != len(data)
            or self._arrivals
            or self._missing_bytes
            or self._head
            or size > self.most_frame_bytes
            or end_bytes > self._credit_told + self._window_bytes
            or credit > self.sent_bytes
            or self.end is not None
            or self._other_farewell is not None
        ):
            return None
        self._probes = 0
        if credit > self._granted_bytes:  # noqa: PLR1730 - as in receive()
            self._granted_bytes = credit
        if credit > self._confirmed_bytes:
            self._confirmed_bytes = credit
            self.wake_at = now + PROBE_S
        if self._confirmed_bytes == self.sent_bytes:
            self.wake_at = now + IDLE_PROBE_S
        self.received_bytes = self.taken_bytes = end_bytes
        if end_bytes - self._credit_told >= self._window_bytes // 4:
            self._owes_credit = True
        return data[HEAD_OF_ONE_BYTES:]

    def _note_arrival_there(self, confirmed_bytes: int, now: float) -> None:
        """Note how much of ours has arrived at the other end. Whatever else it sends says nothing of that: the question
        must not wait because of it."""
        if confirmed_bytes > self._confirmed_bytes:
            self._confirmed_bytes = confirmed_bytes
            self.wake_at = now + PROBE_S
        if self._confirmed_bytes == self.sent_bytes:
            self.wake_at = now + IDLE_PROBE_S

    def _take_data(self, data: bytes) -> None:
        at, end = 0, len(data)
        if self.received_bytes + end > self._credit_told + self._window_bytes:
            self._reset(Cause.WRONG, LOST_CODE, "the other end has sent more than it may")
            return
        self.received_bytes += end
        while at < end:
            if self._missing_bytes:
                piece = data[at : at + self._missing_bytes]
                at += len(piece)
                self._missing_bytes -= len(piece)
                self.arriving_bytes += len(piece)
                self._parts.append(piece)
                if not self._missing_bytes:
                    frame = b"".join(self._parts)
                    self._parts, self.arriving_bytes = [], 0
                    self._add(frame)
                continue
            lacks = _LENGTH_BYTES - len(self._head)
            head = self._head + data[at : at + lacks]
            at += lacks
            if len(head) < _LENGTH_BYTES:
                self._head = head
                break
            self._head = b""
            (size,) = _LENGTH.unpack(head)
            if size > self.most_frame_bytes:
                text = f"a message of {size} bytes is larger than {self.most_frame_bytes}"
                self._reset(Cause.WRONG, TOO_LARGE_CODE, text)
                return
            if at + size <= end:
                self._add(data[at : at + size])
                at += size
            else:
                self._missing_bytes = size
        self._note_credit()

    def _add(self, frame: bytes) -> None:
        self._arrivals.append(frame)
        self._arrivals_bytes += len(frame) + _LENGTH_BYTES

    def take(self) -> bytes | None:
        """Return the next frame that has arrived; ``None`` if there is none. So the other end may send more."""
        if not self._arrivals:
            return None
        frame = self._arrivals.popleft()
        self._arrivals_bytes -= len(frame) + _LENGTH_BYTES
        self._note_credit()
        self._end_if_all_is_taken()
        return frame

    @property
    def held_bytes(self) -> int:
        """The bytes that this end holds: those that wait to be sent, and those that wait to be taken."""
        return self.waiting_bytes + self.arriving_bytes + self._arrivals_bytes

    @property
    def has_frames(self) -> bool:
        """Whether :meth:`take` would return a frame."""
        return bool(self._arrivals)

    def _note_credit(self) -> None:
        # What belongs to a frame that has not arrived as a whole is taken: a frame may be larger than the window.
        taken_bytes = self.received_bytes - self._arrivals_bytes
        if taken_bytes > self.taken_bytes:  # noqa: PLR1730 - as above
            self.taken_bytes = taken_bytes
        if self.taken_bytes - self._credit_told >= self._window_bytes // 4:
            self._owes_credit = True

    @property
    def has_output(self) -> bool:
        """Whether :meth:`output` may return something."""
        if self._control:
            return True
        if self.end is not None:
            return False
        if self._owes_credit or (self._farewell is not None and not self._has_said_last):
            return True
        if not self.waiting_bytes:
            return False
        room = self._granted_bytes + self._window_bytes - self.sent_bytes
        return room > 0 and room >= min(self.waiting_bytes, self._chunk_bytes)

    # --- time and the end --------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Ask the other end, if it is time, or give it up."""
        if self.end is None and now >= self.wake_at:
            self.probe(now)

    def probe(self, now: float) -> None:
        """Ask the other end whether everything has arrived, and whether it still has the circuit."""
        if self.end is not None:
            return
        if self._probes >= MOST_PROBES:
            self._reset(Cause.SILENT, LOST_CODE, "the node at the other end answers no more")
            return
        self._probes += 1
        self.wake_at = now + PROBE_S
        self._control.append(self._header(Kind.PROBE, self.sent_bytes))

    def ask_anew(self, now: float) -> None:
        """Ask the other end whether it still has the circuit; what was asked before could not be heard."""
        self._probes = 0
        self.probe(now)

    def _end_if_all_is_taken(self) -> None:
        if self._other_farewell is not None and not self._arrivals:
            self._finish(Cause.CLOSED, self._other_farewell.code, self._other_farewell.reason)

    def _reset(self, cause: Cause, code: int, reason: str) -> None:
        self._finish(cause, code, reason)
        assert self.end is not None
        self._control.append(
            HEADER.pack(Kind.RESET, self.number, 0, 0) + msgspec.msgpack.encode(_Farewell(code, self.end.reason))
        )

    def _finish(self, cause: Cause, code: int, reason: str) -> None:
        if self.end is None:
            self.end = End(cause, code, _cut(reason))
            self._queue.clear()
            self._parts, self.waiting_bytes, self.arriving_bytes = [], 0, 0


def pack_reset(number: int, reason: str) -> bytes:
    """Return the datagram that says that there is no such circuit."""
    return pack(Kind.RESET, number, body=msgspec.msgpack.encode(_Farewell(LOST_CODE, _cut(reason))))


def _read_farewell(body: bytes) -> _Farewell:
    try:
        farewell = msgspec.msgpack.decode(body, type=_Farewell)
    except UNREADABLE:
        return _Farewell()
    code = farewell.code if 1000 <= farewell.code <= _MOST_CODE else LOST_CODE
    return _Farewell(code, _cut(farewell.reason))


def _read_drain(body: bytes) -> Drain:
    try:
        drain = msgspec.msgpack.decode(body, type=Drain)
    except UNREADABLE:
        return Drain()
    # Of what is not a number, min() and max() return the other value if that comes first.
    return Drain(max(0.0, min(_MOST_GRACE_S, drain.grace_s)), _cut(drain.reason))


def _cut(reason: str) -> str:
    return reason.encode(errors="replace")[:REASON_BYTES].decode(errors="ignore")
