"""One group call, event by event."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from rpcserver.group.commands import DELAYS, Addressee, Cancel, Drops, Item, Output, Send, Wake
from rpcserver.group.gathering import Gathering
from rpcserver.group.members import _INCARNATION_BITS, is_same_process, next_epoch
from rpcserver.group.receiving import MEMORY_S, MOST_CALLS, Receiving
from rpcwire.errors import Busy, Cancelled, DeadlineExceeded, InternalError, TooLarge
from rpcwire.group.outcomes import FIRST, ONE, NodeOutcome, Policy, rolling

DEADLINE = 10.0
P = 1 << _INCARNATION_BITS
"""The epochs of a process are those between two multiples of this number."""


LIVES = ("on_begin", "on_item", "on_result", "on_error", "on_refusal", "on_death", "on_new_life")


class Call:
    """A group call of nodes ``a``, ``b``, ``c``, ..., which sends what it may send at once. Its events name processes in
    place of lives, and the nodes are asked in the first life of process 1."""

    def __init__(self, count: int = 1, policy: Policy | None = None, *, sends: bool = True, **more: Any) -> None:
        self.gathering = Gathering(
            [Addressee(chr(97 + n), P, f"node-{n}") for n in range(count)], DEADLINE, policy or Policy(), **more
        )
        self.sends = sends
        self.now = 0.0
        self.asked: list[tuple[str, int]] = []
        self.told: list[str] = []
        self.wakes: list[float] = []
        self.items: list[tuple[str, object, int]] = []
        self.outcomes: dict[str, NodeOutcome] = {}
        self.take(self.gathering.start(self.now))

    def take(self, out: list[Output]) -> None:
        for each in out:
            if isinstance(each, Send):
                self.asked.append((each.to.id, each.attempt))
                if self.sends:
                    assert self.gathering.may_send(each.to.id, each.attempt, self.now)
            elif isinstance(each, Cancel):
                self.told.append(each.to.id)
            elif isinstance(each, Wake):
                self.wakes.append(each.at_s)
            elif isinstance(each, Item):
                self.items.append((each.origin.id, each.item, each.lost))
            else:
                assert (each.id or each.name) not in self.outcomes
                self.outcomes[each.id or each.name] = each

    def at(self, now: float) -> Call:
        self.now = now
        self.take(self.gathering.on_time(now))
        return self

    def __getattr__(self, name: str) -> Callable[..., None]:
        """An event of the gathering, now."""

        def tell(*args: Any, **more: Any) -> None:
            if name in LIVES:
                args = (args[0], args[1] * P, *args[2:])
            if name in ("on_result", "on_error") and len(args) == 4:
                *args, items = args  # type: ignore[assignment]
                more = {"items": items}
            self.take(getattr(self.gathering, name)(*args, self.now, **more))

        return tell

    @property
    def states(self) -> dict[str, str]:
        return {key: f"{each.state} {each.executed}" for key, each in self.outcomes.items()}


def test_all_nodes_at_once() -> None:
    call = Call(3)
    assert (call.asked, call.wakes) == ([("a", 1), ("b", 1), ("c", 1)], [DEADLINE])
    call.now = 0.5
    call.on_begin("a", 1)
    call.on_result("b", 1, "B")
    call.on_result("a", 1, "A")
    assert not call.gathering.is_finished
    call.on_error("c", 1, InternalError("broken", executed="yes"))
    assert call.states == {"b": "ok yes", "a": "ok yes", "c": "error yes"}
    assert (call.outcomes["a"].result, call.outcomes["a"].name, call.outcomes["a"].duration_s) == ("A", "node-0", 0.5)
    assert call.gathering.is_finished
    assert call.gathering.drops == Drops()


def test_a_node_is_gone_when_nobody_gets_the_request_in_any_try() -> None:
    call = Call()
    tries = [("a", 1)]
    for attempt, wait_s in enumerate(DELAYS.tries_s, 1):
        call.on_absence("a", attempt)
        again_s = call.now + wait_s
        assert call.wakes[-1] == again_s
        call.at(again_s - 0.001)
        assert call.asked == tries
        call.at(again_s)
        tries.append(("a", attempt + 1))
        assert call.asked == tries
        call.on_absence("a", attempt)  # The old word again says nothing of the next request.
        assert not call.outcomes
    call.on_absence("a", len(tries))
    assert call.states == {"a": "gone no"}
    assert 1.5 < call.now < 2.0
    assert call.gathering.drops.duplicates == len(DELAYS.tries_s)


@pytest.mark.parametrize("attempt", range(1, len(DELAYS.tries_s) + 1))
def test_a_node_that_is_there_at_a_further_try(attempt: int) -> None:
    """It was on its way to another broker."""
    call = Call()
    for number, wait_s in enumerate(DELAYS.tries_s[:attempt], 1):
        call.on_absence("a", number)
        call.at(call.now + wait_s)
    call.on_result("a", 1, 1)
    assert call.states == {"a": "ok yes"}


def test_each_node_has_its_next_try_when_it_is_due() -> None:
    """The waits of different tries have different lengths."""
    call = Call(2)
    call.on_absence("a", 1)
    call.at(0.05)
    call.on_absence("a", 2)  # Until 0.15.
    call.at(0.06)
    call.on_absence("b", 1)  # Until 0.11.
    assert call.wakes[-1] == 0.06 + DELAYS.tries_s[0]
    call.at(0.12)
    assert call.asked[3:] == [("b", 2)]
    assert call.wakes[-1] == 0.05 + DELAYS.tries_s[1]
    call.at(0.15001)
    assert call.asked[4:] == [("a", 3)]


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_node_that_dies_has_a_moment_for_its_last_words(has_begun: bool) -> None:
    call = Call(2)
    for node in "ab":
        if has_begun:
            call.on_begin(node, 1)
        call.on_death(node, 1, "silent")
    call.on_result("b", 1, "just in time")
    assert call.states == {"b": "ok yes"}
    call.at(DELAYS.last_words_s)
    assert call.states["a"] == f"died {'yes' if has_begun else 'unknown'}"
    assert str(call.outcomes["a"].error) == "silent"
    call.on_result("a", 1, "too late")
    assert call.gathering.drops.late == 1


def test_a_dead_node_is_gone_if_it_got_nothing() -> None:
    call = Call(3, Policy(parallel=2))
    call.on_absence("a", 1)
    call.on_death("a", 1, "silent")  # Between two tries.
    call.on_death("b", 1, "silent")
    call.on_absence("b", 1)  # And nobody got it.
    call.on_new_life("c", 2)
    assert call.asked == [("a", 1), ("b", 1), ("c", 1)]
    call.on_absence("c", 1)
    assert call.states == {"a": "gone no", "b": "gone no", "c": "gone no"}
    later = Call(2, Policy(parallel=1))
    later.on_death("b", 1, "silent")  # Before its turn.
    assert (later.states, later.asked) == ({"b": "gone no"}, [("a", 1)])


def test_news_of_another_life_says_nothing_of_this_one() -> None:
    call = Call()
    call.on_death("a", 0, "silent")
    call.on_new_life("a", 1)
    call.on_begin("a", 2)
    call.on_result("a", 0, "of the life before")
    call.on_refusal("stranger", 1, Busy())
    call.on_absence("stranger", 1)
    call.at(1.0)
    assert not call.outcomes
    assert call.gathering.drops == Drops(forgeries=4)


def test_a_process_that_was_taken_for_dead_goes_on_with_its_calls() -> None:
    call = Call(2)
    later = next_epoch(P)
    assert is_same_process(P, later)
    for node in "ab":
        call.take(call.gathering.on_new_life(node, later, 1.0))
        call.take(call.gathering.on_begin(node, later, 1.0))
    call.at(2.0)
    assert not call.outcomes
    call.take(call.gathering.on_result("a", later, 1, 2.0))
    call.take(call.gathering.on_death("b", later, "silent", 2.0))
    call.at(3.0)
    assert call.states == {"a": "ok yes", "b": "died yes"}
    assert call.gathering.drops == Drops()


def test_answers_before_the_request_are_forged() -> None:
    call = Call(2, Policy(parallel=1), sends=False)
    call.on_result("a", 1, "not sent yet")
    call.on_begin("b", 1)
    assert not call.outcomes
    assert call.gathering.drops == Drops(forgeries=2)
    assert call.gathering.may_send("a", 1, 0.0)
    assert not call.gathering.may_send("a", 1, 0.0)
    assert not call.gathering.may_send("b", 1, 0.0)


def test_who_has_begun_can_neither_refuse_nor_be_absent() -> None:
    call = Call()
    call.on_begin("a", 1)
    call.on_begin("a", 1)
    call.on_refusal("a", 1, Busy())
    call.on_absence("a", 1)
    assert not call.outcomes
    assert call.gathering.drops == Drops(duplicates=1, contradictions=2)
    call.on_error("a", 1, Busy("of something behind the method"))
    assert call.states == {"a": "error yes"}


def test_refusals_and_errors() -> None:
    call = Call(5)
    call.on_refusal("a", 1, Busy())
    call.on_error("b", 1, Busy())
    call.on_error("c", 1, DeadlineExceeded())
    call.on_failed_send("d", 1, TooLarge("the request has 3 MiB: send at most 1 MiB"))
    call.on_error("e", 1, Cancelled("by an operator of the node", executed="yes"))
    assert call.states == {
        "a": "refused no", "b": "refused no", "c": "timeout unknown", "d": "error no", "e": "error yes",
    }  # fmt: skip
    call.on_failed_send("d", 1, TooLarge())
    call.on_result("a", 1, 1)
    assert call.gathering.drops == Drops(late=1, duplicates=1)


def test_items_are_passed_on_once_and_losses_are_told() -> None:
    call = Call()
    for number in (0, 1, 1, 4, 2):
        call.on_item("a", 1, number, f"item {number}")
    assert call.items == [("a", "item 0", 0), ("a", "item 1", 0), ("a", "item 4", 2)]
    call.on_result("a", 1, None, 6)
    assert (call.outcomes["a"].items, call.outcomes["a"].items_lost) == (3, 3)
    assert call.gathering.drops.duplicates == 2


# --- ends of the whole call -------------------------------------------------------------------------------------


def in_each_phase(policy: Policy | None = None) -> Call:
    """Five nodes: sent, begun, absent once, about to be sent, waiting."""
    call = Call(5, policy or Policy(parallel=4), sends=False)
    for node in "abc":
        assert call.gathering.may_send(node, 1, 0.0)
    call.on_begin("b", 1)
    call.on_absence("c", 1)
    return call


def test_the_deadline_ends_each_phase() -> None:
    call = in_each_phase()
    call.now = 9.99
    call.on_absence("a", 7)
    call.on_absence("c", 2)
    call.at(9.999)  # The second try is about to be sent, too.
    call.gathering.may_send("c", 2, 9.9995)
    call.at(DEADLINE)
    assert call.states == {
        "a": "timeout unknown", "b": "timeout yes", "c": "timeout unknown", "d": "cancelled no", "e": "cancelled no",
    }  # fmt: skip
    assert call.told == ["a", "b", "c"]
    assert not call.gathering.may_send("d", 1, DEADLINE)
    call.on_result("a", 1, "late")
    assert (call.gathering.drops.late, call.gathering.is_finished) == (1, True)


def test_an_answer_at_the_deadline_is_late() -> None:
    call = Call()
    call.now = DEADLINE
    call.on_result("a", 1, 1)
    assert (call.states, call.gathering.drops.late) == ({"a": "timeout unknown"}, 1)


def test_a_node_between_its_two_tries_is_gone_at_the_deadline() -> None:
    call = Call()
    call.now = 9.98
    call.on_absence("a", 1)
    call.at(DEADLINE)
    assert call.states == {"a": "gone no"}
    unsent = Call(sends=False)
    assert unsent.gathering.may_send("a", 1, 0.0)
    unsent.now = 1.0
    unsent.on_absence("a", 1)
    unsent.at(2.0)
    unsent.at(DEADLINE)
    assert unsent.states == {"a": "gone no"}


def test_the_loss_of_the_link_ends_each_phase_at_once() -> None:
    call = in_each_phase()
    call.on_link_loss()
    assert call.states == {
        "a": "error unknown", "b": "error yes", "c": "gone no", "d": "gone no", "e": "gone no",
    }  # fmt: skip
    assert not call.gathering.may_send("d", 1, 0.0)


def test_cancelling_waits_a_moment_for_answers() -> None:
    call = in_each_phase()
    call.cancel()
    assert (call.states, call.told) == ({"c": "cancelled no", "d": "cancelled no", "e": "cancelled no"}, ["a", "b"])
    assert not call.gathering.may_send("d", 1, 0.0)
    call.cancel()
    assert call.told == ["a", "b"]
    call.on_error("a", 1, Cancelled(executed="no"))
    call.at(DELAYS.cancel_s)
    assert (call.states["a"], call.states["b"]) == ("cancelled no", "cancelled yes")


def test_who_has_a_result_is_not_cancelled() -> None:
    call = Call(4)
    call.cancel()
    call.on_result("a", 1, "done")
    call.on_refusal("b", 1, Cancelled())
    call.on_absence("c", 1)
    call.at(DELAYS.cancel_s)
    assert call.states == {"a": "ok yes", "b": "cancelled no", "c": "cancelled no", "d": "cancelled unknown"}


def test_the_deadline_comes_before_the_patience_of_a_cancel() -> None:
    call = Call()
    call.now = 9.0
    call.cancel()
    call.at(DEADLINE)
    assert call.states == {"a": "cancelled unknown"}


def test_no_node_is_asked_by_what_was_due_when_the_caller_cancelled() -> None:
    call = Call(2, Policy(parallel=1))
    call.on_death("a", 1, "silent")
    call.now = 1.0
    call.cancel()
    assert (call.asked, call.states) == ([("a", 1)], {"a": "died unknown", "b": "cancelled no"})


def test_a_clock_that_goes_back_stands_still() -> None:
    call = Call()
    call.now = 1.0
    call.on_absence("a", 1)
    call.at(0.5)
    assert call.asked == [("a", 1)]
    call.at(1.05)
    assert call.asked == [("a", 1), ("a", 2)]


# --- policies ---------------------------------------------------------------------------------------------------


def test_no_more_than_some_in_parallel() -> None:
    call = Call(4, Policy(parallel=2))
    assert call.asked == [("a", 1), ("b", 1)]
    call.on_result("b", 1, 1)
    assert call.asked[2:] == [("c", 1)]
    call.on_refusal("a", 1, Busy())
    assert call.asked[3:] == [("d", 1)]


def test_a_rolling_call_goes_on_with_a_whole_batch_and_stops_after_failures() -> None:
    call = Call(6, rolling(2, stop_after_failures=2))
    call.on_result("a", 1, 1)
    assert call.asked == [("a", 1), ("b", 1)]
    call.on_error("b", 1, InternalError())
    assert call.asked[2:] == [("c", 1), ("d", 1)]
    call.on_refusal("c", 1, Busy())
    assert call.states["e"] == call.states["f"] == "cancelled no"
    call.on_result("d", 1, "who was asked goes on")
    assert call.gathering.is_finished
    assert call.states["d"] == "ok yes"
    assert call.told == []


def test_all_others_wait_for_the_canaries() -> None:
    call = Call(5, Policy(canary=2))
    call.on_result("b", 1, 1)
    assert call.asked == [("a", 1), ("b", 1)]
    call.on_result("a", 1, 1)
    assert call.asked[2:] == [("c", 1), ("d", 1), ("e", 1)]
    sick = Call(3, Policy(canary=1))
    sick.on_error("a", 1, InternalError())
    assert sick.states == {"a": "error unknown", "b": "cancelled no", "c": "cancelled no"}
    dead = Call(3, Policy(canary=2, parallel=1))
    dead.on_death("b", 1, "before its turn")
    assert dead.states == {"b": "gone no", "c": "cancelled no"}


def test_batches_follow_the_canaries() -> None:
    call = Call(5, rolling(3, canary=1))
    call.on_result("a", 1, 1)
    assert call.asked == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]


def test_the_first_result_is_enough() -> None:
    call = Call(3, FIRST)
    call.on_refusal("a", 1, Busy())
    call.on_result("c", 1, "first")
    assert (call.told, call.states) == (["b"], {"a": "refused no", "c": "ok yes"})
    call.on_error("b", 1, Cancelled(executed="yes"))
    assert call.states["b"] == "cancelled yes"


def test_any_two_results_are_enough() -> None:
    call = Call(5, Policy(enough=2, parallel=2))
    call.on_error("a", 1, InternalError())
    call.on_result("b", 1, 1)
    call.on_result("c", 1, 1)
    assert (call.told, call.states["e"]) == (["d"], "cancelled no")


def test_one_node_does_it_and_the_next_one_only_if_it_certainly_did_not() -> None:
    call = Call(4, ONE)
    call.on_refusal("a", 1, Busy())
    call.on_absence("b", 1)
    call.at(0.05)
    call.on_absence("b", 2)
    assert call.asked == [("a", 1), ("b", 1), ("b", 2), ("c", 1)]
    call.on_death("c", 1, "silent")
    call.at(0.2)
    assert call.states == {"a": "refused no", "b": "gone no", "c": "died unknown", "d": "cancelled no"}


def test_unknown_names_have_outcomes_and_count_as_failures() -> None:
    call = Call(2, rolling(), unknown=("web-9",))
    assert call.states == {"web-9": "unknown no", "a": "cancelled no", "b": "cancelled no"}
    assert "web-9" in str(call.outcomes["web-9"].error)
    assert Call(2, unknown=("web-9",)).asked == [("a", 1), ("b", 1)]


def test_a_call_of_nobody_is_finished_at_once() -> None:
    call = Call(0)
    assert (call.gathering.is_finished, call.wakes) == (True, [])


def test_a_call_whose_deadline_is_over_asks_nobody() -> None:
    gathering = Gathering([Addressee("a", 1, "a")], 5.0)
    (outcome,) = gathering.start(5.0)
    assert isinstance(outcome, NodeOutcome)
    assert (outcome.state, outcome.executed) == ("cancelled", "no")


def test_no_node_is_asked_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        Gathering([Addressee("a", 1, "a"), Addressee("a", 2, "b")], 1.0)


# --- its cost ---------------------------------------------------------------------------------------------------


def lines_of(work: Callable[[], object]) -> int:
    """Count the lines of Python that a piece of work executes."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("policy", [Policy(), Policy(parallel=50), rolling(10), Policy(canary=1), Policy(enough=9999)])
def test_an_event_costs_the_same_with_any_number_of_nodes(policy: Policy) -> None:
    costs = []
    for count in (60, 3_000):
        gathering = Gathering([Addressee(str(n), P, str(n)) for n in range(count)], DEADLINE, policy)
        for each in gathering.start(0.0):
            if isinstance(each, Send):
                gathering.may_send(each.to.id, 1, 0.0)
        costs.append([
            lines_of(lambda g=gathering: g.on_begin("0", P, 0.1)),
            lines_of(lambda g=gathering: g.on_item("0", P, 0, "item", 0.1)),
            lines_of(lambda g=gathering: g.on_result("stranger", 1, "item", 0.1)),
            lines_of(lambda g=gathering: g.on_time(0.2)),
            0 if policy.canary else lines_of(lambda g=gathering: g.on_result("0", P, "result", 0.3)),
        ])  # fmt: skip
    assert costs[0] == costs[1]


# --- the other side ---------------------------------------------------------------------------------------------


def test_a_node_executes_a_call_once() -> None:
    receiving = Receiving(epoch=3 * P)
    assert receiving.on_request("x", 2 * P, DEADLINE, 0.0) == "other process"
    assert receiving.on_request("x", 3 * P, DEADLINE, 0.0) == "begin"
    assert receiving.on_request("x", 3 * P, DEADLINE, 0.1, is_welcome=False) == "repeated"
    assert receiving.on_request("x", next_epoch(3 * P), DEADLINE, 0.1) == "repeated"
    assert receiving.on_request("y", 3 * P, DEADLINE, 0.1, is_welcome=False) == "declined"
    assert receiving.on_request("y", 3 * P, DEADLINE, 0.2) == "declined"
    assert receiving.on_cancel("x", 3 * P, DEADLINE, 0.3)
    assert not receiving.on_cancel("x", 2 * P, DEADLINE, 0.3)
    assert not receiving.on_cancel("z", 3 * P, DEADLINE, 0.3)  # Before its request.
    assert receiving.on_request("z", 3 * P, DEADLINE, 0.4) == "cancelled"
    assert len(receiving) == 3
    assert receiving.on_request("v", 3 * P, DEADLINE, DEADLINE + MEMORY_S - 0.1) == "begin"
    assert receiving.on_request("w", 3 * P, 100.0, DEADLINE + MEMORY_S) == "begin"
    assert len(receiving) == 1


def test_the_memory_of_a_node_is_limited() -> None:
    receiving = Receiving(epoch=1)
    for number in range(MOST_CALLS):
        receiving.on_request(str(number), 1, DEADLINE, 0.0)
    assert receiving.on_request("more", 1, DEADLINE, 0.0) == "full"
    assert not receiving.on_cancel("more", 1, DEADLINE, 0.0)
    assert receiving.on_request("0", 1, DEADLINE, 0.0) == "repeated"
    assert len(receiving) == MOST_CALLS
    assert receiving.on_request("more", 1, 200.0, DEADLINE + MEMORY_S) == "begin"
