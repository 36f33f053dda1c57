"""Checks that messages can be sent: their size, and errors whose details cannot be sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from .accounts import SMALL_BYTES, Account
from .codec import Codec, Malformed, too_many_nodes
from .errors import Busy, RpcError, TooLarge
from .events import Batch
from .limits import SessionLimits
from .logs import ECHO_CHARACTERS, shorten

UNSENDABLE = (TypeError, ValueError, OverflowError, BufferError, RecursionError, msgspec.MsgspecError)
"""The exceptions that encoders raise for data that cannot be sent."""


_INTERRUPTION = re.compile(
    r"(?:Error serializing to JSON: |PydanticSerializationError: |Error calling function `\w*`: )+"
    r"(KeyboardInterrupt|SystemExit): *(\w*)"
)


def raise_interruption(failure: Exception) -> None:
    """Raise the interruption that has ended an encoding, if there was one. A handler of a signal may run in the middle
    of an encoding. pydantic reports an exception of it as an error of the value, with the exception as its cause or
    only its name in the text.

    Parameters:
        failure: the exception of the encoder.

    Raises:
        BaseException: the interruption.
    """
    cause = failure.__cause__
    if cause is not None and not isinstance(cause, Exception):
        raise cause
    from pydantic_core import PydanticSerializationError  # Whoever encodes nothing typed does not load it.

    if isinstance(failure, PydanticSerializationError) and (words := _INTERRUPTION.match(str(failure))):
        name, status = words.groups()
        if name == "KeyboardInterrupt":
            raise KeyboardInterrupt
        raise SystemExit(None if status == "None" else int(status) if status.isdecimal() else status)


def without_details(error: RpcError) -> dict[str, Any]:
    """Make an error object without details, which can always be sent."""
    data = {"type": error.type, "executed": error.executed, "retryable": error.retryable}
    message = error.message[:1000].encode(errors="backslashreplace").decode()
    return {"code": error.code, "message": message, "data": data}


def _without_echoes(wire: dict[str, Any]) -> dict[str, Any]:
    """Cut what an error may repeat of a call: it could be megabytes.

    Parameters:
        wire: the error object, which is changed.
    """
    wire["message"] = shorten(wire["message"])
    if fields := wire["data"].get("errors"):
        wire["data"]["errors"] = [{name: _shorten(value) for name, value in field.items()} for field in fields]
    return wire


def _shorten(value: Any) -> Any:
    """Cut the text, or the place, of a field error."""
    if isinstance(value, str):
        return shorten(value)
    if not isinstance(value, list):
        return value
    return [shorten(part, ECHO_CHARACTERS) if isinstance(part, str) else part for part in value]


def encode_error(error: RpcError, encode: Callable[[dict[str, Any]], bytes], codec: Codec, limit: int) -> bytes:
    """Encode a message with an error. Leave out the details if they cannot be sent or read, or are too large.

    Parameters:
        error: the error.
        encode: makes the message from the error object.
        codec: the form of the wire.
        limit: the most bytes of the message.
    """
    try:
        data = encode(_without_echoes(error.to_wire()))
        if len(data) <= limit and not any(isinstance(message, Malformed) for message in codec.decode(data).messages):
            return data
    except UNSENDABLE:
        pass
    return encode(without_details(error))


def check_size(data: bytes, limit: int) -> bytes:
    """Return ``data`` if it may be sent.

    Raises:
        TooLarge: it has more than ``limit`` bytes.
    """
    if len(data) > limit:
        raise TooLarge(
            f"the message has {len(data)} bytes, and the limit is {limit}: send less at once, or use a stream",
            executed="no",
        )
    return data


def check_message(data: bytes, limits: SessionLimits, codec: Codec) -> bytes:
    """Return a message if the other side accepts its size and the number of its values.

    Raises:
        TooLarge: it does not.
    """
    check_size(data, limits.message_bytes)
    check_nodes(data, limits.message_nodes, codec)
    return data


def check_nodes(data: bytes, most: int, codec: Codec) -> None:
    """Make sure that the other side accepts the number of values in a message or in an item of a stream.

    Raises:
        TooLarge: it does not.
    """
    if len(data) > most and codec.has_more_nodes(data, most):
        raise too_many_nodes(most)


def hold_for_batch(account: Account | None, batch: Batch, size: int) -> None:
    """Count the bytes of an answer, or of an item, that waits for the other answers of its batch.

    Parameters:
        account: counts them; ``None`` if nobody does.
        batch: the batch.
        size: the number of bytes; few are not counted, because the number of calls and items is limited.

    Raises:
        Busy: there is no room.
    """
    if account is None or size <= SMALL_BYTES:
        return
    try:
        if batch.loan is None:
            batch.loan = account.take(size)
        else:
            batch.loan.resize(batch.loan.held_bytes + size)
    except Busy as exc:
        text = f"it cannot wait for the other answers of its batch: {exc.message}"
        raise Busy(text, executed="yes", retry_after_ms=exc.retry_after_ms) from None
