"""The client's part of the WebSocket handshake, for both clients."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from websockets.client import ClientProtocol
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol as WebSocketSubprotocol
from websockets.uri import parse_uri

from rpcwire.codec import SUBPROTOCOLS, Subprotocol
from rpcwire.limits import (
    BATCH_ITEMS,
    BATCH_ITEMS_HEADER,
    MESSAGE_BYTES_HEADER,
    MESSAGE_NODES_HEADER,
    SessionLimits,
)
from rpcwire.logs import QUIET
from rpcwire.version import VERSION

from .options import ConnectOptions
from .targets import Target

USER_AGENT = f"rpcclient/{VERSION}"
"""What the client says it is (RFC 9110, section 10.1.5)."""


def begin_handshake(target: Target, message_bytes: int, only: Subprotocol | None) -> tuple[ClientProtocol, Request]:
    """Make the state of a new connection, and the request that opens it.

    Parameters:
        target: the server.
        message_bytes: the largest message to accept. The request tells the server.
        only: the only subprotocol to offer; all of ours, in order of preference, if not given.

    Raises:
        ConnectFailed: the headers that are made for each connection cannot be made or sent.
    """
    names = SUBPROTOCOLS if only is None else (only,)
    ws = ClientProtocol(
        parse_uri(target.websocket_uri),
        subprotocols=[WebSocketSubprotocol(name) for name in names],
        max_size=message_bytes,
        logger=QUIET,
    )
    ws.debug = False  # It would log the headers of the request, and so the token.
    request = ws.connect()
    request.headers["User-Agent"] = USER_AGENT
    request.headers[MESSAGE_BYTES_HEADER] = str(message_bytes)
    headers = target.headers() if callable(target.headers) else target.headers
    for name, value in headers.items():
        request.headers[name] = value
    if target.token_by_header is not None:
        request.headers["Authorization"] = f"Bearer {target.token_by_header}"
    return ws, request


def session_limits(options: ConnectOptions, response: Response) -> SessionLimits:
    """Return the limits that hold for both sides of a connection.

    Parameters:
        options: this side's limits.
        response: the server's answer to the handshake, whose headers hold the server's limits. A header that is no
            number is ignored.
    """
    return SessionLimits(
        message_bytes=min([options.message_bytes, *_numbers_of(response, MESSAGE_BYTES_HEADER)]),
        unwrapped_bytes=options.message_bytes,
        message_nodes=min([sys.maxsize, *filter(None, _numbers_of(response, MESSAGE_NODES_HEADER))]),
        batch_items=min([BATCH_ITEMS, *filter(None, _numbers_of(response, BATCH_ITEMS_HEADER))]),
        stream_window=options.window,
    )


def memory_limits(options: ConnectOptions, batch_items: int, message_nodes: int) -> SessionLimits:
    """Return the limits that hold for both sides of a connection in memory, which has no handshake.

    Parameters:
        options: this side's limits.
        batch_items: how many entries of a JSON-RPC batch the server accepts.
        message_nodes: how many values, names, arrays and objects it accepts in one message.
    """
    return SessionLimits(
        message_bytes=options.message_bytes,
        unwrapped_bytes=options.message_bytes,
        message_nodes=message_nodes,
        batch_items=min(BATCH_ITEMS, batch_items),
        stream_window=options.window,
    )


def node_limits(limits: SessionLimits, answer: Any) -> SessionLimits:
    """Return the limits that hold for a connection with another node, through the server.

    Parameters:
        limits: those of the connection with the server, which hold, too.
        answer: what the server has answered to the call that leads there. A limit that is no number is ignored.
    """
    values = answer if isinstance(answer, dict) else {}

    def least(name: str, limit: int) -> int:
        value = values.get(name)
        return min(limit, value) if type(value) is int and value > 0 else limit

    return replace(
        limits,
        message_bytes=least("message_bytes", limits.message_bytes),
        message_nodes=least("message_nodes", limits.message_nodes),
        batch_items=least("batch_items", limits.batch_items),
    )


def _numbers_of(response: Response, header: str) -> list[int]:
    texts = response.headers.get_all(header)
    return [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 20]
