"""The sending end of a stream, and the thread that feeds it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, Protocol, TypeVar

from rpcwire.errors import RpcError, SlowConsumer
from rpcwire.service import SlowPolicy
from rpcwire.streams import OutgoingStream, interruption_error, unread_error

from .interrupts import Bells, acquire

_T = TypeVar("_T")


class OutboxHost(Protocol):
    """What an outbox needs of its peer."""

    def exclusively(self, act: Callable[..., _T], *args: Any) -> _T:
        """Run ``act`` under the connection's lock, and send what comes of it."""
        ...

    def send_item(self, stream: OutgoingStream, item: bytes) -> None:
        """Send an item, for which there is credit. The lock must be held."""
        ...

    def end_stream(self, outbox: Outbox, error: RpcError | None) -> None:
        """Nothing more will be sent."""
        ...

    def wait_for_room(self) -> None:
        """Wait until the connection takes more."""
        ...


class Outbox:
    """One stream to the other side.

    Parameters:
        host: the peer.
        stream: the session's side of it.
        policy: what to do with an item for which there is no credit.
        buffer_items: how many to keep back (``drop_oldest``, ``close``).

    Attributes:
        thread: feeds it.
    """

    __slots__ = ("_changed", "_host", "_kept", "_over", "_policy", "_room", "stream", "thread")

    def __init__(self, host: OutboxHost, stream: OutgoingStream, policy: SlowPolicy, buffer_items: int) -> None:
        self.stream = stream
        self.thread: threading.Thread | None = None
        self._host = host
        self._policy = policy
        self._room = 1 if policy is SlowPolicy.LATEST else max(buffer_items, 1)
        self._kept: deque[bytes] = deque()  # Guarded by the connection's lock.
        self._over = False
        self._changed = Bells()

    @property
    def over(self) -> bool:
        """Whether nobody wants what is sent."""
        return self._over or self.stream.cancelled

    def on_credit(self) -> None:
        """The reader has granted credit, or cancelled. The connection's lock is held."""
        self._send_kept()
        with self._changed.lock:
            self._changed.ring()

    def stop(self) -> None:
        """Nobody wants more. The thread ends as soon as its source gives the next item."""
        with self._changed.lock:
            self._over = True
            self._changed.ring()

    def forked(self) -> None:
        """This is a child: the stream goes on in its parent."""
        self._changed = Bells()
        self.stop()

    def put(self, item: bytes) -> None:
        """Send an item, by the stream's policy.

        Raises:
            SlowConsumer: the policy is ``close``, and the reader is too far behind.
            TooLarge: the item is beyond the size limit.
        """
        self._host.wait_for_room()
        if self._policy is not SlowPolicy.BLOCK:
            self._host.exclusively(self._keep, item)
            return
        self._wait(lambda: self.stream.credit > 0)
        if not self.over:
            self._host.exclusively(self._host.send_item, self.stream, item)

    def finish(self) -> None:
        """Wait until the reader has taken what was kept back for it."""
        self._wait(lambda: not self._kept)

    def _wait(self, ready: Callable[[], bool]) -> None:
        while True:
            with self._changed.lock:
                if ready() or self.over:
                    return
                bell = self._changed.hang()
            acquire(bell, math.inf)

    def _keep(self, item: bytes) -> None:
        if len(self._kept) >= self._room:
            if self._policy is SlowPolicy.CLOSE:
                raise SlowConsumer(f"the reader is {self._room} items behind: read faster, or ask for less")
            self._kept.popleft()
        self._kept.append(item)
        self._send_kept()

    def _send_kept(self) -> None:
        while self._kept and self.stream.credit > 0 and not self.over:
            self._host.send_item(self.stream, self._kept.popleft())


def pump(
    host: OutboxHost,
    outbox: Outbox,
    source: Iterable[Any],
    dump: Callable[[Any], bytes],
    failed: Callable[[BaseException], RpcError],
    ended: Callable[[RpcError | None], None] | None = None,
) -> None:
    """Send all items of a source, then the end. A generator is closed whatever happens.

    Parameters:
        host: the peer.
        outbox: where the items go.
        source: gives them.
        dump: encodes an item.
        failed: what to say over there when the source raises.
        ended: called at the end, with the reason where it was not the source's own end.
    """
    error: RpcError | None = None
    interruption: RpcError | None = None
    try:
        try:
            for item in source:
                if outbox.over:
                    break
                outbox.put(dump(item))
            outbox.finish()
        finally:
            if isinstance(source, Generator):
                source.close()
    except BaseException as exc:
        error = failed(exc)
    finally:
        if outbox.over:
            interruption = unread_error() if outbox.stream.cancelled else interruption_error()
        host.end_stream(outbox, error)
        if ended is not None:
            ended(error or interruption)
