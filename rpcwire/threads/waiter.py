"""Waits for a socket, and can be woken by any thread."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time
from collections.abc import Iterable

from rpcwire.forking import keep_from_children

READABLE = select.POLLIN
WRITABLE = select.POLLOUT


class Waiter:
    """Waits for one socket at a time. Only one thread may wait; any may wake it.

    Attributes:
        stopped: whether :meth:`stop` was called.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._inner, self._outer = socket.socketpair()
        keep_from_children(self._inner)
        keep_from_children(self._outer)
        self._inner.setblocking(False)
        self._outer.setblocking(False)
        self._bell = self._inner.fileno()
        self._poll = select.poll()
        self._poll.register(self._bell, READABLE)
        self._watched: int | None = None
        self._events = 0

    def watch(self, sock: socket.socket | None) -> None:
        """Wait for this socket from now on, or for none."""
        if self._watched is not None:
            self._poll.unregister(self._watched)
        self._watched = None if sock is None else sock.fileno()
        self._events = 0
        if self._watched is not None:
            self._poll.register(self._watched, 0)

    def wait(self, events: int, timeout_s: float) -> int:
        """Wait until the socket is ready, or somebody wakes this thread.

        Parameters:
            events: ``READABLE``, ``WRITABLE`` or both.
            timeout_s: how long at most, in seconds; may be infinite.

        Returns:
            What the socket is ready for (an error counts as either); 0 where it is not.
        """
        if events != self._events and self._watched is not None:
            self._poll.modify(self._watched, events)
            self._events = events
        timeout_ms = None if math.isinf(timeout_s) else max(math.ceil(timeout_s * 1000), 0)
        ready = 0
        for number, flags in self._poll.poll(timeout_ms):
            if number == self._bell:
                self._hush()
            else:
                ready = flags
        return ready

    def _hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._inner.recv(4096)

    def wait_for_any(self, socks: Iterable[socket.socket], timeout_s: float) -> list[socket.socket]:
        """Wait until one of some sockets is connected or has failed, or somebody wakes this thread. None of them is the
        one that is watched.

        Parameters:
            socks: which.
            timeout_s: how long at most, in seconds.

        Returns:
            Those that are.
        """
        numbers = {sock.fileno(): sock for sock in socks}
        for number in numbers:
            self._poll.register(number, WRITABLE)
        try:
            ready = self._poll.poll(max(math.ceil(timeout_s * 1000), 0))
        finally:
            for number in numbers:
                self._poll.unregister(number)
        if any(number == self._bell for number, _ in ready):
            self._hush()
        return [numbers[number] for number, _ in ready if number in numbers]

    def wake(self) -> None:
        """End the wait of the other thread. Takes no lock, and may be called at any time."""
        with contextlib.suppress(OSError):  # Full: it will wake anyway. Closed: nobody waits.
            self._outer.send(b"\0")

    def pause(self, seconds: float) -> None:
        """Wait some time, but no longer than until the waiter is stopped.

        Parameters:
            seconds: how long.
        """
        until = time.monotonic() + seconds
        while not self.stopped and (left := until - time.monotonic()) > 0:
            self.wait(0, left)

    def stop(self) -> None:
        """Wake the other thread for good. Takes no lock, and may be called at any time."""
        self.stopped = True
        self.wake()

    def close(self) -> None:
        """Free the sockets used for waking."""
        self._inner.close()
        self._outer.close()
