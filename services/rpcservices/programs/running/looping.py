"""The event loop that supervises a program: asyncio's in the server, and a small one in the keeper."""

from __future__ import annotations

import heapq
import itertools
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Protocol

PATIENCE_S = 3600.0
"""The longest single wait: epoll_wait(2) counts milliseconds in 31 bits. After it the loop waits again."""


class Timer(Protocol):
    """A callback for later."""

    def cancel(self) -> None:
        """Cancel the callback."""


class Loop(Protocol):
    """The part of an event loop that is used here."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> object:
        """Call a function whenever a descriptor can be read."""

    def remove_reader(self, fd: int, /) -> bool:
        """Stop calling it. Returns whether there was one."""
        ...

    def add_writer(self, fd: int, callback: Callable[[], object], /) -> object:
        """Call a function whenever a descriptor can be written."""

    def remove_writer(self, fd: int, /) -> bool:
        """Stop calling it. Returns whether there was one."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call a function once, after some seconds."""
        ...

    def time(self) -> float:
        """The loop's clock, in seconds."""
        ...


class _SmallTimer:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class SmallLoop:
    """An event loop on epoll(7) that starts fast and needs little memory."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}
        self._writers: dict[int, Callable[[], object]] = {}
        self._timers: list[tuple[float, int, _SmallTimer]] = []
        self._numbers = itertools.count()
        self._is_stopped = False

    def on_child(self, callback: Callable[[], object]) -> None:
        """Call a function whenever a child has ended (SIGCHLD)."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

        def woken() -> None:
            os.read(reading, 4096)
            callback()

        self.add_reader(reading, woken)

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> None:
        self._readers[fd] = callback
        self._watch(fd)

    def remove_reader(self, fd: int, /) -> bool:
        was_known = self._readers.pop(fd, None) is not None
        self._watch(fd)
        return was_known

    def add_writer(self, fd: int, callback: Callable[[], object], /) -> None:
        self._writers[fd] = callback
        self._watch(fd)

    def remove_writer(self, fd: int, /) -> bool:
        was_known = self._writers.pop(fd, None) is not None
        self._watch(fd)
        return was_known

    def _watch(self, fd: int) -> None:
        events = (select.EPOLLIN if fd in self._readers else 0) | (select.EPOLLOUT if fd in self._writers else 0)
        try:
            if events:
                self._epoll.modify(fd, events)
            else:
                self._epoll.unregister(fd)
        except FileNotFoundError:
            if events:
                self._epoll.register(fd, events)

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        timer = _SmallTimer(callback)
        heapq.heappush(self._timers, (self.time() + delay, next(self._numbers), timer))
        return timer

    def time(self) -> float:
        return time.monotonic()

    def stop(self) -> None:
        """Return from :meth:`run` after this turn."""
        self._is_stopped = True

    def run(self) -> None:
        """Run until :meth:`stop` is called."""
        while not self._is_stopped:
            for fd, events in self._epoll.poll(self._patience()):
                # An earlier callback of this turn may have removed this one.
                if events & ~select.EPOLLOUT and (callback := self._readers.get(fd)) is not None:
                    callback()
                if events & ~select.EPOLLIN and (callback := self._writers.get(fd)) is not None:
                    callback()
            now = self.time()
            while self._timers and self._timers[0][0] <= now:
                timer = heapq.heappop(self._timers)[2]
                if timer.callback is not None:
                    timer.callback()

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if self._is_stopped:
            return 0
        return min(max(0.0, self._timers[0][0] - self.time()), PATIENCE_S) if self._timers else None
