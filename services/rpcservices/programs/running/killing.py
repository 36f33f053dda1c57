"""The end of a program and of all that it has started: TERM, some time, KILL."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, Protocol

from . import tree
from .looping import Loop
from .processes import Process

KILL_WAIT_S = 2.0
"""How long killed processes may take to be gone before they are reported as survivors."""
GRACE_POLL_S = 0.05
KILL_POLL_S = 0.01


class Mortal(Protocol):
    """What is to end.

    Attributes:
        loop: the event loop.
        pid: the program's own process.
    """

    loop: Loop
    pid: int

    @property
    def exited(self) -> bool:
        """Whether the program itself has ended; others of its tree may live."""
        ...

    def look(self, then: Callable[[list[Process]], object]) -> None:
        """Find everything of its tree."""
        ...

    def kill_cgroup(self) -> bool:
        """Kill everything at once, where there is a control group."""
        ...

    @property
    def group_is_empty(self) -> bool:
        """Whether nothing is in its control group any more."""
        ...


class Kill:
    """The end of a tree, step by step.

    Parameters:
        running: what is to end.
        grace_s: the time between TERM and KILL, in seconds; 0 to kill at once.
        finished: called with the ids of those that could not be ended.
    """

    def __init__(self, running: Mortal, grace_s: float, finished: Callable[[list[int]], Any]) -> None:
        self._running = running
        self._finished = finished
        self._grace_s = grace_s
        self._deadline = 0.0

    def begin(self) -> None:
        """Take the first step."""
        self._deadline = self._running.loop.time() + self._grace_s
        if self._grace_s > 0:
            self._running.look(self._terminate)
        else:
            self._kill_now()

    def _terminate(self, found: list[Process]) -> None:
        if self._running.exited and not any(process.alive for process in found):
            self._polled(found)
            return
        tree.send(found, signal.SIGTERM)
        tree.send(found, signal.SIGCONT)  # One that is stopped could not react.
        self._running.loop.call_later(min(GRACE_POLL_S, self._grace_s), self._poll)

    def _poll(self) -> None:
        if self._running.loop.time() >= self._deadline:
            self._kill_now()
        else:
            self._running.look(self._polled)

    def _polled(self, found: list[Process]) -> None:
        if self._running.exited and not any(process.alive for process in found):
            self._finished([])
        else:
            self._running.loop.call_later(GRACE_POLL_S, self._poll)

    def _kill_now(self) -> None:
        self._deadline = self._running.loop.time() + KILL_WAIT_S
        if self._running.kill_cgroup():
            self._await_group()
        else:
            self._running.look(self._kill)

    def _await_group(self) -> None:
        """Wait for the group to be empty before looking at anything: while hundreds end, one look at each takes longer
        than all of that."""
        late = self._running.loop.time() >= self._deadline
        if late or (self._running.exited and self._running.group_is_empty):
            self._running.look(self._kill)
        else:
            self._running.loop.call_later(KILL_POLL_S, self._await_group)

    def _kill(self, found: list[Process]) -> None:
        tree.send(found, signal.SIGKILL)
        alive = [process.pid for process in found if process.alive]
        late = self._running.loop.time() >= self._deadline
        if (self._running.exited and not alive) or late:
            self._finished(alive)
        else:
            self._running.loop.call_later(KILL_POLL_S, lambda: self._running.look(self._kill))
