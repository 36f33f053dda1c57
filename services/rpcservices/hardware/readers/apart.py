"""Reads several items of which one may hang. One that hangs is not waited for again until it has answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

_KeyT = TypeVar("_KeyT", bound=Hashable)
_T = TypeVar("_T")

_SLOW_S = 0.05
"""An item that takes longer gets a thread of its own in the next reading, so that the times do not add up."""


class _Run(Generic[_KeyT, _T]):
    """Items that are read one after the other in one thread.

    Attributes:
        answers: the answers so far.
        current: the item that is being read.
        is_abandoned: whether nobody waits for the rest any more.
        done: set at the end.
    """

    def __init__(self, keys: Sequence[_KeyT]) -> None:
        self.keys = keys
        self.answers: dict[_KeyT, _T] = {}
        self.current: _KeyT | None = None
        self.is_abandoned = False
        self.done = threading.Event()


class Apart(Generic[_KeyT, _T]):
    """Reads items in threads, within a time limit. One caller at a time.

    Parameters:
        limit_s: how long one item may take, in seconds. One that takes longer is not asked again until it has answered.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._hanging: set[_KeyT] = set()
        self._took_s: dict[_KeyT, float] = {}

    @property
    def late(self) -> str:
        """The reason for an item that did not answer in time."""
        return f"failed: no answer within {self.limit_s:g} s"

    def read(self, jobs: Mapping[_KeyT, Callable[[], _T]]) -> dict[_KeyT, _T]:
        """Return the answers, by key, without those that did not come in time.

        Parameters:
            jobs: the functions that read the items; they do not raise.
        """
        answers: dict[_KeyT, _T] = {}
        keys = [key for key in jobs if key not in self._hanging]
        slow = [key for key in keys if self._took_s.get(key, 0.0) > _SLOW_S]
        runs = [self._begin([key], jobs) for key in slow]
        rest = [key for key in keys if key not in slow]
        while rest or runs:
            if rest:
                runs.append(self._begin(rest, jobs))
            rest = []
            until = time.monotonic() + self.limit_s
            for run in runs:
                rest += self._finish(run, until)
                answers.update(run.answers)
            runs = []
        return answers

    def _begin(self, keys: Sequence[_KeyT], jobs: Mapping[_KeyT, Callable[[], _T]]) -> _Run[_KeyT, _T]:
        run: _Run[_KeyT, _T] = _Run(keys)
        # A daemon thread, so that an item that never answers does not keep the server from ending.
        threading.Thread(target=self._work, args=(run, jobs), name="rpc-hardware-apart", daemon=True).start()
        return run

    def _finish(self, run: _Run[_KeyT, _T], until: float) -> list[_KeyT]:
        """Wait for a run. Returns the items that it has not reached because one hangs."""
        if run.done.wait(max(until - time.monotonic(), 0.0)):
            return []
        run.is_abandoned = True
        hanging = run.current
        if hanging is not None and hanging not in run.answers:
            self._hanging.add(hanging)
            if run.done.is_set():  # It has ended just now.
                self._hanging.discard(hanging)
        return [key for key in run.keys if key != hanging and key not in run.answers]

    def _work(self, run: _Run[_KeyT, _T], jobs: Mapping[_KeyT, Callable[[], _T]]) -> None:
        for key in run.keys:
            if run.is_abandoned:
                break
            run.current = key
            begin = time.monotonic()
            run.answers[key] = jobs[key]()
            self._took_s[key] = time.monotonic() - begin
        run.done.set()
        if run.current is not None:
            self._hanging.discard(run.current)
