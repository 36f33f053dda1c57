"""The server: services, listeners and connections under one life."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from rpcserver.door.accepting import Listener
from rpcserver.door.admission import Refusal, bearer_token, canonical_origin
from rpcserver.door.asking import Asked
from rpcserver.door.forwarding import Proxies
from rpcserver.door.hosts import canonical
from rpcserver.door.link import ServerLink
from rpcserver.door.pages import Pages, pages_of
from rpcserver.door.tls import tls_context
from rpcserver.door.waiting import GIVE_WAY_TOGETHER, WaitingRoom
from rpcserver.plugins.openrpc import document
from rpcserver.security.tokens import TokenStore
from rpcwire.aio.memory import MemoryLink
from rpcwire.aio.peer import Peer
from rpcwire.aio.remote import RemoteCaller
from rpcwire.codec import Subprotocol, codec_for
from rpcwire.context import Connection, Principal
from rpcwire.dispatch import Dispatch
from rpcwire.errors import RpcError, Unauthenticated
from rpcwire.limits import LinkLimits, SessionLimits
from rpcwire.outcomes import Observer
from rpcwire.pool import Pool
from rpcwire.registry import Offer, Registry
from rpcwire.service import Service, ServiceConfigError, ServiceRuntime
from rpcwire.session import Session
from rpcwire.states import SessionState, SessionStep

from .config import ConfigError, ServerConfig
from .door import listeners
from .state import lock_state
from .system import ANYBODY, Hello, PrincipalInfo, ServerLimits, System

logger = logging.getLogger("rpcserver")
connections_logger = logging.getLogger("rpcserver.connection")

_POOLS = count(1)
"""Numbers the pools of threads, so that servers in one process tell theirs apart."""

STOPPING = Refusal(503, "the server is stopping")

STOP_TIMEOUT_S = 5.0
"""How long a service may take to stop before the server goes on without it."""

MEMORY_TIMEOUT_S = 10.0
"""How long another thread waits for the server's loop to make a connection in memory."""


class Server:
    """Offers services over WebSocket.

    Parameters:
        config: the configuration.
        services: instances of what is offered.
        token: opens the TCP port.
        observers: are told what came of each call, from any connection.

    Raises:
        TypeError: two services have one name, a method cannot be offered, or an observer is no plain function.

    Attributes:
        registry: everything that is offered.
        dispatch: the way of every call.
        connections: the peers of all connections, by connection.
    """

    def __init__(
        self,
        config: ServerConfig,
        services: Iterable[Service[Any]],
        *,
        token: str,
        observers: Iterable[Observer] = (),
    ) -> None:
        self.config = config
        self.services = list(services)
        self.tokens = TokenStore(token)
        self.owner_uid = os.geteuid()
        self.registry = Registry(logger)
        self.registry.add(System(self), reserved=True)
        for service in self.services:
            self.registry.add(service)
        self.dispatch = Dispatch(self.registry, gate, observers, logger=connections_logger)
        self.version = version("remote-services")
        self.openrpc = document(self.registry, title="rpcserver", version=self.version)
        self.waiting = WaitingRoom(config.auth)
        self.pages = Pages(
            lambda: {s.name: s for s in self.services},
            lambda: self.stopping,
            pages_of(self.services),
            self._known,
            config.listen.path_prefix,
        )
        self.connections: dict[Connection, Peer] = {}
        self.stopping = False
        self.allowed_origins = frozenset(canonical_origin(origin) for origin in config.listen.allowed_origins)
        self.allowed_hosts = frozenset(canonical(host) for host in (config.listen.host, *config.listen.allowed_hosts))
        self.proxies = Proxies(config.listen)
        self._warned_of_proxy = False
        self._links: dict[ServerLink, Connection] = {}
        self._wrong_tokens: dict[Connection, int] = {}
        self._numbers = count(1)
        self._threads = f"rpc-handler-{next(_POOLS)}_"
        self._executor = Pool(config.limits.threads, self._threads[:-1])
        self._listeners: list[Listener] = []
        self._started: list[Service[Any]] = []
        self._unix_path: Path | None = None
        self._state_lock: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._session_limits = SessionLimits(
            message_bytes=min(config.limits.message_bytes, config.limits.outgoing_bytes),
            batch_items=config.limits.batch_items,
            calls_in_flight=config.limits.calls_in_flight,
            streams=config.limits.streams,
            stream_window=config.limits.stream_window,
        )
        self._link_limits = LinkLimits(
            ping_interval_s=config.keepalive.ping_interval_s,
            ping_timeout_s=config.keepalive.ping_timeout_s,
            outgoing_bytes=config.limits.outgoing_bytes,
            stall_s=config.limits.stall_s,
        )

    # --- its life -----------------------------------------------------------------------------------------------

    async def start(self, *, listen: bool = True) -> None:
        """Take the state folder, start the services, then listen.

        Parameters:
            listen: open the sockets of the configuration; without, only :meth:`connect_memory` reaches the server.

        Raises:
            ConfigError: another server uses the state folder, or an address cannot be used; the message says why and
                what to do.
            Exception: whatever a service raises that cannot start; those already started are stopped.
        """
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        try:
            self._state_lock = lock_state(self.config.state_path)
            for service in self.services:
                await self._start_service(service)
            if listen:
                await self._listen()
        except BaseException:
            await self.stop(grace_s=0)
            raise

    async def _start_service(self, service: Service[Any]) -> None:
        folder = self.config.state_path / "services" / service.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        logger = logging.getLogger(f"rpcserver.services.{service.name}")
        service.runtime = ServiceRuntime(folder, logger, self.config.limits.message_bytes, self.dispatch.observe)
        try:
            await service.start()
        except ServiceConfigError as exc:
            raise ConfigError(f"services.{service.name}.{exc}") from exc
        self._started.append(service)

    async def _listen(self) -> None:
        config = self.config
        listeners.check_proxies(config.listen)
        if config.listen.tcp:
            context = tls_context(config.tls)
            endpoint = listeners.resolve(config.listen.host, config.listen.port)
            listeners.check_exposure(config.listen.host, endpoint, has_tls=context is not None)
            self._accept_from(listeners.bind_tcp(endpoint), context)
        if (path := config.unix_path) is not None:
            self._accept_from(listeners.bind_unix(path))
            self._unix_path = path
        if not self._listeners:
            raise ConfigError("listen: neither TCP nor a Unix socket is on: set listen.tcp or listen.unix")

    def _accept_from(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        def accepted(accepted_sock: socket.socket, peer: Any) -> None:
            ServerLink(self, self._link_limits, accepted_sock, peer).begin(accepted_sock, tls)

        make_room = partial(self.waiting.make_room, GIVE_WAY_TOGETHER)
        self._listeners.append(Listener(sock, tls, accepted, make_room))

    @property
    def addresses(self) -> list[str]:
        """Where the server listens, as URLs that clients take."""
        found = []
        for listener in self._listeners:
            address = listener.sock.getsockname()
            if listener.sock.family == socket.AF_UNIX:
                found.append(f"unix://{address}")
            else:
                scheme = "ws" if listener.tls is None else "wss"
                host, port = address[:2]
                path = f"{self.config.listen.path_prefix}/" if self.config.listen.path_prefix else ""
                found.append(f"{scheme}://[{host}]:{port}{path}" if ":" in host else f"{scheme}://{host}:{port}{path}")
        return found

    async def stop(self, grace_s: float | None = None, patience_s: float = STOP_TIMEOUT_S) -> None:
        """Stop listening, give running calls some time, tell the clients, stop the services.

        Parameters:
            grace_s: time for running calls, and for answers that are on a slow way, in seconds; the configuration's
                where not given.
            patience_s: time for each thing that was told to end: cancelled calls, connections, services.
        """
        self.stopping = True
        loop = asyncio.get_running_loop()
        grace_s = self.config.grace_s if grace_s is None else grace_s
        until = loop.time() + grace_s
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if self._unix_path is not None:
            self._unix_path.unlink(missing_ok=True)
            self._unix_path = None
        for arrival in self.waiting:
            if arrival not in self._links:
                arrival.dismiss(STOPPING)
        peers = list(self.connections.values())
        await asyncio.gather(*(peer.drain(grace_s, patience_s) for peer in peers))
        for peer in peers:
            peer.link.close(1001, "the server is stopping")
        waiting = [asyncio.ensure_future(peer.wait_closed()) for peer in peers]
        if waiting:
            # What was answered may be on its way: each link waits while that is taken, and no longer.
            _, late = await asyncio.wait(waiting, timeout=max(until - loop.time(), 0.0) + patience_s)
            for peer in list(self.connections.values()):
                peer.link.abort()
            for task in late:
                task.cancel()
        for service in reversed(self._started):
            try:
                await asyncio.wait_for(service.stop(), patience_s)
            except Exception:
                logger.exception("the service %s did not stop cleanly", service.name)
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

    # --- connections --------------------------------------------------------------------------------------------

    def full(self) -> Refusal | None:
        """Why no further connection can be taken, if so."""
        if self.stopping:
            return STOPPING
        if len(self._links) >= self.config.limits.connections:
            return Refusal(503, "too many connections: try again later, or raise limits.connections")
        return None

    def adopt(self, link: ServerLink, subprotocol: str | None) -> None:
        """A WebSocket is open: make it a connection."""
        connection = self._connect(link, subprotocol, link.remote, link.takes_bytes)
        peer = self.connections[connection]
        self._links[link] = connection
        link.attach(peer, peer.session.codec)
        connections_logger.info("%s %s connected, %s", connection.id, link.remote, peer.session.codec.subprotocol)
        if link.principal is not None:
            self._authenticated(connection, link.principal)

    def connect_memory(self, subprotocol: Subprotocol = "rpc.v1.msgpack") -> MemoryLink:
        """A connection without a socket, from the same process, already authenticated. Any thread may ask for one once
        the server has started.

        Returns:
            The client's end, which belongs to the server's loop.
        """
        loop = self._loop
        if loop is not None and threading.get_ident() != self._thread:

            async def on_loop() -> MemoryLink:
                return self.connect_memory(subprotocol)

            return asyncio.run_coroutine_threadsafe(on_loop(), loop).result(MEMORY_TIMEOUT_S)
        own, other = MemoryLink.pair(self.config.limits.batch_items)
        connection = self._connect(own, subprotocol, "memory")
        own.attach(self.connections[connection])
        self._authenticated(connection, Principal("memory", "memory", self.owner_uid))
        return other

    def _connect(self, link: Any, subprotocol: str | None, remote: str, takes_bytes: int | None = None) -> Connection:
        codec = codec_for(subprotocol, batch_items=self.config.limits.batch_items)
        limits = self._session_limits
        if takes_bytes is not None and takes_bytes < limits.message_bytes:
            limits = replace(limits, message_bytes=takes_bytes)
        session = Session(codec, limits=limits, stream_prefix="s", state=SessionState.OPENING)
        caller = RemoteCaller()
        connection = Connection(f"c{next(self._numbers)}", remote, caller, logger=logger)
        peer = Peer(
            session,
            link,
            self.dispatch,
            connection,
            executor=self._executor,
            logger=connections_logger,
        )
        caller.bind(peer)
        self.connections[connection] = peer
        peer.closed.add_done_callback(lambda done: self._ended(connection, done.result()))
        return connection

    def _ended(self, connection: Connection, reason: str) -> None:
        self.connections.pop(connection, None)
        self._wrong_tokens.pop(connection, None)
        connections_logger.info("%s %s disconnected: %s", connection.id, connection.remote, reason)

    def warn_of_proxy(self, link: ServerLink, headers: str) -> None:
        """A proxy has come by the Unix socket, where the user at the other end counts. It is told once."""
        if not self._warned_of_proxy:
            self._warned_of_proxy = True
            connections_logger.warning(
                "%s is a reverse proxy (it sends %s): whoever comes through it needs a token. Set "
                "listen.unix_peer_credentials = false, since a request without these headers would pass for your own",
                link.remote,
                headers,
            )

    def forget(self, link: ServerLink) -> None:
        """A socket is closed."""
        self._links.pop(link, None)

    # --- who is there -------------------------------------------------------------------------------------------

    def authenticate(self, connection: Connection, token: str) -> Principal:
        """Take a token.

        Raises:
            Unauthenticated: it is wrong.
        """
        principal = self.tokens.principal(token)
        if principal is None:
            self._refuse_token(connection)
            raise Unauthenticated("token: wrong; the server's token is in its token file")
        if connection.principal is None:
            self._authenticated(connection, principal)
        return principal

    def _known(self, asked: Asked) -> bool:
        """Whether a plain HTTP request comes with a valid token."""
        token = bearer_token(asked.headers)
        return isinstance(token, str) and self.tokens.principal(token) is not None

    def _refuse_token(self, connection: Connection) -> None:
        wrong = self._wrong_tokens.get(connection, 0) + 1
        self._wrong_tokens[connection] = wrong
        connections_logger.warning("%s %s: wrong token (%d)", connection.id, connection.remote, wrong)
        if wrong >= self.config.auth.attempts:
            peer = self.connections[connection]
            # After this turn, so that the answer goes out first.
            peer.loop.call_soon(peer.link.close, 1008, "too many wrong tokens")

    def _authenticated(self, connection: Connection, principal: Principal) -> None:
        peer = self.connections[connection]
        connection.principal = principal
        peer.session.move(SessionStep.AUTHENTICATED)
        if isinstance(peer.link, ServerLink):
            peer.link.authenticated()
        connections_logger.info("%s is %s by %s", connection.id, principal.name, principal.method)

    def hello(self, connection: Connection) -> Hello:
        """What ``rpc.hello`` answers."""
        peer, principal, limits = self.connections[connection], connection.principal, self.config.limits
        return Hello(
            server=f"rpcserver/{self.version}",
            subprotocol=peer.session.codec.subprotocol,
            principal=None if principal is None else PrincipalInfo(name=principal.name, method=principal.method),
            limits=ServerLimits(
                message_bytes=limits.message_bytes,
                batch_items=limits.batch_items,
                calls_in_flight=limits.calls_in_flight,
                streams=limits.streams,
            ),
            ping_interval_s=self.config.keepalive.ping_interval_s,
        )


def gate(connection: Connection, method: str, _: Offer | None) -> RpcError | None:
    """The one gate before every call and notification."""
    if connection.principal is not None:
        return None
    if method in ANYBODY:
        return None
    return Unauthenticated(
        'authenticate first: call rpc.authenticate {"token": ...}, or send Authorization: Bearer with the handshake '
        "(rpcclient takes a token from token=, RPC_TOKEN or RPC_TOKEN_FILE)"
    )
