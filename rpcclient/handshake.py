"""The client's part of the WebSocket handshake, for both clients."""

from __future__ import annotations

from importlib.metadata import version

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol as WebSocketSubprotocol
from websockets.uri import parse_uri

from rpcwire.codec import OFFERED, Subprotocol
from rpcwire.errors import ConnectFailed, PermissionDenied, RpcError, Unauthenticated
from rpcwire.limits import MESSAGE_BYTES_HEADER
from rpcwire.logs import QUIET

from .targets import Target


def begin(target: Target, message_bytes: int, only: Subprotocol | None) -> tuple[ClientProtocol, Request]:
    """The state of a new connection, and the request that opens it.

    Parameters:
        target: where to.
        message_bytes: the largest message to accept.
        only: offer this subprotocol alone; ours in order of preference where not given.
    """
    offered = OFFERED if only is None else (only,)
    ws = ClientProtocol(
        parse_uri(target.websocket_uri),
        subprotocols=[WebSocketSubprotocol(name) for name in offered],
        max_size=message_bytes,
        logger=QUIET,
    )
    request = ws.connect()
    request.headers["User-Agent"] = f"rpcclient/{version('remote-services')}"
    if target.token is not None:
        request.headers["Authorization"] = f"Bearer {target.token}"
    return ws, request


def message_limit(response: Response, own: int) -> int:
    """The largest message that both sides take, in bytes.

    Parameters:
        response: the server's answer to the handshake.
        own: what this side takes.
    """
    said = response.headers.get_all(MESSAGE_BYTES_HEADER)
    known = [int(text) for text in said if text.isascii() and text.isdigit() and len(text) < 20]
    return min([own, *known])


def refused(exc: Exception, target: Target) -> RpcError:
    """The error that a failed handshake stands for."""
    if not isinstance(exc, InvalidStatus):
        return ConnectFailed(f"{target.url}: not a WebSocket server: {exc}")
    response = exc.response
    text = (response.body or b"").decode("utf-8", "replace").strip()[:500]
    said = f"{target.url}: {text or response.reason_phrase} (HTTP {response.status_code})"
    if response.status_code == 401:
        return Unauthenticated(said)
    if response.status_code in (403, 421):
        return PermissionDenied(said)
    return ConnectFailed(said, retryable=response.status_code in (429, 503))
