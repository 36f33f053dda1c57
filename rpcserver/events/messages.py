"""What nodes tell each other about events: MessagePack, with a tag that says which message it is."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from rpcserver.group.members import MOST_EPOCH, InvalidGroupMessage
from rpcwire.codec import UNREADABLE

MOST_NAMES = 100
"""The most events that one question names."""
NAME_CHARACTERS = 200
"""The longest full name of an event, in characters."""
MOST_EVENTS = 1_000
"""The most events that one answer names."""
MOST_NUMBERS = 1_000
"""The most followers of one node: as many may one message serve."""
_MOST_INT = 2**63


class Follow(msgspec.Struct, frozen=True, tag="follow"):
    """A node asks another one to tell events to a client of it, again and again as long as it wants them.

    Attributes:
        number: tells this client's wish from others of the same node.
        names: the full names of the events; ``None`` for all that the client may follow.
        principal: the name of the client.
        is_packed: whether values are wanted as MessagePack; else as JSON.
    """

    number: int
    names: list[str] | None
    principal: str
    is_packed: bool


class Unfollow(msgspec.Struct, frozen=True, tag="unfollow"):
    """The client wants no more events.

    Attributes:
        number: as of :class:`Follow`.
    """

    number: int


class Mark(msgspec.Struct, frozen=True, tag="mark"):
    """The answer to :class:`Follow`. It comes after the events that were published before it.

    Attributes:
        number: as of :class:`Follow`.
        epoch: the number of the life of the server.
        seqs: for each event that the client gets, the number of the last one.
        refusals: for each that it does not get, the reason. Under the empty name is what holds for all.
    """

    number: int
    epoch: int
    seqs: dict[str, int]
    refusals: dict[str, str]


class News(msgspec.Struct, frozen=True, tag="news"):
    """An event.

    Attributes:
        numbers: of those wishes of the receiver to which it belongs.
        name: its full name.
        epoch: the number of the life of the server.
        seq: its number.
        time: when it was published, in seconds since 1970.
        is_packed: whether its value is MessagePack; else it is JSON.
        body: its value.
    """

    numbers: list[int]
    name: str
    epoch: int
    seq: int
    time: float
    is_packed: bool
    body: bytes


Message: TypeAlias = Follow | Unfollow | Mark | News

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def pack(message: Message) -> bytes:
    """Encode a message."""
    return _encoder.encode(message)


def read(data: bytes) -> Message:
    """Decode and check a message.

    Raises:
        InvalidGroupMessage: it is none.
    """
    try:
        message = _decoder.decode(data)
    except UNREADABLE as exc:
        raise InvalidGroupMessage("events", str(exc)[:200]) from None
    match message:
        case Follow(names=names):
            _check("names", names is None or len(names) <= MOST_NAMES)
            for name in names or ():
                _check("names", _is_name(name))
            _check("number", 0 <= message.number < _MOST_INT)
        case Mark():
            _check("epoch", 0 <= message.epoch <= MOST_EPOCH)
            _check("seqs", max(len(message.seqs), len(message.refusals)) <= MOST_EVENTS)
            _check("seqs", all(_is_name(name) and 0 <= seq < _MOST_INT for name, seq in message.seqs.items()))
            _check("refusals", all(not name or _is_name(name) for name in message.refusals))
        case News():
            _check("numbers", len(message.numbers) <= MOST_NUMBERS)
            _check("name", _is_name(message.name))
            _check("epoch", 0 <= message.epoch <= MOST_EPOCH)
            _check("seq", 0 < message.seq < _MOST_INT)
            _check("time", 0 <= message.time < _MOST_INT)  # JSON has no NaN.
        case _:
            pass
    return message


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARACTERS and name.isprintable()


def _check(field: str, is_right: bool) -> None:
    if not is_right:
        raise InvalidGroupMessage(field, "it is out of bounds")
