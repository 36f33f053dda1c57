"""The roster: who belongs to the group, and in which state. It judges nobody; it keeps what was judged consistent.

Whatever is said of a member is said of one life of it (one epoch), and within a life it can only go forward
(:data:`~rpcserver.group.members.STEPS`). So it does not matter in which order nodes hear things, or how often: those
who have heard the same say the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from .members import STEPS, Announcement, Member, Reason, State, is_same_process
from .table import Table
from .watching import QUEUE_CHANGES, Change, ChangeKind, Snapshot, Watcher

MOST_MEMBERS = 10_000
"""The most members that a node knows, dead ones included. Further ones are not listed."""
SUSPICION_S = 3.0
"""A suspicion that nobody has confirmed for this long is void, in seconds: the suspect's answer was lost."""
FORGET_S = 600.0
"""How long a member that has died or left is listed, in seconds. Messages that are older than this do not exist."""

_NEXT_STATES = tuple(frozenset(after for before, after in STEPS if before is state) for state in State)
"""The states that may follow each state, by its number."""
_KINDS = {
    State.UP: ChangeKind.ALIVE,
    State.SUSPECT: ChangeKind.SUSPECT,
    State.LEAVING: ChangeKind.LEAVING,
    State.DIED: ChangeKind.DIED,
    State.LEFT: ChangeKind.LEFT,
}


class Roster:
    """The members of the group, as one node knows them.

    All times are seconds of a clock that does not jump. Each method takes the present one as ``now``.

    Attributes:
        table: the members. Only the roster changes it.
        version: counts the changes.
        ring_version: counts the changes of who is there, which decide who watches whom.
        wall_offset_s: the time of day less the clock that does not jump, in seconds, for what is shown.
        rejections: how many announcements found no place.
    """

    def __init__(self, wall_offset_s: float = 0.0) -> None:
        self.table = Table()
        self.version = 0
        self.ring_version = 0
        self.wall_offset_s = wall_offset_s
        self.rejections = 0
        self._watchers: list[Watcher] = []
        self._suspicions: dict[int, float] = {}
        self._absences: dict[int, float] = {}  # In the order in which they went.
        self._untold: set[int] = set()  # Whose present life was over before it was announced: watchers never saw it.

    # --- what is told ------------------------------------------------------------------------------------------

    def announce(self, announcement: Announcement, reason: Reason, now: float) -> bool:
        """Take note of what a member tells about itself.

        Parameters:
            announcement: what it tells.
            reason: how it was heard.
            now: the present time.

        Returns:
            Whether it was news.
        """
        table = self.table
        index = table.find(announcement.id)
        if index < 0:
            if len(table) >= MOST_MEMBERS:
                self.rejections += 1
                return False
            return self._put(announcement, reason, ChangeKind.JOINED, now)
        if announcement.epoch > table.epochs[index]:
            if table.states[index] >= State.DIED:
                return self._put(announcement, Reason.RETURNED, ChangeKind.RETURNED, now)
            if is_same_process(announcement.epoch, table.epochs[index]):
                # Others have taken it for dead; we have not, so that for us it has never been gone.
                self._suspicions.pop(announcement.id, None)
                return self._put(announcement, reason, ChangeKind.CHANGED, now)
            self._step(index, State.DIED, Reason.RESTARTED, now)
            return self._put(announcement, Reason.RETURNED, ChangeKind.RETURNED, now)
        entry = table.entry(index)
        if announcement.epoch < entry.epoch or announcement.edition <= entry.edition or entry.state >= State.DIED:
            return False
        self.clear(announcement.id, announcement.epoch, now)
        index = table.find(announcement.id)
        table.put(announcement, State(table.states[index]), reason, now)
        self._tell(ChangeKind.CHANGED, index, now)
        return True

    def suspect(self, number: int, epoch: int, reason: Reason, now: float) -> bool:
        """Take a member for suspect, and return whether that was news."""
        index = self.table.find(number)
        if not self._move(index, epoch, State.SUSPECT, reason, now) or self.table.states[index] != State.SUSPECT:
            return False
        self._suspicions[number] = now + SUSPICION_S
        return True

    def clear(self, number: int, epoch: int, now: float) -> bool:
        """Take a suspect for up again, and return whether it was one."""
        return number in self._suspicions and self.move(number, epoch, State.UP, Reason.ALIVE, now)

    def move(self, number: int, epoch: int, state: State, reason: Reason, now: float) -> bool:
        """Change the state of a member, if that is a step of this life.

        Parameters:
            number: its id.
            epoch: the life of which the state is told.
            state: the state.
            reason: why it is in it.
            now: the present time.

        Returns:
            Whether it was news.
        """
        return self._move(self.table.find(number), epoch, state, reason, now)

    def _move(self, index: int, epoch: int, state: State, reason: Reason, now: float) -> bool:
        if index < 0:
            return False
        table = self.table
        if epoch > table.epochs[index]:
            return self._move_later_life(index, epoch, state, reason, now)
        if epoch != table.epochs[index] or state not in _NEXT_STATES[table.states[index]]:
            return False
        self._step(index, state, reason, now)
        return True

    def _move_later_life(self, index: int, epoch: int, state: State, reason: Reason, now: float) -> bool:
        """Follow what is told of a life whose announcement has not come yet."""
        table = self.table
        is_live = table.states[index] < State.DIED
        is_same = is_same_process(epoch, table.epochs[index])
        is_over = state >= State.DIED
        if is_live and (is_over or not is_same):
            self._step(index, state if is_same else State.DIED, reason if is_same else Reason.RESTARTED, now)
        if is_over:
            table.epochs[index] = epoch  # The digest does not contain it: it is gone.
            self._untold.add(table.ids[index])
            if (State(table.states[index]), state) in STEPS:
                self._step(index, state, reason, now)
        return is_live and (is_over or not is_same)

    def expire(self, now: float) -> None:
        """End the suspicions that nobody has confirmed, and forget who has been gone for long."""
        for number in [number for number, until in self._suspicions.items() if now >= until]:
            self.clear(number, self.table.epochs[self.table.find(number)], now)
        for past in (self._suspicions, self._absences):
            if not past:
                past.clear()  # What many have taken at the same moment is given back: a dictionary does not shrink.
        while self._absences:
            number, since = next(iter(self._absences.items()))
            if now < since + FORGET_S:
                break
            del self._absences[number]
            self._untold.discard(number)
            index = self.table.find(number)
            self.ring_version += 1
            self._tell(ChangeKind.FORGOTTEN, index, now)
            self.table.remove(index)

    def prolong_suspicions(self, now: float) -> None:
        """Begin to count anew how long suspicions have stood: nothing was heard for a while, neither yes nor no."""
        for number in self._suspicions:
            self._suspicions[number] = now + SUSPICION_S

    # --- what is asked -----------------------------------------------------------------------------------------

    def is_suspect(self, number: int) -> bool:
        """Whether a member is suspect."""
        return number in self._suspicions

    def suspicion_age(self, number: int, now: float) -> float:
        """Return for how long a suspect has been one, in seconds, or since it was last prolonged."""
        return now - self._suspicions[number] + SUSPICION_S

    def __len__(self) -> int:
        return len(self.table)

    def get(self, number: int, now: float) -> Member | None:
        """Return a member by its id, or ``None``."""
        index = self.table.find(number)
        return None if index < 0 else self._member(index, now)

    def members(self, now: float) -> Iterator[Member]:
        """Yield all members, sorted by id."""
        return (self._member(index, now) for index in range(len(self.table)))

    def snapshot(self, now: float) -> Snapshot:
        """Return the roster as it is now."""
        return Snapshot(self.version, tuple(self.members(now)))

    def watch(self, now: float, most: int = QUEUE_CHANGES) -> tuple[Snapshot, Watcher]:
        """Return the roster as it is now, and what gets each change from now on.

        Parameters:
            now: the present time.
            most: how many changes may wait for the watcher.
        """
        watcher = Watcher(most)
        self._watchers.append(watcher)
        return self.snapshot(now), watcher

    def unwatch(self, watcher: Watcher) -> None:
        """Tell a watcher nothing more."""
        self._watchers.remove(watcher)

    # --- within ------------------------------------------------------------------------------------------------

    def _put(self, announcement: Announcement, reason: Reason, kind: ChangeKind, now: float) -> bool:
        self.table.put(announcement, State.UP, reason, now)
        self._absences.pop(announcement.id, None)
        self._untold.discard(announcement.id)
        self.ring_version += 1
        self._tell(kind, self.table.find(announcement.id), now)
        return True

    def _step(self, index: int, state: State, reason: Reason, now: float) -> None:
        table = self.table
        number = table.ids[index]
        self._suspicions.pop(number, None)
        table.set_state(index, state, reason, now)
        if state >= State.DIED:
            self.ring_version += 1
            self._absences.pop(number, None)
            self._absences[number] = now
        if number not in self._untold:
            self._tell(_KINDS[state], index, now)

    def _tell(self, kind: ChangeKind, index: int, now: float) -> None:
        self.version += 1
        if self._watchers:
            change = Change(self.version, kind, self._member(index, now))
            for watcher in self._watchers:
                watcher.put(change)

    def _member(self, index: int, now: float) -> Member:
        return self.table.member(index, now, now + self.wall_offset_s)
