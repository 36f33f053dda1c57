"""The client's part of the WebSocket handshake, for both clients."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from websockets.client import ClientProtocol
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol as WebSocketSubprotocol
from websockets.uri import parse_uri

from rpcwire.codec import OFFERED, Subprotocol
from rpcwire.forking import uncut
from rpcwire.limits import MESSAGE_BYTES_HEADER
from rpcwire.logs import QUIET

from .targets import Target


def begin(target: Target, message_bytes: int, only: Subprotocol | None) -> tuple[ClientProtocol, Request]:
    """The state of a new connection, and the request that opens it.

    Parameters:
        target: where to.
        message_bytes: the largest message to accept, which the server is told.
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
    request.headers["User-Agent"] = _user_agent()
    request.headers[MESSAGE_BYTES_HEADER] = str(message_bytes)
    for name, value in target.headers.items():
        request.headers[name] = value
    if target.token_by_header is not None:
        request.headers["Authorization"] = f"Bearer {target.token_by_header}"
    return ws, request


@cache
def _user_agent() -> str:
    with uncut():  # It imports what reads the metadata of packages.
        return f"rpcclient/{version('remote-services')}"


def message_limit(response: Response, own: int) -> int:
    """The largest message that both sides take, in bytes.

    Parameters:
        response: the server's answer to the handshake.
        own: what this side takes.
    """
    said = response.headers.get_all(MESSAGE_BYTES_HEADER)
    known = [int(text) for text in said if text.isascii() and text.isdigit() and len(text) < 20]
    return min([own, *known])
