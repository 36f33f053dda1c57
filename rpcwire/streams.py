"""The two ends of a stream, as the session sees them: each counts its credit, and knows the state of the stream."""

from __future__ import annotations

from enum import Enum

from .errors import Cancelled, LocalProtocolError, RpcError
from .events import Batch
from .limits import INITIAL_CREDIT
from .states import StreamState, StreamStep, next_stream

MAX_CREDIT = 2**31 - 1


class SlowPolicy(Enum):
    """What a stream does with the next item while its reader has granted no credit."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"
    LATEST = "latest"
    CLOSE = "close"


class OutgoingStream:
    """A stream that this side produces.

    Attributes:
        id: its name on the wire.
        credit: the number of items that may be sent now.
        pending: the encoded items that are not in a message yet, and ``pending_bytes`` their size.
        items: the number of items that were sent, and ``bytes`` their size.
        state: its state.
        batch: the JSON-RPC batch whose answer names the stream; ``None`` if no batch does.
        reason: the error with which this side ends the stream early; ``None`` if it does not.
    """

    __slots__ = ("batch", "bytes", "credit", "id", "items", "pending", "pending_bytes", "reason", "state")

    def __init__(self, stream_id: str) -> None:
        self.id = stream_id
        self.credit = INITIAL_CREDIT
        self.pending: list[bytes] = []
        self.pending_bytes = 0
        self.items = 0
        self.bytes = 0
        self.state = StreamState.OPEN
        self.batch: Batch | None = None
        self.reason: RpcError | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether the reader wants no more items."""
        return self.state is StreamState.CANCELLED

    @property
    def waits_for_batch(self) -> bool:
        """Whether the answer that names the stream still waits for the other answers of its batch."""
        return self.batch is not None and self.batch.waiting > 0

    def take_credit(self) -> None:
        """Take the credit for one item.

        Raises:
            LocalProtocolError: there is no credit, or the stream is not open.
        """
        if self.state is not StreamState.OPEN:
            raise LocalProtocolError(f"the stream {self.id} has {self.state.value}")
        if self.credit <= 0:
            raise LocalProtocolError(f"the reader of the stream {self.id} has granted no more items")
        self.credit -= 1

    def grant(self, items: int) -> None:
        """Add credit that the reader has granted."""
        self.credit = min(self.credit + items, MAX_CREDIT)

    def cancel(self) -> None:
        """Note that the reader wants no more items."""
        self.state = next_stream(self.state, StreamStep.CANCEL)

    def end(self) -> None:
        """Note that the end was sent."""
        self.state = next_stream(self.state, StreamStep.END)


class IncomingStream:
    """A stream that this side reads.

    Attributes:
        id: its name on the wire.
        window: the number of items that the producer may be ahead of the reader.
        state: its state.
    """

    __slots__ = ("_consumed_count", "_credit", "_surplus", "id", "state", "window")

    def __init__(self, stream_id: str, window: int) -> None:
        self.id = stream_id
        self.window = max(window, 1)
        self.state = StreamState.OPEN
        self._credit = INITIAL_CREDIT
        self._consumed_count = 0
        # For a window below the initial credit, this part of the initial credit is never granted again.
        self._surplus = max(INITIAL_CREDIT - self.window, 0)

    @property
    def is_cancelled(self) -> bool:
        """Whether this side wants no more items."""
        return self.state is StreamState.CANCELLED

    def first_grant(self) -> int:
        """Return the credit to grant at once, besides the credit with which every stream begins."""
        extra = max(self.window - INITIAL_CREDIT, 0)
        self._credit += extra
        return extra

    def count_items(self, items: int) -> bool:
        """Count items that have arrived. Return ``False`` if they are more than this side has granted."""
        self._credit -= items
        return self._credit >= 0

    def consume(self, items: int) -> int:
        """Count items that the reader has consumed. Return how many to grant now; 0 for none yet."""
        surplus = min(items, self._surplus)
        self._surplus -= surplus
        self._consumed_count += items - surplus
        if self.state is not StreamState.OPEN or self._consumed_count * 2 < self.window:
            return 0
        grant, self._consumed_count = self._consumed_count, 0
        self._credit += grant
        return grant

    def cancel(self) -> None:
        """Note that this side wants no more items."""
        self.state = next_stream(self.state, StreamStep.CANCEL)

    def end(self) -> None:
        """Note that the end has arrived."""
        self.state = next_stream(self.state, StreamStep.END)


def interruption_error() -> Cancelled:
    """Make the error of a stream that ended because this side stops or the connection ended."""
    return Cancelled("the connection ended, or this side stops", executed="yes")


def unread_error() -> Cancelled:
    """Make the error of a stream that ended because its reader wanted no more items."""
    return Cancelled("the reader of the stream wanted no more", executed="yes")
