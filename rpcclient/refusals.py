"""What an answer to the handshake means that is no WebSocket: which error of ours it is, and whether it may pass."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from websockets.exceptions import InvalidStatus

from rpcwire.errors import ConnectFailed, PermissionDenied, RpcError, Unauthenticated
from rpcwire.limits import ANSWER_HEADER
from rpcwire.logs import printable

from .failures import broken
from .statuses import STATUS_LINE, may_pass
from .targets import Target

HEAD_BYTES = 8 * 1024
"""How much of an answer is kept, for what websockets cannot read."""
BODY_CHARACTERS = 500

_HEADER = re.compile(rb"^([!-9;-~]+):[ \t]*([^\r\n]*?)[ \t]*\r?$", re.MULTILINE)


def retry_after_ms(value: str | None, now: float) -> int | None:
    """What ``Retry-After`` asks for, in milliseconds from now (RFC 9110, section 10.2.3).

    Parameters:
        value: the header; what is neither a number of seconds nor a date says nothing.
        now: the time, in seconds since 1970.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) * 1000
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(round((at - now) * 1000), 0)


def refused(exc: Exception, target: Target, head: bytes | bytearray) -> RpcError:
    """The error that a failed handshake stands for.

    Parameters:
        exc: what websockets says.
        target: who was asked.
        head: how the answer began.
    """
    if isinstance(exc, InvalidStatus):
        response = exc.response
        body = bytes(response.body) if ANSWER_HEADER in response.headers else b""
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return _refused(target, response.status_code, response.reason_phrase, headers, body)
    line = STATUS_LINE.match(head)
    if line is not None and int(line[1]) != 101:
        # What websockets does not read: HTTP/1.0, as proxies have it for their own words, or a body that is too large.
        fields = head[line.end() :].partition(b"\r\n\r\n")[0] + b"\r\n"
        headers = {name.decode().lower(): value.decode("iso-8859-1") for name, value in _HEADER.findall(fields)}
        return _refused(target, int(line[1]), (line[2] or b"").decode("iso-8859-1"), headers, b"")
    if isinstance(exc.__cause__, EOFError):
        return broken(target)
    # What answers, but not with HTTP, may stand in for a server that is about to return. What speaks HTTP, and agrees
    # to something else than was asked for, will do so again.
    return ConnectFailed(f"{target.url}: not a WebSocket server: {exc}", retryable=line is None)


def _refused(target: Target, status: int, phrase: str, headers: Mapping[str, str], body: bytes) -> RpcError:
    said = printable(body.decode("utf-8", "replace").strip(), BODY_CHARACTERS)
    text = f"{target.url}: {said or _reason(status, phrase)} (HTTP {status})"
    if status == 401:
        return Unauthenticated(text)
    if status in (403, 421):
        return PermissionDenied(text)
    passes = may_pass(status)
    wait_ms = retry_after_ms(headers.get("retry-after"), time.time()) if passes else None
    return ConnectFailed(text, retryable=passes, retry_after_ms=wait_ms)


def _reason(status: int, phrase: str) -> str:
    if phrase.strip():
        return printable(phrase.strip(), 100)
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"
