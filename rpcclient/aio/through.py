"""Connects to a server through a proxy."""

from __future__ import annotations

import asyncio
from typing import cast

from rpcclient.eyeballs import Trail
from rpcclient.proxies import Proxy
from rpcclient.targets import Target
from rpcclient.tunnels import HUNG_UP, ProxyRefused, Tunnel, choose_address, tunnel_through

from .reach import addresses, reach


async def connect_through(proxy: Proxy, target: Target, handshake_s: float, trail: Trail) -> asyncio.Transport:
    """Have a proxy connect to the server.

    Parameters:
        proxy: the proxy.
        target: the server.
        handshake_s: how long the TLS handshake with the proxy may take, in seconds.
        trail: notes how far the attempt has come.

    Returns:
        The transport to the server. Its protocol does nothing yet.

    Raises:
        OSError, ProxyRefused: the proxy does not connect to the server.
    """
    loop = asyncio.get_running_loop()
    host = target.host.name
    if not proxy.looks_names_up:
        host = choose_address(await addresses(target.host.address, target.port, trail), proxy)
    trail.place = f"the proxy {proxy}"
    sock = await reach(proxy.host.address, proxy.port, trail)
    protocol = _TunnelProtocol(tunnel_through(proxy, host, target.port))
    if proxy.tls is None:
        transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
    else:
        transport, _ = await loop.create_connection(
            lambda: protocol,
            sock=sock,
            ssl=proxy.tls,
            server_hostname=proxy.host.name,
            ssl_handshake_timeout=handshake_s,
        )
    try:
        await protocol.ready
        if transport.is_closing():  # The proxy closed it before this task ran again, and no error was raised.
            raise ProxyRefused(HUNG_UP, retryable=True)
    except BaseException:
        transport.abort()
        raise
    trail.place = ""
    return transport


class _TunnelProtocol(asyncio.Protocol):
    """Drives a tunnel.

    Parameters:
        tunnel: the tunnel.

    Attributes:
        ready: done when the proxy has connected to the server.
    """

    def __init__(self, tunnel: Tunnel) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tunnel = tunnel
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._advance(None)

    def data_received(self, data: bytes) -> None:
        self._advance(data)

    def eof_received(self) -> bool:
        self._advance(b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self.ready.done():
            self.ready.set_exception(exc)
        self._advance(b"")

    def _advance(self, data: bytes | None) -> None:
        if self.ready.done():
            return
        assert self._transport is not None
        try:
            output = next(self._tunnel) if data is None else self._tunnel.send(data)
        except StopIteration:
            self.ready.set_result(None)
        except Exception as exc:
            self.ready.set_exception(exc)
        else:
            self._transport.write(output)
