"""What the port answers to plain HTTP: a few GET and HEAD requests, and proper errors for all else."""

from __future__ import annotations

import email.utils
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import SecurityError
from websockets.http11 import Response

from rpcwire.limits import ANSWER_HEADER

REQUEST_BYTES = 32 * 1024
"""The largest request: its first line and its headers."""


class HeadEnd:
    """Finds where a request's headers end (RFC 9112, section 2.1), in whatever pieces it comes.

    Attributes:
        read: bytes of the request so far.
        found: whether its end was found; what comes afterwards is no part of it.
    """

    def __init__(self) -> None:
        self.read = 0
        self.found = False
        self._last = b""

    def find(self, data: bytes) -> int:
        """How many bytes of ``data`` still belong to the request."""
        if self.found:
            return 0
        window = self._last + data
        at = window.find(b"\r\n\r\n")
        self.found = at >= 0
        end = at + 4 - len(self._last) if self.found else len(data)
        self._last = window[-3:]
        self.read += end
        return end


def respond(
    status: int, text: str, *, content_type: str = "text/plain; charset=utf-8", head: bool = False, **headers: str
) -> Response:
    """A whole HTTP response, after which the connection closes.

    Parameters:
        status: the status code.
        text: the body.
        content_type: of the body.
        head: leave the body out, as HEAD wants it (RFC 9110, section 9.3.2).
        headers: further ones; an underscore stands for a hyphen.
    """
    body = text.encode()
    fields = Headers(
        [
            ("Date", email.utils.formatdate(usegmt=True)),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", content_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            (ANSWER_HEADER, "rpcserver"),
        ]
    )
    for name, value in headers.items():
        fields[name.replace("_", "-")] = value
    return Response(status, HTTPStatus(status).phrase, fields, b"" if head else body)


def respond_json(status: int, content: Mapping[str, Any], *, head: bool = False) -> Response:
    """As :func:`respond`, with a JSON body."""
    return respond(status, json.dumps(content) + "\n", content_type="application/json", head=head)


def upgrade_required(text: str, *, head: bool = False, **headers: str) -> Response:
    """The answer 426: it names the protocol to ask for (RFC 9110, section 15.5.22)."""
    response = respond(426, text, head=head, Upgrade="websocket", **headers)
    del response.headers["Connection"]
    response.headers["Connection"] = "close, Upgrade"
    return response


def refuse_malformed(exc: Exception) -> Response:
    """The answer to what is no HTTP request that this server can read."""
    cause = exc.__cause__ or exc
    if isinstance(cause, NotImplementedError) or "request body" in str(cause):
        return respond(413, "this port takes no request bodies: send GET, HEAD or a WebSocket handshake\n")
    if isinstance(cause, SecurityError):
        return respond(431, f"{cause}\n")
    return respond(400, "not an HTTP/1.1 request\n")
