"""Streams with asyncio: a reader that is an async iterator, and pumps that send an iterator's items by credit."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from msgspec import Raw

from rpcwire.errors import ConnectionLost, LocalProtocolError, RpcError, SlowConsumer
from rpcwire.forking import Home, home
from rpcwire.pool import waiting
from rpcwire.service import SlowPolicy
from rpcwire.streams import IncomingStream, OutgoingStream

from .cancelling import cancel_begun

_T_co = TypeVar("_T_co", covariant=True)

_YIELD_EVERY = 64
"""Items after which a producer that never waits lets the others run."""


class StreamHost(Protocol):
    """What streams need of their peer."""

    def note_consumed(self, stream: IncomingStream) -> None:
        """The reader took an item out."""
        ...

    def cancel_stream(self, stream: IncomingStream) -> None:
        """The reader wants no more."""
        ...

    def send_item(self, stream: OutgoingStream, item: bytes) -> None:
        """Send an item, for which there is credit."""
        ...

    async def wait_writable(self) -> None:
        """Wait until the connection takes more."""
        ...


class Inbox:
    """What has arrived of a stream and was not read yet. The peer holds it; the reader only refers to it.

    Parameters:
        host: the peer.
        stream: the session's side of it.
        latest: keep only the newest item.
    """

    __slots__ = ("_waiter", "ended", "error", "host", "items", "latest", "stream", "uploads")

    def __init__(self, host: StreamHost, stream: IncomingStream, *, latest: bool = False) -> None:
        self.host = host
        self.latest = latest
        self.stream = stream
        self.items: deque[Raw] = deque()
        self.ended = False
        self.error: RpcError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.uploads: tuple[asyncio.Task[None], ...] = ()  # What the call sends while this is its answer.

    def put(self, items: Iterable[Raw]) -> None:
        """Items have arrived."""
        self.items.extend(items)
        if self.latest:
            while len(self.items) > 1:
                self.items.popleft()
                self.host.note_consumed(self.stream)
        self._wake()

    def end(self, error: RpcError | None) -> None:
        """The end has arrived, or the connection is gone."""
        if not self.ended:
            self.ended, self.error = True, error
            for task in self.uploads:
                cancel_begun(task)
            self._wake()

    def drop(self) -> None:
        """The reader wants no more."""
        self.items.clear()
        if not self.ended:
            self.end(None)
            self.host.cancel_stream(self.stream)

    async def get(self) -> Raw:
        """The next item.

        Raises:
            StopAsyncIteration: the stream is over.
            RpcError: it ended with this error.
        """
        while not self.items:
            if self.ended:
                if self.error is not None:
                    error, self.error = self.error, None
                    raise error
                raise StopAsyncIteration
            if self._waiter is not None:
                raise LocalProtocolError("two tasks read one stream at the same time: give each its own")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                with waiting():
                    await self._waiter
            finally:
                self._waiter = None
        item = self.items.popleft()
        if not self.ended:
            self.host.note_consumed(self.stream)
        return item

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class StreamReader(AsyncIterator[_T_co], Generic[_T_co]):
    """The items of a stream, as an async iterator and context manager.

    Leaving the context, :meth:`aclose`, or dropping the last reference ends the stream on the other side, too.

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
        loop = asyncio.get_running_loop()
        self._finalizer = weakref.finalize(self, _drop_later, loop, inbox, home())
        self._finalizer.atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T_co:
        try:
            raw = await self._inbox.get()
        except RpcError as exc:
            if self._typed is None:
                raise
            raise self._typed(exc) from None
        try:
            return self._load(raw)
        except RpcError:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Want no more: the producer is told, and its work ends."""
        self._inbox.drop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _drop_later(loop: asyncio.AbstractEventLoop, inbox: Inbox, made_in: Home) -> None:
    if not inbox.ended and made_in is home():
        with contextlib.suppress(RuntimeError):  # The loop is closed, and the connection with it.
            loop.call_soon_threadsafe(inbox.drop)


class Outbox:
    """The sending end of one stream.

    Parameters:
        host: the peer.
        stream: the session's side of it.
        policy: what to do with an item for which there is no credit.
        buffer_items: how many to keep back (``drop_oldest``, ``close``).
    """

    __slots__ = ("_credit", "_kept", "host", "policy", "room", "stream", "task")

    def __init__(self, host: StreamHost, stream: OutgoingStream, policy: SlowPolicy, buffer_items: int) -> None:
        self.host = host
        self.stream = stream
        self.policy = policy
        self.room = 1 if policy is SlowPolicy.LATEST else max(buffer_items, 1)
        self._kept: deque[bytes] = deque()
        self._credit: asyncio.Event = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def on_credit(self) -> None:
        """The reader has granted credit, or cancelled."""
        self._send_kept()
        self._credit.set()

    async def put(self, item: bytes) -> None:
        """Send an item, by the stream's policy.

        Raises:
            SlowConsumer: the policy is ``close``, and the reader is too far behind.
            TooLarge: the item is beyond the size limit.
        """
        if self.policy is SlowPolicy.BLOCK:
            while self.stream.credit <= 0 and not self.stream.cancelled:
                await self._wait()
            await self.host.wait_writable()
            if not self.stream.cancelled:
                self.host.send_item(self.stream, item)
            return
        if len(self._kept) >= self.room:
            if self.policy is SlowPolicy.CLOSE:
                raise SlowConsumer(f"the reader is {self.room} items behind: read faster, or ask for less")
            self._kept.popleft()
        self._kept.append(item)
        self._send_kept()

    async def finish(self) -> None:
        """Wait until the reader has taken what was kept back for it."""
        while self._kept and not self.stream.cancelled:
            await self._wait()

    async def _wait(self) -> None:
        self._credit.clear()
        await self._credit.wait()

    def _send_kept(self) -> None:
        while self._kept and self.stream.credit > 0 and not self.stream.cancelled:
            self.host.send_item(self.stream, self._kept.popleft())


async def pump(source: AsyncIterator[Any], outbox: Outbox, dump: Callable[[Any], bytes]) -> None:
    """Send all items of ``source``, and close it whatever happens.

    Parameters:
        source: an async iterator; its ``aclose`` is called at the end where it has one.
        outbox: where the items go.
        dump: encodes an item.

    Raises:
        Exception: whatever the source or the encoding raises.
    """
    try:
        since_yield = 0
        async for item in source:
            await outbox.put(dump(item))
            if outbox.stream.cancelled:
                return
            since_yield += 1
            if since_yield == _YIELD_EVERY:
                since_yield = 0
                await asyncio.sleep(0)
        await outbox.finish()
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


def lost_error() -> ConnectionLost:
    """What a reader gets when the connection breaks."""
    return ConnectionLost("the connection broke while the stream was being read", executed="yes")
