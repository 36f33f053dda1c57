"""What can be sent: the size of a message, and the least of an error that always goes."""

from __future__ import annotations

from typing import Any

import msgspec

from .errors import RpcError, TooLarge

UNSENDABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What encoding raises for data that the wire has no place for."""


def without_details(error: RpcError) -> dict[str, Any]:
    """The least of an error that can always be sent."""
    data = {"type": error.type, "executed": error.executed, "retryable": error.retryable}
    message = error.message[:1000].encode(errors="backslashreplace").decode()
    return {"code": error.code, "message": message, "data": data}


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
