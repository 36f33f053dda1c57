"""Keeps a connection to one server: makes it, and makes it anew when it was lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from itertools import count
from typing import Any

from rpcclient.options import ConnectOptions, backoff_s
from rpcwire.aio.memory import MemoryLink
from rpcwire.aio.peer import Peer
from rpcwire.aio.remote import RemoteCaller
from rpcwire.codec import Codec, Subprotocol, codec_for
from rpcwire.context import Connection, Principal
from rpcwire.errors import ConnectFailed, ConnectionClosed, NotSent
from rpcwire.limits import SessionLimits
from rpcwire.registry import Registry
from rpcwire.service import Service
from rpcwire.session import Session

from .link import dial

logger = logging.getLogger("rpcclient")
_numbers = count(1)

MemoryDial = Callable[[Subprotocol], MemoryLink]
"""``Server.connect_memory``: connects to a server of the same process and loop."""


class Connector:
    """The connection of one client.

    Parameters:
        options: how to connect.
        memory: connects without a socket, where given.

    Attributes:
        live: the connection while it is up.
    """

    def __init__(self, options: ConnectOptions, memory: MemoryDial | None = None) -> None:
        self.options = options
        self.registry = Registry(logger)
        self._memory = memory
        self.live: Peer | None = None
        self._connecting: asyncio.Task[Peer] | None = None
        self._closed = False
        self._was_connected = False

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self.live is not None

    def offer(self, service: Service[Any]) -> None:
        """Offer a service to the server, on this connection and those that follow it."""
        self.registry.add(service)

    async def peer(self, deadline: float) -> Peer:
        """The connection, made first where there is none.

        Parameters:
            deadline: until when to try, on the loop's clock.

        Raises:
            ConnectionClosed: the client was closed.
            RpcError: it could not be made.
        """
        if self.live is not None:
            return self.live
        if self._closed:
            raise ConnectionClosed("the client is closed")
        if self._was_connected and not self.options.reconnect:
            raise ConnectionClosed("the connection is gone, and reconnect is off")
        if self._connecting is None:
            # One task makes the connection for all who wait; that one of them gives up does not end it.
            self._connecting = asyncio.get_running_loop().create_task(self._connect(self._was_connected))
            self._connecting.add_done_callback(self._connect_done)
        task = self._connecting
        wait = deadline - asyncio.get_running_loop().time()
        await asyncio.wait([task], timeout=max(wait, 0))
        if not task.done():
            raise NotSent("no connection could be made before the deadline")
        if task.cancelled():
            raise ConnectionClosed("the client was closed")
        return task.result()

    def _connect_done(self, task: asyncio.Task[Peer]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # Whoever waits gets it; nobody may be waiting any more.

    async def _connect(self, again: bool) -> Peer:
        """Connect; where there was a connection before, try until it is there or the server refuses for good."""
        attempt = 0
        while True:
            try:
                return await self._connect_once()
            except ConnectFailed as exc:
                attempt += 1
                if not again or not exc.retryable:
                    raise
                logger.debug("attempt %d failed: %s", attempt, exc)
            await asyncio.sleep(backoff_s(attempt, random.random()))  # noqa: S311 - jitter, no secret

    async def _connect_once(self) -> Peer:
        if self._memory is not None:
            subprotocol = self.options.subprotocol or "rpc.v1.msgpack"
            link = self._memory(subprotocol)
            peer = self._make_peer(link, codec_for(subprotocol), self.options.message_bytes)
            link.attach(peer)
        else:
            peer = await dial(self.options, self._make_peer)
        if self._closed:
            peer.link.abort()
            raise ConnectionClosed("the client was closed")
        if not peer.closed.done():
            self.live = peer
        self._was_connected = True
        return peer

    def _make_peer(self, link: Any, codec: Codec, message_bytes: int) -> Peer:
        options = self.options
        limits = SessionLimits(message_bytes=message_bytes, stream_window=options.window)
        caller = RemoteCaller()
        # The server was chosen, and proven by its address or certificate: what is offered is offered to it.
        server = Principal("server", "connected")
        connection = Connection(f"server-{next(_numbers)}", options.target.url, caller, server, logger=logger)
        peer = Peer(
            Session(codec, limits=limits, stream_prefix="c"),
            link,
            self.registry,
            connection,
            gate=lambda *_: None,
            logger=logger,
        )
        caller.bind(peer)
        peer.closed.add_done_callback(lambda done: self._lost(peer, done.result()))
        return peer

    def _lost(self, peer: Peer, reason: str) -> None:
        if self.live is not peer:
            return
        self.live = None
        if self._closed:
            return
        logger.info("the connection to %s ended: %s", self.options.target.url, reason)
        if self.options.reconnect and self.registry.services and self._connecting is None:
            # The server may want to call what is offered here, so somebody must be there.
            self._connecting = asyncio.get_running_loop().create_task(self._connect(again=True))
            self._connecting.add_done_callback(self._connect_done)

    async def close(self) -> None:
        """Close the connection, and make no other."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        peer, self.live = self.live, None
        if peer is not None:
            peer.link.close(1000, "")
            await peer.wait_closed()
