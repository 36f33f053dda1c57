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
from rpcclient.listeners import check_listener, check_way
from rpcclient.options import ConnectOptions
from rpcclient.refusals import HEAD_BYTES, to_refusal_error
from rpcclient.targets import Target
from rpcwire.aio.peer import Peer
from rpcwire.aio.websocket import WebSocketLink
from rpcwire.codec import Codec, codec_for
from rpcwire.head import HeadEnd
from rpcwire.limits import SessionLimits

from .reach import reach, reach_by, reach_unix
from .through import connect_through

logger = logging.getLogger("rpcclient")

PeerFactory = Callable[["ClientLink", Codec, SessionLimits], Peer]
"""Makes the peer of a connection that has just opened, from its codec and the limits of both sides."""


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
        self.peer_future: asyncio.Future[Peer] = self.loop.create_future()
        self._loss_cause: Exception | None = None
        self._interim = Interim()
        self._head_end = HeadEnd()
        self._head = bytearray()  # The beginning of the answer to the handshake.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request for the WebSocket, as the socket is connected."""
        super().connection_made(transport)
        cast("ClientProtocol", self.ws).send_request(self._request)
        self._write()

    def head_received(self, data: bytes) -> None:
        """Handle a part of the answer to the handshake. Frames of the WebSocket may follow it at once."""
        data = self._interim.leave_out(data)
        self._head += data[: HEAD_BYTES - len(self._head)]
        end = self._head_end.find(data)
        super().head_received(data[:end])
        if end < len(data):
            if self.receiver is not None:
                self.data_received(data[end:])
            else:
                super().head_received(data[end:])

    def handshake(self, event: Event) -> None:
        """Handle the server's answer to the handshake."""
        assert isinstance(event, Response)
        if self.ws.handshake_exc is not None:
            return
        codec = codec_for(self.ws.subprotocol)
        make_peer, self._make_peer = self._make_peer, None  # It holds the client, which may become garbage.
        assert make_peer is not None
        peer = make_peer(self, codec, session_limits(self._options, event))
        self.attach(peer, codec)
        self.peer_future.set_result(peer)

    def handshake_failed(self, exc: Exception) -> None:
        """Report that the server has refused, or is no WebSocket server."""
        self._give_up(to_refusal_error(exc, self._options.target, self._head))

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember why the socket was closed."""
        self._loss_cause = exc
        super().connection_lost(exc)

    def on_end(self) -> None:
        """Report why the connection ended, if it was not open yet."""
        # A server may refuse the client's certificate only after TLS is complete for the client.
        is_tls_error = isinstance(self._loss_cause, ssl.SSLError)
        self._give_up(self._loss_cause if is_tls_error and self._loss_cause else broken_error(self._options.target))

    def _give_up(self, error: Exception) -> None:
        if not self.peer_future.done():
            self.peer_future.set_exception(error)


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
                _check(sock, target)
                await loop.create_unix_connection(lambda: link, sock=sock)
            elif target.connect is not None:
                sock = await reach_by(target.connect, options.connect_timeout_s)
                create = loop.create_unix_connection if sock.family == socket.AF_UNIX else loop.create_connection
                await create(lambda: link, sock=sock)
            else:
                check_way(target)
                await _open(link, options, trail)
            return await link.peer_future
    except BaseException as exc:
        link.abort()
        if link.peer_future.done() and not link.peer_future.cancelled():
            link.peer_future.exception()
        error = to_connect_error(exc, target, options.connect_timeout_s, trail)
        if error is None:
            raise
        raise error from exc


def _check(sock: socket.socket, target: Target) -> None:
    """Check who is at the other end, and close the socket if it is somebody else."""
    try:
        check_listener(sock, target)
    except BaseException:
        sock.close()
        raise


async def _open(link: ClientLink, options: ConnectOptions, trail: Trail) -> None:
    """Connect, through a proxy if there is one, begin TLS if the URL asks for it, and ask for the WebSocket."""
    loop, target = asyncio.get_running_loop(), options.target
    tls_arguments: dict[str, Any] = {}
    if target.tls is not None:
        # One time limit covers everything. asyncio's own limit for TLS must not expire first.
        tls_arguments = {"server_hostname": target.server_hostname, "ssl_handshake_timeout": options.connect_timeout_s}
    if target.proxy is None:
        sock = await reach(target.host.address, target.port, trail)
        _check(sock, target)
        await loop.create_connection(lambda: link, sock=sock, ssl=target.tls, **tls_arguments)
        return
    transport = await connect_through(target.proxy, target, options.connect_timeout_s, trail)
    try:
        if target.tls is not None:
            # TLS replaces the transport's protocol at once, and does not call connection_made of the link.
            tls_transport = await loop.start_tls(transport, link, target.tls, **tls_arguments)
            assert tls_transport is not None
            transport = tls_transport
        else:
            transport.set_protocol(link)
        link.connection_made(transport)
    except BaseException:
        transport.abort()
        raise
