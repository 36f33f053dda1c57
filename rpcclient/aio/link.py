"""The client's end of a WebSocket on asyncio."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import Event

from rpcclient.eyeballs import Trail
from rpcclient.failures import broken_error, to_connect_error
from rpcclient.handshake import begin_handshake, session_limits
from rpcclient.interim import Interim
from rpcclient.options import ConnectOptions
from rpcclient.refusals import HEAD_BYTES, to_refusal_error
from rpcwire.aio.peer import Peer
from rpcwire.aio.websocket import WebSocketLink
from rpcwire.codec import Codec, codec_for
from rpcwire.limits import SessionLimits

from .reach import reach, reach_by, reach_unix
from .through import connect_through

logger = logging.getLogger("rpcclient")

PeerFactory = Callable[["ClientLink", Codec, SessionLimits], Peer]
"""Makes the peer of a connection that has just opened, from its form of the wire and what both sides take."""


class ClientLink(WebSocketLink):
    """One connection to a server.

    Parameters:
        options: how to connect.
        make_peer: makes what drives the connection once it is open.
    """

    def __init__(self, options: ConnectOptions, make_peer: PeerFactory) -> None:
        ws, self._request = begin_handshake(options.target, options.message_bytes, options.subprotocol)
        super().__init__(ws, options.link_limits, holds_reading=False)
        self._options = options
        self._make_peer: PeerFactory | None = make_peer
        self.opened: asyncio.Future[Peer] = self.loop.create_future()
        self._broken_by: Exception | None = None
        self._interim = Interim()
        self._head = bytearray()  # How the answer to the handshake begins.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected: ask for the WebSocket."""
        super().connection_made(transport)
        cast("ClientProtocol", self.ws).send_request(self._request)
        self._write()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self.receiver is None:
            data = self._interim.leave_out(data)
            self._head += data[: HEAD_BYTES - len(self._head)]
        super().data_received(data)

    def handshake(self, event: Event) -> None:
        """The server has answered."""
        assert isinstance(event, Response)
        if self.ws.handshake_exc is not None:
            return
        codec = codec_for(self.ws.subprotocol)
        make_peer, self._make_peer = self._make_peer, None  # It is the client's, which may become garbage.
        assert make_peer is not None
        peer = make_peer(self, codec, session_limits(self._options, event))
        self.attach(peer, codec)
        self.opened.set_result(peer)

    def handshake_failed(self, exc: Exception) -> None:
        """The server has to_refusal_error, or is none."""
        self._give_up(to_refusal_error(exc, self._options.target, self._head))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._broken_by = exc
        super().connection_lost(exc)

    def ended(self) -> None:
        """The connection is gone."""
        # A server may refuse a certificate of the client's only when that believes TLS to be complete.
        by_tls = isinstance(self._broken_by, ssl.SSLError)
        self._give_up(self._broken_by if by_tls and self._broken_by else broken_error(self._options.target))

    def _give_up(self, error: Exception) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)


async def dial(options: ConnectOptions, make_peer: PeerFactory) -> Peer:
    """Connect to a server.

    Raises:
        ConnectFailed: it cannot be reached, or is no WebSocket server; the message says which.
        Unauthenticated: the token is wrong.
        PermissionDenied: it does not take this client.
    """
    target, trail = options.target, Trail()
    loop = asyncio.get_running_loop()
    link = ClientLink(options, make_peer)
    try:
        async with asyncio.timeout(options.connect_timeout_s):
            if target.unix_path is not None:
                sock = await reach_unix(target.unix_path)
                await loop.create_unix_connection(lambda: link, sock=sock)
            elif target.connect is not None:
                sock = await reach_by(target.connect, options.connect_timeout_s)
                create = loop.create_unix_connection if sock.family == socket.AF_UNIX else loop.create_connection
                await create(lambda: link, sock=sock)
            else:
                await _open(link, options, trail)
            return await link.opened
    except BaseException as exc:
        link.abort()
        if link.opened.done() and not link.opened.cancelled():
            link.opened.exception()
        error = to_connect_error(exc, target, options.connect_timeout_s, trail)
        if error is None:
            raise
        raise error from exc


async def _open(link: ClientLink, options: ConnectOptions, trail: Trail) -> None:
    """Connect, through a proxy where there is one, speak TLS where that is wanted, and ask for the WebSocket."""
    loop, target = asyncio.get_running_loop(), options.target
    secured: dict[str, Any] = {}
    if target.tls is not None:
        # The time limit is over all of it; asyncio's own for TLS must not come first.
        secured = {"server_hostname": target.server_hostname, "ssl_handshake_timeout": options.connect_timeout_s}
    if target.proxy is None:
        sock = await reach(target.host.address, target.port, trail)
        await loop.create_connection(lambda: link, sock=sock, ssl=target.tls, **secured)
        return
    transport = await connect_through(target.proxy, target, options.connect_timeout_s, trail)
    try:
        if target.tls is not None:
            # TLS takes the transport's protocol away at once, and tells the link of nothing before it stands.
            secure = await loop.start_tls(transport, link, target.tls, **secured)
            assert secure is not None
            transport = secure
        else:
            transport.set_protocol(link)
        link.connection_made(transport)
    except BaseException:
        transport.abort()
        raise
