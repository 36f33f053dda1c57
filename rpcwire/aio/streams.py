"""Both ends of a stream with asyncio: a reader that is an async iterator, and a pump that sends the items of one."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from msgspec import Raw

from rpcwire.accounts import Account, Loan
from rpcwire.errors import Busy, ConnectionLost, LocalProtocolError, RpcError, SlowConsumer
from rpcwire.forking import Home, home
from rpcwire.pool import waiting
from rpcwire.streams import IncomingStream, OutgoingStream, SlowPolicy

from .cancelling import cancel_begun

_T_co = TypeVar("_T_co", covariant=True)

_YIELD_EVERY = 64
"""The number of items after which a producer that never waits lets other tasks run."""


_TURN_BYTES = 32 * 1024
"""How much of large items to give to a reader in one turn of the event loop, in bytes."""


class StreamHost(Protocol):
    """What streams need of their peer."""

    def note_consumed(self, stream: IncomingStream) -> None:
        """Note that the reader has consumed an item."""
        ...

    def cancel_stream(self, stream: IncomingStream) -> None:
        """Tell the producer that the reader wants no more items."""
        ...

    def send_item(self, stream: OutgoingStream, item: bytes) -> None:
        """Send an item. The stream must have credit for it."""
        ...

    async def wait_writable(self) -> None:
        """Wait until the connection accepts more output."""
        ...


class Inbox:
    """Keeps the items of a stream that have arrived and were not read yet. The peer owns it; the reader refers to it.

    Parameters:
        host: the peer.
        stream: the stream, as the session sees it.
        latest: whether to keep only the newest item.
        account: counts the bytes of the items, once a large one has come; ``None`` if nobody counts them.

    Attributes:
        takes_long: whether even a small item may take long to decode.
    """

    __slots__ = (
        "_account", "_loan", "_turn_bytes", "_waiter", "error", "host", "is_over", "items", "latest", "stream",
        "takes_long", "uploads",
    )  # fmt: skip

    def __init__(
        self, host: StreamHost, stream: IncomingStream, *, latest: bool = False, account: Account | None = None
    ) -> None:
        self.host = host
        self.latest = latest
        self.stream = stream
        self.items: deque[Raw] = deque()
        self.is_over = False
        self.error: RpcError | None = None
        self._account = account
        self._loan: Loan | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._turn_bytes = 0
        self.takes_long = False
        self.uploads: tuple[asyncio.Task[None], ...] = ()  # They send the streams among the call's parameters.

    def put(self, items: Iterable[Raw], *, is_large: bool = False) -> None:
        """Add items that have arrived. If the account has no room for them, the stream ends with Busy after the items
        before them.

        Parameters:
            items: the items.
            is_large: whether their frame was large.
        """
        if (is_large or self._loan is not None) and self._account is not None:
            items = list(items)
            try:
                self._count(self._account, items)
            except Busy as exc:
                text = f"items of the stream arrived faster than they were read: {exc.message}"
                self.end(Busy(text, executed="yes", retry_after_ms=exc.retry_after_ms))
                self.host.cancel_stream(self.stream)
                return
        self.items.extend(items)
        if self.latest:
            while len(self.items) > 1:
                self._uncount(self.items.popleft())
                self.host.note_consumed(self.stream)
        self._wake()

    def _count(self, account: Account, items: list[Raw]) -> None:
        size = sum(len(memoryview(item)) for item in items)
        if self._loan is None:
            self._loan = account.take(size + sum(len(memoryview(item)) for item in self.items))
        else:
            self._loan.resize(self._loan.held_bytes + size)

    def _uncount(self, item: Raw) -> None:
        if self._loan is not None:
            self._loan.resize(self._loan.held_bytes - len(memoryview(item)))

    def end(self, error: RpcError | None) -> None:
        """Note that no more items will come, and with which error."""
        if not self.is_over:
            self.is_over, self.error = True, error
            for task in self.uploads:
                cancel_begun(task)
            self._wake()

    def drop(self) -> None:
        """Throw the items away, and tell the producer that the reader wants no more."""
        self.items.clear()
        if self._loan is not None:
            self._loan.give_back()
        if not self.is_over:
            self.end(None)
            self.host.cancel_stream(self.stream)

    async def get(self) -> Raw:
        """Wait for the next item.

        Raises:
            StopAsyncIteration: the stream has ended.
            RpcError: the stream has ended with this error.
        """
        if self._turn_bytes >= _TURN_BYTES:
            # The items that are there could all be decoded in one turn of the loop, each of them for milliseconds.
            self._turn_bytes = 0
            await asyncio.sleep(0)
        while not self.items:
            if self.is_over:
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
        if self._loan is not None:
            self._uncount(item)
            self._turn_bytes += len(memoryview(item))
        if self.takes_long:
            self._turn_bytes += _TURN_BYTES
        if not self.is_over:
            self.host.note_consumed(self.stream)
        return item

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class StreamReader(AsyncIterator[_T_co], Generic[_T_co]):
    """Reads the items of a stream. It is an async iterator and a context manager.

    To leave the context, to call :meth:`aclose`, or to drop the last reference ends the stream on the other side, too.

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
        loop = asyncio.get_running_loop()
        self._finalizer = weakref.finalize(self, _drop_later, loop, inbox, home())
        self._finalizer.atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T_co:
        try:
            raw = await self._inbox.get()
        except RpcError as exc:
            if self._to_declared is None:
                raise
            raise self._to_declared(exc) from None
        try:
            return self._load(raw)
        except RpcError:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop reading: the producer is told, and ends its work."""
        self._inbox.drop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _drop_later(loop: asyncio.AbstractEventLoop, inbox: Inbox, birthplace: Home) -> None:
    if not inbox.is_over and birthplace is home():
        with contextlib.suppress(RuntimeError):  # The loop is closed, and the connection with it.
            loop.call_soon_threadsafe(inbox.drop)


class Outbox:
    """Sends the items of one stream.

    Parameters:
        host: the peer.
        stream: the stream, as the session sees it.
        policy: what to do with an item when the stream has no credit.
        buffer_items: the number of items that may wait for credit (``drop_oldest``, ``close``).
    """

    __slots__ = ("_credit", "_waiting", "host", "policy", "room", "stream", "task")

    def __init__(self, host: StreamHost, stream: OutgoingStream, policy: SlowPolicy, buffer_items: int) -> None:
        self.host = host
        self.stream = stream
        self.policy = policy
        self.room = 1 if policy is SlowPolicy.LATEST else max(buffer_items, 1)
        self._waiting: deque[bytes] = deque()
        self._credit: asyncio.Event = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def on_credit(self) -> None:
        """Go on: the reader has granted credit, or wants no more items."""
        self._send_waiting()
        self._credit.set()

    async def put(self, item: bytes) -> None:
        """Send an item as the stream's policy says.

        Raises:
            SlowConsumer: the policy is ``close``, and the reader is too far behind.
            TooLarge: the item is larger than the limit.
        """
        if self.policy is SlowPolicy.BLOCK:
            while self.stream.credit <= 0 and not self.stream.is_cancelled:
                await self._wait()
            await self.host.wait_writable()
            if not self.stream.is_cancelled:
                self.host.send_item(self.stream, item)
            return
        if len(self._waiting) >= self.room:
            if self.policy is SlowPolicy.CLOSE:
                raise SlowConsumer(f"the reader is {self.room} items behind: read faster, or ask for less")
            self._waiting.popleft()
        self._waiting.append(item)
        self._send_waiting()

    async def finish(self) -> None:
        """Wait until all items that wait for credit are sent."""
        while self._waiting and not self.stream.is_cancelled:
            await self._wait()

    async def _wait(self) -> None:
        self._credit.clear()
        await self._credit.wait()

    def _send_waiting(self) -> None:
        while self._waiting and self.stream.credit > 0 and not self.stream.is_cancelled:
            self.host.send_item(self.stream, self._waiting.popleft())


async def pump(source: AsyncIterator[Any], outbox: Outbox, dump: Callable[[Any], bytes]) -> None:
    """Send all items of ``source``. Close it in any case.

    Parameters:
        source: an async iterator; if it has a method ``aclose``, that is called at the end.
        outbox: sends the items.
        dump: encodes an item.

    Raises:
        Exception: whatever the source or the encoding raises.
    """
    try:
        since_yield = 0
        async for item in source:
            await outbox.put(dump(item))
            if outbox.stream.is_cancelled:
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
    """Make the error that a reader gets when the connection breaks."""
    return ConnectionLost("the connection broke while the stream was being read", executed="yes")
