"""What nodes of a group send each other, besides their announcements. What another node has sent is checked here.

No message tells who has sent it: the subject does, and only its owner may publish there.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from rpcwire.codec import UNREADABLE
from rpcwire.skimming import has_colliding_keys

from .members import (
    MOST_EDITION,
    MOST_EPOCH,
    MOST_ID,
    MOST_LOAD,
    REASONS,
    Announcement,
    InvalidGroupMessage,
    Reason,
    State,
    format_id,
    parse_id,
    read_announcement,
    read_number,
)
from .table import Row

MOST_ENTRIES = 20_000
"""The most entries of a table that a node reads. A table of that size has about 1 MB."""
MOST_ECHO = (1 << 63) - 1
"""The largest number of an echo."""
_LOAD_STEPS = 100
_BEAT = struct.Struct("!BQIHQ")
MOST_VERDICTS = 1000
"""The most verdicts in one message."""
_COLUMNS = (
    ("ids", "Q", MOST_ID),
    ("epochs", "Q", MOST_EPOCH),
    ("editions", "I", MOST_EDITION),
    ("states", "B", max(State)),
)
"""The columns of a table on the wire, as little-endian numbers: name, format, and the largest number."""
_VERDICTS = (State.SUSPECT, State.DIED)
_REASONS: Mapping[str, Reason] = {reason.value: reason for reason in REASONS}
_GOODBYES = (State.LEAVING, State.LEFT)


class Beat(NamedTuple):
    """Says that a node lives: to whoever watches it, every half second, and to whoever has asked.

    Attributes:
        epoch: the number of its life.
        number: counts the beats of this life.
        is_leaving: whether it is about to leave.
        load: how busy it is.
        digest: the digest of its table.
    """

    epoch: int
    number: int
    is_leaving: bool
    load: float
    digest: int

    def pack(self) -> bytes:
        """Return the beat as bytes: it is sent so often that it has a form of its own."""
        load = int(min(self.load, MOST_LOAD) * _LOAD_STEPS + 0.5)
        return _BEAT.pack(self.is_leaving, self.epoch, self.number, load, self.digest)


class Goodbye(NamedTuple):
    """Says that a node is leaving or has left."""

    epoch: int
    state: State


class Verdict(NamedTuple):
    """Says to everybody, or to the one whom it is about, that a member is suspect or dead."""

    id: int
    epoch: int
    state: State
    reason: Reason


class Verdicts(NamedTuple):
    """Says several verdicts at once."""

    verdicts: tuple[Verdict, ...]


class Report(NamedTuple):
    """Asks a member to say verdicts to everybody."""

    verdicts: tuple[Verdict, ...]


class Alive(NamedTuple):
    """Is the answer of a suspect, to everybody."""

    epoch: int


class Ask(NamedTuple):
    """Asks a member for a beat, at once."""


class Want(NamedTuple):
    """Asks a member for its announcement."""


class Echo(NamedTuple):
    """Goes to the node itself, and shows that it hears, and how old is what it hears.

    Attributes:
        number: counts the echoes of a node.
    """

    number: int


class Compare(NamedTuple):
    """Asks a member for its table."""


class Entries(NamedTuple):
    """The table of a member, or a part of it that the other one lacks."""

    rows: Sequence[Row]
    is_whole: bool


Message = Announcement | Beat | Goodbye | Verdict | Verdicts | Report | Alive | Ask | Want | Echo | Compare | Entries
"""Everything that nodes send each other."""

_BARE: dict[str, Ask | Want | Compare] = {"ask": Ask(), "want": Want(), "compare": Compare()}


def join_verdicts(messages: list[tuple[int | None, Message]]) -> list[tuple[int | None, Message]]:
    """Join the verdicts for everybody into one message: each message for everybody is a thousand for the broker.

    Parameters:
        messages: what a node sends, each with the id of its receiver.

    Returns:
        The same, with the verdicts at the end.
    """
    verdicts = [message for target, message in messages if target is None and type(message) is Verdict]
    if len(verdicts) < 2:
        return messages
    joint = [each for each in messages if each[0] is not None or type(each[1]) is not Verdict]
    parts = (verdicts[first : first + MOST_VERDICTS] for first in range(0, len(verdicts), MOST_VERDICTS))
    return [*joint, *((None, Verdicts(tuple(part))) for part in parts)]


def read_beat(data: bytes) -> Beat:
    """Read a beat.

    Raises:
        InvalidGroupMessage: the bytes are none.
    """
    if len(data) != _BEAT.size:
        raise InvalidGroupMessage("beat", f"it must have {_BEAT.size} bytes")
    is_leaving, epoch, number, load, digest = _BEAT.unpack(data)
    return Beat(epoch, number, is_leaving != 0, load / _LOAD_STEPS, digest)


def decode(data: bytes) -> object:
    """Decode what another node has sent, or written into the bucket, as plain values.

    Raises:
        InvalidGroupMessage: the bytes are no MessagePack, or would take long to decode.
    """
    if has_colliding_keys(data):
        raise InvalidGroupMessage("message", "many keys of one map have the same hash")
    try:
        return msgspec.msgpack.decode(data)
    except UNREADABLE as exc:
        raise InvalidGroupMessage("message", f"it cannot be read: {exc}") from None


def to_wire(message: Message) -> dict[str, object]:
    """Return a message as plain values."""
    match message:
        case Announcement():
            return {"kind": "announcement", **message.to_wire()}
        case Beat():
            return {"kind": "beat", "data": message.pack()}
        case Goodbye(epoch, state):
            return {"kind": "goodbye", "epoch": epoch, "state": int(state)}
        case Verdict(number, epoch, state, reason):
            return {
                "kind": "verdict",
                "id": format_id(number),
                "epoch": epoch,
                "state": int(state),
                "reason": reason.value,
            }
        case Verdicts(verdicts):
            rows = [[number, epoch, int(state), reason.value] for number, epoch, state, reason in verdicts]
            return {"kind": "verdicts", "verdicts": rows}
        case Report(verdicts):
            return {**to_wire(Verdicts(verdicts)), "kind": "report"}
        case Alive(epoch):
            return {"kind": "alive", "epoch": epoch}
        case Echo(number):
            return {"kind": "echo", "number": number}
        case Entries(rows, is_whole):
            wire: dict[str, object] = {"kind": "entries", "is_whole": is_whole}
            if rows:
                for (name, kind, _), column in zip(_COLUMNS, zip(*rows, strict=True), strict=True):
                    wire[name] = _pack_column(kind, column)
            return wire
        case _:
            return {"kind": type(message).__name__.lower()}


def from_wire(source: int, value: object) -> Message:
    """Check a message of another node.

    Parameters:
        source: the id of the node, as the subject tells it.
        value: plain values, as :func:`to_wire` returns them. Fields that are unknown here are left out.

    Raises:
        InvalidGroupMessage: a field is missing, has the wrong type, or is too long.
    """
    if not isinstance(value, dict):
        raise InvalidGroupMessage("message", "it must be a map")
    match value.get("kind"):
        case "announcement":
            return read_announcement(source, value)
        case "beat":
            data = value.get("data")
            return read_beat(data if isinstance(data, bytes) else b"")
        case "goodbye":
            return Goodbye(_read_epoch(value), _read_state("state", value.get("state"), _GOODBYES))
        case "verdict":
            number = value.get("id")
            return Verdict(
                parse_id(number if isinstance(number, str) else ""),
                _read_epoch(value),
                _read_state("state", value.get("state"), _VERDICTS),
                _read_reason(value.get("reason")),
            )
        case "verdicts":
            return Verdicts(_read_verdicts(value.get("verdicts")))
        case "report":
            return Report(_read_verdicts(value.get("verdicts")))
        case "alive":
            return Alive(_read_epoch(value))
        case "entries":
            return _read_entries(value)
        case "echo":
            return Echo(read_number("number", value.get("number"), MOST_ECHO))
        case "ask" | "want" | "compare" as kind:
            return _BARE[kind]
        case _:
            raise InvalidGroupMessage("kind", "it must be one that this version knows")


def _read_epoch(value: dict[object, object]) -> int:
    return read_number("epoch", value.get("epoch"), MOST_EPOCH)


def _read_state(field: str, value: object, allowed: tuple[State, ...]) -> State:
    for state in allowed:
        if type(value) is int and value == state:
            return state
    raise InvalidGroupMessage(field, f"it must be one of {', '.join(str(int(state)) for state in allowed)}")


def _read_reason(value: object) -> Reason:
    reason = _REASONS.get(value) if isinstance(value, str) else None
    if reason is not None:
        return reason
    raise InvalidGroupMessage("reason", f"it must be one of {', '.join(reason.value for reason in REASONS)}")


def _read_verdicts(rows: object) -> tuple[Verdict, ...]:
    if not isinstance(rows, list | tuple) or len(rows) > MOST_VERDICTS:
        raise InvalidGroupMessage("verdicts", f"it must be a list with at most {MOST_VERDICTS} verdicts")
    verdicts = []
    for index, row in enumerate(rows):
        match row:  # As nearly all are.
            case [int() as number, int() as epoch, int() as state, str() as text] if (
                0 <= number <= MOST_ID and 0 <= epoch <= MOST_EPOCH and state in _VERDICTS and text in _REASONS
            ) and bool not in {type(number), type(epoch), type(state)}:
                verdicts.append(Verdict(number, epoch, State(state), _REASONS[text]))
                continue
        field = f"verdicts.{index}"
        if not isinstance(row, list | tuple) or len(row) != 4:
            raise InvalidGroupMessage(field, "it must be a list of id, epoch, state and reason")
        verdicts.append(
            Verdict(
                read_number(f"{field}.id", row[0], MOST_ID),
                read_number(f"{field}.epoch", row[1], MOST_EPOCH),
                _read_state(f"{field}.state", row[2], _VERDICTS),
                _read_reason(row[3]),
            )
        )
    return tuple(verdicts)


def _pack_column(kind: str, numbers: Iterable[int]) -> bytes:
    column = array(kind, numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _read_column(name: str, kind: str, most: int, data: object) -> array[int]:
    column = array(kind)
    if not isinstance(data, bytes) or len(data) % column.itemsize or len(data) > MOST_ENTRIES * column.itemsize:
        raise InvalidGroupMessage(
            name, f"it must be bytes, {column.itemsize} for each of at most {MOST_ENTRIES} members"
        )
    column.frombytes(data)
    if sys.byteorder == "big":
        column.byteswap()
    if column and max(column) > most:
        raise InvalidGroupMessage(name, f"each must be a number from 0 to {most}")
    return column


def _read_entries(value: dict[object, object]) -> Entries:
    """Read a table. It comes in columns of numbers: rows would take ten times as long, and who joins gets many."""
    is_whole = value.get("is_whole")
    if not isinstance(is_whole, bool):
        raise InvalidGroupMessage("is_whole", "it must be true or false")
    columns = [_read_column(name, kind, most, value.get(name, b"")) for name, kind, most in _COLUMNS]
    if len({len(column) for column in columns}) > 1:
        raise InvalidGroupMessage("entries", "all columns must have equally many numbers")
    return Entries(list(zip(*columns, strict=True)), is_whole)
