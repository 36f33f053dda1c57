"""Group calls with faults of every kind: each node has one outcome, in time, and none contradicts what the node has run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from rpcserver.group import gathering as module
from rpcserver.group.commands import Output, Wake
from rpcserver.group.gathering import Gathering
from rpcserver.group.receiving import Receiving
from rpcwire.group.outcomes import EXECUTED
from tests.examples import SOAK
from tests.measured import rest
from tests.server.group.gathering_simulation import Violation, simulate

SCHEDULES = 5_000
COUNTED = 500
"""In how many of them lines are counted; the others run no new ones."""
PIECE = 250_000
"""The schedules of one of the four parts of the long proof."""


def seeds(count: int) -> range:
    """Other seeds in each run, or those from ``SEED`` on."""
    first = int(os.environ.get("SEED") or int.from_bytes(os.urandom(4)))
    print(f"seeds {first} to {first + count - 1}; SEED={first} runs them again")
    return range(first, first + count)


def run(schedules: range, make: Callable[..., Gathering] = Gathering) -> Counter[tuple[str, str]]:
    kinds: Counter[tuple[str, str]] = Counter()
    for seed in schedules:
        world = simulate(seed, make)
        kinds.update((each.state, each.executed) for each in world.outcomes.values())
    return kinds


def test_no_outcome_contradicts_what_the_nodes_have_run() -> None:
    schedules = seeds(SCHEDULES)
    kinds = run(schedules[:COUNTED])
    with rest():
        kinds += run(schedules[COUNTED:])
    # The schedules lead everywhere.
    assert kinds.keys() == {(state, executed) for state, each in EXECUTED.items() for executed in each}


@pytest.mark.soak
@pytest.mark.parametrize("part", range(4))
def test_a_million_schedules(part: int) -> None:
    assert SOAK
    run(seeds(PIECE))


def test_the_same_seed_is_the_same_schedule() -> None:
    def history(seed: int) -> list[Any]:
        outcomes = simulate(seed).outcomes.values()
        return [(each.id, each.state, each.executed, each.items, each.duration_s) for each in outcomes]

    assert [history(seed) for seed in range(50)] == [history(seed) for seed in range(50)]


# --- the simulation finds faults --------------------------------------------------------------------------------


class SendsLate(Gathering):
    """Sends although the addressee has its outcome."""

    def may_send(self, *args: Any) -> bool:
        super().may_send(*args)
        return True


class BelievesRefusals(Gathering):
    """Believes a refusal of whoever says that it has begun, when it comes late or is of another life."""

    def on_refusal(self, key: str, epoch: int, *args: Any) -> list[Output]:
        slot = self._by_id.get(key)
        if slot is not None and slot.phase is module._BEGUN:
            slot.phase = module._SENT
        return super().on_refusal(key, epoch, *args)


class BelievesAnybody(Gathering):
    """Does not look at the process of whoever answers."""

    def _find(self, key: str, epoch: int) -> Any:
        slot = self._by_id.get(key)
        return super()._find(key, slot.to.epoch if slot is not None else epoch)


class LosesNewLives(Gathering):
    """Takes a new life of the same process for a restart, and its answers for forgeries."""

    def on_new_life(self, node: str, epoch: int, *args: Any) -> list[Output]:
        return self.on_death(node, epoch - 1, "restart", *args)

    def _find(self, key: str, epoch: int) -> Any:
        slot = self._by_id.get(key)
        return super()._find(key, 0 if slot is not None and slot.to.epoch != epoch else epoch)


class BelievesEarly(Gathering):
    """Believes whoever was not asked."""

    def _find(self, key: str, epoch: int) -> Any:
        slot = self._by_id.get(key)
        if slot is not None and slot.to.epoch <= epoch and slot.phase in (module._WAITING, module._QUEUED):
            return slot
        return super()._find(key, epoch)


class ForgetsDeadline(Gathering):
    """Does not wake up for the deadline."""

    def _complete(self, out: list[Output]) -> list[Output]:
        return [each for each in super()._complete(out) if not isinstance(each, Wake) or each.at_s < self._deadline_s]


class BuriesAsGone(Gathering):
    """Takes a node that dies during the call for one that was not there."""

    def _bury(self, slot: Any, reason: str, out: list[Output]) -> None:
        self._end(slot, "gone", "no", module._is_gone(reason), out)


class LosesLinkAsGone(Gathering):
    """Says after the loss of the link that nothing was executed."""

    def on_link_loss(self, now_s: float) -> list[Output]:
        out: list[Output] = []
        self._pass_time(now_s, out)
        for slot in self._slots:
            if slot.phase is not module._ENDED:
                self._end(slot, "gone", "no", module._is_gone("link"), out)
        return out


class AsksAll(Gathering):
    """Heeds no canary and no batch."""

    def _open_gate(self) -> bool:
        self._gate = len(self._slots)
        return True


class AnswersTwice(Gathering):
    """Does not notice that an addressee has its outcome."""

    def _find(self, key: str, epoch: int) -> Any:
        slot = self._by_id.get(key)
        return slot if slot is not None and slot.attempt and slot.to.epoch <= epoch else super()._find(key, epoch)


class RepeatsItems(Gathering):
    """Passes items on again."""

    def on_item(self, key: str, *args: Any) -> list[Output]:
        slot = self._by_id.get(key)
        if slot is not None:
            slot.next_item = 0
        return super().on_item(key, *args)


class GoesOn(Gathering):
    """Does not stop."""

    def _stop(self, out: list[Output]) -> None:
        pass


@pytest.mark.parametrize(
    "broken",
    [
        SendsLate, LosesNewLives, BelievesRefusals, BelievesAnybody, BelievesEarly, ForgetsDeadline, BuriesAsGone, LosesLinkAsGone,
        AsksAll, AnswersTwice, RepeatsItems, GoesOn,
    ],
)  # fmt: skip
def test_the_simulation_finds_a_fault(broken: type[Gathering]) -> None:
    with pytest.raises(Violation):
        run(range(3_000), broken)


def test_the_simulation_finds_nodes_that_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that remembers no call runs it again; one that does not look at the process runs that of another one."""
    with monkeypatch.context() as patch:
        patch.setattr(Receiving, "_remember", lambda self, call, deadline_s, fate: fate)
        with pytest.raises(Violation, match="ran it 2 times"):
            run(range(3_000))
    right = Receiving.on_request
    with monkeypatch.context() as patch:
        patch.setattr(
            Receiving,
            "on_request",
            lambda self, call, epoch, *args, **more: right(self, call, self.epoch, *args, **more),
        )
        with pytest.raises(Violation, match="in another process"):
            run(range(3_000))
