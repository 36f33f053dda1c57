"""All streams of one session: the open ones, their output, and the messages that arrive for them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from .accounts import Account
from .codec import Codec
from .errors import Busy, InvalidParams, RemoteProtocolError, RpcError, TooLarge
from .events import CreditReceived, Event, ItemsReceived, StreamCancelled, StreamEnded
from .limits import ITEMS_BYTES, JOINING_BYTES, SessionLimits
from .messages import CreditParams, EndParams, ErrorObject, ItemParams, Notification, StreamParams
from .quotas import Quota
from .sending import encode_error, hold_for_batch
from .streams import IncomingStream, OutgoingStream

ITEM_NODES = 16
"""More than the values, names, arrays and objects of a message around its one item of a stream."""


class StreamTable:
    """The streams of a session, in both directions.

    Parameters:
        codec: the form of the wire.
        limits: the most streams, and the size of the largest item.
        prefix: the beginning of the ids of the streams that this side produces.
        outbox: gets the messages to send.

    Attributes:
        with_items: the streams of which items wait to be put into a message, by their ids.
        most: the number of streams for which the quota need not be asked.
        account: counts the bytes of items that wait for the batch in which their stream is named; ``None`` if nobody
            counts them.
    """

    __slots__ = (
        "_busy", "_coalesce_bytes", "_codec", "_incoming", "_item_bytes", "_last", "_limits", "_outbox", "_outgoing",
        "_prefix", "_quota", "_unchecked_bytes", "account", "most", "with_items",
    )  # fmt: skip

    def __init__(self, codec: Codec, limits: SessionLimits, prefix: str, outbox: list[bytes]) -> None:
        self._codec = codec
        self._limits = limits
        self._prefix = prefix
        self._outbox = outbox
        self._last = 0
        self._outgoing: dict[str, OutgoingStream] = {}
        self._incoming: dict[str, IncomingStream] = {}
        self.with_items: dict[str, OutgoingStream] = {}
        self.account: Account | None = None
        self.most = 0
        self._quota: Quota | None = None
        self._busy: Busy | None = None
        self.narrow(limits)

    def narrow(self, limits: SessionLimits) -> None:
        """Send items of another size at most from now on.

        Parameters:
            limits: as of the class.
        """
        self._limits = limits
        around = len(self._codec.encode(Notification("rpc.stream.item", ItemParams(f"{self._prefix}{2**64}", []))))
        self._item_bytes = limits.message_bytes - around - JOINING_BYTES
        self._unchecked_bytes = min(self._item_bytes, limits.message_nodes - around)
        self._coalesce_bytes = min(ITEMS_BYTES, self._unchecked_bytes)

    def __len__(self) -> int:
        """Return the number of streams that have not ended, in both directions."""
        return len(self._outgoing) + len(self._incoming)

    @property
    def is_full(self) -> bool:
        """Whether this side may open no further stream now."""
        return self._is_full(self._outgoing)

    def _is_full(self, direction: Mapping[str, object]) -> bool:
        self._busy = None
        if len(direction) >= self._limits.streams:
            return True
        if self._quota is not None and len(self) >= self.most:
            try:
                self.most = self._quota.renew_streams(len(self))
            except Busy as exc:
                self._busy = exc
                return True
        return False

    def too_many_error(self) -> Busy:
        """Make the error for opening a stream while the table is full."""
        if self._busy is not None:
            return self._busy
        return Busy(f"{self._limits.streams} streams are open on this connection: close some")

    def set_quota(self, quota: Quota) -> None:
        """Let a quota decide, besides the limits, how many streams there may be."""
        self._quota = quota
        self.most = 0

    def set_limits(self, limits: SessionLimits) -> None:
        """Allow another number of streams from now on; those that are open go on.

        Parameters:
            limits: as of the class; only the number of streams may differ.
        """
        self._limits = limits

    def flush(self) -> None:
        """Put the items that wait into messages."""
        for stream in self.with_items.values():
            self._flush_items(stream)
        self.with_items.clear()

    def clear(self) -> None:
        """Forget all streams, because the connection has ended."""
        for collection in (self._outgoing, self._incoming, self.with_items):
            collection.clear()

    def _control(self, method: str, params: msgspec.Struct, stream: OutgoingStream | None = None) -> None:
        self._send(self._codec.encode(Notification(method, params)), stream)

    def _send(self, data: bytes, stream: OutgoingStream | None) -> None:
        if stream is not None and stream.batch is not None and stream.waits_for_batch:
            stream.batch.after.append(data)
        else:
            self._outbox.append(data)

    # --- streams that we produce --------------------------------------------------------------------------------

    def open(self) -> OutgoingStream:
        """Open a new stream from this side. Its id must reach the reader in a result or a parameter.

        Raises:
            Busy: too many streams are open.
        """
        if self.is_full:
            raise self.too_many_error()
        self._last += 1
        stream = OutgoingStream(f"{self._prefix}{self._last}")
        self._outgoing[stream.id] = stream
        return stream

    def withdraw(self, stream: OutgoingStream) -> None:
        """Forget a new stream whose id was never sent."""
        self._outgoing.pop(stream.id, None)

    def send(self, stream: OutgoingStream, item: bytes) -> None:
        """Send one encoded item.

        Raises:
            LocalProtocolError: the reader has granted no credit, or the stream is not open.
            TooLarge: the item has more bytes or values than the limits allow.
            Busy: the stream waits for its batch, and there is no room for the item.
        """
        if len(item) > self._unchecked_bytes:
            self._check_item(item)
        if stream.batch is not None and stream.waits_for_batch:
            hold_for_batch(self.account, stream.batch, len(item))
        stream.take_credit()
        size = len(item) + 1  # The separator.
        if stream.pending_bytes + size > self._coalesce_bytes and stream.pending:
            self._flush_items(stream)
        stream.pending.append(item)
        stream.pending_bytes += size
        self.with_items[stream.id] = stream

    def _check_item(self, item: bytes) -> None:
        """Make sure that the other side accepts an item.

        Raises:
            TooLarge: it does not. The call has begun: the reader is either the caller or a handler that runs.
        """
        if len(item) > self._item_bytes:
            raise TooLarge(
                f"an item of a stream has {len(item)} bytes, and {self._item_bytes} are allowed: send less at once",
                executed="yes",
            )
        most = self._limits.message_nodes - ITEM_NODES
        if self._codec.has_more_nodes(item, most):
            raise TooLarge(
                f"an item of a stream has more than {most} values, names, arrays and objects: send less at once",
                executed="yes",
            )

    def end(self, stream: OutgoingStream, error: RpcError | None = None) -> None:
        """End a stream, with an error or without. Items sent before arrive first."""
        if self._outgoing.pop(stream.id, None) is None:
            return
        self._flush_items(stream)
        self.with_items.pop(stream.id, None)
        stream.end()
        if error is None:
            self._control("rpc.stream.end", EndParams(stream.id), stream)
            return
        data = encode_error(
            error,
            lambda fields: self._codec.encode(
                Notification("rpc.stream.end", EndParams(stream.id, ErrorObject(**fields)))
            ),
            self._codec,
            self._limits.message_bytes,
        )
        self._send(data, stream)

    def _flush_items(self, stream: OutgoingStream) -> None:
        if stream.pending:
            self._control("rpc.stream.item", ItemParams(stream.id, [Raw(item) for item in stream.pending]), stream)
            stream.items += len(stream.pending)
            stream.bytes += stream.pending_bytes - len(stream.pending)  # Without the separators.
            stream.pending.clear()
            stream.pending_bytes = 0

    # --- streams that we read -----------------------------------------------------------------------------------

    def accept(self, stream_id: str, window: int | None = None) -> IncomingStream:
        """Begin to read a stream that the other side has named in a result or a parameter.

        Parameters:
            stream_id: its id.
            window: the number of items that the producer may send ahead.

        Raises:
            Busy: too many streams are open.
            RemoteProtocolError: the id belongs to an open stream.
        """
        if self._is_full(self._incoming):
            raise self.too_many_error()
        if stream_id in self._incoming:
            raise RemoteProtocolError(f"the stream {stream_id[:64]!r} is open already")
        stream = IncomingStream(stream_id, window or self._limits.stream_window)
        self._incoming[stream_id] = stream
        if grant := stream.first_grant():
            self._control("rpc.stream.credit", CreditParams(stream_id, grant))
        return stream

    def consume(self, stream: IncomingStream, items: int = 1) -> None:
        """Note that the reader has consumed items. Grant new credit when it has consumed half a window."""
        if grant := stream.consume(items):
            self._control("rpc.stream.credit", CreditParams(stream.id, grant))

    def cancel(self, stream_id: str) -> None:
        """Tell the producer that the reader wants no more items. Items on their way are dropped; the end still
        comes."""
        stream = self._incoming.get(stream_id)
        if stream is not None and not stream.is_cancelled:
            stream.cancel()
            self._control("rpc.stream.cancel", StreamParams(stream_id))

    # --- messages of the other side
    # ---------------------------------------------------------------------------------------------

    def on_items(self, params: ItemParams, events: list[Event]) -> RemoteProtocolError | None:
        stream = self._incoming.get(params.stream)
        if stream is None:
            # Nobody reads this stream here, or the handler has no parameter for it: tell its producer.
            self._control("rpc.stream.cancel", StreamParams(params.stream))
            return RemoteProtocolError(f"items for {params.stream[:32]!r}, a stream that is not open")
        if stream.is_cancelled:
            return None
        if stream.count_items(len(params.items)):
            events.append(ItemsReceived(params.stream, params.items))
            return None
        error = RemoteProtocolError(f"the stream {params.stream[:64]!r} sent more items than its reader had granted")
        self.cancel(params.stream)
        wire = error.to_wire()
        events.append(StreamEnded(params.stream, ErrorObject(wire["code"], wire["message"], wire["data"])))
        return error

    def on_end(self, params: EndParams, events: list[Event]) -> RemoteProtocolError | None:
        stream = self._incoming.pop(params.stream, None)
        if stream is None:
            return RemoteProtocolError(f"the end of {params.stream[:32]!r}, a stream that is not open")
        was_cancelled = stream.is_cancelled
        stream.end()
        if not was_cancelled:
            events.append(StreamEnded(params.stream, params.error))
        return None

    def on_credit(self, params: CreditParams, events: list[Event]) -> InvalidParams | None:
        if params.n <= 0:
            return InvalidParams("rpc.stream.credit: n: must be at least 1")
        stream = self._outgoing.get(params.stream)
        # Otherwise the end was sent before the credit arrived, or the other side has guessed an id that was not sent
        # yet.
        if stream is not None and not stream.waits_for_batch:
            stream.grant(params.n)
            events.append(CreditReceived(params.stream))
        return None

    def on_cancel(self, params: StreamParams, events: list[Event]) -> None:
        stream = self._outgoing.get(params.stream)
        if stream is not None and not stream.is_cancelled:
            stream.cancel()
            self.with_items.pop(params.stream, None)
            stream.pending.clear()
            events.append(StreamCancelled(params.stream))
