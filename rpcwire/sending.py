"""What can be sent: the size of a message, and the least of an error that always goes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from pydantic_core import PydanticSerializationError

from .codec import Codec, Malformed
from .errors import RpcError, TooLarge

UNSENDABLE = (TypeError, ValueError, OverflowError, BufferError, RecursionError, msgspec.MsgspecError)
"""What encoding raises for data that the wire has no place for."""


_INTERRUPTION = re.compile(
    r"(?:Error serializing to JSON: |PydanticSerializationError: |Error calling function `\w*`: )+"
    r"(KeyboardInterrupt|SystemExit): *(\w*)"
)


def raise_interruption(failure: Exception) -> None:
    """Raise what has interrupted encoding, if it was that. Handlers of signals run in the middle of it, too, and what
    they raise, pydantic gives as an error of the value: with its cause at most, and without one with its name only.

    Parameters:
        failure: what the encoder said.

    Raises:
        BaseException: the interruption.
    """
    cause = failure.__cause__
    if cause is not None and not isinstance(cause, Exception):
        raise cause
    if isinstance(failure, PydanticSerializationError) and (words := _INTERRUPTION.match(str(failure))):
        name, status = words.groups()
        if name == "KeyboardInterrupt":
            raise KeyboardInterrupt
        raise SystemExit(None if status == "None" else int(status) if status.isdecimal() else status)


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
