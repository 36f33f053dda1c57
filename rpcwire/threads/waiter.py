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
        is_stopped: whether :meth:`stop` was called.
    """

    def __init__(self) -> None:
        self.is_stopped = False
        self._inner, self._outer = socket.socketpair()
        keep_from_children(self._inner)
        keep_from_children(self._outer)
        self._inner.setblocking(False)
        self._outer.setblocking(False)
        self._bell = self._inner.fileno()
        self._poll = select.poll()
        self._poll.register(self._bell, READABLE)
        self._number: int | None = None
        self._events = 0

    def watch(self, sock: socket.socket | None) -> None:
        """Wait for this socket from now on; ``None`` for no socket."""
        if self._number is not None:
            self._poll.unregister(self._number)
        self._number = None if sock is None else sock.fileno()
        self._events = 0
        if self._number is not None:
            self._poll.register(self._number, 0)

    def wait(self, events: int, timeout_s: float) -> int:
        """Wait until the socket is ready, or somebody wakes this thread.

        Parameters:
            events: ``READABLE``, ``WRITABLE`` or both.
            timeout_s: the longest wait, in seconds; may be infinite.

        Returns:
            The events for which the socket is ready (an error counts as both); 0 if it is not ready.
        """
        if events != self._events and self._number is not None:
            self._poll.modify(self._number, events)
            self._events = events
        timeout_ms = None if math.isinf(timeout_s) else max(math.ceil(timeout_s * 1000), 0)
        ready = 0
        for number, flags in self._poll.poll(timeout_ms):
            if number == self._bell:
                self._clear_bell()
            else:
                ready = flags
        return ready

    def _clear_bell(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._inner.recv(4096)

    def wait_for_any(self, socks: Iterable[socket.socket], timeout_s: float) -> list[socket.socket]:
        """Wait until one of several sockets is connected or has failed, or somebody wakes this thread.

        Parameters:
            socks: the sockets, without the one given to :meth:`watch`.
            timeout_s: the longest wait, in seconds.

        Returns:
            The sockets that are connected or have failed.
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
            self._clear_bell()
        return [numbers[number] for number, _ in ready if number in numbers]

    def wake(self) -> None:
        """End the wait of the other thread. Takes no lock, and may be called at any time."""
        with contextlib.suppress(
            OSError
        ):  # If the buffer is full, the thread wakes anyway; if the socket is closed, nobody waits.
            self._outer.send(b"\0")

    def pause(self, seconds: float) -> None:
        """Wait some time, but end at once when the waiter is stopped.

        Parameters:
            seconds: the time.
        """
        until = time.monotonic() + seconds
        while not self.is_stopped and (rest_s := until - time.monotonic()) > 0:
            self.wait(0, rest_s)

    def stop(self) -> None:
        """Wake the other thread for good. Takes no lock, and may be called at any time."""
        self.is_stopped = True
        self.wake()

    def close(self) -> None:
        """Close the sockets that wake the thread."""
        self._inner.close()
        self._outer.close()
