"""The client's part of the WebSocket handshake, for both clients."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from websockets.client import ClientProtocol
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol as WebSocketSubprotocol
from websockets.uri import parse_uri

from rpcwire.codec import OFFERED, Subprotocol
from rpcwire.forking import hold_forks
from rpcwire.limits import BATCH_ITEMS, BATCH_ITEMS_HEADER, MESSAGE_BYTES_HEADER, SessionLimits
from rpcwire.logs import QUIET

from .options import ConnectOptions
from .targets import Target


def begin(target: Target, message_bytes: int, only: Subprotocol | None) -> tuple[ClientProtocol, Request]:
    """The state of a new connection, and the request that opens it.

    Parameters:
        target: where to.
        message_bytes: the largest message to accept, which the server is told.
        only: offer this subprotocol alone; ours in order of preference where not given.

    Raises:
        ConnectFailed: the headers that are made for each connection cannot be made or sent.
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
    further = target.headers() if callable(target.headers) else target.headers
    for name, value in further.items():
        request.headers[name] = value
    if target.token_by_header is not None:
        request.headers["Authorization"] = f"Bearer {target.token_by_header}"
    return ws, request


@cache
def _user_agent() -> str:
    with hold_forks():  # It imports what reads the metadata of packages.
        return f"rpcclient/{version('remote-services')}"


def session_limits(options: ConnectOptions, response: Response) -> SessionLimits:
    """What both sides of a connection take.

    Parameters:
        options: what this side takes.
        response: the server's answer to the handshake, with what that takes. What is no number is left aside.
    """
    return SessionLimits(
        message_bytes=min([options.message_bytes, *_told(response, MESSAGE_BYTES_HEADER)]),
        unwrapped_bytes=options.message_bytes,
        batch_items=min([BATCH_ITEMS, *filter(None, _told(response, BATCH_ITEMS_HEADER))]),
        stream_window=options.window,
    )


def memory_limits(options: ConnectOptions, batch_items: int) -> SessionLimits:
    """What both sides of a connection in memory take, where there is no handshake.

    Parameters:
        options: what this side takes.
        batch_items: entries of a JSON-RPC batch that the server takes.
    """
    return SessionLimits(
        message_bytes=options.message_bytes,
        unwrapped_bytes=options.message_bytes,
        batch_items=min(BATCH_ITEMS, batch_items),
        stream_window=options.window,
    )


def _told(response: Response, header: str) -> list[int]:
    said = response.headers.get_all(header)
    return [int(text) for text in said if text.isascii() and text.isdigit() and len(text) < 20]
