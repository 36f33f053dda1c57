"""Ends a program and all that it has started: TERM, a pause, KILL."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, Protocol

from . import tree
from .looping import Loop
from .processes import Process

KILL_WAIT_S = 2.0
"""How long killed processes may take to end before they count as survivors, from the last time that one has ended."""
KILL_MOST_S = 15.0
"""How long this may go on in all: on a machine full of other work, hundreds of processes take many seconds to end."""
GRACE_POLL_S = 0.05
KILL_POLL_S = 0.01


class Mortal(Protocol):
    """A program to end.

    Attributes:
        loop: the event loop.
        pid: the program's own process.
    """

    loop: Loop
    pid: int

    @property
    def has_exited(self) -> bool:
        """Whether the program itself has ended; others of its tree may live."""
        ...

    def look(self, then: Callable[[list[Process]], object]) -> None:
        """Find everything of its tree."""
        ...

    def kill_cgroup(self) -> bool:
        """Kill everything at once, if there is a control group."""
        ...

    @property
    def group_is_empty(self) -> bool:
        """Whether its control group is empty."""
        ...


class Kill:
    """Ends a tree of processes, step by step.

    Parameters:
        running: the program to end.
        grace_s: the time between TERM and KILL, in seconds; 0 to kill at once.
        on_end: called with the ids of processes that could not be ended.
    """

    def __init__(self, running: Mortal, grace_s: float, on_end: Callable[[list[int]], Any]) -> None:
        self._running = running
        self._on_end = on_end
        self._grace_s = grace_s
        self._deadline = self._give_up_at = 0.0
        self._alive: set[int] = set()

    def begin(self) -> None:
        """Take the first step."""
        self._deadline = self._running.loop.time() + self._grace_s
        if self._grace_s > 0:
            self._running.look(self._terminate)
        else:
            self._kill_now()

    def _terminate(self, members: list[Process]) -> None:
        if self._running.has_exited and not any(process.alive for process in members):
            self._check(members)
            return
        tree.send(members, signal.SIGTERM)
        tree.send(members, signal.SIGCONT)  # A stopped process could not react to TERM.
        self._running.loop.call_later(min(GRACE_POLL_S, self._grace_s), self._poll)

    def _poll(self) -> None:
        if self._running.loop.time() >= self._deadline:
            self._kill_now()
        else:
            self._running.look(self._check)

    def _check(self, members: list[Process]) -> None:
        if self._running.has_exited and not any(process.alive for process in members):
            self._on_end([])
        else:
            self._running.loop.call_later(GRACE_POLL_S, self._poll)

    def _kill_now(self) -> None:
        now = self._running.loop.time()
        self._deadline, self._give_up_at = now + KILL_WAIT_S, now + KILL_MOST_S
        if self._running.kill_cgroup():
            self._await_group()
        else:
            self._running.look(self._kill)

    def _await_group(self) -> None:
        """Wait until the group is empty before looking at its processes: while hundreds end, looking at each takes
        longer than their end."""
        late = self._running.loop.time() >= self._deadline
        if late or (self._running.has_exited and self._running.group_is_empty):
            self._running.look(self._kill)
        else:
            self._running.loop.call_later(KILL_POLL_S, self._await_group)

    def _kill(self, members: list[Process]) -> None:
        tree.send(members, signal.SIGKILL)
        alive = [process.pid for process in members if process.alive]
        now = self._running.loop.time()
        if not self._alive.issubset(alive):
            self._deadline = min(now + KILL_WAIT_S, self._give_up_at)
        self._alive = set(alive)
        late = now >= self._deadline
        if (self._running.has_exited and not alive) or late:
            self._on_end(alive)
        else:
            self._running.loop.call_later(KILL_POLL_S, lambda: self._running.look(self._kill))
