"""The defaults of all limits: for what one connection may ask, and how long one side waits for the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

MAX_DEPTH = 64
"""The deepest nesting of arrays and objects in one message, counted from the message itself."""

BODY_LEVELS, ITEM_LEVELS = 1, 3
"""The levels of a message around its parameters or result, and around an item of a stream."""

MAX_DIGITS = 4300
"""The most digits of an integer: Python's own default (sys.set_int_max_str_digits)."""

TOO_DEEP = f"arrays and objects nest deeper than {MAX_DEPTH}"
TOO_LONG = f"an integer of more than {MAX_DIGITS} digits"

ID_CHARACTERS = 200
"""The longest id of a call or a stream, in characters."""

INITIAL_CREDIT = 16
"""The number of items that the producer of a new stream may send before its reader grants more."""

DEFAULT_DEADLINE_S = 60.0
"""How long a call may take if neither the caller nor the method says otherwise, in seconds."""

LONGEST_S = 30 * 86400.0
"""The longest deadline, in seconds. A longer or infinite one becomes this, because timers fail on infinite times."""

GRACE_S = 0.1
"""How much later than the other side this side gives a call up, so that the other side's answer comes first."""

CLOSE_TIMEOUT_S = 5.0
"""How long the other side may take to answer a close frame."""

MESSAGE_BYTES = 16 * 1024 * 1024
"""The largest message."""

COALESCE_BYTES = 32 * 1024
"""The largest frame into which messages are joined that are ready together. Who has decoded it has been busy for a few
milliseconds."""

ITEMS_BYTES = 64 * 1024
"""The largest message into which items of a stream are joined that are ready together."""

JOINING_BYTES = 16
"""The most bytes that a frame with several messages has besides these."""

FRAME_MESSAGES = 1500
"""The most messages in one frame of our own subprotocols: more than fit into :data:`COALESCE_BYTES`. Without this
limit, the answer to a frame of many tiny wrong messages would be hundreds of times larger than the frame."""


BUFFER_ITEMS = 256
"""How many events wait for a slow reader, if the reader does not say."""

TURN_EVENTS = 128
"""How many messages of one frame to handle in one turn of the event loop, so that others have their turn; a call that
gets a task counts as two."""

REST_OF_TURN, WHOLE_TURN = TURN_EVENTS + 1, 100 * TURN_EVENTS
"""What calls count that may have taken long to read: after one, the rest of its frame waits for the next turn, or all
that follows."""

MESSAGE_BYTES_HEADER = "RPC-Message-Bytes"
"""The header of the handshake in which each side names the largest message that it accepts, in bytes."""

MESSAGE_NODES = 20 * 1024
"""The most values, names, arrays and objects in a message that a server accepts: a message of as many bytes cannot have
more, and so need not be counted."""

CALL_STEPS = 5 * MESSAGE_NODES
"""The most steps that reading the parameters of one call, or an item of a stream, may take
(:mod:`rpcwire.values.steps`). They take about 30 ms."""

MESSAGE_NODES_HEADER = "RPC-Message-Nodes"
"""The header of the handshake in which a server says how many values, names, arrays and objects it accepts in one
message."""

METHOD_MESSAGE_BYTES = 1024 * 1024
"""The largest call of a method that does not ask for more."""

LEAST_MESSAGE_BYTES = 16 * 1024
"""The size of a message that every client accepts, in bytes, so that every error fits."""

BATCH_ITEMS = 50
"""The most entries of one JSON-RPC batch."""

BATCH_ITEMS_HEADER = "RPC-Batch-Items"
"""The header of the handshake in which a server says how many entries of a JSON-RPC batch it accepts."""

ANSWER_HEADER = "RPC-Server"
"""The header of a server's plain answers over HTTP. It tells a client that the answer is not from a proxy in
between."""


def parse_message_bytes(values: Sequence[str]) -> int | None:
    """Read from the handshake the size of the largest message that the other side accepts.

    Parameters:
        values: the values of :data:`MESSAGE_BYTES_HEADER`.

    Returns:
        The size in bytes; ``None`` if the header is missing, as with older peers.

    Raises:
        ValueError: the header is not a number of bytes, or the number is below :data:`LEAST_MESSAGE_BYTES`.
    """
    if not values:
        return None
    text = values[0]
    if len(values) == 1 and text.isascii() and text.isdigit() and len(text) < 20 and int(text) >= LEAST_MESSAGE_BYTES:
        return int(text)
    raise ValueError(f"{MESSAGE_BYTES_HEADER} must be one number of bytes, at least {LEAST_MESSAGE_BYTES}")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The limits of a session.

    Attributes:
        message_bytes: the largest message to send, in bytes. The WebSocket layer limits what is accepted.
        unwrapped_bytes: the largest frame to accept after unwrapping, in bytes, if the form of the wire wraps frames:
            the WebSocket layer sees only the wrapped size.
        message_nodes: the most values, names, arrays and objects of a message to send. The codec limits what is
            accepted.
        batch_items: the most entries of a JSON-RPC batch to send. The codec limits what is accepted.
        calls_in_flight: the most calls that are accepted and not answered yet.
        streams: the most open streams in each direction.
        stream_window: the number of items that a reader lets its producer send ahead.
        violations: how many messages that break the rules are accepted within a minute.
        opening_violations: how many of them are accepted before the other side has authenticated.
    """

    message_bytes: int = MESSAGE_BYTES
    unwrapped_bytes: int = MESSAGE_BYTES
    message_nodes: int = sys.maxsize
    batch_items: int = BATCH_ITEMS
    calls_in_flight: int = 1024
    streams: int = 256
    stream_window: int = 64
    violations: int = 1000
    opening_violations: int = 20

    @property
    def coalesce_bytes(self) -> int:
        """The largest frame into which to join messages that are ready together. A frame has no more values than
        bytes."""
        return min(COALESCE_BYTES, self.message_bytes - JOINING_BYTES, self.message_nodes)

    @property
    def unchecked_bytes(self) -> int:
        """The size up to which a message has neither too many bytes nor too many values."""
        return min(self.message_bytes, self.message_nodes)


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """The limits of a link.

    Attributes:
        ping_interval_s: the silence after which a ping is sent, in seconds; 0 for never.
        ping_timeout_s: how long the pong may take, in seconds.
        high_water_bytes: if more output waits, this side sends nothing more until the other side has read.
        outgoing_bytes: if more output waits, the connection is given up.
        stall_s: how long the other side may receive next to nothing of the output that waits, in seconds.
        close_timeout_s: how long the other side may take to answer a close frame after it has received all output
            before it, in seconds.
    """

    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    high_water_bytes: int = 1024 * 1024
    outgoing_bytes: int = 64 * 1024 * 1024
    stall_s: float = 10.0
    close_timeout_s: float = CLOSE_TIMEOUT_S
