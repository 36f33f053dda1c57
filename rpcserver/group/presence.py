"""A node's part in the group, without I/O: it beats, listens to the few that it watches, judges them, and tells others.

:class:`Presence` is given messages, what the broker says, and the time. It returns messages to send, and the ids to
whose beats it wants to listen. The package's docstring tells the design.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .comparing import compare
from .hearing import Hearing
from .heralding import Handovers, Reports, find_herald
from .members import Announcement, Reason, State, next_epoch
from .messages import (
    Alive,
    Ask,
    Beat,
    Compare,
    Echo,
    Entries,
    Goodbye,
    Message,
    Report,
    Verdict,
    Verdicts,
    Want,
)
from .ring import TIMING, Phase, Timing, Watch, walk
from .roster import Roster
from .wishes import Wishes

HERALD_BEATS = 4
"""How many beats of its own the member with the smallest id makes between two announcements."""
MOST_TABLES = 8
"""How many tables a node sends between two of its own beats."""
SOON_TABLES = 2
"""How many of these it sends at once to nodes that have just come. Further ones get theirs with its next beat, if they
have not learned from others by then who is there: a thousand nodes may come at the same moment."""
LATE_FADE = 0.8
"""How much of the lateness of a beat is left at the next one."""
MOST_LATE_S = 0.5
"""The largest lateness that counts, in seconds."""
LATE_PATIENCE = 3.0
"""How many times its own lateness a node waits longer for others: their machine may be as busy."""
MOST_CHECKS = 16
"""How many members a node checks at once that another one does not know."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """Somebody holds a member for dead who is up here. It is believed at ``due``, in seconds.

    If that was told before this node's roster could be trusted, the member may not have had a connection, and is told
    once more.
    """

    epoch: int
    reason: Reason
    due: float
    is_early: bool


class Presence:
    """One node in the group.

    All times are seconds of a clock that does not jump. Each method takes the present one as ``now``. After each, take
    :attr:`outbox`, look at :attr:`watches` if :attr:`watches_version` has changed, and call :meth:`tick` at
    :attr:`due`.

    Parameters:
        announcement: what this node tells about itself at its start.
        now: the present time.
        timing: the times of the group.

    Attributes:
        roster: who belongs to the group.
        outbox: messages to send, each with the id of its receiver, or ``None`` for everybody. A :class:`Beat` for
            everybody goes to those who listen to this node.
        due: when to call :meth:`tick`, at the latest.
        is_linked: whether there is a connection to the broker.
        is_displaced: whether another process uses the id of this node. Then it is quiet, and needs a new id.
        settled_at: when the roster can be trusted: later than now after a start or an outage.
        watches_version: counts the changes of :attr:`watches`.
    """

    def __init__(self, announcement: Announcement, now: float, timing: Timing = TIMING) -> None:
        self.id = announcement.id
        self.roster = Roster()
        self.outbox: list[tuple[int | None, Message]] = []
        self.due = now
        self.is_linked = True
        self.is_displaced = False
        self.settled_at = now + timing.settle_s
        self.watches_version = 0
        self._announcement = announcement
        self._timing = timing
        self._state = State.UP
        self._watches: dict[int, Watch] = {}
        self._walk_version = -1
        self._beats = 0
        self._beat_at = now
        self._late_s = 0.0  # How late its own beats were lately.
        self._look_at = now
        self._hearing = Hearing(timing)
        self._digest = -1
        self._digest_at = now
        self._compare_at = now
        self._tables = 0
        self._claims: dict[int, _Claim] = {}
        self._checks: set[int] = set()  # They are alive here, and another one does not know it.
        self._wishes = Wishes(now)
        self._newcomers: set[int] = set()
        self._beats_to_herald = HERALD_BEATS
        self._reports = Reports()
        self._handovers = Handovers()
        self.roster.announce(announcement, Reason.ANNOUNCED, now)
        self._send(None, announcement)

    @property
    def announcement(self) -> Announcement:
        """What this node tells about itself."""
        return self._announcement

    @property
    def epoch(self) -> int:
        """The number of this node's life."""
        return self._announcement.epoch

    @property
    def state(self) -> State:
        """What this node says of itself: up, leaving or left."""
        return self._state

    @property
    def is_deaf(self) -> bool:
        """Whether what this node hears is too old, or nothing at all: then it judges nobody."""
        return self._hearing.is_deaf

    @property
    def watches(self) -> Iterable[int]:
        """The ids of the nodes to whose beats this node wants to listen."""
        return self._watches.keys()

    # --- what this node does -----------------------------------------------------------------------------------

    def change(self, announcement: Announcement, now: float) -> None:
        """Tell something else about this node; id, epoch and edition of the argument do not matter."""
        mine = self._announcement
        news = replace(announcement, id=mine.id, epoch=mine.epoch, edition=mine.edition + 1)
        self._announcement = news
        self.roster.announce(news, Reason.ANNOUNCED, now)
        self._send(None, news)

    def set_load(self, load: float) -> None:
        """Note how busy this node is: its next beats tell it."""
        self._announcement = replace(self._announcement, load=load)
        self.roster.table.set_load(self.roster.table.find(self.id), load)

    def leave(self, now: float) -> None:
        """Say that this node is about to leave. It goes on beating until :meth:`finish`."""
        self._depart(State.LEAVING, now)

    def finish(self, now: float) -> None:
        """Say that this node has left. It says nothing more."""
        self._depart(State.LEFT, now)

    def _depart(self, state: State, now: float) -> None:
        if self._state < state:
            self._send(None, Goodbye(self.epoch, state))
            self._state = state
            self.roster.move(self.id, self.epoch, state, Reason.GOODBYE, now)

    # --- what the broker says ----------------------------------------------------------------------------------

    def lose_link(self, now: float) -> None:
        """Take note that there is no connection to the broker: nobody is judged until there is one again."""
        self._look(now)
        self.is_linked = False
        self._hearing.lose_link()
        self._wishes.clear()
        self._reports.clear()
        self._handovers.clear()
        self.outbox.clear()

    def regain_link(self, now: float) -> None:
        """Take note that there is a connection to the broker again."""
        self._look_at = now
        self._hearing.regain_link()
        self.is_linked = True
        self.settled_at = now + self._timing.settle_s
        self._beat_at = self.due = now
        self._beats_to_herald = 0
        self._listen_anew(now)

    def doubt(self, number: int, epoch: int, reason: Reason, now: float) -> None:
        """Take note that the broker knows something bad of a member.

        Parameters:
            number: its id.
            epoch: the life for which this is known; for another life it means nothing.
            reason: ``DISCONNECTED``: its connection was lost. ``ABSENT``: nobody listens to its id, asked twice.
                ``EXPIRED``: its entry in the bucket is gone.
            now: the present time.
        """
        self._look(now)
        table = self.roster.table
        index = table.find(number)
        if index < 0 or number == self.id or table.epochs[index] != epoch or table.states[index] >= State.DIED:
            return
        if number in self._watches:
            self._hurry(self._watches[number], reason, now)
        else:
            self._send(None, Verdict(number, epoch, State.SUSPECT, reason))
        self._finish(now)

    def expect_entries(self, until: float) -> None:
        """Take note that the entries of the bucket are being read, until a time: many others are not asked meanwhile
        what the entries will tell.
        """
        self._wishes.entries_until = until

    def enter(self, announcements: Iterable[Announcement], now: float) -> None:
        """Take note of the entries of the bucket. They may be old."""
        self._look(now)
        self._wishes.entries_until = now
        for each in announcements:
            if each.id != self.id:
                self.roster.announce(each, Reason.ENTRY, now)
        self._finish(now)

    # --- what others say ---------------------------------------------------------------------------------------

    def receive(self, source: int, message: Message, now: float) -> None:
        """Take note of a message.

        Parameters:
            source: the id of its sender, as the subject tells it.
            message: the message.
            now: the present time.
        """
        self._look(now)
        if type(message) is Beat:
            self._hear(source, message, now)
        elif source == self.id:
            # What goes to everybody comes back. Another process with this id is noticed by its later life.
            if isinstance(message, Announcement) and message.epoch > self.epoch:
                self.is_displaced = True
                self.outbox.clear()
            elif type(message) is Echo:
                self._hear_echo(message.number, now)
        else:
            self._read(source, message, now)
        if self._walk_version != self.roster.ring_version:
            # Whom to watch is found out once for all that comes at this moment: a hundred may die at once.
            self.due = min(self.due, now)

    def _read(self, source: int, message: Message, now: float) -> None:
        match message:
            case Announcement():
                self._meet(message, now)
            case Goodbye(epoch, state):
                self.roster.move(source, epoch, state, Reason.GOODBYE, now)
            case Verdict():
                self._judge_by(message, now)
            case Verdicts(verdicts):
                for verdict in verdicts:
                    self._judge_by(verdict, now)
            case Report(verdicts):
                self._take_report(verdicts, now)
            case Alive(epoch):
                self.roster.clear(source, epoch, now)
                watch = self._watches.get(source)
                if watch is not None and watch.epoch == epoch and watch.phase != Phase.GONE:
                    watch.heard_at = now
                    self._hear_again(watch, now, is_leaving=False)
            case Ask():
                self._send(source, self._make_beat())
            case Want():
                self._send(source, self._announcement)
            case Compare():
                self._send_table(source)
            case Entries():
                self._compare(source, message, now)
            case _:
                pass

    def _meet(self, announcement: Announcement, now: float) -> None:
        is_start = announcement.edition == 0
        if self.roster.announce(announcement, Reason.ANNOUNCED, now) and is_start:
            # It knows nobody yet. The two that watch it first tell it who is there.
            if self._tables < SOON_TABLES:
                self._walk(now)
                self._welcome(announcement.id)
            else:
                self._newcomers.add(announcement.id)

    def _welcome(self, number: int) -> None:
        """Tell a newcomer who is there, if that is for this node to do."""
        watch = self._watches.get(number)
        if watch is not None and watch.rank < 2:
            self._send_table(number)

    def _judge_by(self, verdict: Verdict, now: float) -> None:
        """Follow the verdict of another member."""
        self._handovers.hear(verdict)
        number, epoch, state, reason = verdict
        if number == self.id:
            if epoch == self.epoch:
                if state == State.DIED:
                    self._begin_life(now)
                else:
                    self._send(None, Alive(epoch))
        elif state == State.SUSPECT:
            self.roster.suspect(number, epoch, reason, now)
            watch = self._watches.get(number)
            if watch is not None and watch.epoch == epoch:
                watch.is_plain = False
                if reason is not Reason.SILENT:
                    self._hurry(watch, reason, now)
        elif not self._is_suspect(number, epoch) or self.roster.suspicion_age(number, now) < self._timing.claim_s:
            self._claim(number, epoch, reason, now)
        else:
            self.roster.move(number, epoch, state, reason, now)

    def _epoch_of(self, number: int) -> int:
        index = self.roster.table.find(number)
        return -1 if index < 0 else self.roster.table.epochs[index]

    def _is_live(self, number: int) -> bool:
        table = self.roster.table
        index = table.find(number)
        return index >= 0 and table.states[index] < State.DIED

    def _is_suspect(self, number: int, epoch: int) -> bool:
        table = self.roster.table
        index = table.find(number)
        return index >= 0 and table.epochs[index] == epoch and table.states[index] == State.SUSPECT

    def _claim(self, number: int, epoch: int, reason: Reason, now: float) -> None:
        """Take note that somebody holds one for dead who is up here.

        Perhaps we have missed that it was suspect, or have heard it only now. Perhaps it is the other one who could not
        hear, behind a broken network: then that member begins a new life at once, to be heard there, and for us it has
        never been gone. So it gets the time to say so.
        """
        table = self.roster.table
        index = table.find(number)
        if index < 0 or number in self._claims or epoch < table.epochs[index] or table.states[index] >= State.DIED:
            return
        # After an outage of the broker it may not have a connection yet.
        claim = _Claim(epoch, reason, max(now, self.settled_at) + self._timing.claim_s, now < self.settled_at)
        self._claims[number] = claim
        self.due = min(self.due, claim.due)

    def _settle_claims(self, now: float) -> None:
        """Hold for dead who has not begun a new life, but for those who are heard: they do not know it yet."""
        for number, claim in [(number, claim) for number, claim in self._claims.items() if now >= claim.due]:
            if not self._has_heard_until(claim.due, now):
                continue
            del self._claims[number]
            watch = self._watches.get(number)
            is_heard = watch is not None and watch.phase == Phase.HEARD and watch.last_beat >= 0
            if claim.is_early:
                self._claims[number] = _Claim(claim.epoch, claim.reason, now + self._timing.claim_s, is_early=False)
                self._send(number, Verdict(number, claim.epoch, State.DIED, claim.reason))
            elif watch is None or not is_heard or watch.heard_at < claim.due - self._timing.claim_s:
                self.roster.move(number, claim.epoch, State.DIED, claim.reason, now)
            elif watch.epoch == claim.epoch:
                self._send(number, Verdict(number, claim.epoch, State.DIED, claim.reason))

    def _begin_life(self, now: float) -> None:
        """Begin a new life: the others have taken this node for dead, and what is dead for them stays dead."""
        if self._state != State.UP:
            return
        mine = self._announcement
        news = replace(mine, epoch=next_epoch(mine.epoch), edition=mine.edition + 1)
        self._announcement = news
        self._beats = 0
        self.roster.announce(news, Reason.ANNOUNCED, now)
        self._send(None, news)

    # --- beats -------------------------------------------------------------------------------------------------

    def _hear(self, source: int, beat: Beat, now: float) -> None:
        watch = self._watches.get(source)
        if watch is None:
            return
        epoch, number, is_leaving, load, digest = beat
        if epoch == watch.epoch and number > watch.last_beat:
            watch.last_beat = number
            watch.heard_at = now
            if not watch.is_plain:
                self._hear_again(watch, now, is_leaving=is_leaving)
            if load != watch.load:
                watch.load = load
                self.roster.table.set_load(self.roster.table.find(source), load)
            if digest != self.roster.table.digest:
                self._note_difference(watch, digest, now)
            elif self._newcomers:
                self._newcomers.discard(source)
        elif epoch > watch.epoch:
            self._send(source, Want())
        elif epoch < watch.epoch:
            self._send(source, Verdict(source, epoch, State.DIED, Reason.RESTARTED))

    def _hear_again(self, watch: Watch, now: float, *, is_leaving: bool) -> None:
        """Hear a member for the first time, after a silence, or after its death."""
        if watch.phase == Phase.GONE:
            self._send(watch.id, Verdict(watch.id, watch.epoch, State.DIED, Reason.SILENT))
            return
        if watch.phase == Phase.SILENT:
            watch.phase = Phase.HEARD
            self._walk_version = -1
        watch.suspect_s, watch.die_s = self._timing.suspect_s, self._timing.die_s
        watch.reason = Reason.SILENT
        watch.is_plain = True
        watch.is_asked = False
        if watch.id in self._checks:
            self._checks.discard(watch.id)
            self._walk_version = -1
        self.roster.clear(watch.id, watch.epoch, now)
        if is_leaving:
            self.roster.move(watch.id, watch.epoch, State.LEAVING, Reason.GOODBYE, now)

    def _herald(self) -> None:
        """Announce this node again, if no other one of the group has a smaller id.

        So two groups that have never heard of each other learn of each other, and a node that nobody knows is not alone
        for long.
        """
        self._beats_to_herald = HERALD_BEATS
        table = self.roster.table
        for index in range(len(table)):
            if table.ids[index] == self.id:
                self._send(None, self._announcement)
                return
            if table.states[index] < State.DIED:
                return

    def _make_beat(self) -> Beat:
        self._beats += 1
        mine = self._announcement
        return Beat(mine.epoch, self._beats, self._state == State.LEAVING, mine.load, self.roster.table.digest)

    # --- judging -----------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what the time asks for: beat, judge, compare."""
        self._look(now)
        if not self.is_linked or self.is_displaced or self._state == State.LEFT:
            self.due = now + self._timing.beat_s
            return
        if now >= self._beat_at:
            self._send(None, self._make_beat())
            self._late_s = min(max(now - self._beat_at, LATE_FADE * self._late_s), MOST_LATE_S)
            self._beat_at = now + self._timing.beat_s
            self._tables = 0
            self._beats_to_herald -= 1
            if self._beats_to_herald < 0:
                self._herald()
            self._check_hearing(now)
            if self._newcomers:
                self._walk(now)
                for number in self._newcomers:
                    self._welcome(number)
                self._newcomers.clear()
            for number in self._wishes.take(self.roster.table, now):
                self._send(number, Want())
            self.roster.expire(now)
            if self._digest != self.roster.table.digest:
                self._digest = self.roster.table.digest
                self._digest_at = now
        self._finish(now)

    def _finish(self, now: float) -> None:
        """Watch whom this node has to watch now, judge them, and say when to look again."""
        if not self.is_linked or self.is_displaced:
            return
        if self._claims:
            self._settle_claims(now)
        if self._reports and now >= self._reports.due:
            for verdict in self._reports.take():
                self._send(None, verdict)
        if now >= self._handovers.due:
            self._tell_handovers(now)
        while self._walk_version != self.roster.ring_version:
            self._walk(now)
            for watch in self._watches.values():
                if watch.phase != Phase.GONE and now >= self._silent_at(watch):
                    self._judge(watch, now)
        due = min(self._beat_at, self._handovers.due)
        if self._reports:
            due = min(due, self._reports.due)
        for watch in self._watches.values():
            if watch.phase != Phase.GONE:
                if now >= self._silent_at(watch):
                    self._judge(watch, now)
                elif not watch.is_asked and now >= watch.heard_at + self._timing.ask_s and not self.is_deaf:
                    watch.is_asked, watch.is_plain = True, False
                    self._send(watch.id, Ask())
                due = min(due, self._next_look(watch))
        for claim in self._claims.values():
            due = min(due, claim.due if now < claim.due else self._hearing.due(claim.due))
        self.due = due

    def _next_look(self, watch: Watch) -> float:
        """When to look at a member again, if it stays silent until then: always later than now."""
        if self.is_deaf:
            return math.inf
        if watch.phase == Phase.HEARD:
            silent_at = self._silent_at(watch)
            return silent_at if watch.is_asked else min(watch.heard_at + self._timing.ask_s, silent_at)
        silence_s = self._silence_to_judge(watch, self._look_at)
        if silence_s is not None and self._hearing.heard_until < watch.heard_at + silence_s:
            return self._hearing.due(watch.heard_at + silence_s)
        wait_s = self._wait_for_others(watch)
        if not self.roster.is_suspect(watch.id) and self._look_at < watch.heard_at + watch.suspect_s + wait_s:
            return watch.heard_at + watch.suspect_s + wait_s
        return max(watch.heard_at + watch.die_s + wait_s, self._look_at + self._timing.rank_s)

    def _silent_at(self, watch: Watch) -> float:
        """When a member has been silent for long enough to be suspect."""
        return watch.heard_at + watch.suspect_s + self._slack(watch)

    def _slack(self, watch: Watch) -> float:
        """How much longer to wait for a member, in seconds, because this node has been late itself: the other one may
        be as busy. If the broker knows something bad of it, it is not waited for."""
        return LATE_PATIENCE * self._late_s if watch.reason is Reason.SILENT else 0.0

    def _wait_for_others(self, watch: Watch) -> float:
        """How long to wait for those who watch a member as well, and speak first, in seconds."""
        if not watch.rank:
            return self._slack(watch)
        wait_s = self._timing.rank_s * watch.rank + LATE_PATIENCE * self._late_s
        return wait_s + self._timing.herald_s if len(self.roster) >= self._timing.herald_members else wait_s

    def _silence_to_judge(self, watch: Watch, now: float) -> float | None:
        """How long a member must have been silent for the verdict that is due now, in seconds; ``None`` if none is."""
        wait_s = self._wait_for_others(watch)
        if now >= watch.heard_at + watch.die_s + wait_s:
            return watch.die_s
        if now >= watch.heard_at + watch.suspect_s + wait_s and not self.roster.is_suspect(watch.id):
            return watch.suspect_s
        return None

    def _judge(self, watch: Watch, now: float) -> None:
        """Judge a member that has been silent, as far as this node knows."""
        if self.is_deaf:
            return
        if watch.phase == Phase.HEARD:
            self._fall_silent(watch, now)
        silence_s = self._silence_to_judge(watch, now)
        if silence_s is None or not self._has_heard_until(watch.heard_at + silence_s, now):
            return
        if silence_s == watch.die_s:
            if self.roster.move(watch.id, watch.epoch, State.DIED, watch.reason, now):
                self._tell(Verdict(watch.id, watch.epoch, State.DIED, watch.reason), watch.rank, now)
        elif self.roster.suspect(watch.id, watch.epoch, watch.reason, now):
            self._tell(Verdict(watch.id, watch.epoch, State.SUSPECT, watch.reason), watch.rank, now)

    # --- verdicts of many at once ------------------------------------------------------------------------------

    def _tell(self, verdict: Verdict, rank: int, now: float) -> None:
        """Tell everybody a verdict. In a large group the first one who judges has it told by the member with the
        smallest id, together with those of others: when a hundred die at once, each member would get hundreds of
        messages. If that member is gone itself, the first one hears nothing of it, and tells everybody itself; so does
        the next one who judges.
        """
        members = self._timing.herald_members
        herald = find_herald(self.roster.table, verdict.id, members) if rank == 0 else None
        if herald is None:
            self._send(None, verdict)
        elif herald == self.id:
            self._collect((verdict,), now)
        else:
            self._send(herald, Report((verdict,)))
            self._handovers.add(verdict, now + self._timing.herald_s + LATE_PATIENCE * self._late_s)
            self.due = min(self.due, self._handovers.due)

    def _tell_handovers(self, now: float) -> None:
        """Tell everybody what the herald has not told in time, if it is still so."""
        table = self.roster.table
        for verdict in self._handovers.take(now):
            index = table.find(verdict.id)
            if index >= 0 and table.epochs[index] == verdict.epoch and table.states[index] == verdict.state:
                self._send(None, verdict)

    def _collect(self, verdicts: Iterable[Verdict], now: float) -> None:
        """Keep verdicts that are to be told to everybody soon, together with others."""
        self._reports.add(verdicts, now)
        if self._reports:
            self.due = min(self.due, self._reports.due)

    def _take_report(self, verdicts: Iterable[Verdict], now: float) -> None:
        """Follow the verdicts of another member, and tell them to everybody. Those about a life of which this node
        knows a later one are of no interest to anybody."""
        for verdict in verdicts:
            self._judge_by(verdict, now)
        self._collect([each for each in verdicts if self._epoch_of(each.id) == each.epoch and each.id != self.id], now)

    def _fall_silent(self, watch: Watch, now: float) -> None:
        """Ask a member whether it is there, and oneself whether one hears."""
        watch.phase = Phase.SILENT
        watch.is_plain = False
        self._walk_version = -1
        if not watch.is_asked:
            watch.is_asked = True
            self._send(watch.id, Ask())
        self._send_echo(now)

    # --- whether this node hears -------------------------------------------------------------------------------

    def _check_hearing(self, now: float) -> None:
        """With each beat, as long as somebody is silent, find out whether the broker has delivered all the while: if it
        stood still, everybody was silent."""
        if any(watch.phase == Phase.SILENT for watch in self._watches.values()):
            self._hearing.note_late(now)
        elif not self.is_deaf:
            return
        self._send_echo(now)

    def _send_echo(self, now: float) -> None:
        """Send an echo, unless one has been sent at this moment."""
        number = self._hearing.begin_echo(now)
        if number is not None:
            self._send(self.id, Echo(number))

    def _hear_echo(self, number: int, now: float) -> None:
        """Learn how old is what this node hears: whatever the broker had for it before the echo has been read."""
        if self._hearing.is_awaited(number):
            if self._hearing.end_echo(number, now):
                self._listen_anew(now)
            self._finish(now)

    def _has_heard_until(self, time: float, now: float) -> bool:
        """Whether everything has been read that the broker had for this node at a time. If that is not known, find out:
        if it is not known soon, what this node hears is too old to judge anybody by it.
        """
        hearing = self._hearing
        if hearing.heard_until >= time or hearing.is_deaf:
            return not hearing.is_deaf
        due = hearing.due(time)
        if due == math.inf:
            self._send_echo(now)
        elif now >= due:
            hearing.is_deaf = True
        return False

    def _hurry(self, watch: Watch, reason: Reason, now: float) -> None:
        """Give a member only a short time, because the broker knows something bad of it."""
        if watch.phase == Phase.GONE:
            return
        silence_s = now - watch.heard_at
        watch.suspect_s = min(watch.suspect_s, silence_s)
        watch.die_s = min(watch.die_s, silence_s + self._timing.grace_s)
        watch.reason = reason
        watch.is_plain = False
        self._judge(watch, now)

    # --- what this node has missed -----------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Look at the clock: if that was long ago, this node has not listened meanwhile."""
        if now - self._look_at > self._timing.beat_s + self._timing.blocked_s:
            self._listen_anew(now)
        self._look_at = now

    def _listen_anew(self, now: float) -> None:
        """Count the silence of all members from now on: what they said before, this node could not hear."""
        self._hearing.listen_anew()
        self._claims.clear()
        self.roster.prolong_suspicions(now)
        for watch in self._watches.values():
            if watch.phase != Phase.GONE:
                watch.heard_at = now
                watch.suspect_s, watch.die_s = self._timing.suspect_s, self._timing.return_die_s
                watch.phase = Phase.HEARD
                watch.reason = Reason.SILENT
                watch.is_plain = watch.is_asked = False
        self._walk_version = -1

    def _walk(self, now: float) -> None:
        """Watch whom this node has to watch now."""
        self._walk_version = self.roster.ring_version
        if self._checks:
            self._checks = {number for number in self._checks if self._is_live(number)}
        watches = walk(self.roster.table, self.id, self._watches, now, self._timing, self._checks)
        for watch in watches.values():
            if watch.is_urgent:
                watch.is_urgent = False
                self._send(watch.id, Ask())
        if watches.keys() != self._watches.keys():
            self.watches_version += 1
        self._watches = watches

    # --- comparing tables --------------------------------------------------------------------------------------

    def _note_difference(self, watch: Watch, digest: int, now: float) -> None:
        """Compare tables with a member, if both have differed for a while without a change."""
        settle_s = self._timing.settle_s
        if watch.digest != digest:
            watch.digest = digest
            watch.digest_at = now
        elif now - watch.digest_at >= settle_s and self._is_unchanged(now) and now >= self._compare_at:
            self._compare_at = now + settle_s
            self._send(watch.id, Compare())

    def _is_unchanged(self, now: float) -> bool:
        """Whether the table of this node has not changed for a while."""
        is_same = self._digest == self.roster.table.digest
        return is_same and now - self._digest_at >= self._timing.settle_s

    def _send_table(self, target: int) -> None:
        if self._tables < MOST_TABLES:
            self._tables += 1
            self._send(target, Entries(list(self.roster.table.rows()), is_whole=True))

    def _compare(self, source: int, message: Entries, now: float) -> None:
        """Learn from a table what is news, and tell its owner what is news there."""
        news = compare(self.roster.table, self._announcement, message)
        if news.is_dead:
            self._begin_life(now)
        elif news.is_own_old:
            self._send(source, self._announcement)
        for number in self._wishes.add(news.wants, now):
            self._send(number, Want())
        for entry in news.steps:
            self.roster.move(entry.id, entry.epoch, entry.state, Reason.LEARNED, now)
        for entry in news.deaths:
            self._claim(entry.id, entry.epoch, Reason.LEARNED, now)
            self._send(entry.id, Verdict(entry.id, entry.epoch, State.DIED, Reason.LEARNED))
        if self._is_unchanged(now):
            for number in news.strangers:
                self._check(number)
        if news.answers:
            self._send(source, Entries(news.answers, is_whole=False))

    def _check(self, number: int) -> None:
        """Watch a member until it is heard, because another one does not know that it lives.

        If it has died before the others heard of it, those who have to watch it do not know it, and nobody else would
        ever miss it.
        """
        if number not in self._watches and len(self._checks) < MOST_CHECKS:
            self._checks.add(number)
            self._walk_version = -1

    def _send(self, target: int | None, message: Message) -> None:
        if self.is_linked and not self.is_displaced and self._state != State.LEFT:
            self.outbox.append((target, message))
