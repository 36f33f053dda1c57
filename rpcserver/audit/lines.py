"""The lines of an audit log, without their chain: pure. All text is written in ASCII with the escapes of JSON, so that
nobody can forge a line, control a terminal or turn the direction of writing."""

from __future__ import annotations

import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii

import msgspec
from msgspec import Raw

TEXT_CHARACTERS = 500
"""The most characters of a text in a line."""


def quote(text: str, limit: int = TEXT_CHARACTERS) -> str:
    r"""Write a text as JSON in ASCII. What is not ASCII, and control characters with DEL, become ``\u`` escapes.

    Parameters:
        text: the text, which may contain anything.
        limit: the most characters of it to write.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # Halves of surrogate pairs are no text (RFC 8259, 8.2).
    return encode_basestring_ascii(text).replace("\x7f", "\\u007f")


def quote_raw(text: str, limit: int = TEXT_CHARACTERS) -> Raw:
    """Write a text as JSON in ASCII, for a field of :class:`CallLine`."""
    return Raw(quote(text, limit).encode("ascii"))


def write_id(call_id: str | float | None) -> int | Raw | None:
    """Write the id of a call."""
    if type(call_id) is int and -(2**63) <= call_id < 2**63:
        return call_id
    return None if call_id is None else quote_raw(str(call_id), 200)


class CallLine(msgspec.Struct, gc=False, eq=False, omit_defaults=True):
    """A line about a call, without its number. Fields with foreign text are encoded already, in ASCII.

    Attributes:
        at: the time of the event, as :class:`Times` writes it.
        event: ``received`` or ``completed``.
        client: who has called, and from where: an object.
        method: the method's name.
        subject: what has come or ended (:data:`rpcwire.outcomes.Subject`).
        call: the id on the wire.
        outcome: ``ok``, or the type of the error.
        executed: of an error: whether the method ran.
        duration_us: the time from the arrival to the end, in microseconds.
        received_bytes, sent_bytes, items: as of :class:`rpcwire.outcomes.Outcome`.
        received: the number of the line that says that the call has arrived.
        params_sha256: the SHA-256 of the encoded parameters, in hexadecimal digits.
        params: the parameters, as JSON in a text.
    """

    at: str
    event: str
    client: Raw
    method: Raw
    subject: str = "call"
    call: int | Raw | None = None
    outcome: str | Raw = ""
    executed: str = ""
    duration_us: int = -1
    received_bytes: int = 0
    sent_bytes: int = 0
    items: int = 0
    received: int = 0
    params_sha256: str = ""
    params: Raw | None = None


encode_line: Callable[[object], bytes] = msgspec.json.Encoder().encode
"""Writes a line about calls, with the ``{`` before which its number comes."""


def write_call(line: CallLine) -> bytes:
    """Write a line about a call, without its beginning: ``{"seq":N,``."""
    return encode_line(line)[1:]


def write_line(at: str, event: str, /, **fields: str | float | Raw | None) -> bytes:
    """Write a line that is not about a call, without its beginning: ``{"seq":N,``.

    Parameters:
        at: the time, as :class:`Times` writes it.
        event: what has happened.
        fields: further fields; those that are ``None`` are left out.

    Raises:
        TypeError: a field is of another type.
    """
    parts = [f'"at":"{at}","event":{quote(event)}']
    for name, value in fields.items():
        if isinstance(value, str):
            parts.append(f'"{name}":{quote(value)}')
        elif isinstance(value, Raw):
            parts.append(f'"{name}":{bytes(value).decode("ascii")}')
        elif value is not None:
            parts.append(f'"{name}":{encode_line(value).decode("ascii")}')
    return (",".join(parts) + "}").encode("ascii")


class Times:
    """Writes times as ``2026-11-29T22:10:00.123Z``. It takes them from the clock of :func:`time.monotonic_ns`, and is
    told from time to time how that runs beside the calendar."""

    def __init__(self) -> None:
        self._offset_ns = 0
        self._last_ms = -1
        self._text = ""

    def set(self, monotonic_ns: int, epoch_ns: int) -> None:
        """Compare the clocks.

        Parameters:
            monotonic_ns: the time on the clock of :func:`time.monotonic_ns`.
            epoch_ns: the same time, since the epoch.
        """
        self._offset_ns = epoch_ns - monotonic_ns

    def write(self, monotonic_ns: int) -> str:
        """Write a time on the clock of :func:`time.monotonic_ns`."""
        at_ms = (monotonic_ns + self._offset_ns) // 1_000_000
        if at_ms != self._last_ms:  # Under load, many calls end in the same millisecond.
            self._last_ms = at_ms
            seconds, rest = divmod(at_ms, 1000)
            self._text = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03d}Z"
        return self._text
