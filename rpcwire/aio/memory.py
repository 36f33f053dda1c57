"""Connects two peers of one process without a socket: for tests, and for a server in the same program as its client.
Frames are encoded and decoded as on a real connection."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Sequence

from rpcwire.limits import BATCH_ITEMS

from .link import FrameReceiver, GoOn, Hold


class MemoryLink:
    """One end of a connection in memory. Both ends belong to the same event loop.

    Parameters:
        batch_items: the number of entries that the other end accepts in one JSON-RPC batch.
        message_nodes: the most values, names, arrays and objects that it accepts in one message.

    Attributes:
        loop: that loop.
        batch_items, message_nodes: the parameters. A connection in memory has no handshake that could carry them.
    """

    def __init__(self, batch_items: int = BATCH_ITEMS, message_nodes: int = sys.maxsize) -> None:
        self.batch_items, self.message_nodes = batch_items, message_nodes
        self.loop = asyncio.get_running_loop()
        self._receiver: FrameReceiver | None = None
        self._other: MemoryLink | None = None
        self._closed = False
        self._go_on: GoOn | None = None
        self._waiting: deque[bytes] = deque()  # Frames that came while one before them was handled in turns.

    @staticmethod
    def pair(batch_items: int = BATCH_ITEMS, message_nodes: int = sys.maxsize) -> tuple[MemoryLink, MemoryLink]:
        """Make two ends that are connected.

        Parameters:
            batch_items: the number of entries that the first end accepts in one JSON-RPC batch.
            message_nodes: the most values, names, arrays and objects that it accepts in one message.
        """
        one, two = MemoryLink(), MemoryLink(batch_items, message_nodes)
        one._other, two._other = two, one
        return one, two

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return not self._closed

    def attach(self, receiver: FrameReceiver) -> None:
        """Hand frames for this end to ``receiver``. Call it before the other end sends."""
        self._receiver = receiver

    def hand_over(self, receiver: FrameReceiver) -> None:
        """Hand frames to another receiver from now on."""
        self._receiver = receiver

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order; they arrive in the loop's next turn."""
        if not self._closed and self._other is not None:
            for frame in frames:
                self.loop.call_soon(self._other._deliver, frame)

    def _deliver(self, frame: bytes) -> None:
        if self._go_on is not None:
            self._waiting.append(frame)
        elif not self._closed and self._receiver is not None:
            self._note_rest(self._receiver.frame_received(frame))

    def _note_rest(self, go_on: GoOn | None) -> None:
        """Have the rest of a frame handled in the next turn of the loop, and after it the frames that follow."""
        self._go_on = go_on
        if isinstance(go_on, Hold):
            go_on.then(lambda: self.loop.call_soon(self._deliver_rest))
        elif go_on is not None:
            self.loop.call_soon(self._deliver_rest)
        elif self._waiting:
            self._deliver(self._waiting.popleft())

    def _deliver_rest(self) -> None:
        if self._go_on is not None and not self._closed:
            self._note_rest(self._go_on())

    def _deliver_all(self) -> None:
        """Have all frames handled that have come so far, because none follows."""
        while not self._closed and self._receiver is not None:
            go_on = self._go_on
            if go_on is not None:
                self._go_on = go_on()
            elif self._waiting:
                self._go_on = self._receiver.frame_received(self._waiting.popleft())
            else:
                return

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:  # noqa: ARG002 - memory takes all at once
        """Close both ends when all frames sent before have arrived."""
        self.loop.call_soon(self._end_in_order, f"{code} {reason}".strip())

    def abort(self) -> None:
        """Close both ends at once."""
        self._end("aborted")

    def _end_in_order(self, reason: str) -> None:
        self._deliver_all()
        if self._other is not None:
            self._other._deliver_all()
        self._end(reason)

    def _end(self, reason: str) -> None:
        for end in (self, self._other):
            if end is not None and not end._closed:
                end._closed = True
                if end._receiver is not None and not self.loop.is_closed():
                    self.loop.call_soon(end._receiver.link_lost, reason)
