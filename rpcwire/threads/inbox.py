"""What has arrived of a stream, and the iterator that takes it out."""

from __future__ import annotations

import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from msgspec import Raw

from rpcwire.elsewhere import parent_error
from rpcwire.errors import RpcError
from rpcwire.streams import IncomingStream

from .interrupts import Waiters, acquire, check_interpreter

if TYPE_CHECKING:
    from .outbox import Outbox

_T_co = TypeVar("_T_co", covariant=True)


class InboxHost(Protocol):
    """What an inbox needs of its peer."""

    def note_consumed(self, stream: IncomingStream, items: int) -> None:
        """Note that the reader has consumed items."""
        ...

    def cancel_stream(self, stream: IncomingStream) -> None:
        """Tell the producer that the reader wants no more items."""
        ...

    def drop_later(self, inbox: Inbox) -> None:
        """Drop an inbox whose reader has become garbage. Takes no lock, because the garbage collector may call it at
        any moment."""
        ...


class Inbox:
    """Keeps the items of a stream that have arrived and were not read yet. The peer owns it; the reader refers to it.

    Parameters:
        host: the peer.
        stream: the stream, as the session sees it.
        latest: whether to keep only the newest item.

    Attributes:
        host: the peer.
        stream: the stream, as the session sees it.
        is_over: whether no more items will come.
    """

    __slots__ = ("_consumed_count", "_error", "_items", "_latest", "_uploads", "_waiters", "host", "is_over", "stream")

    def __init__(self, host: InboxHost, stream: IncomingStream, *, latest: bool = False) -> None:
        self.host = host
        self._latest = latest
        self.stream = stream
        self.is_over = False
        self._items: deque[Raw] = deque()
        self._error: RpcError | None = None
        self._consumed_count = 0
        self._uploads: tuple[Outbox, ...] = ()
        self._waiters = Waiters()

    def put(self, items: Iterable[Raw]) -> int:
        """Add items that have arrived. Return how many nobody will read, because newer items have replaced them."""
        replacements = 0
        with self._waiters.lock:
            self._items.extend(items)
            while self._latest and len(self._items) > 1:
                self._items.popleft()
                replacements += 1
            self._waiters.wake_all()
        return replacements

    def end(self, error: RpcError | None) -> None:
        """Note that no more items will come, and with which error."""
        with self._waiters.lock:
            if not self.is_over:
                self.is_over, self._error = True, error
                self._waiters.wake_all()
        for outbox in self._uploads:
            outbox.stop()

    def own_uploads(self, uploads: tuple[Outbox, ...]) -> None:
        """Stop these outboxes of the call when the stream ends. They send the streams among its parameters."""
        self._uploads = uploads
        if self.is_over:
            for outbox in uploads:
                outbox.stop()

    def drop(self) -> None:
        """Throw the items away, and tell the producer that the reader wants no more."""
        had_ended = self.is_over
        self.end(None)
        self._items.clear()
        if not had_ended:
            self.host.cancel_stream(self.stream)

    def on_fork(self) -> None:
        """End the stream after a fork: it goes on in the parent."""
        self._waiters = Waiters()
        self._items.clear()
        self.end(parent_error("the stream"))

    def get(self, until: float = math.inf) -> Raw:
        """Wait for the next item. Several threads may share a stream: each item goes to one of them.

        Parameters:
            until: how long to wait, on the clock of :func:`time.monotonic`.

        Raises:
            StopIteration: the stream has ended.
            TimeoutError: the item has not come.
            RpcError: the stream has ended with this error.
        """
        while True:
            with self._waiters.lock:
                if self._items or self.is_over:
                    item, count = self._take()
                    break
                check_interpreter()
                waiter = self._waiters.add()
            if not acquire(waiter, until - time.monotonic()):
                raise TimeoutError
        if count and not self.is_over:
            self.host.note_consumed(self.stream, count)
        return item

    def _take(self) -> tuple[Raw, int]:
        if not self._items:
            error, self._error = self._error, None
            raise StopIteration if error is None else error
        item = self._items.popleft()
        self._consumed_count += 1
        # The session grants credit by halves of the window. To report more often would only cost the connection's lock.
        count = self._consumed_count if self._consumed_count * 2 >= self.stream.window or not self._items else 0
        self._consumed_count -= count
        return item, count


class StreamReader(Iterator[_T_co], Generic[_T_co]):
    """Reads the items of a stream. It is an iterator and a context manager.

    To leave the context, to call :meth:`close`, or to drop the last reference ends the stream on the other side, too.

    Parameters:
        inbox: keeps the items that arrive.
        load: decodes an item.
        to_declared: turns the error that ends the stream into one of the class that the method declares.
    """

    __slots__ = ("__weakref__", "_finalizer", "_inbox", "_load", "_to_declared")

    def __init__(
        self, inbox: Inbox, load: Callable[[Raw], _T_co], to_declared: Callable[[RpcError], RpcError] | None = None
    ) -> None:
        self._inbox = inbox
        self._load = load
        self._to_declared = to_declared
        self._finalizer = weakref.finalize(self, _drop_later, inbox)
        self._finalizer.atexit = False

    def __iter__(self) -> Self:
        return self

    def __next__(self, until: float = math.inf) -> _T_co:
        """Return the next item.

        Parameters:
            until: how long to wait, on the clock of :func:`time.monotonic`.

        Raises:
            StopIteration: the stream has ended.
            TimeoutError: the item has not come.
            RpcError: the stream has ended with this error, or the item cannot be read.
        """
        try:
            raw = self._inbox.get(until)
        except RpcError as exc:
            if self._to_declared is None:
                raise
            raise self._to_declared(exc) from None
        try:
            return self._load(raw)
        except RpcError:
            self.close()
            raise

    def close(self) -> None:
        """Stop reading: the producer is told, and ends its work."""
        self._inbox.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _drop_later(inbox: Inbox) -> None:
    if not inbox.is_over:
        inbox.host.drop_later(inbox)
