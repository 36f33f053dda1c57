"""The server's life: it starts, it drains, it stops."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from importlib.metadata import version
from itertools import count
from typing import Any

from rpcserver.door.door import Door
from rpcserver.door.entrance import Entrance
from rpcserver.door.pages import Pages, pages_of
from rpcserver.plugins.openrpc import document
from rpcserver.plugins.running import start_service, stop_service
from rpcserver.security.authentication import Authentication
from rpcserver.security.gate import gate
from rpcserver.security.tokens import TokenStore
from rpcserver.security.way import Way
from rpcwire.aio.memory import MemoryLink
from rpcwire.codec import Subprotocol
from rpcwire.dispatch import Dispatch
from rpcwire.outcomes import Observer
from rpcwire.pool import Pool
from rpcwire.registry import Registry
from rpcwire.service import Service

from .config import ServerConfig
from .connections import Connections
from .state import lock_state
from .system import System

logger = logging.getLogger("rpcserver")
connections_logger = logging.getLogger("rpcserver.connection")

_POOLS = count(1)
"""Numbers the pools of threads, so that servers in one process tell theirs apart."""

STOP_TIMEOUT_S = 5.0
"""How long a service may take to stop before the server goes on without it."""


class Server:
    """Offers services over WebSocket.

    Parameters:
        config: the configuration.
        services: instances of what is offered.
        token: opens the TCP port.
        observers: are told what came of each call, from any connection.
        ways: what the header Authorization of a request may say besides the token.

    Raises:
        TypeError: two services have one name, a method cannot be offered, or an observer is no plain function.
        ConfigError: two ways to authenticate have one scheme.

    Attributes:
        config: the configuration.
        services: what is offered, without the protocol's own methods.
        registry: everything that is offered.
        dispatch: the way of every call.
        openrpc: describes everything that is offered, as an OpenRPC document.
        authentication: tells who somebody is.
        connections: the peers of all connections, by connection.
        door: the listeners, and those who wait to be let in.
        stopping: whether the server is about to stop.
        version: of the server.
    """

    def __init__(
        self,
        config: ServerConfig,
        services: Iterable[Service[Any]],
        *,
        token: str,
        observers: Iterable[Observer] = (),
        ways: Iterable[Way[Any]] = (),
    ) -> None:
        self.config = config
        self.services = list(services)
        self.stopping = False
        self.version = version("remote-services")
        self._threads = f"rpc-handler-{next(_POOLS)}_"
        self._executor = Pool(config.limits.threads, self._threads[:-1])
        self._started: list[Service[Any]] = []
        self._state_lock: int | None = None
        self.registry = Registry(logger)
        self.dispatch = Dispatch(self.registry, gate, observers, logger=connections_logger)
        self.authentication = Authentication(
            TokenStore(token),
            os.geteuid(),
            attempts=config.auth.attempts,
            unix_peer_credentials=config.listen.unix_peer_credentials,
            ways=ways,
        )
        self.connections = Connections(self.dispatch, self.authentication, config.limits, self._executor, logger)
        self.registry.add(
            System(self.registry, self.connections, config, self.version, lambda: self.openrpc), reserved=True
        )
        for service in self.services:
            self.registry.add(service)
        self.openrpc = document(self.registry, title="rpcserver", version=self.version)
        pages = Pages(
            lambda: {s.name: s for s in self.services},
            lambda: self.stopping,
            pages_of(self.services),
            self.authentication,
            config.listen.path_prefix,
        )
        self.door = Door(Entrance(config, self.authentication, pages, lambda: self.stopping, self.connections.adopt))

    async def start(self, *, listen: bool = True) -> None:
        """Take the state folder, start the services, then listen.

        Parameters:
            listen: open the sockets of the configuration; without, only :meth:`connect_memory` reaches the server.

        Raises:
            ConfigError: another server uses the state folder, or an address cannot be used; the message says why and
                what to do.
            Exception: whatever a service raises that cannot start; those already started are stopped.
        """
        self.connections.start()
        try:
            self._state_lock = lock_state(self.config.state_path)
            for service in self.services:
                await start_service(
                    service, self.config.state_path, self.config.limits.message_bytes, self.dispatch.observe
                )
                self._started.append(service)
            if listen:
                self.door.open()
        except BaseException:
            await self.stop(grace_s=0)
            raise

    @property
    def addresses(self) -> list[str]:
        """Where the server listens, as URLs that clients take."""
        return self.door.addresses

    def connect_memory(self, subprotocol: Subprotocol = "rpc.v1.msgpack") -> MemoryLink:
        """A connection without a socket, from the same process, already authenticated. Any thread may ask for one once
        the server has started.

        Returns:
            The client's end, which belongs to the server's loop.
        """
        return self.connections.connect_memory(subprotocol)

    async def stop(self, grace_s: float | None = None, patience_s: float = STOP_TIMEOUT_S) -> None:
        """Stop listening, give running calls some time, tell the clients, stop the services.

        Parameters:
            grace_s: time for running calls, and for answers that are on a slow way, in seconds; the configuration's
                where not given.
            patience_s: time for each thing that was told to end: cancelled calls, connections, services.
        """
        self.stopping = True
        self.door.close()
        grace_s = self.config.grace_s if grace_s is None else grace_s
        await self.connections.close("the server is stopping", grace_s, patience_s)
        for service in reversed(self._started):
            await stop_service(service, patience_s)
        self._started.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._state_lock is not None:
            os.close(self._state_lock)
            self._state_lock = None

    def join_threads(self, timeout_s: float) -> int:
        """Wait for the threads of handlers that are plain functions, once the server has stopped.

        Parameters:
            timeout_s: for each of them.

        Returns:
            How many go on nevertheless: nothing can stop a thread from outside.
        """
        threads = [thread for thread in threading.enumerate() if thread.name.startswith(self._threads)]
        for thread in threads:
            thread.join(timeout_s)
        return sum(thread.is_alive() for thread in threads)
