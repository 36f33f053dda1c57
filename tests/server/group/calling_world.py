"""Group calls in the random lives of :mod:`tests.server.group.presence_world`: real rosters, real gatherings and the
members' real memory of calls, in one world, and a record of what the members have run.

``python -m tests.server.group.calling_world SEED`` lives one of them again and tells what happens.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rpcserver.group.commands import Addressee, Cancel, Output, Send, Wake
from rpcserver.group.gathering import Gathering
from rpcserver.group.members import State, format_id, is_same_process, parse_id
from rpcserver.group.presence import Presence
from rpcserver.group.receiving import Receiving
from rpcserver.group.watching import ChangeKind, Watcher
from rpcwire.errors import Busy, InternalError
from rpcwire.group.outcomes import FIRST, ONE, NodeOutcome, Policy, rolling
from rpcwire.group.selectors import parse, select
from tests.server.group.presence_world import Life, Node
from tests.server.group.simulation import Host

POLICIES = (Policy(), Policy(), Policy(parallel=2), rolling(1), rolling(2, canary=1), FIRST, ONE)
MARGIN_S = 1e-6


class Request(NamedTuple):
    call: str
    attempt: int
    epoch: int
    ttl_s: float


class Stop(NamedTuple):
    call: str
    epoch: int
    ttl_s: float


class Answer(NamedTuple):
    call: str
    kind: str
    epoch: int


@dataclass
class Run:
    """What a process has done with a call."""

    begun: int = 0
    done: int = 0


class Call:
    """A group call of a node."""

    def __init__(self, world: CallingLife, node: Node, number: int) -> None:
        self.world, self.node, self.machine = world, node, node.machine
        self.id = f"call-{number}"
        chance = world.random
        now = world.now + node.clock_s
        self.deadline = now + chance.choice((0.5, 5.0, 8.0))
        self.thaw = 0.0
        text = chance.choice(("role", "role=web", "role!=web", "name=node-*"))
        members = [m for m in node.machine.roster.snapshot(now).members if m.state < State.DIED]
        self.addressees = [Addressee(m.id, m.epoch, m.name) for m in select(parse(text), members).nodes]
        self.policy = chance.choice(POLICIES)
        self.gathering = Gathering(self.addressees, self.deadline, self.policy)
        self.outcomes: dict[str, NodeOutcome] = {}
        self.wake_at = float("inf")
        self.obey(self.gathering.start(now))

    def tell(self, act: Callable[[float], list[Output]]) -> None:
        """Let something happen to the call, when its node goes on; nothing, if that has ended."""
        node, world = self.node, self.world
        if node.machine is not self.machine:
            return
        if node.is_frozen:
            node.backlog.append(lambda: self.tell(act))
            return
        self.obey(act(world.now + node.clock_s))

    def obey(self, out: list[Output]) -> None:
        world, node = self.world, self.node
        now = world.now + node.clock_s
        for each in out:
            if isinstance(each, Send):
                if self.gathering.may_send(each.to.id, each.attempt, now):
                    request = Request(self.id, each.attempt, each.to.epoch, self.deadline - now)
                    world.send(node, parse_id(each.to.id), request)
            elif isinstance(each, Cancel):
                world.send(node, parse_id(each.to.id), Stop(self.id, each.to.epoch, self.deadline - now))
            elif isinstance(each, Wake):
                self.wake_at = each.at_s
                world.at(max(world.now, each.at_s - node.clock_s), self.wake, each.at_s)
            else:
                assert isinstance(each, NodeOutcome)
                world.say(f"{self.id}: {each.id} is {each.state}, executed: {each.executed}")
                if each.id in self.outcomes:
                    world.fail(f"{self.id}: {each.id} has two outcomes")
                if now > max(self.deadline, world.thaws.get(node.id, 0.0) + node.clock_s) + MARGIN_S:
                    world.fail(f"{self.id}: {each.id} has its outcome {now - self.deadline} s after the deadline")
                self.outcomes[each.id] = each

    def wake(self, at_s: float) -> None:
        if at_s == self.wake_at:
            self.tell(lambda now: self.gathering.on_time(max(now, at_s)))

    def on_answer(self, source: str, answer: Answer, now: float) -> list[Output]:
        match answer.kind:
            case "begin":
                return self.gathering.on_begin(source, answer.epoch, now)
            case "result":
                return self.gathering.on_result(source, answer.epoch, source, now)
            case "refusal":
                return self.gathering.on_refusal(source, answer.epoch, Busy(), now)
            case _:
                return self.gathering.on_error(source, answer.epoch, InternalError(executed="yes"), now)


class CallingLife(Life):
    """A life in which the nodes call each other."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        chance = self.random
        self.calls: list[Call] = []
        self.runs: dict[tuple[str, str, Presence], Run] = {}
        self.receivings: dict[Presence, Receiving] = {}
        self.epochs: dict[Presence, int] = {}
        self.changes: dict[Presence, Watcher] = {}
        self.thaws: dict[int, float] = {}
        for _ in range(chance.choice((2, 4, 8))):
            self.at(0.6 + 4.5 * chance.random(), self.call, chance.choice(self.nodes))

    def call(self, node: Node) -> None:
        if node.machine is not None and not node.is_frozen and node.is_linked:
            self.say(f"{node.id:x} makes call-{len(self.calls)}")
            self.calls.append(Call(self, node, len(self.calls)))

    def each_call_of(self, node: Host, act: Callable[[Call, float], list[Output]]) -> None:
        for call in self.calls:
            if call.node is node and call.machine is node.machine:
                call.tell(lambda now, call=call: act(call, now))  # type: ignore[misc]

    # --- what the world tells ----------------------------------------------------------------------------------

    def begin(self, node: Node) -> None:
        before = node.machine
        super().begin(node)
        machine = node.machine
        if machine is not before:
            self.receivings[machine] = Receiving(machine.epoch)
            self.epochs[machine] = machine.epoch
            self.changes[machine] = machine.roster.watch(self.now + node.clock_s)[1]

    def observe(self, host: Any) -> None:
        super().observe(host)
        watcher = self.changes.get(host.machine)
        for change in watcher.take() if watcher is not None else ():
            member, kind = change.member, change.kind
            assert member is not None
            if kind in (ChangeKind.DIED, ChangeKind.LEFT):
                self.each_call_of(
                    host, lambda call, now, m=member: call.gathering.on_death(m.id, m.epoch, m.reason.words, now)
                )
            elif kind in (ChangeKind.JOINED, ChangeKind.RETURNED, ChangeKind.CHANGED):
                self.each_call_of(host, lambda call, now, m=member: call.gathering.on_new_life(m.id, m.epoch, now))

    def drop_link(self, node: Node, machine: Presence, until: float) -> None:
        was_linked = node.is_linked
        super().drop_link(node, machine, until)
        if was_linked and not node.is_linked:
            self.each_call_of(node, lambda call, now: call.gathering.on_link_loss(now))

    def notice(self, node: Node, machine: Presence) -> None:
        was_linked = node.is_linked
        super().notice(node, machine)
        if was_linked and not node.is_linked:
            self.each_call_of(node, lambda call, now: call.gathering.on_link_loss(now))

    def thaw(self, host: Host, machine: Any) -> None:
        if host.machine is machine and host.is_frozen:
            self.thaws[host.id] = self.now
        super().thaw(host, machine)

    def miss(self, source: Host, destination: int, payload: Any) -> None:
        if not isinstance(payload, Request):
            super().miss(source, destination, payload)
            return
        node = format_id(destination)
        self.at(self.now + 0.001 * self.random.random(), self.tell_absence, payload, node)

    def tell_absence(self, request: Request, node: str) -> None:
        call = self.calls[int(request.call.removeprefix("call-"))]
        if call.node.is_linked and self.is_up:
            call.tell(lambda now: call.gathering.on_absence(node, request.attempt, now))

    # --- the members -------------------------------------------------------------------------------------------

    def _deliver(self, host: Host, machine: Any, source: int, payload: Any) -> None:
        if not isinstance(payload, (Request, Stop, Answer)):
            super()._deliver(host, machine, source, payload)
            return
        if host.machine is not machine or not host.is_linked or not self.is_up:
            return
        if host.is_frozen:
            host.backlog.append(lambda: self._deliver(host, machine, source, payload))
            return
        now = self.now + host.clock_s
        if isinstance(payload, Answer):
            call = self.calls[int(payload.call.removeprefix("call-"))]
            call.tell(lambda now: call.on_answer(format_id(source), payload, now))
        elif isinstance(payload, Stop):
            if self.receivings[machine].on_cancel(payload.call, payload.epoch, now + payload.ttl_s, now):
                self.finish_call(host, machine, source, payload.call, "error")
        else:
            is_welcome = machine.state == State.UP and self.random.random() < 0.9
            deadline = now + payload.ttl_s
            decision = self.receivings[machine].on_request(
                payload.call, payload.epoch, deadline, now, is_welcome=is_welcome
            )
            if decision == "begin":
                self.run_of(payload.call, host, machine).begun += 1
                self.say(f"{host.id:x} begins {payload.call}")
                self.send(host, source, Answer(payload.call, "begin", machine.epoch))
                after_s = self.random.choice((0.0, 0.1, 4.0, 6.0)) * self.random.random()
                kind = self.random.choice(("result", "result", "result", "error"))
                self.at(self.now + after_s, self.finish_call, host, machine, source, payload.call, kind)
            elif decision != "repeated":
                self.send(host, source, Answer(payload.call, "refusal", machine.epoch))

    def run_of(self, call: str, host: Host, machine: Presence) -> Run:
        return self.runs.setdefault((call, format_id(host.id), machine), Run())

    def finish_call(self, host: Host, machine: Presence, source: int, call: str, kind: str) -> None:
        if host.machine is not machine:
            return
        if host.is_frozen:
            host.backlog.append(lambda: self.finish_call(host, machine, source, call, kind))
            return
        run = self.run_of(call, host, machine)
        if run.done == 0 and run.begun:
            run.done += 1
            self.send(host, source, Answer(call, kind, machine.epoch))

    # --- the rules ---------------------------------------------------------------------------------------------

    def check_calls(self) -> Counter[str]:
        """Each addressee of a node that lives has one outcome, and none contradicts what was run."""
        kinds: Counter[str] = Counter()
        for call in self.calls:
            is_alive = call.node.machine is call.machine and not call.node.is_frozen
            if is_alive and (not call.gathering.is_finished or len(call.outcomes) != len(call.addressees)):
                self.fail(f"{call.id} of {call.node.id:x} has {len(call.outcomes)} of {len(call.addressees)} outcomes")
            total = 0
            for to in call.addressees:
                runs = {m: run.begun for (id_, node, m), run in self.runs.items() if (id_, node) == (call.id, to.id)}
                wrong = [m for m in runs if not is_same_process(self.epochs[m], to.epoch)]
                begun = sum(runs.values())
                total += begun
                if wrong or begun > 1:
                    self.fail(f"{to.id} ran {call.id} {begun} times, {len(wrong)} of them in another process")
                outcome = call.outcomes.get(to.id)
                if outcome is None:
                    continue
                kinds[f"{outcome.state} {outcome.executed}"] += 1
                if (outcome.executed == "no" and begun) or (outcome.executed == "yes" and not begun):
                    self.fail(f"{call.id}: {to.id} is {outcome.state} {outcome.executed}, and ran {begun} times")
            if call.policy.one and total > 1:
                self.fail(f"{call.id} was for one, and ran {total} times")
        return kinds

    def live(self) -> None:
        super().live()
        self.run(max([self.now, *(call.deadline - call.node.clock_s + 0.1 for call in self.calls)]))
        self.kinds = self.check_calls()


def live_and_call(first: int, count: int) -> Counter[str]:
    """Live many lives, and count the outcomes of their calls.

    Raises:
        Broken: a rule does not hold. The text names the seed.
    """
    kinds: Counter[str] = Counter()
    for seed in range(first, first + count):
        life = CallingLife(seed)
        life.live()
        kinds.update(life.kinds)
    return kinds


if __name__ == "__main__":
    one = CallingLife(int(sys.argv[1]))
    one.trace = print
    one.live()
