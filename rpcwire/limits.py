"""The finite defaults that bound what one connection may ask for."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DEPTH = 64
"""Nesting of arrays and objects in one message, counted from the message itself."""

INITIAL_CREDIT = 16
"""Items that the producer of a new stream may send before its reader has granted any."""

DEFAULT_DEADLINE_S = 60.0
"""How long a call may take where neither the caller nor the method says otherwise."""

LONGEST_S = 30 * 86400.0
"""The longest deadline. Whoever asks for more, or for none at all, gets this: timers fail on times without end."""

MESSAGE_BYTES = 16 * 1024 * 1024
"""The largest message."""

COALESCE_BYTES = 64 * 1024
"""Messages that are ready together leave in one frame up to this size."""

FRAME_MESSAGES = 4096
"""Messages accepted in one frame of our own subprotocols: more than ever fit into :data:`COALESCE_BYTES`. Without it a
frame of many tiny wrong messages would be answered with hundreds of times its size."""


MESSAGE_BYTES_HEADER = "RPC-Message-Bytes"
"""The header of the handshake's response that names the largest message the server takes."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one side accepts from the other.

    Attributes:
        message_bytes: the largest message to send, in bytes. What is accepted, the WebSocket layer bounds.
        batch_items: entries in one JSON-RPC batch.
        calls_in_flight: calls accepted and not yet answered.
        streams: open streams in each direction.
        stream_window: items that a reader lets its producer send ahead.
    """

    message_bytes: int = MESSAGE_BYTES
    batch_items: int = 50
    calls_in_flight: int = 1024
    streams: int = 256
    stream_window: int = 64
