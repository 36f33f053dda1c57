"""What has arrived of a stream, and the iterator that takes it out."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from msgspec import Raw

from rpcwire.elsewhere import of_parent
from rpcwire.errors import RpcError
from rpcwire.streams import IncomingStream

from .interrupts import Bells, acquire, check_interpreter

if TYPE_CHECKING:
    from .outbox import Outbox

_T_co = TypeVar("_T_co", covariant=True)


class InboxHost(Protocol):
    """What an inbox needs of its peer."""

    def note_consumed(self, stream: IncomingStream, items: int) -> None:
        """The reader took items out."""
        ...

    def cancel_stream(self, stream: IncomingStream) -> None:
        """The reader wants no more."""
        ...

    def drop_later(self, inbox: Inbox) -> None:
        """Drop an inbox whose reader was garbage. Takes no lock: garbage is collected at any moment."""
        ...


class Inbox:
    """What has arrived of a stream and was not read yet. The peer holds it; the reader only refers to it.

    Parameters:
        host: the peer.
        stream: the session's side of it.
        latest: keep only the newest item.

    Attributes:
        host: the peer.
        stream: the session's side of it.
        ended: whether nothing more will come.
    """

    __slots__ = ("_changed", "_error", "_items", "_latest", "_taken", "_uploads", "ended", "host", "stream")

    def __init__(self, host: InboxHost, stream: IncomingStream, *, latest: bool = False) -> None:
        self.host = host
        self._latest = latest
        self.stream = stream
        self.ended = False
        self._items: deque[Raw] = deque()
        self._error: RpcError | None = None
        self._taken = 0
        self._uploads: tuple[Outbox, ...] = ()
        self._changed = Bells()

    def put(self, items: Iterable[Raw]) -> int:
        """Items have arrived; returns how many nobody will read, because newer ones have taken their place."""
        dropped = 0
        with self._changed.lock:
            self._items.extend(items)
            while self._latest and len(self._items) > 1:
                self._items.popleft()
                dropped += 1
            self._changed.ring()
        return dropped

    def end(self, error: RpcError | None) -> None:
        """The end has arrived, or the connection is gone."""
        with self._changed.lock:
            if not self.ended:
                self.ended, self._error = True, error
                self._changed.ring()
        for outbox in self._uploads:
            outbox.stop()

    def keep(self, uploads: tuple[Outbox, ...]) -> None:
        """What the call sends while this is its answer: it ends with it."""
        self._uploads = uploads
        if self.ended:
            for outbox in uploads:
                outbox.stop()

    def drop(self) -> None:
        """The reader wants no more."""
        had_ended = self.ended
        self.end(None)
        self._items.clear()
        if not had_ended:
            self.host.cancel_stream(self.stream)

    def forked(self) -> None:
        """This is a child: the stream goes on in its parent."""
        self._changed = Bells()
        self._items.clear()
        self.end(of_parent("the stream"))

    def get(self) -> Raw:
        """The next item. Several threads may share a stream: each item goes to one of them.

        Raises:
            StopIteration: the stream is over.
            RpcError: it ended with this error.
        """
        while True:
            with self._changed.lock:
                if self._items or self.ended:
                    item, taken = self._take()
                    break
                check_interpreter()
                bell = self._changed.hang()
            acquire(bell, math.inf)
        if taken and not self.ended:
            self.host.note_consumed(self.stream, taken)
        return item

    def _take(self) -> tuple[Raw, int]:
        if not self._items:
            error, self._error = self._error, None
            raise StopIteration if error is None else error
        item = self._items.popleft()
        self._taken += 1
        # Credit is granted by halves of the window; to say so less often saves the connection's lock.
        taken = self._taken if self._taken * 2 >= self.stream.window or not self._items else 0
        self._taken -= taken
        return item, taken


class StreamReader(Iterator[_T_co], Generic[_T_co]):
    """The items of a stream, as an iterator and context manager.

    Leaving the context, :meth:`close`, or dropping the last reference ends the stream on the other side, too.

    Parameters:
        inbox: what arrives.
        load: decodes an item.
        typed: gives the error that ends the stream the class that the method declares.
    """

    __slots__ = ("__weakref__", "_finalizer", "_inbox", "_load", "_typed")

    def __init__(
        self, inbox: Inbox, load: Callable[[Raw], _T_co], typed: Callable[[RpcError], RpcError] | None = None
    ) -> None:
        self._inbox = inbox
        self._load = load
        self._typed = typed
        self._finalizer = weakref.finalize(self, _drop_later, inbox)
        self._finalizer.atexit = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T_co:
        try:
            raw = self._inbox.get()
        except RpcError as exc:
            if self._typed is None:
                raise
            raise self._typed(exc) from None
        try:
            return self._load(raw)
        except RpcError:
            self.close()
            raise

    def close(self) -> None:
        """Want no more: the producer is told, and its work ends."""
        self._inbox.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _drop_later(inbox: Inbox) -> None:
    if not inbox.ended:
        inbox.host.drop_later(inbox)
