"""Reads things one of which may hang, without waiting for that one again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

_KeyT = TypeVar("_KeyT", bound=Hashable)
_T = TypeVar("_T")

_SLOW_S = 0.05
"""What takes longer gets a thread of its own with the next reading, so that times do not add up."""


class _Run(Generic[_KeyT, _T]):
    """Things that are read one after the other in one thread.

    Attributes:
        found: what was read already.
        current: what is being read.
        abandoned: nobody waits for the rest any more.
        done: set at the end.
    """

    def __init__(self, keys: Sequence[_KeyT]) -> None:
        self.keys = keys
        self.found: dict[_KeyT, _T] = {}
        self.current: _KeyT | None = None
        self.abandoned = False
        self.done = threading.Event()


class Apart(Generic[_KeyT, _T]):
    """Reads things in threads, for as long as a limit allows. One caller at a time.

    Parameters:
        limit_s: how long one thing may take, in seconds. What takes longer is not asked again until it has answered.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._hanging: set[_KeyT] = set()
        self._took_s: dict[_KeyT, float] = {}

    @property
    def late(self) -> str:
        """The reason for what is not in an answer."""
        return f"failed: no answer within {self.limit_s:g} s"

    def read(self, jobs: Mapping[_KeyT, Callable[[], _T]]) -> dict[_KeyT, _T]:
        """The answers, by key, without those that did not come in time.

        Parameters:
            jobs: what to read; they do not raise.
        """
        found: dict[_KeyT, _T] = {}
        asked = [key for key in jobs if key not in self._hanging]
        slow = [key for key in asked if self._took_s.get(key, 0.0) > _SLOW_S]
        runs = [self._begin([key], jobs) for key in slow]
        rest = [key for key in asked if key not in slow]
        while rest or runs:
            if rest:
                runs.append(self._begin(rest, jobs))
            rest = []
            until = time.monotonic() + self.limit_s
            for run in runs:
                rest += self._finish(run, until)
                found.update(run.found)
            runs = []
        return found

    def _begin(self, keys: Sequence[_KeyT], jobs: Mapping[_KeyT, Callable[[], _T]]) -> _Run[_KeyT, _T]:
        run: _Run[_KeyT, _T] = _Run(keys)
        # A daemon: what never answers must not keep the server from ending.
        threading.Thread(target=self._work, args=(run, jobs), name="rpc-hardware-apart", daemon=True).start()
        return run

    def _finish(self, run: _Run[_KeyT, _T], until: float) -> list[_KeyT]:
        """Wait for a run; returns what it has not come to because something hangs."""
        if run.done.wait(max(until - time.monotonic(), 0.0)):
            return []
        run.abandoned = True
        hanging = run.current
        if hanging is not None and hanging not in run.found:
            self._hanging.add(hanging)
            if run.done.is_set():  # It has ended in this very moment.
                self._hanging.discard(hanging)
        return [key for key in run.keys if key != hanging and key not in run.found]

    def _work(self, run: _Run[_KeyT, _T], jobs: Mapping[_KeyT, Callable[[], _T]]) -> None:
        for key in run.keys:
            if run.abandoned:
                break
            run.current = key
            begin = time.monotonic()
            run.found[key] = jobs[key]()
            self._took_s[key] = time.monotonic() - begin
        run.done.set()
        if run.current is not None:
            self._hanging.discard(run.current)
