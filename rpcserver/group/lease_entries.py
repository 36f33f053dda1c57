"""What is stored of a lease, and since when a node has seen it unchanged. Nothing here reads a clock.

An entry says for how long its holder may believe to hold the lease, and not until when: no two machines need the same
time. The holder counts from before it asked. Everybody else counts from when they saw the entry, which is later. They
may replace it when they have seen it unchanged for longer than it lasts, if it is still the same one then.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import msgspec

DRIFT = 1.01
"""How much longer than an entry lasts others wait for it: clocks do not run equally fast."""
GRACE_S = 0.05
"""And how much longer in any case, in seconds."""
MOST_SIGHTS = 10_000
"""How many leases a node remembers to have seen."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a lease.

    Attributes:
        name: its name.
        scope: what it is for.
        fencing_token: the number of its last holder. It never goes back.
        id: what the holder proves itself with; empty if nobody holds it.
        holder: who holds it, for people.
        node: the name of the node that granted it.
        ttl_s: how long it lasts without being renewed, in seconds.
        renewals: how often it was renewed, so that each renewal changes it.
    """

    name: str
    scope: str
    fencing_token: int
    id: str = ""
    holder: str = ""
    node: str = ""
    ttl_s: float = 0.0
    renewals: int = 0

    def renew(self) -> Entry:
        """Return the entry with one more renewal."""
        return msgspec.structs.replace(self, renewals=self.renewals + 1)

    def release(self) -> Entry:
        """Return the entry of the same lease when nobody holds it. The number stays."""
        return Entry(name=self.name, scope=self.scope, fencing_token=self.fencing_token)


@dataclass(frozen=True, slots=True)
class Record:
    """An entry as it is stored.

    Attributes:
        revision: the number of its last change; 0 if there has been none.
        entry: the entry; ``None`` if there is none.
        life: changes when the store may have forgotten something: what was seen before counts no more.
    """

    revision: int
    entry: Entry | None
    life: int = 0


class Conflict(Exception):
    """The entry has changed since it was read. Nothing was written."""


def key_of(scope: str, name: str) -> str:
    """Return under which key a lease is stored: the names are too free for one.

    Parameters:
        scope, name: those of the lease.
    """
    digest = hashlib.sha256(msgspec.json.encode([scope, name])).hexdigest()
    return digest[:40]


def next_token(entry: Entry | None, wall_ms: int) -> int:
    """Return the number for the next holder: higher than all before.

    It is the time of day in milliseconds, unless the last number is as high already. So it grows with the stored
    number, however wrong the clocks are; and it grows with the clocks, if ever the store is lost.

    Parameters:
        entry: what is stored of the lease.
        wall_ms: the time of day, in milliseconds since 1970.
    """
    return wall_ms if entry is None else max(entry.fencing_token + 1, wall_ms)


@dataclass(frozen=True, slots=True)
class _Sight:
    record: Record
    at: float


class Sights:
    """When a node has first seen the entries as they are now."""

    def __init__(self) -> None:
        self._sights: OrderedDict[str, _Sight] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sights)

    def free_at(self, key: str, record: Record, now: float) -> float:
        """Take note of an entry, and return from when on it may be replaced: ``now``, if nobody holds the lease.

        Parameters:
            key: where it is stored.
            record: what is stored there.
            now: the time when it had been read, in seconds, on a clock that nobody sets, and that does not stop while
                the machine sleeps.
        """
        entry = record.entry
        if entry is None or not entry.id:
            self._sights.pop(key, None)
            return now
        sight = self._sights.get(key)
        if sight is None or sight.record.revision != record.revision or sight.record.life != record.life:
            sight = self._sights[key] = _Sight(record, now)
            if len(self._sights) > MOST_SIGHTS:
                self._sights.popitem(last=False)
        self._sights.move_to_end(key)
        return sight.at + entry.ttl_s * DRIFT + GRACE_S
