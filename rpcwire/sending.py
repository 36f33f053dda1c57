"""What can be sent: the size of a message, and the least of an error that always goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .codec import Codec, Malformed
from .errors import RpcError, TooLarge

UNSENDABLE = (TypeError, ValueError, OverflowError, BufferError, RecursionError, msgspec.MsgspecError)
"""What encoding raises for data that the wire has no place for."""


def without_details(error: RpcError) -> dict[str, Any]:
    """The least of an error that can always be sent."""
    data = {"type": error.type, "executed": error.executed, "retryable": error.retryable}
    message = error.message[:1000].encode(errors="backslashreplace").decode()
    return {"code": error.code, "message": message, "data": data}


def encode_error(error: RpcError, encode: Callable[[dict[str, Any]], bytes], codec: Codec, limit: int) -> bytes:
    """A message with an error. One whose data cannot be sent, would not be read, or is too large, goes without its
    details.

    Parameters:
        error: the error.
        encode: makes the message out of the error object.
        codec: the form of the wire.
        limit: bytes that the message may have.
    """
    try:
        data = encode(error.to_wire())
        if len(data) <= limit and not any(isinstance(message, Malformed) for message in codec.decode(data).messages):
            return data
    except UNSENDABLE:
        pass
    return encode(without_details(error))


def check_size(data: bytes, limit: int) -> bytes:
    """A message that may be sent.

    Raises:
        TooLarge: it has more than ``limit`` bytes.
    """
    if len(data) > limit:
        raise TooLarge(
            f"the message has {len(data)} bytes, and the limit is {limit}: send less at once, or use a stream",
            executed="no",
        )
    return data
