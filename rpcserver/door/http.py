"""The answers of the port to plain HTTP: to a few GET and HEAD requests, and errors for everything else."""

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

PREFLIGHT_S = 600
"""How long a browser may remember the answer to a preflight, in seconds."""


def respond(
    status: int, text: str, *, content_type: str = "text/plain; charset=utf-8", head: bool = False, **headers: str
) -> Response:
    """Make a whole HTTP response, after which the connection closes.

    Parameters:
        status: the status code.
        text: the body.
        content_type: the type of the body.
        head: whether to leave the body out, for HEAD (RFC 9110, section 9.3.2).
        headers: further headers; an underscore stands for a hyphen.
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
            # Pages of other sites must not learn from a frame or a picture what is here.
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Content-Security-Policy", "frame-ancestors 'self'"),
            (ANSWER_HEADER, "rpcserver"),
        ]
    )
    for name, value in headers.items():
        fields[name.replace("_", "-")] = value
    return Response(status, HTTPStatus(status).phrase, fields, b"" if head else body)


def respond_json(status: int, content: Mapping[str, Any], *, head: bool = False) -> Response:
    """Make a response as :func:`respond` does, with a JSON body."""
    return respond(status, json.dumps(content) + "\n", content_type="application/json", head=head)


def require_upgrade(text: str, *, head: bool = False, **headers: str) -> Response:
    """Make the answer 426, which names the protocol to ask for (RFC 9110, section 15.5.22)."""
    response = respond(426, text, head=head, Upgrade="websocket", **headers)
    del response.headers["Connection"]
    response.headers["Connection"] = "close, Upgrade"
    return response


def share_with(response: Response, origin: str) -> None:
    """Let a web page of an allowed origin read a response (https://fetch.spec.whatwg.org/#http-cors-protocol). No
    credentials are allowed: the server uses no cookies, and a page that has a token sends it in a header of its own.

    Parameters:
        response: the response, which is changed.
        origin: the origin as the request names it.
    """
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Vary"] = "Origin"


def answer_preflight() -> Response:
    """Make the answer to a browser that asks whether a page may send a request with a token (a CORS preflight)."""
    return respond(
        200,
        "",
        Allow="GET, HEAD, OPTIONS",
        Access_Control_Allow_Methods="GET, HEAD",
        Access_Control_Allow_Headers="Authorization",
        Access_Control_Max_Age=str(PREFLIGHT_S),
    )


def refuse_malformed(exc: Exception) -> Response:
    """Make the answer to input that is not a readable HTTP request."""
    cause = exc.__cause__ or exc
    if isinstance(cause, NotImplementedError) or "request body" in str(cause):
        return respond(413, "this port takes no request bodies: send GET, HEAD or a WebSocket handshake\n")
    if isinstance(cause, SecurityError):
        return respond(431, f"{cause}\n")
    return respond(400, "not an HTTP/1.1 request\n")
