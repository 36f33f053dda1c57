"""Turns an answer that refuses the handshake into an error of ours, which says whether to try again."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from http import HTTPStatus

from websockets.exceptions import InvalidStatus

from rpcwire.errors import ConnectFailed, PermissionDenied, RpcError, Unauthenticated
from rpcwire.forking import hold_forks
from rpcwire.limits import ANSWER_HEADER
from rpcwire.logs import printable

from .failures import broken_error
from .statuses import STATUS_LINE, may_pass
from .targets import Target

HEAD_BYTES = 8 * 1024
"""How much of the beginning of an answer is kept, in bytes, to read what websockets cannot."""
BODY_CHARACTERS = 500

_HEADER = re.compile(rb"^([!-9;-~]++):([^\r\n]*+)\r?$", re.MULTILINE)


def retry_after_ms(value: str | None, now: float) -> int | None:
    """Return how long ``Retry-After`` asks to wait, in milliseconds (RFC 9110, section 10.2.3).

    Parameters:
        value: the header. If it is neither a number of seconds nor a date, it is ignored.
        now: the time, in seconds since 1970.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) * 1000
    with hold_forks():  # This may be the thread of a connection.
        from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(round((at - now) * 1000), 0)


def to_refusal_error(exc: Exception, target: Target, head: bytes | bytearray) -> RpcError:
    """Turn a failed handshake into an error of ours.

    Parameters:
        exc: the exception of websockets.
        target: the server.
        head: the beginning of its answer.
    """
    if isinstance(exc, InvalidStatus):
        response = exc.response
        body = bytes(response.body) if ANSWER_HEADER in response.headers else b""
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return _refusal_error(target, response.status_code, response.reason_phrase, headers, body)
    line = STATUS_LINE.match(head)
    if line is not None and int(line[1]) != 101:
        # websockets does not read HTTP/1.0, with which some proxies answer, nor a body that is too large.
        fields = head[line.end() :].partition(b"\r\n\r\n")[0] + b"\r\n"
        headers = {
            name.decode().lower(): value.strip(b" \t").decode("iso-8859-1") for name, value in _HEADER.findall(fields)
        }
        return _refusal_error(target, int(line[1]), (line[2] or b"").decode("iso-8859-1"), headers, b"")
    if isinstance(exc.__cause__, EOFError):
        return broken_error(target)
    # An answer that is no HTTP may come from a stand-in for a server that restarts: another attempt may succeed. A
    # server that speaks HTTP and agrees to something else than the request will do so again.
    return ConnectFailed(f"{target.url}: not a WebSocket server: {exc}", retryable=line is None)


def _refusal_error(target: Target, status: int, phrase: str, headers: Mapping[str, str], body: bytes) -> RpcError:
    explanation = printable(body.decode("utf-8", "replace").strip(), BODY_CHARACTERS)
    text = f"{target.url}: {explanation or _reason(status, phrase)} (HTTP {status})"
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
