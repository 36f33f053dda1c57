"""What a node tells about itself, and what the roster says of it. What another node has sent is checked here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, unique
from functools import lru_cache
from typing import TypeAlias

import msgspec

from rpcwire.errors import RemoteProtocolError
from rpcwire.logs import printable

NAME_CHARACTERS = 63
"""The longest name of a node, of a service and of a label's key, in characters."""
TEXT_CHARACTERS = 128
"""The longest value of a label, the longest version, and the longest address, in characters."""
MOST_LABELS = 32
"""The most labels of a node."""
MOST_ADDRESSES = 16
"""The most addresses of a node."""
MOST_SERVICES = 64
"""The most services of a node."""
MOST_LOAD = 655.0
"""The highest load that a node can tell."""
MOST_ID = MOST_EPOCH = (1 << 64) - 1
"""The largest id and the largest epoch."""
MOST_EDITION = (1 << 32) - 1
"""The largest edition."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?")
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*")
_ADDRESS = re.compile(r"[!-~]+")
_ID = re.compile(r"[0-9a-f]{16}")
Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Names with their texts."""
_PROFILE = msgspec.msgpack.Decoder(tuple[Pairs, Pairs, str])
_RANDOM_BITS = 12
_INCARNATION_BITS = 10


class InvalidGroupMessage(RemoteProtocolError):
    """A node has sent something to the group that the group does not allow.

    Parameters:
        field: the name of the field, such as ``labels.role``.
        problem: what is wrong with it, and what is allowed.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(
            f"{field}: {problem}", errors=[{"loc": field.split("."), "msg": problem, "type": "value_error"}]
        )
        self.field = field


@unique
class State(IntEnum):
    """What the roster says of a member. Within one life (one epoch) a member moves only along :data:`STEPS`."""

    UP = 0
    """It is there."""
    SUSPECT = 1
    """It has been silent for too long, and may be dead."""
    LEAVING = 2
    """It has said that it is about to leave: it takes no new calls."""
    DIED = 3
    """It is gone, and has not said so."""
    LEFT = 4
    """It has said that it has left."""


STEPS: frozenset[tuple[State, State]] = frozenset(
    {
        (State.UP, State.SUSPECT),
        (State.UP, State.LEAVING),
        (State.UP, State.DIED),
        (State.UP, State.LEFT),
        (State.SUSPECT, State.UP),
        (State.SUSPECT, State.LEAVING),
        (State.SUSPECT, State.DIED),
        (State.SUSPECT, State.LEFT),
        (State.LEAVING, State.DIED),
        (State.LEAVING, State.LEFT),
        (State.DIED, State.LEFT),  # Its own goodbye comes late, and is the truth.
    }
)
"""The steps of one life. A life that has died or left never comes back: whoever lives on begins a new one."""

LIVE = frozenset({State.UP, State.SUSPECT, State.LEAVING})
"""The states of a member that is not known to be gone."""


@unique
class Reason(Enum):
    """Why a member is in its state. The value is what a program compares, :attr:`words` is for a person."""

    ANNOUNCED = "announced"
    ENTRY = "entry"
    ALIVE = "alive"
    SILENT = "silent"
    DISCONNECTED = "disconnected"
    ABSENT = "absent"
    EXPIRED = "expired"
    GOODBYE = "goodbye"
    RESTARTED = "restarted"
    RETURNED = "returned"
    LEARNED = "learned"

    @property
    def words(self) -> str:
        """A sentence for a person."""
        return _WORDS[self]


_WORDS: Mapping[Reason, str] = {
    Reason.ANNOUNCED: "It has announced itself.",
    Reason.ENTRY: "Its entry in the bucket says so.",
    Reason.ALIVE: "It has been heard again.",
    Reason.SILENT: "The members that watch it do not hear it any more.",
    Reason.DISCONNECTED: "The broker has lost its connection.",
    Reason.ABSENT: "Nobody answers under its id.",
    Reason.EXPIRED: "Its entry in the bucket has expired or was removed.",
    Reason.GOODBYE: "It has said so itself.",
    Reason.RESTARTED: "It has begun a new life: its process was restarted, or it learned that it was taken for dead.",
    Reason.RETURNED: "It has come back with a new life.",
    Reason.LEARNED: "Another member knew it.",
}
REASONS: tuple[Reason, ...] = tuple(Reason)
"""The reasons by their numbers on the wire. New ones come last."""


class Profile:
    """The part of an announcement that many nodes of a group have in common.

    It is kept as bytes: a node remembers those of a thousand others, and the texts of one would take 1.5 KiB as
    objects.

    Parameters:
        labels: the labels, sorted by their keys.
        services: the names of the services with their versions, sorted.
        version: the version of the server.
    """

    __slots__ = ("data",)

    def __init__(self, labels: Pairs = (), services: Pairs = (), version: str = "") -> None:
        self.data = msgspec.msgpack.encode((labels, services, version))

    @property
    def labels(self) -> Pairs:
        """The labels, sorted by their keys."""
        return _PROFILE.decode(self.data)[0]

    @property
    def services(self) -> Pairs:
        """The names of the services with their versions, sorted."""
        return _PROFILE.decode(self.data)[1]

    @property
    def version(self) -> str:
        """The version of the server."""
        return _PROFILE.decode(self.data)[2]

    def unpack(self) -> tuple[Pairs, Pairs, str]:
        """Return labels, services and version."""
        return _PROFILE.decode(self.data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        labels, services, version = self.unpack()
        return f"Profile({labels!r}, {services!r}, {version!r})"


NO_PROFILE = Profile()
"""That of who tells nothing."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a node tells about itself.

    Attributes:
        id: the number of the node, random, kept over restarts; no two nodes have the same.
        epoch: the number of its life. Each start makes a new one (:func:`first_epoch`), and so does a node that was
            taken for dead (:func:`next_epoch`); a later one is larger.
        edition: counts what the node has told in this life: a later one is larger.
        name: the name for people; several nodes may have the same.
        addresses: where clients reach it directly, such as ``10.0.0.7:8765``.
        profile: its labels, services and version.
        load: how busy it is: 1.0 means that all its processors are.
    """

    id: int
    epoch: int
    edition: int
    name: str
    addresses: tuple[str, ...] = ()
    profile: Profile = NO_PROFILE
    load: float = 0.0

    def to_wire(self) -> dict[str, object]:
        """Return the announcement as plain values, without the id: the subject tells it."""
        labels, services, version = self.profile.unpack()
        return {
            "epoch": self.epoch,
            "edition": self.edition,
            "name": self.name,
            "addresses": list(self.addresses),
            "labels": dict(labels),
            "services": dict(services),
            "version": version,
            "load": self.load,
        }


@dataclass(frozen=True, slots=True)
class Member:
    """What the roster says of a node.

    Attributes:
        id: the id as text, 16 hexadecimal digits.
        epoch: the number of its life: a call and its outcome belong to one life.
        name: the name for people.
        labels: the labels.
        addresses: where clients reach it directly.
        services: the names of its services with their versions.
        version: the version of the server.
        state: its state.
        reason: why it is in that state.
        since: when it came into that state, in seconds since 1970, to be shown. This node's clock has measured it.
        load: how busy it was when this node last heard of it.
    """

    id: str
    epoch: int
    name: str
    labels: Mapping[str, str]
    addresses: tuple[str, ...]
    services: Mapping[str, str]
    version: str
    state: State
    reason: Reason
    since: float
    load: float


def format_id(number: int) -> str:
    """Return the id of a node as text."""
    return f"{number:016x}"


def parse_id(text: str) -> int:
    """Return the id of a node as a number.

    Raises:
        InvalidGroupMessage: the text is no id.
    """
    if _ID.fullmatch(text) is None:
        raise InvalidGroupMessage("id", "it must have 16 hexadecimal digits in lower case")
    return int(text, 16)


def first_epoch(last: int, wall_s: float, random_bits: int) -> int:
    """Return the number of the first life of a process.

    It is made of the time of day in milliseconds and of random bits. The time makes later processes larger, even if
    a node has forgotten its last life; ``last`` makes them larger even if the clock was set back; the bits make two
    copies of one node differ.

    Parameters:
        last: the last epoch of this node, which it keeps beside its id; 0 if there was none.
        wall_s: the time of day, in seconds since 1970.
        random_bits: a random number.
    """
    time_ms = max(int(wall_s * 1000), (last >> _RANDOM_BITS + _INCARNATION_BITS) + 1)
    process = time_ms << _RANDOM_BITS | random_bits & (1 << _RANDOM_BITS) - 1
    return min(process << _INCARNATION_BITS, MOST_EPOCH)


def next_epoch(last: int) -> int:
    """Return the number of a further life of the same process, which was taken for dead."""
    return min(last + 1, MOST_EPOCH)


def is_same_process(epoch: int, other: int) -> bool:
    """Whether two lives are those of one process: then what it has begun in one goes on in the other."""
    return epoch >> _INCARNATION_BITS == other >> _INCARNATION_BITS


def read_announcement(source: int, value: object) -> Announcement:
    """Check what a node has told about itself.

    Parameters:
        source: the id of the node, as the subject tells it.
        value: plain values, as :meth:`Announcement.to_wire` returns them. Fields that are unknown here are left out.

    Raises:
        InvalidGroupMessage: a field is missing, has the wrong type, or is too long.
    """
    fields = _read_map("announcement", value, 64)
    labels = _read_map("labels", fields.get("labels", {}), MOST_LABELS)
    services = _read_map("services", fields.get("services", {}), MOST_SERVICES)
    version = fields.get("version", "")
    try:
        profile = _read_common_profile(msgspec.msgpack.encode((labels, services, version)))
    except (TypeError, ValueError, OverflowError):  # It did not come as MessagePack.
        profile = _read_profile(labels, services, version)
    return Announcement(
        id=read_number("id", source, MOST_ID),
        epoch=read_number("epoch", fields.get("epoch"), MOST_EPOCH),
        edition=read_number("edition", fields.get("edition"), MOST_EDITION),
        name=read_name("name", fields.get("name")),
        addresses=_read_addresses(fields.get("addresses", [])),
        profile=profile,
        load=_read_load(fields.get("load", 0.0)),
    )


def read_number(field: str, value: object, most: int) -> int:
    """Check a whole number.

    Parameters:
        field: the name of the field.
        value: the value.
        most: the largest number allowed; the smallest one is 0.

    Raises:
        InvalidGroupMessage: it is none.
    """
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidGroupMessage(field, f"it must be a whole number from 0 to {most}")
    return value


def read_name(field: str, value: object) -> str:
    """Check a name of a node or of a service.

    Parameters:
        field: the name of the field.
        value: the value.

    Raises:
        InvalidGroupMessage: it is none.
    """
    return _match(field, value, _NAME, NAME_CHARACTERS, "it must be letters, digits and . _ - between them")


def _read_key(field: str, value: object) -> str:
    return _match(field, value, _KEY, NAME_CHARACTERS, "it must be letters, digits and . _ / - between them")


def _read_text(field: str, value: object) -> str:
    return _match(field, value, _TEXT, TEXT_CHARACTERS, "it must be text without control characters")


def _match(field: str, value: object, pattern: re.Pattern[str], longest: int, rule: str) -> str:
    if not isinstance(value, str) or len(value) > longest or pattern.fullmatch(value) is None:
        raise InvalidGroupMessage(field, f"{rule}, with at most {longest} characters")
    return str(value)


def _read_map(field: str, value: object, most: int) -> dict[object, object]:
    if not isinstance(value, dict) or len(value) > most:
        raise InvalidGroupMessage(field, f"it must be a map with at most {most} entries")
    return value


def _read_profile(labels: dict[object, object], services: dict[object, object], version: object) -> Profile:
    return Profile(
        labels=_read_pairs("labels", labels, _read_key),
        services=_read_pairs("services", services, read_name),
        version=_read_text("version", version),
    )


@lru_cache(32)
def _read_common_profile(data: bytes) -> Profile:
    """The same, of MessagePack. Many nodes of a group have the same profile, and it takes longer to check than all the
    rest."""
    return _read_profile(*msgspec.msgpack.decode(data))


def _read_pairs(field: str, items: dict[object, object], read: Callable[[str, object], str]) -> Pairs:
    pairs = []
    for key, text in items.items():
        name = read(f"{field}, the name of an entry", key)
        pairs.append((name, _read_text(f"{field}.{printable(name)}", text)))
    return tuple(sorted(pairs))


def _read_addresses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > MOST_ADDRESSES:
        raise InvalidGroupMessage("addresses", f"it must be a list with at most {MOST_ADDRESSES} entries")
    rule = "it must be printable ASCII without spaces"
    return tuple(
        _match(f"addresses.{index}", address, _ADDRESS, TEXT_CHARACTERS, rule) for index, address in enumerate(value)
    )


def _read_load(value: object) -> float:
    if type(value) not in {int, float} or not 0 <= value <= MOST_LOAD:  # type: ignore[operator]  # NaN fails, too
        raise InvalidGroupMessage("load", f"it must be a number from 0 to {MOST_LOAD:.0f}")
    return float(value)  # type: ignore[arg-type]
