"""Threads that run handlers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from rpcwire.forking import home

Job = Callable[[], None]


class Workers:
    """Some threads, started as they are needed. They are daemons: a handler that does not end holds up no interpreter
    that does.

    Parameters:
        most: how many threads at most.
        name: what their names begin with.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._home = home()
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()  # Its put may be interrupted by garbage that calls it.
        self._unfinished = 0
        self._threads: list[threading.Thread] = []

    def submit(self, job: Job) -> None:
        """Have a job done. It must not raise."""
        with self._lock:
            self._unfinished += 1
            if self._unfinished > len(self._threads) < self._most:
                name = f"{self._name}_{len(self._threads)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put(job)

    def leave(self) -> None:
        """End all threads once they have nothing to do. Takes no lock: garbage is collected at any moment."""
        for _ in range(self._most):
            self._jobs.put(None)

    def close(self, until: float) -> None:
        """Begin no other job, and wait for the threads; those that do not end are left to themselves.

        Parameters:
            until: how long to wait, on the clock of :func:`time.monotonic`.
        """
        try:
            while True:
                self._jobs.get_nowait()
        except Empty:
            self.leave()
        with self._lock:
            threads = list(self._threads)
        if threading.current_thread() in threads:
            return  # A handler closes its own client: it cannot wait for itself.
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # Nothing of it is kept while the next is waited for.
            if self._home is not home():
                return  # It has forked, and this is the child.
            with self._lock:
                self._unfinished -= 1
