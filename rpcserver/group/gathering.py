"""One group call, from the first request to the last outcome: a state machine without I/O and without a clock.

Whoever drives it tells it what happens (``start``, ``may_send``, ``on_…``, ``cancel``) and when, and does what it
returns (:mod:`.commands`). Each addressee has exactly one outcome, at the deadline at the latest. An addressee is in
one of these phases::

    WAITING ─▶ QUEUED ──may_send──▶ SENT ──begin──▶ BEGUN
                  ▲                  │                │
                  └──── ABSENT ◀─────┘                ▼
                    (nobody there; a further try)   ENDED   (from each phase)

What makes its outcomes true:

- Until the driver has asked :meth:`Gathering.may_send`, a request has not left, so ``executed`` is ``no``. After the
  end of an addressee it returns false, and so nothing leaves any more.
- ``gone`` needs the broker's word that nobody got the request. A living node may be on its way to another broker, so
  the word counts when it comes for each of several tries; each time the request was delivered to nobody. If the roster
  says that the node is dead, the word counts at once.
- ``refused`` is believed only of an addressee that has not said that it has begun.
- An answer may be just behind the news of a death, since they come by different ways. So a dead addressee may still
  answer for :attr:`~rpcserver.group.commands.Delays.last_words_s`.
- Answers of anybody but the process that was asked, and all that come late or twice, are dropped and counted
  (:class:`~rpcserver.group.commands.Drops`). A process that begins a new life, because others took it for dead, is
  still the same.
- An addressee executes a request with the same call's id once (:mod:`.receiving`).

Each event takes the same time for any number of addressees, but for those that concern all of them: the start, the end
of a link, the cancelling and the deadline. They happen once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import IntEnum
from heapq import heappop, heappush

from rpcwire.errors import (
    Cancelled,
    ConnectionLost,
    DeadlineExceeded,
    Executed,
    NotSent,
    RpcError,
    Unavailable,
    forget_origin,
)
from rpcwire.group.nodes import NodeNotFound
from rpcwire.group.outcomes import ALL_AT_ONCE, NodeOutcome, Policy, State

from .commands import DELAYS, Addressee, Cancel, Delays, Drops, Item, Output, Send, Wake
from .members import is_same_process


class _Phase(IntEnum):
    WAITING = 0
    QUEUED = 1
    SENT = 2
    ABSENT = 3
    BEGUN = 4
    ENDED = 5


_WAITING, _QUEUED, _SENT, _ABSENT, _BEGUN, _ENDED = _Phase


class _Slot:
    """What is known of one addressee."""

    __slots__ = ("attempt", "death", "has_answer", "index", "is_told", "items", "next_item", "phase", "start_s", "to")

    def __init__(self, to: Addressee, index: int) -> None:
        self.to = to
        self.index = index
        self.phase = _WAITING
        self.attempt = 0
        self.start_s = 0.0
        self.items = 0
        self.next_item = 0
        self.death = ""  # Why it is dead, as long as its last words may come.
        self.is_told = False  # Whether it was told to cancel.
        self.has_answer = False  # Whether it has ended by its own answer.


class Gathering:
    """One group call.

    Parameters:
        addressees: the nodes to ask, in this order. They stay the same during the call.
        deadline_s: when the call ends at the latest, on the clock of all ``now_s``: one that does not go back.
        policy: how they are asked.
        unknown: names that were asked for, and that no node has. Each has the outcome ``unknown``, which counts as a
            failure.
        delays: how long to wait.

    Raises:
        ValueError: an id is there twice.

    Attributes:
        drops: counts the answers that were dropped.
        is_finished: whether each addressee has its outcome.
    """

    def __init__(
        self,
        addressees: Iterable[Addressee],
        deadline_s: float,
        policy: Policy = ALL_AT_ONCE,
        *,
        unknown: Sequence[str] = (),
        delays: Delays = DELAYS,
    ) -> None:
        self._slots = [_Slot(to, index) for index, to in enumerate(addressees)]
        self._by_id = {slot.to.id: slot for slot in self._slots}
        if len(self._by_id) != len(self._slots):
            raise ValueError("addressees: an id is there twice: each node can be asked once")
        self._deadline_s = deadline_s
        self._policy = policy
        self._unknown = tuple(unknown)
        self._delays = delays
        # Where one of many will do, the next one is asked sooner.
        self._further_tries = min(len(delays.tries_s), 1) if policy.one else len(delays.tries_s)
        self.drops = Drops()
        self._left = len(self._slots)
        self._next = 0  # The index of the first slot that was not looked at yet.
        self._in_flight = 0
        self._gate = 0  # Slots from this index on must wait.
        self._canaries = min(policy.canary or 0, len(self._slots))
        self._good_canaries = 0
        self._oks = self._failures = 0
        self._has_stopped = False
        self._now_s = float("-inf")
        self._wake_s = float("inf")
        self._retries: list[tuple[float, int, _Slot]] = []  # A heap. The index keeps those of one time in their order.
        # Each queue is for waits of one length, so its first entry is the earliest.
        self._deaths: deque[tuple[float, _Slot]] = deque()
        self._cancels: deque[tuple[float, _Slot]] = deque()

    @property
    def is_finished(self) -> bool:
        """Whether each addressee has its outcome."""
        return self._left == 0

    # --- what the driver does -----------------------------------------------------------------------------------

    def start(self, now_s: float) -> list[Output]:
        """Begin the call.

        Parameters:
            now_s: the time.

        Returns:
            What to do now.
        """
        out: list[Output] = []
        for name in self._unknown:
            error = NodeNotFound(f"no node of the group is called {name!r}", node=name, nearest=[])
            out.append(NodeOutcome(name=name, id="", epoch=0, state="unknown", executed="no", error=error))
        self._failures = len(self._unknown)
        if self._pass_time(now_s, out):
            stop_after = self._policy.stop_after_failures
            if stop_after is not None and self._failures >= stop_after:
                self._stop(out)
            else:
                self._advance(out)
        return self._complete(out)

    def may_send(self, node: str, attempt: int, now_s: float) -> bool:
        """Ask whether a request may leave, directly before it leaves. From then on it counts as sent.

        Parameters:
            node: the id of the addressee of a :class:`Send`.
            attempt: the attempt of that command.
            now_s: the time.

        Returns:
            Whether it may. If it may not, it must not be sent any more: the addressee has its outcome, or has answered.
        """
        slot = self._by_id[node]
        if slot.phase is not _QUEUED or slot.attempt != attempt or max(now_s, self._now_s) >= self._deadline_s:
            return False
        slot.phase = _SENT
        return True

    def cancel(self, now_s: float) -> list[Output]:
        """Cancel the call for the caller. Who was not asked is ``cancelled`` at once, the others are told, and have a
        moment to answer.

        Parameters:
            now_s: the time.

        Returns:
            What to do now.
        """
        out: list[Output] = []
        self._has_stopped = True  # Before anything that is due lets a further node be asked.
        self._pass_time(now_s, out)
        self._stop(out)
        self._cancel_all(out)
        return self._complete(out)

    # --- what happens -------------------------------------------------------------------------------------------

    def on_time(self, now_s: float) -> list[Output]:
        """The time of a :class:`Wake` has come.

        Parameters:
            now_s: the time.

        Returns:
            What to do now.
        """
        out: list[Output] = []
        self._wake_s = float("inf")
        self._pass_time(now_s, out)
        return self._complete(out)

    def on_failed_send(self, node: str, attempt: int, error: RpcError, now_s: float) -> list[Output]:
        """A request could not be sent: it is too large, or the broker does not permit it. Nobody got it.

        Parameters:
            node, attempt: the id of its addressee, and the attempt.
            error: the reason.
            now_s: the time.

        Returns:
            What to do now.
        """
        out = self._do_due(now_s)
        slot = self._by_id[node]
        if slot.attempt == attempt and slot.phase in (_QUEUED, _SENT):
            error.executed = "no"
            self._end(slot, "error", "no", error, out)
        else:
            self._drop(slot)
        return self._complete(out)

    def on_absence(self, node: str, attempt: int, now_s: float) -> list[Output]:
        """The broker says that nobody got a request.

        Parameters:
            node, attempt: the id of its addressee, and the attempt.
            now_s: the time.

        Returns:
            What to do now.
        """
        out = self._do_due(now_s)
        slot = self._by_id.get(node)
        if slot is None:
            self.drops.forgeries += 1
        elif slot.phase is _BEGUN and attempt == slot.attempt:
            self.drops.contradictions += 1
        elif slot.phase is not _SENT or attempt != slot.attempt:
            self._drop(slot)
        elif slot.death or attempt > self._further_tries:
            self._end(slot, "gone", "no", _is_gone(slot.death or "nobody receives the requests to this node"), out)
        elif slot.is_told:
            self._end(slot, "cancelled", "no", _was_cancelled("no"), out)
        else:
            slot.phase = _ABSENT
            heappush(self._retries, (self._now_s + self._delays.tries_s[attempt - 1], slot.index, slot))
        return self._complete(out)

    def on_begin(self, node: str, epoch: int, now_s: float) -> list[Output]:
        """A node says that it has begun to execute the call.

        Parameters:
            node, epoch: who says it: the id, and the number of the life.
            now_s: the time.

        Returns:
            What to do now.
        """
        out = self._do_due(now_s)
        if (slot := self._find(node, epoch)) is not None:
            if slot.phase is _BEGUN:
                self.drops.duplicates += 1
            else:
                slot.phase = _BEGUN
        return self._complete(out)

    def on_item(self, node: str, epoch: int, number: int, item: object, now_s: float) -> list[Output]:
        """An item of a node's stream has come.

        Parameters:
            node, epoch: who sends it.
            number: its number in the stream, from 0 on.
            item: the item.
            now_s: the time.

        Returns:
            What to do now.
        """
        out = self._do_due(now_s)
        if (slot := self._find(node, epoch)) is not None:
            slot.phase = _BEGUN
            if number < slot.next_item:
                self.drops.duplicates += 1
            else:
                out.append(Item(slot.to, item, number - slot.next_item))
                slot.items += 1
                slot.next_item = number + 1
        return self._complete(out)

    def on_result(self, node: str, epoch: int, result: object, now_s: float, items: int = 0) -> list[Output]:
        """A node has executed the call.

        Parameters:
            node, epoch: who answers.
            result: the result.
            now_s: the time.
            items: the number of items that it has sent before.

        Returns:
            What to do now.
        """
        out = self._do_due(now_s)
        if (slot := self._find(node, epoch)) is not None:
            slot.has_answer = True
            slot.next_item = max(slot.next_item, items)
            self._end(slot, "ok", "yes", None, out, result)
        return self._complete(out)

    def on_refusal(self, node: str, epoch: int, error: RpcError, now_s: float) -> list[Output]:
        """A node says that it will not execute the call.

        Parameters:
            node, epoch: who says it: the id, and the number of the life.
            error: the reason.
            now_s: the time.

        Returns:
            What to do now.
        """
        out = self._do_due(now_s)
        if (slot := self._find(node, epoch)) is not None:
            if slot.phase is _BEGUN:
                self.drops.contradictions += 1  # Whichever is true, it may have run.
            else:
                slot.has_answer = True
                error.executed = "no"
                is_cancel = slot.is_told and isinstance(error, Cancelled)
                self._end(slot, "cancelled" if is_cancel else "refused", "no", error, out)
        return self._complete(out)

    def on_error(self, node: str, epoch: int, error: RpcError, now_s: float, items: int = 0) -> list[Output]:
        """A node has answered with an error of the method. If it has not begun before, and ``executed`` of the error is
        ``no``, then the node has refused the call.

        Parameters:
            node, epoch: who answers.
            error: the error.
            now_s: the time.
            items: the number of items that it has sent before.

        Returns:
            What to do now.
        """
        out = self._do_due(now_s)
        if (slot := self._find(node, epoch)) is not None:
            slot.has_answer = True
            slot.next_item = max(slot.next_item, items)
            executed = error.executed = "yes" if slot.phase is _BEGUN else error.executed
            if slot.is_told and isinstance(error, Cancelled):
                self._end(slot, "cancelled", executed, error, out)
            elif executed == "no":
                self._end(slot, "refused", "no", error, out)
            elif isinstance(error, DeadlineExceeded):
                self._end(slot, "timeout", executed, error, out)
            else:
                self._end(slot, "error", executed, error, out)
        return self._complete(out)

    def on_death(self, node: str, epoch: int, reason: str, now_s: float) -> list[Output]:
        """The roster says that a node has died or left.

        Parameters:
            node, epoch: which one.
            reason: the reason, for a person.
            now_s: the time.

        Returns:
            What to do now.
        """
        out = self._do_due(now_s)
        slot = self._by_id.get(node)
        if slot is not None and slot.to.epoch <= epoch and slot.phase is not _ENDED and not slot.death:
            self._bury(slot, reason, out)
        return self._complete(out)

    def on_new_life(self, node: str, epoch: int, now_s: float) -> list[Output]:
        """The roster says that a node lives, in this life. If an earlier process of it was asked, that has ended. A
        process that begins a new life because others took it for dead goes on with what it was asked.

        Parameters:
            node, epoch: which one.
            now_s: the time.

        Returns:
            What to do now.
        """
        slot = self._by_id.get(node)
        if slot is None or is_same_process(epoch, slot.to.epoch):
            return self._complete([])
        return self.on_death(node, epoch - 1, "the node was restarted", now_s)

    def on_link_loss(self, now_s: float) -> list[Output]:
        """The link to the broker is lost: the call ends with what is known. Only the caller's own node goes on, if it
        was asked.

        Parameters:
            now_s: the time.

        Returns:
            What to do now.
        """
        out: list[Output] = []
        self._has_stopped = True
        self._pass_time(now_s, out)
        for slot in self._slots:
            if slot.phase is _ENDED or (slot.to.is_here and slot.phase is not _WAITING):
                continue
            if slot.death and slot.phase in (_SENT, _BEGUN):
                self._die(slot, out)
            elif slot.phase in (_SENT, _BEGUN):
                executed = _known(slot)
                link_error = ConnectionLost("the link to the broker was lost during the call", executed=executed)
                self._end(slot, "error", executed, link_error, out)
            else:
                not_sent = NotSent("the link to the broker was lost before the request was sent")
                self._end(slot, "gone", "no", not_sent, out)
        return self._complete(out)

    # --- the inside ---------------------------------------------------------------------------------------------

    def _pass_time(self, now_s: float, out: list[Output]) -> bool:
        """Note the time, and do what is due before anything else. Return whether the call goes on."""
        now_s = self._now_s = max(now_s, self._now_s)
        if now_s >= self._deadline_s:
            self._expire(out)
            return False
        while self._retries and self._retries[0][0] <= now_s:
            slot = heappop(self._retries)[2]
            if slot.phase is _ABSENT:
                self._send(slot, out)
        while self._deaths and self._deaths[0][0] <= now_s:
            self._die(self._deaths.popleft()[1], out)
        while self._cancels and self._cancels[0][0] <= now_s:
            slot = self._cancels.popleft()[1]
            if slot.phase is not _ENDED:
                executed = _known(slot)
                self._end(slot, "cancelled", executed, _was_cancelled(executed), out)
        return True

    def _do_due(self, now_s: float) -> list[Output]:
        """Note the time, and do what is due. Return what to do for it."""
        out: list[Output] = []
        self._pass_time(now_s, out)
        return out

    def _complete(self, out: list[Output]) -> list[Output]:
        """Tell the time of the next wait, if it has become earlier."""
        if self._left and self._now_s < self._deadline_s:
            wake_s = self._deadline_s
            while self._retries and self._retries[0][2].phase is _ENDED:
                heappop(self._retries)
            if self._retries:
                wake_s = min(wake_s, self._retries[0][0])
            for waits in (self._deaths, self._cancels):
                while waits and waits[0][1].phase is _ENDED:
                    waits.popleft()
                if waits and waits[0][0] < wake_s:
                    wake_s = waits[0][0]
            if wake_s < self._wake_s:
                self._wake_s = wake_s
                out.append(Wake(wake_s))
        return out

    def _find(self, node: str, epoch: int) -> _Slot | None:
        """Find the addressee of an answer; ``None`` if the answer must be dropped."""
        slot = self._by_id.get(node)
        # A later life of the same process answers for the one that was asked.
        if slot is None or epoch < slot.to.epoch or not is_same_process(epoch, slot.to.epoch) or slot.attempt == 0:
            self.drops.forgeries += 1
        elif slot.phase is _ENDED:
            self._drop(slot)
        elif slot.phase is _QUEUED and slot.attempt == 1:
            self.drops.forgeries += 1
        else:
            return slot
        return None

    def _drop(self, slot: _Slot) -> None:
        if slot.phase is _ENDED and not slot.has_answer:
            self.drops.late += 1
        else:
            self.drops.duplicates += 1

    def _send(self, slot: _Slot, out: list[Output]) -> None:
        slot.phase = _QUEUED
        slot.attempt += 1
        out.append(Send(slot.to, slot.attempt))

    def _advance(self, out: list[Output]) -> None:
        """Ask as many further nodes as the policy allows."""
        policy, count = self._policy, len(self._slots)
        most = 1 if policy.one else policy.parallel or count
        while not self._has_stopped and self._next < count and self._in_flight < most:
            if self._next >= self._gate and not self._open_gate():
                return
            slot = self._slots[self._next]
            self._next += 1
            if slot.phase is _WAITING:
                self._in_flight += 1
                slot.start_s = self._now_s
                self._send(slot, out)

    def _open_gate(self) -> bool:
        """Let the next batch begin, if it may."""
        batch, count = self._policy.batch, len(self._slots)
        if self._gate < self._canaries:
            self._gate = self._canaries
            return True
        is_behind_canaries = self._canaries > 0 and self._gate == self._canaries
        if self._good_canaries < self._canaries or (self._in_flight and (batch or is_behind_canaries)):
            return False
        self._gate = min(self._gate + batch, count) if batch else count
        return True

    def _end(
        self,
        slot: _Slot,
        state: State,
        executed: Executed,
        error: RpcError | None,
        out: list[Output],
        result: object = None,
    ) -> None:
        """Give an addressee its outcome, and go on as the policy says."""
        if error is not None:
            forget_origin(error)
        was_asked = slot.phase is not _WAITING
        slot.phase = _ENDED
        self._left -= 1
        to = slot.to
        out.append(
            NodeOutcome(
                name=to.name,
                id=to.id,
                epoch=to.epoch,
                state=state,
                executed=executed,
                result=result,
                error=error,
                items=slot.items,
                items_lost=slot.next_item - slot.items,
                duration_s=round(self._now_s - slot.start_s, 6) if was_asked else 0.0,
            )
        )
        if was_asked:
            self._in_flight -= 1
        if self._has_stopped:
            return
        policy = self._policy
        if state == "ok":
            self._oks += 1
            self._good_canaries += slot.index < self._canaries
        else:
            self._failures += 1
        if policy.enough is not None and self._oks >= policy.enough:
            self._stop(out)
            self._cancel_all(out)
        elif (
            (policy.stop_after_failures is not None and self._failures >= policy.stop_after_failures)
            or (policy.one and executed != "no")
            or (state != "ok" and slot.index < self._canaries)
        ):
            self._stop(out)
        else:
            self._advance(out)

    def _stop(self, out: list[Output]) -> None:
        """Ask nobody any more."""
        self._has_stopped = True
        for slot in self._slots[self._next :]:
            if slot.phase is _WAITING:
                error = Cancelled("the call ended before this node was asked", executed="no")
                self._end(slot, "cancelled", "no", error, out)
        self._next = len(self._slots)

    def _cancel_all(self, out: list[Output]) -> None:
        """Tell everybody to cancel who was asked and has no outcome."""
        at_s = self._now_s + self._delays.cancel_s
        for slot in self._slots:
            if slot.phase in (_QUEUED, _ABSENT):
                self._end(slot, "cancelled", "no", _was_cancelled("no"), out)
            elif slot.phase in (_SENT, _BEGUN) and not slot.is_told and not slot.death:
                slot.is_told = True
                self._cancels.append((at_s, slot))
                out.append(Cancel(slot.to))

    def _bury(self, slot: _Slot, reason: str, out: list[Output]) -> None:
        if slot.phase in (_SENT, _BEGUN):
            slot.death = reason
            self._deaths.append((self._now_s + self._delays.last_words_s, slot))
        else:
            self._end(slot, "gone", "no", _is_gone(reason), out)

    def _die(self, slot: _Slot, out: list[Output]) -> None:
        if slot.phase is not _ENDED:
            executed = _known(slot)
            error = ConnectionLost(slot.death, executed=executed)
            self._end(slot, "died", executed, error, out)

    def _expire(self, out: list[Output]) -> None:
        """End everything, since the deadline has come."""
        self._has_stopped = True
        if not self._left:
            return
        for slot in self._slots:
            if slot.phase is _ENDED:
                continue
            if slot.phase is _ABSENT or (slot.phase is _QUEUED and slot.attempt > 1):
                self._end(slot, "gone", "no", _is_gone("nobody has received the request to this node"), out)
            elif slot.phase in (_WAITING, _QUEUED):
                error: RpcError = DeadlineExceeded("the deadline came before this node was asked", executed="no")
                self._end(slot, "cancelled", "no", error, out)
            elif slot.death:
                self._die(slot, out)
            else:
                executed = _known(slot)
                state: State = "cancelled" if slot.is_told else "timeout"
                error = _was_cancelled(executed) if slot.is_told else DeadlineExceeded(executed=executed)
                if not slot.is_told:
                    out.append(Cancel(slot.to))
                self._end(slot, state, executed, error, out)


def _known(slot: _Slot) -> Executed:
    return "yes" if slot.phase is _BEGUN else "unknown"


def _is_gone(reason: str) -> RpcError:
    return Unavailable(reason)


def _was_cancelled(executed: Executed) -> RpcError:
    return Cancelled("the call was cancelled", executed=executed)
