"""A world of its own for machines without I/O: its own clock, network and broker, and everything that can go wrong there.

A machine is anything with ``receive(source, payload, now)``, ``tick(now)``, ``due`` and ``outbox``, a list of pairs of
destination and payload; the destination is the id of a host, or ``None`` for everybody. :class:`World` knows nothing
more of it. A message is (time, source, destination, payload). Everything random comes from one seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from typing import Any, Protocol

LATENCY_S = 0.03
"""The longest way of a message through a network where nothing is wrong, in seconds. Messages overtake each other."""


class Machine(Protocol):
    """What lives on a host."""

    outbox: list[tuple[int | None, Any]]

    @property
    def due(self) -> float: ...

    def receive(self, source: int, payload: Any, now: float, /) -> None: ...

    def tick(self, now: float, /) -> None: ...


class Host:
    """One machine and what the world does to it.

    Attributes:
        id: the id under which others send to it. Two hosts may have the same, by mistake.
        machine: what lives there; ``None`` before its start and after its death.
        is_frozen: whether it stands still. What it is sent waits in ``backlog``.
        is_linked: whether it has a connection to the broker.
        side: hosts on different sides do not reach each other.
        is_bad: whether its network is: then ``loss`` and ``delay_s`` count.
        loss: the part of its messages, to it and from it, that are lost.
        delay_s: how much longer its messages take, at most, in seconds.
        clock_s: its clock less that of the world, in seconds: no two hosts have the same.
        lag_s: how much later it reads what has come, in seconds, although its timers come in time.
        read_s: how long it takes to read a message, in seconds: what comes meanwhile waits, and is old when it is read.
    """

    def __init__(self, number: int, clock_s: float) -> None:
        self.id = number
        self.machine: Any = None
        self.is_frozen = False
        self.is_linked = True
        self.side = 0
        self.loss = 0.0
        self.delay_s = 0.0
        self.clock_s = clock_s
        self.is_bad = False
        self.lag_s = self.read_s = 0.0
        self.read_at = 0.0
        self.backlog: list[Callable[[], None]] = []
        self.wake_at = float("inf")


class World:
    """Hosts, their network, and the time.

    Parameters:
        seed: what everything random comes from.

    Attributes:
        now: the time, in seconds.
        random: the source of chance.
        hosts: all hosts.
        is_up: whether the broker is there.
        duplicates: the part of the messages that come twice.
        trace: called with a line for each message and event, if somebody wants to read them.
        handled: how many events there were.
    """

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.hosts: list[Host] = []
        self.is_up = True
        self.duplicates = 0.0
        self.trace: Callable[[str], None] | None = None
        self.handled = 0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = 0

    # --- time --------------------------------------------------------------------------------------------------

    def at(self, time: float, act: Callable[..., None], *arguments: Any) -> None:
        """Do something at a time."""
        self._serial += 1
        heapq.heappush(self._queue, (time, self._serial, act, arguments))

    def run(self, until: float) -> None:
        """Let everything happen until a time."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, act, arguments = heapq.heappop(queue)
            self.handled += 1
            act(*arguments)
        self.now = until

    def say(self, text: str) -> None:
        """Write a line into the trace."""
        if self.trace is not None:
            self.trace(f"{self.now:8.3f} {text}")

    # --- hosts -------------------------------------------------------------------------------------------------

    def do(self, host: Host, act: Callable[[float], object]) -> None:
        """Do something on a host, with its own time; later, if it is frozen."""
        if host.machine is None:
            return
        if host.is_frozen:
            host.backlog.append(lambda: self.do(host, act))
            return
        act(self.now + host.clock_s)
        self.settle(host)

    def settle(self, host: Host) -> None:
        """Send what a machine wants to send, and see to it that it wakes in time."""
        machine = host.machine
        if machine.outbox:
            messages = machine.outbox[:]
            machine.outbox.clear()
            for destination, payload in messages:
                self.send(host, destination, payload)
        due = machine.due - host.clock_s
        if due < host.wake_at:
            host.wake_at = max(due, self.now)
            self.at(host.wake_at, self._wake, host, machine)
        self.observe(host)

    def _wake(self, host: Host, machine: Any) -> None:
        if host.machine is not machine:
            return
        if host.wake_at > self.now:
            return  # An earlier one has replaced it.
        host.wake_at = float("inf")
        if host.is_frozen:
            return
        if machine.due <= self.now + host.clock_s + 1e-9:
            machine.tick(max(machine.due, self.now + host.clock_s))  # Sums of times are not exact.
        self.settle(host)

    def observe(self, host: Host) -> None:
        """Look at a host after each step of its machine. Worlds with rules override it."""

    def start(self, host: Host, machine: Machine) -> None:
        """Start a machine on a host."""
        host.machine = machine
        host.is_frozen = False
        host.is_linked = self.is_up
        host.backlog.clear()
        host.wake_at = float("inf")
        self.say(f"{host.id:x} starts")
        self.settle(host)

    def kill(self, host: Host) -> None:
        """End a machine without a word."""
        self.say(f"{host.id:x} is killed")
        host.machine = None
        host.backlog.clear()

    def freeze(self, host: Host) -> None:
        """Let a machine stand still: stopped, or busy with something else."""
        self.say(f"{host.id:x} freezes")
        host.is_frozen = True

    def thaw(self, host: Host, machine: Any) -> None:
        """Let a machine go on, with what has come meanwhile. Its timers come before that or after it."""
        if host.machine is not machine or not host.is_frozen:
            return
        self.say(f"{host.id:x} thaws")
        host.is_frozen = False
        backlog = host.backlog[:]
        host.backlog.clear()
        if self.random.random() < 0.5:
            self.do(host, machine.tick)
        for act in backlog:
            act()
        if host.machine is machine:
            self.settle(host)

    # --- network -----------------------------------------------------------------------------------------------

    def hears(self, host: Host, source: int, payload: Any) -> bool:
        """Whether a host gets what a source sends to everybody. Worlds where some only listen to some override it."""
        return True

    def reached(self, source: Host, destination: int | None, payload: Any) -> Iterable[Host]:
        """The hosts that a message goes to."""
        if destination is None:
            return [host for host in self.hosts if host.machine is not None and self.hears(host, source.id, payload)]
        return [host for host in self.hosts if host.machine is not None and host.id == destination]

    def send(self, source: Host, destination: int | None, payload: Any) -> None:
        """Bring a message on its way."""
        if not self.is_up or not source.is_linked:
            return
        chance = self.random.random
        is_reached = False
        for host in self.reached(source, destination, payload):
            if not host.is_linked or (host.side != source.side and host is not source):
                continue
            is_reached = True
            delay = LATENCY_S * chance()
            if source.is_bad or host.is_bad:
                if chance() < max(source.loss, host.loss):
                    continue
                delay += max(source.delay_s, host.delay_s) * chance()
            self.at(self.now + 0.0005 + delay, self._deliver, host, host.machine, source.id, payload)
            if self.duplicates and chance() < self.duplicates:
                self.at(self.now + 0.001 + 2 * delay, self._deliver, host, host.machine, source.id, payload)
        if not is_reached and destination is not None:
            self.miss(source, destination, payload)
        if self.trace is not None:
            self.say(f"{source.id:x} sends to {'all' if destination is None else f'{destination:x}'}: {payload}")

    def miss(self, source: Host, destination: int, payload: Any) -> None:
        """Nobody is there to whom a message could go. Worlds whose broker says so override it."""

    def _deliver(self, host: Host, machine: Any, source: int, payload: Any) -> None:
        if host.machine is not machine or not host.is_linked or not self.is_up:
            return
        if host.lag_s or host.read_s or host.read_at > self.now:
            host.read_at = max(host.read_at + host.read_s, self.now + host.lag_s)
            self.at(host.read_at, self._read, host, machine, source, payload)
        else:
            self._read(host, machine, source, payload)

    def _read(self, host: Host, machine: Any, source: int, payload: Any) -> None:
        if host.machine is not machine or not host.is_linked:
            return
        if host.is_frozen:
            host.backlog.append(lambda: self._read(host, machine, source, payload))
            return
        machine.receive(source, payload, self.now + host.clock_s)
        if machine.outbox or machine.due - host.clock_s < host.wake_at:
            self.settle(host)
        else:
            self.observe(host)
