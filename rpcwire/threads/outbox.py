"""The sending end of a stream, and the thread that feeds it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, Protocol, TypeVar

from rpcwire.errors import RpcError, SlowConsumer
from rpcwire.streams import OutgoingStream, SlowPolicy, interruption_error, unread_error

from .interrupts import Waiters, acquire

_T = TypeVar("_T")


class OutboxHost(Protocol):
    """What an outbox needs of its peer."""

    def exclusively(self, act: Callable[..., _T], *args: Any) -> _T:
        """Run ``act`` under the connection's lock, and send the session's output."""
        ...

    def send_item(self, stream: OutgoingStream, item: bytes) -> None:
        """Send an item. The stream must have credit for it, and the lock must be held."""
        ...

    def end_stream(self, outbox: Outbox, error: RpcError | None) -> None:
        """Send the end of a stream."""
        ...

    def wait_for_room(self) -> None:
        """Wait until the connection accepts more output."""
        ...


class Outbox:
    """Sends the items of one stream.

    Parameters:
        host: the peer.
        stream: the stream, as the session sees it.
        policy: what to do with an item when the stream has no credit.
        buffer_items: the number of items that may wait for credit (``drop_oldest``, ``close``).

    Attributes:
        thread: the thread that feeds it.
    """

    __slots__ = ("_host", "_is_over", "_items", "_policy", "_room", "_waiters", "stream", "thread")

    def __init__(self, host: OutboxHost, stream: OutgoingStream, policy: SlowPolicy, buffer_items: int) -> None:
        self.stream = stream
        self.thread: threading.Thread | None = None
        self._host = host
        self._policy = policy
        self._room = 1 if policy is SlowPolicy.LATEST else max(buffer_items, 1)
        self._items: deque[bytes] = deque()  # Guarded by the connection's lock.
        self._is_over = False
        self._waiters = Waiters()

    @property
    def is_over(self) -> bool:
        """Whether nobody wants more items."""
        return self._is_over or self.stream.is_cancelled

    def on_credit(self) -> None:
        """Go on: the reader has granted credit, or wants no more items. The connection's lock must be held."""
        self._send_waiting()
        with self._waiters.lock:
            self._waiters.wake_all()

    def stop(self) -> None:
        """Send no more items. The thread ends when its source yields the next item."""
        with self._waiters.lock:
            self._is_over = True
            self._waiters.wake_all()

    def on_fork(self) -> None:
        """Stop after a fork: the stream goes on in the parent."""
        self._waiters = Waiters()
        self.stop()

    def put(self, item: bytes) -> None:
        """Send an item as the stream's policy says.

        Raises:
            SlowConsumer: the policy is ``close``, and the reader is too far behind.
            TooLarge: the item is larger than the limit.
        """
        self._host.wait_for_room()
        if self._policy is not SlowPolicy.BLOCK:
            self._host.exclusively(self._keep, item)
            return
        self._wait(lambda: self.stream.credit > 0)
        if not self.is_over:
            self._host.exclusively(self._host.send_item, self.stream, item)

    def finish(self) -> None:
        """Wait until all items that wait for credit are sent."""
        self._wait(lambda: not self._items)

    def _wait(self, ready: Callable[[], bool]) -> None:
        while True:
            with self._waiters.lock:
                if ready() or self.is_over:
                    return
                waiter = self._waiters.add()
            acquire(waiter, math.inf)

    def _keep(self, item: bytes) -> None:
        if len(self._items) >= self._room:
            if self._policy is SlowPolicy.CLOSE:
                raise SlowConsumer(f"the reader is {self._room} items behind: read faster, or ask for less")
            self._items.popleft()
        self._items.append(item)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._items and self.stream.credit > 0 and not self.is_over:
            self._host.send_item(self.stream, self._items.popleft())


def pump(
    host: OutboxHost,
    outbox: Outbox,
    source: Iterable[Any],
    dump: Callable[[Any], bytes],
    to_error: Callable[[BaseException], RpcError],
    on_end: Callable[[RpcError | None], None] | None = None,
) -> None:
    """Send all items of a source, then the end. Close a generator in any case.

    Parameters:
        host: the peer.
        outbox: sends the items.
        source: the items.
        dump: encodes an item.
        to_error: turns an exception of the source into the error that the reader gets.
        on_end: called at the end, with the error if the stream ended before its source.
    """
    error: RpcError | None = None
    interruption: RpcError | None = None
    try:
        try:
            for item in source:
                if outbox.is_over:
                    break
                outbox.put(dump(item))
            outbox.finish()
        finally:
            if isinstance(source, Generator):
                source.close()
    except BaseException as exc:
        error = to_error(exc)
    finally:
        if outbox.is_over:
            interruption = unread_error() if outbox.stream.is_cancelled else interruption_error()
        host.end_stream(outbox, error)
        if on_end is not None:
            on_end(error or interruption)
