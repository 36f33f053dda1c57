"""The two ends of a stream, as the session sees them: how much credit there is, and where in its life the stream is."""

from __future__ import annotations

from .errors import Cancelled, LocalProtocolError
from .events import Batch
from .limits import INITIAL_CREDIT
from .states import StreamState, StreamStep, next_stream

MAX_CREDIT = 2**31 - 1


class OutgoingStream:
    """A stream that this side produces.

    Attributes:
        id: its name on the wire.
        credit: items that may be sent now.
        pending: encoded items not yet put into a message, and ``pending_bytes`` their size.
        items: how many items were sent, and ``bytes`` their size.
        state: where it is in its life.
        batch: the JSON-RPC batch whose answer names it; ``None`` where that is not waited for.
    """

    __slots__ = ("batch", "bytes", "credit", "id", "items", "pending", "pending_bytes", "state")

    def __init__(self, stream_id: str) -> None:
        self.id = stream_id
        self.credit = INITIAL_CREDIT
        self.pending: list[bytes] = []
        self.pending_bytes = 0
        self.items = 0
        self.bytes = 0
        self.state = StreamState.OPEN
        self.batch: Batch | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the reader wants no more."""
        return self.state is StreamState.CANCELLED

    @property
    def waits_for_batch(self) -> bool:
        """Whether the answer that names it has not left yet, because it waits for the rest of its batch."""
        return self.batch is not None and self.batch.waiting > 0

    def take_credit(self) -> None:
        """Use up one item's credit.

        Raises:
            LocalProtocolError: there is none, or the stream is not open.
        """
        if self.state is not StreamState.OPEN:
            raise LocalProtocolError(f"the stream {self.id} has {self.state.value}")
        if self.credit <= 0:
            raise LocalProtocolError(f"the reader of the stream {self.id} has granted no more items")
        self.credit -= 1

    def grant(self, items: int) -> None:
        """The reader allows more items."""
        self.credit = min(self.credit + items, MAX_CREDIT)

    def cancel(self) -> None:
        """The reader wants no more."""
        self.state = next_stream(self.state, StreamStep.CANCEL)

    def end(self) -> None:
        """The end has been sent."""
        self.state = next_stream(self.state, StreamStep.END)


class IncomingStream:
    """A stream that this side reads.

    Attributes:
        id: its name on the wire.
        window: items that the producer may be ahead of the reader.
        state: where it is in its life.
    """

    __slots__ = ("_allowed", "_surplus", "_taken", "id", "state", "window")

    def __init__(self, stream_id: str, window: int) -> None:
        self.id = stream_id
        self.window = max(window, 1)
        self.state = StreamState.OPEN
        self._allowed = INITIAL_CREDIT
        self._taken = 0
        # A window below the initial credit is reached by not granting anew what was given at first.
        self._surplus = max(INITIAL_CREDIT - self.window, 0)

    @property
    def cancelled(self) -> bool:
        """Whether this side wants no more."""
        return self.state is StreamState.CANCELLED

    def first_grant(self) -> int:
        """Credit to add at once to what every stream begins with."""
        extra = max(self.window - INITIAL_CREDIT, 0)
        self._allowed += extra
        return extra

    def count_items(self, items: int) -> bool:
        """Items have come; ``False`` where they are more than were granted."""
        self._allowed -= items
        return self._allowed >= 0

    def consume(self, items: int) -> int:
        """The reader has taken items out; returns how many to grant now, 0 for none yet."""
        absorbed = min(items, self._surplus)
        self._surplus -= absorbed
        self._taken += items - absorbed
        if self.state is not StreamState.OPEN or self._taken * 2 < self.window:
            return 0
        grant, self._taken = self._taken, 0
        self._allowed += grant
        return grant

    def cancel(self) -> None:
        """This side wants no more."""
        self.state = next_stream(self.state, StreamStep.CANCEL)

    def end(self) -> None:
        """The end has come."""
        self.state = next_stream(self.state, StreamStep.END)


def interruption_error() -> Cancelled:
    """How a stream has ended that was stopped from this side."""
    return Cancelled("the connection ended, or this side stops", executed="yes")


def unread_error() -> Cancelled:
    """How a stream has ended whose reader wanted no more of it."""
    return Cancelled("the reader of the stream wanted no more", executed="yes")
