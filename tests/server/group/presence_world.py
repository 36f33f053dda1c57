"""Random lives of a small group in the world of :mod:`tests.server.group.simulation`, and what must be true of them.

``python -m tests.server.group.presence_world SEED`` lives one of them again and tells what happens.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from typing import Any

from rpcserver.group.members import STEPS, Announcement, Profile, Reason, State, first_epoch, is_same_process
from rpcserver.group.messages import Ask, Beat, join_verdicts
from rpcserver.group.presence import Presence
from rpcserver.group.ring import TIMING
from rpcserver.group.watching import ChangeKind, Watcher
from tests.server.group.simulation import Host, World

DIE_S = 3.0
"""Within this time everybody knows of a death."""
RECOVERY_S = 4.0
"""How long the effects of a fault may last after its end."""
QUIET_S = 6.0
"""How long nothing goes wrong, before all must agree."""
STEP_KINDS = {
    ChangeKind.SUSPECT: State.SUSPECT,
    ChangeKind.ALIVE: State.UP,
    ChangeKind.LEAVING: State.LEAVING,
    ChangeKind.DIED: State.DIED,
    ChangeKind.LEFT: State.LEFT,
}


class Broken(AssertionError):
    """Something is not as it must be."""


class Node(Host):
    """A host with a :class:`Presence`, and what an observer sees on it."""

    def __init__(self, number: int, clock_s: float) -> None:
        super().__init__(number, clock_s)
        self.epoch = 0
        self.wall_s = 1.7e9
        self.watcher: Watcher | None = None
        self.view: dict[int, tuple[int, State]] = {}
        self.strained_until = 0.0  # Something was wrong with it until then: it may be taken for dead.
        self.fault_until = 0.0
        self.version = 0


class Life(World):
    """A group, a few faults, and the rules.

    Parameters:
        seed: what everything comes from.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        chance = self.random
        self.seed = seed
        self.entries: dict[int, Announcement] = {}
        self.is_lossy = self.is_slow = self.is_torn = False
        self.rough_until = 0.0  # The network is not good until then: deaths may be seen late.
        self.outage_until = 0.0
        self.deaths = self.returns = 0
        self.duplicates = chance.choice((0.0, 0.0, 0.1))
        size = chance.choice((2, 3, 3, 4, 4, 4, 5, 6))
        self.nodes = [Node(chance.getrandbits(64), 1000 * chance.random()) for _ in range(size)]
        self.hosts = list(self.nodes)
        # In every second life verdicts are told by a herald, as in a large group.
        self.timing = replace(TIMING, herald_members=2) if self.nodes[0].id % 2 else TIMING
        for node in self.nodes:
            self.at(chance.choice((0.0, 0.2, 1.5)) * chance.random(), self.begin, node)
        self.last = 0.0
        for _ in range(chance.choice((1, 1, 2, 2, 3, 4))):
            fault = chance.choice(FAULTS)
            self.at(0.7 + 4.0 * chance.random(), fault, self, chance.choice(self.nodes))

    # --- the network of the group ------------------------------------------------------------------------------

    def hears(self, host: Host, source: int, payload: Any) -> bool:
        return type(payload) is not Beat or source in host.machine.watches

    def settle(self, host: Host) -> None:
        machine = host.machine
        machine.outbox[:] = join_verdicts(machine.outbox)
        super().settle(host)

    def send(self, source: Host, destination: int | None, payload: Any) -> None:
        if destination is None and isinstance(payload, Announcement) and self.is_up and source.is_linked:
            self.entries[source.id] = payload
        super().send(source, destination, payload)

    def miss(self, source: Host, destination: int, payload: Any) -> None:
        """The broker says that nobody listens. The node asks again after 50 ms, and believes it then."""
        if isinstance(payload, Ask) and self.random.random() < 0.7:
            self.at(self.now + 0.05, self.miss_again, source, source.machine, destination)

    def miss_again(self, source: Host, machine: Presence, destination: int) -> None:
        if source.machine is machine and source.is_linked and self.is_up:
            hosts = [host for host in self.hosts if host.id == destination and host.side == source.side]
            if not any(host.machine is not None and host.is_linked for host in hosts):
                index = machine.roster.table.find(destination)
                if index >= 0:
                    epoch = machine.roster.table.epochs[index]
                    self.do(source, lambda now: machine.doubt(destination, epoch, Reason.ABSENT, now))

    # --- what happens to nodes ---------------------------------------------------------------------------------

    def begin(self, node: Node) -> None:
        """Start a node that has never run, or was killed: it knows nobody."""
        if node.machine is not None:
            return
        chance = self.random
        node.epoch = first_epoch(node.epoch, node.wall_s + self.now, chance.getrandbits(12))
        labels = (("role", chance.choice(("web", "db"))),)
        told = Announcement(node.id, node.epoch, 0, f"node-{node.id % 7}", profile=Profile(labels))
        machine = Presence(told, self.now + node.clock_s, self.timing)
        snapshot, node.watcher = machine.roster.watch(self.now + node.clock_s)
        node.version = machine.roster.version
        node.view = {int(member.id, 16): (member.epoch, member.state) for member in snapshot.members}
        self.start(node, machine)
        if not self.is_up:
            machine.lose_link(self.now + node.clock_s)
        for entry in list(self.entries.values()):
            if chance.random() < 0.8:
                self.at(self.now + 0.3 * chance.random(), self.enter, node, machine, entry)

    def enter(self, node: Node, machine: Presence, entry: Announcement) -> None:
        if node.machine is machine and node.is_linked:
            self.do(node, lambda now: machine.enter([entry], now))

    def strain(self, node: Node, until: float) -> None:
        """From now until then something is wrong with a node."""
        node.fault_until = max(node.fault_until, until)
        node.strained_until = max(node.strained_until, until + RECOVERY_S)
        self.last = max(self.last, until)

    def end(self, node: Node) -> None:
        if node.machine is None:
            return
        machine = node.machine
        self.strain(node, self.now)
        self.kill(node)
        self.expect_death(node, machine)
        if self.random.random() < 0.5:
            self.at(self.now + 0.01, self.disconnect, node.id, machine.epoch)
        if self.random.random() < 0.4:
            self.at(self.now + self.random.choice((0.0, 0.3, 1.0, 3.0)) * self.random.random(), self.begin_again, node)

    def begin_again(self, node: Node) -> None:
        """Start a node once more. Its clock may have been set, and late news of its last life may come."""
        last = node.epoch
        node.wall_s += self.random.choice((0.0, 0.0, 3600.0, -3600.0))
        self.strain(node, self.now)
        self.begin(node)
        if self.random.random() < 0.3:
            self.at(self.now + self.random.random(), self.disconnect, node.id, last)

    def disconnect(self, number: int, epoch: int) -> None:
        """The broker tells one node that a connection has ended."""
        node = self.random.choice(self.nodes)
        machine = node.machine
        if machine is not None and node.is_linked and self.is_up:
            self.do(node, lambda now: machine.doubt(number, epoch, Reason.DISCONNECTED, now))

    def stop(self, node: Node) -> None:
        """Let a node stand still, for a moment or for good."""
        if node.machine is None or node.is_frozen:
            return
        duration = self.random.choice((0.4, 1.2, 1.8, 2.2, 3.0, 5.0, 100.0)) * (0.8 + 0.4 * self.random.random())
        self.freeze(node)
        self.strain(node, self.now + (duration if duration < 20 else 0.0))
        if duration > DIE_S:
            self.expect_death(node, node.machine)
        if duration < 20:
            self.at(self.now + duration, self.thaw, node, node.machine)
        if duration > 1.5 and self.random.random() < 0.5:
            # The broker notices, and ends the connection.
            self.at(self.now + 1.5, self.drop_link, node, node.machine, self.now + duration)

    def drop_link(self, node: Node, machine: Presence, until: float) -> None:
        if node.machine is machine and node.is_linked and self.is_up:
            node.is_linked = False
            self.do(node, machine.lose_link)
            self.at(until + 0.15 * self.random.random(), self.connect, node, machine)
            self.at(self.now + 0.01, self.disconnect, node.id, machine.epoch)

    def connect(self, node: Node, machine: Presence) -> None:
        if node.machine is machine and not node.is_linked and self.is_up:
            node.is_linked = True
            self.do(node, machine.regain_link)

    def blink(self, node: Node) -> None:
        """A node loses its connection, and has it again soon."""
        if node.machine is not None and not node.is_frozen:
            until = self.now + self.random.choice((0.12, 0.25, 1.0, 2.5))
            self.strain(node, until + 0.2)
            self.drop_link(node, node.machine, until)

    def cut(self, node: Node) -> None:
        """The network falls apart: some are on the other side."""
        until = self.now + self.random.choice((0.5, 1.5, 2.0, 3.0, 5.0)) * (0.8 + 0.4 * self.random.random())
        others = [node, *[other for other in self.nodes if other is not node and self.random.random() < 0.3]]
        self.rough(until)
        self.is_torn = True
        for other in others:
            other.side = 1
            self.strain(other, until)
        self.at(until, self.join, others)

    def join(self, others: list[Node]) -> None:
        for node in others:
            node.side = 0

    def lose(self, node: Node) -> None:
        """Messages of a node are lost."""
        until = self.now + 3 * self.random.random()
        self.is_lossy = True
        self.rough(until)
        self.strain(node, until)
        node.is_bad = True
        node.loss = self.random.choice((0.2, 0.5, 1.0))
        self.at(until, self.recover, node)

    def slow(self, node: Node) -> None:
        """Messages of a node are slow."""
        self.is_slow = True
        until = self.now + 3 * self.random.random()
        self.rough(until + 0.4)
        self.strain(node, until + 0.4)
        node.is_bad = True
        node.delay_s = 0.4
        self.at(until, self.recover, node)

    def lag(self, node: Node) -> None:
        """A node has too much to read, and reads everything late; it goes on telling that it lives."""
        until = self.now + 4 * self.random.random()
        self.say(f"{node.id:x} lags")
        self.is_slow = True  # It cannot say in time that it lives to those who were cut off from it.
        if self.random.random() < 0.5:
            node.lag_s = self.random.choice((0.2, 0.6, 1.5, 3.0, 5.0))
        else:
            node.read_s = self.random.choice((0.05, 0.1, 0.2, 0.4))
        self.lags_behind(node, until + node.lag_s)
        self.at(until, self.catch_up, node)

    def lags_behind(self, node: Node, until: float) -> None:
        """A node sees things late. But nobody has a reason to take it for dead, nor has it for anybody else."""
        node.fault_until = max(node.fault_until, until)
        self.last = max(self.last, until)

    def catch_up(self, node: Node) -> None:
        node.lag_s = node.read_s = 0.0
        self.lags_behind(node, node.read_at)

    def recover(self, node: Node) -> None:
        node.loss = node.delay_s = 0.0
        node.is_bad = False

    def rough(self, until: float) -> None:
        self.rough_until = max(self.rough_until, until + RECOVERY_S)
        self.last = max(self.last, until)

    def break_broker(self, _: Node) -> None:
        """The broker ends, or stands still until the nodes notice, and comes back. Its entries may be gone."""
        if not self.is_up:
            return
        until = self.now + self.random.choice((0.3, 1.0, 3.0, 5.0))
        self.say("the broker is gone")
        self.rough(until + 1.0)
        self.outage_until = until + 1.0
        self.is_up = False
        notice_s = self.random.choice((0.02, 1.4))
        if until - self.now > notice_s:
            for node in self.nodes:
                if node.machine is not None:
                    self.at(self.now + notice_s * (0.7 + 0.3 * self.random.random()), self.notice, node, node.machine)
        self.at(until, self.mend_broker)

    def notice(self, node: Node, machine: Presence) -> None:
        if node.machine is machine and node.is_linked and not self.is_up:
            node.is_linked = False
            self.do(node, machine.lose_link)

    def mend_broker(self) -> None:
        self.say("the broker is back")
        self.is_up = True
        if self.random.random() < 0.5:
            self.entries.clear()
        for node in self.nodes:
            if node.machine is not None and not node.is_linked:
                self.at(self.now + 0.4 * self.random.random(), self.connect, node, node.machine)

    def set_clock(self, node: Node) -> None:
        """The time of day jumps."""
        jump_s = self.random.choice((3600.0, -3600.0))
        node.wall_s += jump_s
        if node.machine is not None:
            node.machine.roster.wall_offset_s += jump_s

    def leave(self, node: Node) -> None:
        if node.machine is not None:
            machine = node.machine
            self.strain(node, self.now)
            self.do(node, machine.leave)
            self.at(self.now + 2 * self.random.random(), self.finish, node, machine)

    def finish(self, node: Node, machine: Presence) -> None:
        if node.machine is machine and node.is_frozen:
            self.at(self.now + 1.0, self.finish, node, machine)
        elif node.machine is machine:
            self.strain(node, self.now)
            self.do(node, machine.finish)
            self.at(self.now + 0.1, self.quit, node, machine)

    def quit(self, node: Node, machine: Presence) -> None:
        if node.machine is machine:
            self.kill(node)

    def relabel(self, node: Node) -> None:
        machine = node.machine
        if machine is not None:
            told = replace(machine.announcement, profile=Profile((("role", str(self.random.random())),)))
            self.do(node, lambda now: machine.change(told, now))

    # --- the rules ---------------------------------------------------------------------------------------------

    def fail(self, text: str) -> None:
        raise Broken(f"seed {self.seed}, at {self.now:.3f}: {text}")

    def observe(self, host: Any) -> None:
        """Look at what has changed on a host: only along the steps, and nobody dies without a reason."""
        if host.version == host.machine.roster.version:
            return
        host.version = host.machine.roster.version
        for change in host.watcher.take() if host.watcher else []:
            member = change.member
            assert member is not None
            number = int(member.id, 16)
            before = host.view.get(number)
            self.say(f"{host.id:x} sees {change.kind.value} of {member.id} {member.epoch}: {member.reason.words}")
            if change.kind in STEP_KINDS:
                if before is None or before[0] != member.epoch or (before[1], member.state) not in STEPS:
                    self.fail(f"{host.id:x} moved {member.id} from {before} to {member.state!r}")
            elif change.kind is ChangeKind.RETURNED:
                if before is None or before[0] >= member.epoch or before[1] < State.DIED:
                    self.fail(f"{host.id:x} let {member.id} return from {before}")
                self.returns += 1
            elif change.kind is ChangeKind.CHANGED:
                if before is None or before[1] >= State.DIED or not is_same_process(before[0], member.epoch):
                    self.fail(f"{host.id:x} changed {member.id} from {before}")
            elif change.kind is not ChangeKind.JOINED or before is not None:
                self.fail(f"{host.id:x} saw {change.kind} of {member.id}")
            host.view[number] = member.epoch, member.state
            if change.kind is ChangeKind.DIED and member.reason is not Reason.RESTARTED:
                self.deaths += 1
                self.check_death(host, number)

    def check_death(self, host: Node, number: int) -> None:
        """Nobody is taken for dead who was there all the time, wherever the observer was not cut off from it."""
        node = next(node for node in self.nodes if node.id == number)
        # Who was cut off may hold others for dead for a moment, and they hear of it too late if the network is slow.
        if self.is_lossy or (self.is_slow and self.is_torn):
            return
        if host.side == 0 and self.now > host.strained_until and node.strained_until == 0.0:
            self.fail(f"{host.id:x} took {number:x} for dead")

    def expect_death(self, node: Node, machine: Presence) -> None:
        """If nothing else is wrong, everybody who knew this life knows soon that it is over."""
        known = [other for other in self.nodes if other is not node and self.knows(other, node.id)]
        self.at(self.now + DIE_S, self.check_deaths, node, machine.epoch, known, [other.machine for other in known])

    def knows(self, node: Node, number: int) -> bool:
        if node.machine is None:
            return False
        table = node.machine.roster.table
        index = table.find(number)
        return index >= 0 and table.states[index] < State.DIED

    def check_deaths(self, node: Node, epoch: int, known: list[Node], machines: list[Presence]) -> None:
        if self.now < self.rough_until or self.now - DIE_S < self.outage_until:
            return
        for other, machine in zip(known, machines, strict=True):
            if other.machine is not machine or other.is_frozen or other.fault_until > self.now - DIE_S - RECOVERY_S:
                continue
            if any(third.fault_until > self.now - DIE_S and third.machine for third in self.nodes):
                continue
            table = machine.roster.table
            index = table.find(node.id)
            if index >= 0 and table.epochs[index] == epoch and table.states[index] < State.DIED:
                self.fail(f"{other.id:x} does not know after {DIE_S} s that {node.id:x} has died")

    def check_agreement(self) -> None:
        """All who live see all who live, in their present lives, and nobody else."""
        running = [node for node in self.nodes if node.machine is not None]
        awake = [node for node in running if not node.is_frozen]
        truth = {node.id: (node.machine.epoch, node.machine.state) for node in awake}
        for node in awake:
            if not node.is_linked:
                self.fail(f"the world has forgotten to connect {node.id:x}")
            table = node.machine.roster.table
            seen = {number: (epoch, state) for number, epoch, _, state in table.rows() if state < State.DIED}
            if seen != truth:
                self.fail(f"{node.id:x} sees {seen}, and the truth is {truth}")
            told = {number: (epoch, state) for number, (epoch, state) in node.view.items() if state < State.DIED}
            if told != seen or len(node.view) != len(table):
                self.fail(f"whoever watched {node.id:x} sees something else than its roster")
            for other in awake:
                index = table.find(other.id)
                if table.announcement(index).profile != other.machine.announcement.profile:
                    self.fail(f"{node.id:x} has old labels of {other.id:x}")
        if len({node.machine.roster.table.digest for node in awake}) > 1:
            self.fail("the digests differ")

    def live(self) -> None:
        """Live this life, and check it."""
        self.run(4.8)
        while self.now < self.last + QUIET_S:  # What happens may make something happen later.
            self.run(self.last + QUIET_S)
        self.check_agreement()


FAULTS = (
    *(Life.end, Life.end, Life.end, Life.stop, Life.stop, Life.blink, Life.cut, Life.cut, Life.lose, Life.slow),
    *(Life.lag, Life.lag, Life.break_broker, Life.set_clock, Life.leave, Life.relabel),
)


def live_many(first: int, count: int) -> tuple[int, dict[str, int]]:
    """Live many lives, and return how many there were and what happened in them.

    Raises:
        Broken: a rule does not hold. The text names the seed.
    """
    totals: Counter[str] = Counter()
    for seed in range(first, first + count):
        life = Life(seed)
        life.live()
        totals.update(events=life.handled, nodes=len(life.nodes), deaths=life.deaths, returns=life.returns)
    return count, dict(totals)


if __name__ == "__main__":
    life = Life(int(sys.argv[1]))
    life.trace = print
    life.live()
