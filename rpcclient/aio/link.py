"""The client's end of a WebSocket on asyncio."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import cast

from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import Event

from rpcclient.handshake import begin, message_limit, refused
from rpcclient.options import ConnectOptions
from rpcwire.aio.peer import Peer
from rpcwire.aio.websocket import WebSocketLink
from rpcwire.codec import Codec, codec_for
from rpcwire.errors import ConnectFailed, RpcError
from rpcwire.limits import LinkLimits

logger = logging.getLogger("rpcclient")

PeerFactory = Callable[["ClientLink", Codec, int], Peer]
"""Makes the peer of a connection that has just opened, from its form of the wire and its largest message in bytes."""


class ClientLink(WebSocketLink):
    """One connection to a server.

    Parameters:
        options: how to connect.
        make_peer: makes what drives the connection once it is open.
    """

    def __init__(self, options: ConnectOptions, make_peer: PeerFactory) -> None:
        ws, self._request = begin(options.target, options.message_bytes, options.subprotocol)
        super().__init__(ws, LinkLimits(ping_interval_s=options.ping_interval_s), holds_reading=False)
        self._options = options
        self._make_peer = make_peer
        self.opened: asyncio.Future[Peer] = self.loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected: ask for the WebSocket."""
        super().connection_made(transport)
        cast("ClientProtocol", self.ws).send_request(self._request)
        self._write()

    def handshake(self, event: Event) -> None:
        """The server has answered."""
        assert isinstance(event, Response)
        if self.ws.handshake_exc is not None:
            return
        codec = codec_for(self.ws.subprotocol)
        peer = self._make_peer(self, codec, message_limit(event, self._options.message_bytes))
        self.attach(peer, binary=codec.binary)
        self.opened.set_result(peer)

    def handshake_failed(self, exc: Exception) -> None:
        """The server has refused, or is none."""
        self._give_up(refused(exc, self._options.target))

    def ended(self) -> None:
        """The connection is gone."""
        self._give_up(ConnectFailed(f"{self._options.target.url}: the connection broke during the handshake"))

    def _give_up(self, error: RpcError) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)


async def dial(options: ConnectOptions, make_peer: PeerFactory) -> Peer:
    """Connect to a server.

    Raises:
        ConnectFailed: it cannot be reached, or is no WebSocket server; the message says which.
        Unauthenticated: the token is wrong.
        PermissionDenied: it does not take this client.
    """
    target = options.target
    loop = asyncio.get_running_loop()
    link: ClientLink | None = None

    def factory() -> ClientLink:
        nonlocal link
        link = ClientLink(options, make_peer)
        return link

    try:
        async with asyncio.timeout(options.connect_timeout_s):
            if target.unix_path is not None:
                await loop.create_unix_connection(factory, target.unix_path)
            else:
                await loop.create_connection(factory, target.host, target.port, ssl=target.tls)
            assert link is not None
            return await link.opened
    except TimeoutError as exc:
        _abort(link)
        raise ConnectFailed(f"{target.url}: no answer within {options.connect_timeout_s:g} s") from exc
    except ssl.SSLError as exc:
        raise ConnectFailed(f"{target.url}: TLS: {exc.reason or exc}", retryable=False) from exc
    except OSError as exc:
        raise ConnectFailed(f"{target.url}: {exc.strerror or exc}: is rpcserver running there?") from exc
    except ValueError as exc:  # A host or path that no socket takes.
        raise ConnectFailed(f"{target.url}: {exc}", retryable=False) from exc
    except (RpcError, asyncio.CancelledError):
        _abort(link)
        raise


def _abort(link: ClientLink | None) -> None:
    if link is not None:
        link.abort()
        if link.opened.done() and not link.opened.cancelled():
            link.opened.exception()
