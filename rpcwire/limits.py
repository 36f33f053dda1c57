"""The finite defaults that bound what one connection may ask for, and how long one side waits for the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_DEPTH = 64
"""Nesting of arrays and objects in one message, counted from the message itself."""

BODY_LEVELS, ITEM_LEVELS = 1, 3
"""Levels of a message around its parameters or result, and around an item of a stream."""

MAX_DIGITS = 4300
"""Digits of an integer: what Python converts unless it is told otherwise (sys.set_int_max_str_digits)."""

TOO_DEEP = f"arrays and objects nest deeper than {MAX_DEPTH}"
TOO_LONG = f"an integer of more than {MAX_DIGITS} digits"

INITIAL_CREDIT = 16
"""Items that the producer of a new stream may send before its reader has granted any."""

DEFAULT_DEADLINE_S = 60.0
"""How long a call may take where neither the caller nor the method says otherwise."""

LONGEST_S = 30 * 86400.0
"""The longest deadline. Whoever asks for more, or for none at all, gets this: timers fail on times without end."""

GRACE_S = 0.1
"""How much later than the other side this side gives a call up, so that the other's own word comes first."""

CLOSE_TIMEOUT_S = 5.0
"""How long the other side may take to answer a close frame."""

MESSAGE_BYTES = 16 * 1024 * 1024
"""The largest message."""

COALESCE_BYTES = 64 * 1024
"""Messages that are ready together leave in one frame up to this size."""

JOINING_BYTES = 16
"""What a frame with several messages may have besides those, in bytes."""

FRAME_MESSAGES = 4096
"""Messages accepted in one frame of our own subprotocols: more than ever fit into :data:`COALESCE_BYTES`. Without it a
frame of many tiny wrong messages would be answered with hundreds of times its size."""


MESSAGE_BYTES_HEADER = "RPC-Message-Bytes"
"""The header of the handshake by which each side names the largest message that it takes, in bytes."""

LEAST_MESSAGE_BYTES = 16 * 1024
"""What every client takes, in bytes, so that errors always find room."""

BATCH_ITEMS = 50
"""Entries in one JSON-RPC batch."""

BATCH_ITEMS_HEADER = "RPC-Batch-Items"
"""The header of the handshake by which a server says how many entries of a JSON-RPC batch it takes."""

ANSWER_HEADER = "RPC-Server"
"""The header of a server's plain answers over HTTP, so that a client knows them from those of a proxy in between."""


def told_limit(values: Sequence[str]) -> int | None:
    """The largest message that the other side takes, as it says in the handshake.

    Parameters:
        values: of :data:`MESSAGE_BYTES_HEADER`.

    Returns:
        Bytes; ``None`` where it says nothing, as older peers do.

    Raises:
        ValueError: what it says is no number of bytes, or fewer than :data:`LEAST_MESSAGE_BYTES`.
    """
    if not values:
        return None
    text = values[0]
    if len(values) == 1 and text.isascii() and text.isdigit() and len(text) < 20 and int(text) >= LEAST_MESSAGE_BYTES:
        return int(text)
    raise ValueError(f"{MESSAGE_BYTES_HEADER} must be one number of bytes, at least {LEAST_MESSAGE_BYTES}")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one side accepts from the other.

    Attributes:
        message_bytes: the largest message to send, in bytes. What is accepted, the WebSocket layer bounds.
        unwrapped_bytes: the largest frame to accept, in bytes, where the form of the wire wraps frames: the WebSocket
            layer sees only how large it is wrapped.
        batch_items: entries in one JSON-RPC batch to send. What is accepted, the codec bounds.
        calls_in_flight: calls accepted and not yet answered.
        streams: open streams in each direction.
        stream_window: items that a reader lets its producer send ahead.
    """

    message_bytes: int = MESSAGE_BYTES
    unwrapped_bytes: int = MESSAGE_BYTES
    batch_items: int = BATCH_ITEMS
    calls_in_flight: int = 1024
    streams: int = 256
    stream_window: int = 64


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """How a link guards itself.

    Attributes:
        ping_interval_s: silence after which a ping is sent, in seconds; 0 for never.
        ping_timeout_s: how long its pong may take, in seconds.
        high_water_bytes: output waiting for the other side above which this side holds back.
        outgoing_bytes: output waiting above which the connection is given up.
        stall_s: how long the other side may take next to nothing of what waits for it, in seconds.
        close_timeout_s: how long it may take to answer a close frame, once it has taken what was sent before that.
    """

    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    high_water_bytes: int = 1024 * 1024
    outgoing_bytes: int = 64 * 1024 * 1024
    stall_s: float = 10.0
    close_timeout_s: float = CLOSE_TIMEOUT_S
