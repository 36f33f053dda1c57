"""How programs watch the roster: a snapshot, then each change, and ``resync`` if they were too slow for all of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, unique

from .members import Member

QUEUE_CHANGES = 1000
"""How many changes wait for a watcher, if it does not say."""


@unique
class ChangeKind(Enum):
    """What has happened."""

    JOINED = "joined"
    RETURNED = "returned"
    """It was dead or had left, and has begun a new life."""
    CHANGED = "changed"
    """It tells something else about itself."""
    SUSPECT = "suspect"
    ALIVE = "alive"
    """It was suspect, and is up again."""
    LEAVING = "leaving"
    LEFT = "left"
    DIED = "died"
    FORGOTTEN = "forgotten"
    """It was dead or had left, and is no longer listed."""
    RESYNC = "resync"
    """Changes were lost: take a snapshot."""
    SETTLED = "settled"
    """From now on the roster can be trusted."""
    UNSETTLED = "unsettled"
    """From now on it cannot."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the roster.

    Attributes:
        version: the version of the roster since this change.
        kind: what has happened.
        member: the member after the change; ``None`` for ``resync``, ``settled`` and ``unsettled``.
    """

    version: int
    kind: ChangeKind
    member: Member | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The roster at one moment.

    Attributes:
        version: its version: the next change that a watcher gets is a later one.
        members: all members, sorted by id.
    """

    version: int
    members: tuple[Member, ...]


class Watcher:
    """What one program has yet to see. It begins with the changes after the snapshot that came with it.

    Parameters:
        most: how many changes may wait. When there are more, all of them are dropped for one ``resync``.
    """

    __slots__ = ("_changes", "most")

    def __init__(self, most: int = QUEUE_CHANGES) -> None:
        self.most = most
        self._changes: deque[Change] = deque()

    def __len__(self) -> int:
        return len(self._changes)

    def put(self, change: Change) -> None:
        """Add a change. After a ``resync`` nothing is added until it is taken: the snapshot will contain it."""
        changes = self._changes
        if changes and changes[-1].kind is ChangeKind.RESYNC:
            changes[-1] = Change(change.version, ChangeKind.RESYNC, None)
        elif len(changes) >= self.most:
            changes.clear()
            changes.append(Change(change.version, ChangeKind.RESYNC, None))
        else:
            changes.append(change)

    def take(self) -> list[Change]:
        """Return the changes that wait, the oldest first. After ``resync`` take a snapshot."""
        changes = list(self._changes)
        self._changes.clear()
        return changes
