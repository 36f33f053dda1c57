"""Who watches whom: the ring of ids, and what a node keeps of those that it watches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, unique

from .members import Reason, State
from .table import Table

WATCHERS = 3
"""How many members watch each member."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of the group, in seconds. All nodes of a group have the same.

    Attributes:
        beat_s: between two beats.
        ask_s: silent for this long, a member is asked whether it is there: perhaps it was only late.
        suspect_s: silent for this long, it is suspect.
        die_s: silent for this long, it is dead.
        soon_suspect_s: the same as ``suspect_s`` for one whose watchers are silent themselves: it may have been so for
            as long as they.
        soon_die_s: the same for its death.
        return_die_s: silent for this long after we could not hear anybody, a member is dead.
        grace_s: how long a member may take to be heard again, once the broker has said that its connection is lost.
        claim_s: how long a member may take to begin a new life, before we believe others that it is dead, although it
            was not suspect.
        rank_s: how much longer the second watcher waits than the first one, and so on: if the first one has spoken, the
            others are quiet.
        herald_members: from so many members on the first watcher has its verdicts told by another member, which joins
            them.
        herald_s: how much longer the other watchers wait then.
        blocked_s: we looked at the clock this much later than we do, at most: we have not listened meanwhile.
        deaf_s: how long our own echo may take. If it takes longer, what we hear is too old to judge others by it.
        most_deaf_s: the same at most, where even the fastest one has taken long, because the broker is far away.
        settle_s: how long the roster is not to be trusted after a broker's return, and how long two tables must have
            differed without a change before they are compared.
    """

    beat_s: float = 0.5
    ask_s: float = 1.0
    suspect_s: float = 1.3
    die_s: float = 2.0
    soon_suspect_s: float = 0.7
    soon_die_s: float = 1.4
    return_die_s: float = 1.95
    grace_s: float = 0.5
    claim_s: float = 0.3
    rank_s: float = 0.1
    herald_members: int = 20
    herald_s: float = 0.4
    blocked_s: float = 0.5
    deaf_s: float = 0.3
    most_deaf_s: float = 2.0
    settle_s: float = 1.0


TIMING = Timing()
"""The times that all nodes have."""


@unique
class Phase(IntEnum):
    """What a node hears of one that it watches."""

    HEARD = 0
    SILENT = 1
    GONE = 2
    """The roster says that it has died. If it beats nevertheless, it has to be told."""


class Watch:
    """One member that this node watches.

    Parameters:
        number: its id.
        epoch: the number of its life.
        now: the present time: its silence counts from now on.
        suspect_s: how long it may be silent before it is suspect, in seconds.
        die_s: how long it may be silent before it is dead, in seconds.

    Attributes:
        last_beat: the number of its last beat.
        load: the load that it has told last.
        heard_at: when it was heard last, or when the watch began.
        phase: what is heard of it.
        rank: how many others watch it, and speak first.
        reason: why it is judged, if it is.
        is_plain: whether a beat of it is nothing special.
        is_urgent: whether it should be asked at once.
        is_asked: whether it was asked in this silence.
        digest: the digest of its table.
        digest_at: since when it has been the same.
    """

    __slots__ = (
        "die_s",
        "digest",
        "digest_at",
        "epoch",
        "heard_at",
        "id",
        "is_asked",
        "is_plain",
        "is_urgent",
        "last_beat",
        "load",
        "phase",
        "rank",
        "reason",
        "suspect_s",
    )

    def __init__(self, number: int, epoch: int, now: float, suspect_s: float, die_s: float) -> None:
        self.id = number
        self.epoch = epoch
        self.last_beat = -1
        self.heard_at = now
        self.suspect_s = suspect_s
        self.die_s = die_s
        self.phase = Phase.HEARD
        self.is_plain = False
        self.is_urgent = False
        self.is_asked = False
        self.rank = 0
        self.load = 0.0
        self.reason = Reason.SILENT
        self.digest = -1
        self.digest_at = now


def walk(
    table: Table, own: int, before: Mapping[int, Watch], now: float, timing: Timing, checks: Iterable[int] = ()
) -> dict[int, Watch]:
    """Find the members that a node has to watch: the nearest before it in the ring of ids.

    It goes on until it has found :data:`WATCHERS` that it hears, and one more for each silent one: those whom the
    silent ones watch may need it. It also listens to the dead on its way, who may be alive and not know it, and to
    those whom it checks.

    Parameters:
        table: the members.
        own: the id of the node itself, which is in the table.
        before: those whom it watches already.
        now: the present time.
        timing: the times of the group.
        checks: the ids of the living members that it checks, wherever they are.
    """
    watches: dict[int, Watch] = {}
    index = table.find(own)
    silent = rank = 0
    for _ in range(len(table) - 1):
        index = index - 1 if index else len(table) - 1
        state = table.states[index]
        if state == State.LEFT:
            continue
        number, epoch = table.ids[index], table.epochs[index]
        watch = before.get(number)
        if watch is None or watch.epoch != epoch:
            if silent:
                watch = Watch(number, epoch, now, timing.soon_suspect_s, timing.soon_die_s)
                watch.is_urgent = watch.is_asked = state != State.DIED
            else:
                watch = Watch(number, epoch, now, timing.suspect_s, timing.die_s)
        watches[number] = watch
        watch.rank = rank
        if state == State.DIED:
            watch.phase = Phase.GONE
            watch.is_plain = False
        elif watch.phase == Phase.SILENT:
            silent += 1
        else:
            rank += 1
            if rank >= WATCHERS + silent:
                break
    for number in checks:
        if number not in watches:
            epoch = table.epochs[table.find(number)]
            watch = before.get(number)
            if watch is None or watch.epoch != epoch:
                watch = Watch(number, epoch, now, timing.suspect_s, timing.die_s)
            watch.rank = 0  # Perhaps nobody else watches it.
            watches[number] = watch
    return watches
