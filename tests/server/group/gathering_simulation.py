"""A simulated group call: the gathering and the members' side, with a network and members that fail in every way, and a
record of what the members really ran. The same seed gives the same schedule.

    python -m tests.server.group.gathering_simulation SEED     tells one schedule, event by event
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from rpcserver.group.commands import DELAYS, Addressee, Cancel, Item, Send, Wake
from rpcserver.group.gathering import Gathering
from rpcserver.group.members import _INCARNATION_BITS, next_epoch
from rpcserver.group.receiving import Receiving
from rpcwire.errors import Busy, Cancelled, DeadlineExceeded, InternalError, InvalidParams, TooLarge
from rpcwire.group.outcomes import NodeOutcome, Policy

TICK_S = 0.01
"""How late a timer of the driver may be."""
CALL = "call-1"
FIRST = 5
"""The number of the process of each member at the start."""
P = 1 << _INCARNATION_BITS
"""The epochs of process n begin with n * P."""


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class Faults:
    """What may go wrong in a schedule: probabilities, but for the numbers."""

    drop: float = 0.0
    duplicate: float = 0.0
    slow: float = 0.0
    absence: float = 0.0  # The broker says wrongly that nobody is there; nothing is delivered.
    deaths: float = 0.0
    freezes: float = 0.0
    leaves: float = 0.0
    wrong_deaths: float = 0.0
    new_lives: float = 0.0  # A member learns that others took it for dead.
    refusals: float = 0.0
    errors: float = 0.0
    failed_sends: float = 0.0
    lost_items: float = 0.0
    forgeries: int = 0
    outage: bool = False
    stall: bool = False
    cancel: bool = False
    clock: bool = False  # The clock of the driver goes back by a little now and then.

    @classmethod
    def draw(cls, rng: random.Random) -> Faults:
        if rng.random() < 0.1:
            return cls()

        def some(most: float) -> float:
            return rng.random() * most if rng.random() < 0.5 else 0.0

        return cls(
            drop=some(0.2), duplicate=some(0.3), slow=some(0.5), absence=some(0.3), deaths=some(0.5),
            freezes=some(0.4), leaves=some(0.3), wrong_deaths=some(0.2), new_lives=some(0.4), refusals=some(0.4), errors=some(0.4),
            failed_sends=some(0.1), lost_items=some(0.2), forgeries=rng.choice([0, 0, 3, 10]),
            outage=rng.random() < 0.1, stall=rng.random() < 0.15, cancel=rng.random() < 0.2, clock=rng.random() < 0.2,
        )  # fmt: skip

    @property
    def is_calm(self) -> bool:
        return self == Faults()


def draw_policy(rng: random.Random) -> Policy:
    match rng.randrange(8):
        case 0 | 1:
            return Policy()
        case 2:
            return Policy(parallel=rng.randint(1, 4), stop_after_failures=rng.choice([None, 1, 2]))
        case 3:
            return Policy(batch=rng.randint(1, 4), stop_after_failures=rng.choice([None, 1, 3]))
        case 4:
            return Policy(canary=rng.randint(1, 3), parallel=rng.choice([None, 2]))
        case 5:
            return Policy(canary=1, batch=rng.randint(1, 3), stop_after_failures=rng.randint(1, 2))
        case 6:
            return Policy(one=True)
        case _:
            return Policy(enough=rng.randint(1, 3), parallel=rng.choice([None, 1, 3]))


@dataclass
class Run:
    """What a life of a member has done with the call."""

    begun: int = 0
    results: int = 0
    refusals: int = 0
    items: int = 0


class Member:
    """A node that executes calls."""

    def __init__(self, world: World, key: str, process: int) -> None:
        self.world = world
        self.id = key
        self.process = process
        self.epoch = process * P
        self.is_alive = True
        self.is_leaving = False
        self.is_here = True  # Subscribed, for the broker.
        self.frozen_until = 0.0
        self.receiving = Receiving(self.epoch)
        self.is_running = False

    def restart(self) -> None:
        self.process += 1
        self.epoch = self.process * P
        self.is_alive, self.is_leaving, self.is_here, self.is_running = True, False, True, False
        self.receiving = Receiving(self.epoch)

    def begin_new_life(self) -> None:
        """Go on in another life, because others have taken this one for dead."""
        self.epoch = next_epoch(self.epoch)
        self.world.say(f"{self.id} goes on in another process")
        self.world.tell(self.world.rng.random(), "life", self.id, self.epoch)

    @property
    def run(self) -> Run:
        return self.world.runs.setdefault((self.id, self.process), Run())

    def act(self, action: Callable[[], None], process: int) -> None:
        """Do something in this process, when it is not frozen."""
        if not self.is_alive or self.process != process:
            return
        if self.world.now < self.frozen_until:
            self.world.at(self.frozen_until, self.act, action, process)
        else:
            action()

    def on_request(self, epoch: int, deadline: float) -> None:
        world = self.world
        is_welcome = not self.is_leaving and world.rng.random() >= world.faults.refusals
        match self.receiving.on_request(CALL, epoch, deadline, world.now, is_welcome=is_welcome):
            case "begin":
                self.begin()
            case "repeated":
                pass
            case reason:
                self.run.refusals += 1
                world.say(f"{self.id} refuses in process {self.process}: {reason}")
                error = Cancelled(reason) if reason == "cancelled" else Busy(reason)
                world.answer("refusal", self.id, self.epoch, error)

    def begin(self) -> None:
        world, rng = self.world, self.world.rng
        self.run.begun += 1
        self.is_running = True
        world.say(f"{self.id} begins in process {self.process}")
        world.answer("begin", self.id, self.epoch)
        at = world.now
        for number in range(rng.choice([0, 0, 0, 1, 3])):
            at += rng.random() * 0.05
            world.at(at, self.act, lambda number=number: self.item(number), self.process)
        at += rng.choice([0.0, 0.001, 0.02, 0.2, 3.0]) * rng.random()
        world.at(at, self.act, self.finish, self.process)

    def item(self, number: int) -> None:
        if self.is_running:
            self.run.items += 1
            if self.world.rng.random() >= self.world.faults.lost_items:
                self.world.answer("item", self.id, self.epoch, number)

    def finish(self) -> None:
        if not self.is_running:
            return
        self.is_running = False
        rng, world = self.world.rng, self.world
        if rng.random() < world.faults.errors:
            error = rng.choice([InternalError, InvalidParams, DeadlineExceeded])("failed", executed="yes")
            world.answer("error", self.id, self.epoch, error, self.run.items)
        else:
            self.run.results += 1
            world.say(f"{self.id} has a result")
            world.answer("result", self.id, self.epoch, (self.id, self.process), self.run.items)
        if self.is_leaving:
            world.after(0.001, self.act, self.leave, self.process)

    def on_cancel(self, epoch: int, deadline: float) -> None:
        if self.receiving.on_cancel(CALL, epoch, deadline, self.world.now) and self.is_running:
            self.is_running = False
            self.world.say(f"{self.id} is cancelled")
            error = Cancelled(executed="yes")
            self.world.answer("error", self.id, self.epoch, error, self.run.items)
            if self.is_leaving:
                self.leave()

    # --- what happens to it

    def die(self) -> None:
        world, rng = self.world, self.world.rng
        world.say(f"{self.id} dies in process {self.process}")
        self.is_alive = False
        world.after(rng.choice([0.0, 0.01, 1.0]) * rng.random(), self.vanish, self.process)
        epoch = self.epoch
        if rng.random() < 0.9:
            world.tell(rng.choice([0.01, 1.0, 3.0]) * rng.random(), "death", self.id, epoch)
        if rng.random() < 0.5:
            world.after(rng.random() * 2, self.rise, self.process)

    def vanish(self, process: int) -> None:
        """The broker notices."""
        if self.process == process and not self.is_alive:
            self.is_here = False

    def rise(self, process: int) -> None:
        if self.process == process:
            self.restart()
            self.world.say(f"{self.id} begins process {self.process}")
            self.world.tell(self.world.rng.random(), "life", self.id, self.epoch)

    def freeze(self) -> None:
        self.frozen_until = self.world.now + self.world.rng.choice([0.1, 1.0, 5.0]) * self.world.rng.random()
        self.world.say(f"{self.id} freezes")
        if self.frozen_until - self.world.now > 1.5:
            self.world.tell(1.5, "death", self.id, self.epoch)

    def begin_leave(self) -> None:
        self.is_leaving = True
        self.world.say(f"{self.id} is leaving")
        if not self.is_running:
            self.leave()

    def leave(self) -> None:
        self.world.say(f"{self.id} has left")
        self.is_alive = self.is_here = False
        self.world.tell(0.02 * self.world.rng.random(), "death", self.id, self.epoch)


@dataclass
class World:
    """One schedule."""

    seed: int
    is_told: bool = False
    make: Callable[..., Gathering] = Gathering
    now: float = 100.0
    runs: dict[tuple[str, int], Run] = field(default_factory=dict)
    outcomes: dict[str, NodeOutcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = self.rng = random.Random(self.seed)
        self.faults = Faults.draw(rng)
        self.policy = draw_policy(rng)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self.members = {f"n{n}": Member(self, f"n{n}", FIRST) for n in range(rng.choice([1, 2, 3, 5, 8, 12]))}
        self.addressees = {key: Addressee(key, FIRST * P, f"name-{key}") for key in self.members}
        self.unknown = ("nobody",) if rng.random() < 0.1 else ()
        self.deadline = self.now + rng.choice([0.0, 0.1, 1.0, 5.0, 5.0])
        self.stall_until = 0.0
        self.has_link = True  # Between the driver and the broker.
        self.is_broker_up = True
        self.wake_number = 0
        self.told_deaths: set[str] = set()
        self.absences: Counter[str] = Counter()
        self.failed_sends: set[str] = set()
        self.is_cancelled = False
        self.link_lost_at: float | None = None
        self.asked: list[str] = []
        self.failures = 0
        self.passed_items: dict[str, list[int]] = {}
        self.item_losses: Counter[str] = Counter()
        self.gathering = self.make(self.addressees.values(), self.deadline, self.policy, unknown=self.unknown)

    def say(self, text: str) -> None:
        if self.is_told:
            print(f"{self.now - 100:8.4f}  {text}")

    # --- time

    def at(self, time: float, action: Callable[..., None], *args: Any) -> None:
        self._count += 1
        heappush(self._events, (time, self._count, action, args))

    def after(self, delay: float, action: Callable[..., None], *args: Any) -> None:
        self.at(self.now + delay, action, *args)

    def delay(self) -> float:
        rng = self.rng
        if self.faults.slow and rng.random() < self.faults.slow:
            return rng.choice([0.05, 0.5, 3.0]) * rng.random()
        return 0.0005 + 0.0005 * rng.random()

    # --- the network

    def route(self, to: Addressee, attempt: int) -> None:
        """The broker has a request."""
        rng, faults = self.rng, self.faults
        if not self.is_broker_up:
            return
        member = self.members[to.id]
        if not member.is_here or (faults.absence and rng.random() < faults.absence):
            self.say(f"the broker knows no {to.id} (attempt {attempt})")
            self.absences[to.id] += 1
            self.deliver("absence", to.id, attempt)
            return
        copies = (rng.random() >= faults.drop) + (rng.random() < faults.duplicate)
        for _ in range(copies):
            self.after(self.delay(), self.hand_over, member, to.epoch)

    def hand_over(self, member: Member, epoch: int) -> None:
        member.act(lambda: member.on_request(epoch, self.deadline), member.process)

    def hand_cancel(self, to: Addressee) -> None:
        member = self.members[to.id]
        if member.is_here:
            member.act(lambda: member.on_cancel(to.epoch, self.deadline), member.process)

    def answer(self, kind: str, *args: Any) -> None:
        """A member sends something."""
        copies = (self.rng.random() >= self.faults.drop) + (self.rng.random() < self.faults.duplicate)
        for _ in range(copies):
            self.deliver(kind, *args)

    def deliver(self, kind: str, *args: Any) -> None:
        if self.is_broker_up:
            self.after(self.delay(), self.arrive, kind, *args)

    def tell(self, delay: float, kind: str, *args: Any) -> None:
        """The roster of the driver learns something."""
        self.after(delay, self.arrive, kind, *args)

    # --- the driver

    def clock(self) -> float:
        return self.now - (self.rng.random() * 0.05 if self.faults.clock and self.rng.random() < 0.1 else 0.0)

    def arrive(self, kind: str, *args: Any) -> None:
        """Something comes to the driver, which may stand still at the moment."""
        if self.now < self.stall_until:
            self.at(self.stall_until, self.arrive, kind, *args)
            return
        gathering, now = self.gathering, self.clock()
        if not self.has_link and kind not in ("wake", "send", "cancel", "death", "life"):
            return
        self.say(f"{kind} {args}")
        match kind:
            case "start":
                out = gathering.start(now)
            case "wake":
                if args[0] != self.wake_number:
                    return
                out = gathering.on_time(now)
            case "send":
                to, attempt = args
                if not self.has_link:
                    return
                if self.rng.random() < self.faults.failed_sends:
                    self.failed_sends.add(to.id)
                    out = gathering.on_failed_send(to.id, attempt, TooLarge("too large"), now)
                else:
                    if gathering.may_send(to.id, attempt, now):
                        if to.id in self.outcomes:
                            raise Violation(f"{to.id} was asked after its outcome")
                        self.after(0.0002, self.route, to, attempt)
                    return
            case "absence":
                out = gathering.on_absence(*args, now)
            case "begin":
                out = gathering.on_begin(*args, now)
                if (
                    self.faults.forgeries
                    and self.runs.get((args[0], args[1] // P), Run()).begun
                    and args[0] not in self.outcomes
                ):
                    # A node that contradicts itself.
                    self.after(0.01 * self.rng.random(), self.arrive, "refusal", *args, Busy("I did not"))
            case "refusal":
                out = gathering.on_refusal(*args, now)
            case "item":
                out = gathering.on_item(args[0], args[1], args[2], args[2], now)
            case "result":
                out = gathering.on_result(args[0], args[1], args[2], now, args[3])
            case "error":
                out = gathering.on_error(args[0], args[1], args[2], now, args[3])
            case "death":
                self.told_deaths.add(args[0])
                out = gathering.on_death(*args, "silent", now)
            case "life":
                if args[1] // P != FIRST:
                    self.told_deaths.add(args[0])
                out = gathering.on_new_life(*args, now)
            case "link loss":
                self.has_link = False
                self.link_lost_at = self.now
                out = gathering.on_link_loss(now)
            case "cancel":
                self.is_cancelled = True
                out = gathering.cancel(now)
            case _:
                raise AssertionError(kind)
        self.obey(out)

    def obey(self, out: Iterable[object]) -> None:
        for each in out:
            if isinstance(each, Wake):
                self.wake_number += 1
                lateness = TICK_S * self.rng.random()
                self.at(max(self.now, each.at_s) + lateness, self.arrive, "wake", self.wake_number)
            elif isinstance(each, Send):
                if each.attempt == 1:
                    self.check_turn(each.to)
                    self.asked.append(each.to.id)
                self.after(0.002 * self.rng.random(), self.arrive, "send", each.to, each.attempt)
            elif isinstance(each, Cancel):
                if self.has_link and self.rng.random() >= self.faults.drop:
                    self.after(self.delay(), self.hand_cancel, each.to)
            elif isinstance(each, Item):
                self.check_item(each)
            else:
                assert isinstance(each, NodeOutcome)
                self.check_outcome(each)

    # --- the promises

    def check_turn(self, to: Addressee) -> None:
        """A node may only be asked when the policy allows it."""
        policy, outcomes = self.policy, self.outcomes
        order = list(self.addressees)
        index = order.index(to.id)
        running = sum(key not in outcomes for key in self.asked)
        before = [outcomes.get(key) for key in order[:index]]
        oks = sum(each.state == "ok" for each in outcomes.values())
        problem = ""
        if policy.parallel and running >= policy.parallel:
            problem = "too many at a time"
        if policy.stop_after_failures and self.failures >= policy.stop_after_failures:
            problem = "after too many failures"
        canary = policy.canary or 0
        if index >= canary and any(each is None or each.state != "ok" for each in before[:canary]):
            problem = "before the canaries were well"
        if policy.batch and index >= canary:
            start = index - (index - canary) % policy.batch
            if None in before[:start]:
                problem = "before the batch had ended"
        if policy.enough and oks >= policy.enough:
            problem = "although there was enough"
        if policy.one and any(each is None or each.executed != "no" for each in before):
            problem = "although another one may have run it"
        if self.is_cancelled or self.link_lost_at is not None:
            problem = "after the end"
        if problem:
            raise Violation(f"{to.id} was asked {problem}")

    def check_item(self, item: Item) -> None:
        key = item.origin.id
        seen = self.passed_items.setdefault(key, [])
        if key in self.outcomes or (seen and item.item <= seen[-1]):
            raise Violation(f"{key}: item {item.item} came late or twice")
        seen.append(item.item)
        self.item_losses[key] += item.lost

    def check_outcome(self, outcome: NodeOutcome) -> None:
        key = outcome.id or outcome.name
        self.say(f"outcome of {key}: {outcome.state}, executed: {outcome.executed}, {outcome.error!r}")
        if key in self.outcomes:
            raise Violation(f"{key} has two outcomes")
        self.outcomes[key] = outcome
        self.failures += outcome.state != "ok"
        if self.now > max(self.deadline, self.stall_until) + TICK_S + (0.05 if self.faults.clock else 0.0):
            raise Violation(f"{key} has its outcome after the deadline")
        if outcome.duration_s < 0:
            raise Violation(f"{key} took {outcome.duration_s}")

    def check_end(self) -> None:
        """Compare the outcomes with what the members have recorded."""
        gathering = self.gathering
        if not gathering.is_finished or self.outcomes.keys() != self.addressees.keys() | set(self.unknown):
            raise Violation(f"{self.addressees.keys() - self.outcomes.keys()} have no outcome")
        runs_of_all = 0
        for key, outcome in self.outcomes.items():
            if key in self.unknown:
                if (outcome.state, outcome.executed) != ("unknown", "no"):
                    raise Violation(f"{key} is {outcome.state}")
                continue
            run = self.runs.get((key, FIRST), Run())
            runs_of_all += run.begun
            later = sum(each.begun for (other, process), each in self.runs.items() if other == key and process != FIRST)
            told = f"{key} is told as {outcome.state}, executed {outcome.executed}"
            if run.begun > 1 or later:
                raise Violation(f"{key} ran it {run.begun} times, and {later} times in another process")
            if outcome.executed == "no" and run.begun:
                raise Violation(f"{told}, and it ran")
            if outcome.executed == "yes" and not run.begun:
                raise Violation(f"{told}, and it did not run")
            match outcome.state:
                case "ok":
                    is_true = run.results == 1 and outcome.result == (key, FIRST)
                case "refused":
                    is_true = run.refusals > 0
                case "gone":
                    is_true = key in self.told_deaths or self.absences[key] > 0 or self.link_lost_at is not None
                case "died":
                    is_true = key in self.told_deaths
                case "error":
                    is_true = outcome.error is not None and (
                        self.link_lost_at is not None or key in self.failed_sends or run.begun == 1
                    )
                case "cancelled":
                    is_true = True
                case _:
                    is_true = outcome.state == "timeout"
            if not is_true:
                raise Violation(f"{told}, and nothing of the kind has happened")
            passed = self.passed_items.get(key, [])
            if len(passed) != outcome.items or outcome.items_lost < self.item_losses[key]:
                raise Violation(f"{told}, with the wrong number of items")
            if outcome.state == "ok" and outcome.items + outcome.items_lost != run.items:
                raise Violation(f"{told}, and items are missing without a word")
        if self.policy.one and runs_of_all > 1:
            raise Violation(f"one() ran {runs_of_all} times")
        if self.faults.is_calm and self.deadline - 100 >= 5 and not self.policy.enough and not self.unknown:
            wrong = {key: each.state for key, each in self.outcomes.items() if each.state != "ok"}
            late = any(isinstance(each.error, DeadlineExceeded) for each in self.outcomes.values())
            if wrong and not self.policy.one and not late:
                raise Violation(f"nothing was wrong, and yet {wrong}")

    def run(self) -> None:
        rng, faults = self.rng, self.faults
        self.say(f"seed {self.seed}: {len(self.members)} members, {self.policy}, {faults}")
        self.arrive("start")
        span = max(self.deadline - self.now, 0.05)

        def some_time() -> float:
            return rng.choice([0.01, 0.2, 1.0]) * rng.random() * span

        for member in self.members.values():
            if rng.random() < faults.deaths:
                self.after(some_time(), self.if_alive, member, member.die)
            if rng.random() < faults.freezes:
                self.after(some_time(), self.if_alive, member, member.freeze)
            if rng.random() < faults.leaves:
                self.after(some_time(), self.if_alive, member, member.begin_leave)
            if rng.random() < faults.new_lives:
                self.after(some_time(), self.if_alive, member, member.begin_new_life)
            if rng.random() < faults.wrong_deaths:
                self.tell(some_time(), "death", member.id, FIRST * P)
        for _ in range(faults.forgeries):
            self.after(some_time(), self.forge)
        if faults.outage:
            self.after(some_time(), self.lose_broker)
        if faults.stall:
            self.after(some_time(), self.stall)
        if faults.cancel:
            self.after(some_time(), self.arrive, "cancel")
        events = self._events
        while events:
            time, _, action, args = heappop(events)
            if time > self.now:
                self.now = time
            action(*args)
        self.check_end()

    def if_alive(self, member: Member, action: Callable[[], None]) -> None:
        if member.is_alive:
            action()

    def stall(self) -> None:
        self.say("the driver stands still")
        self.stall_until = self.now + self.rng.choice([0.05, 1.0, 10.0]) * self.rng.random()

    def lose_broker(self) -> None:
        self.say("the broker dies")
        self.is_broker_up = False
        self.after(self.rng.random() * 1.5, self.arrive, "link loss")

    def forge(self) -> None:
        """Somebody invents an answer: of a stranger, of another life, or before anything was asked."""
        rng = self.rng
        key = rng.choice([*self.members, "stranger"])
        epoch = rng.choice([4, 6]) * P
        kind = rng.choice(["begin", "refusal", "result", "error", "item", "absence"])
        args: tuple[Any, ...] = {
            "begin": (), "refusal": (Busy("forged"),), "result": ("forged", 0), "error": (InternalError("forged"), 0),
            "item": (0,), "absence": (),
        }[kind]  # fmt: skip
        if kind == "absence":
            self.arrive("absence", key, rng.choice([0, len(DELAYS.tries_s) + 2]))  # Of attempts that there never are.
        elif key != "stranger" and key not in self.asked and rng.random() < 0.5:
            self.arrive(kind, key, FIRST * P, *args)
        else:
            self.arrive(kind, key, epoch, *args)


def simulate(seed: int, make: Callable[..., Gathering] = Gathering, *, is_told: bool = False) -> World:
    """Run one schedule.

    Raises:
        Violation: a promise was broken.
    """
    world = World(seed, is_told, make)
    try:
        world.run()
    except AssertionError as exc:
        exc.add_note(f"again: python -m tests.server.group.gathering_simulation {seed}")
        raise
    return world


if __name__ == "__main__":
    simulate(int(sys.argv[1]), is_told=True)
