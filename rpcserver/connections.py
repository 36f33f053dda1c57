"""The connections of a server, each made of a WebSocket or a link in memory, from its beginning to its end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import count
from typing import Any, Protocol

from rpcserver.config import LimitsConfig, RoleLimits
from rpcserver.memory import NOBODY, Memory, Shares
from rpcserver.quotas import Limits, Quotas
from rpcserver.security.authentication import Authentication, Proof
from rpcserver.security.gate import denial
from rpcserver.security.roles import OPEN_TO_ALL, Role, Roles, takes_less
from rpcserver.security.sessions import METHOD as SESSION
from rpcserver.security.sessions import SessionGrant
from rpcwire.aio.link import FrameReceiver, Link
from rpcwire.aio.memory import MemoryLink
from rpcwire.aio.peer import Peer
from rpcwire.aio.remote import RemoteCaller
from rpcwire.codec import Codec, Subprotocol, codec_for
from rpcwire.context import Connection, Principal
from rpcwire.dispatch import Dispatch
from rpcwire.errors import Busy, InvalidRequest, PermissionDenied, RpcError, Unauthenticated, Unavailable
from rpcwire.limits import LinkLimits, SessionLimits
from rpcwire.logs import about, printable
from rpcwire.pool import Pool
from rpcwire.registry import Offer
from rpcwire.session import Session
from rpcwire.states import SessionState, SessionStep

logger = logging.getLogger("rpcserver.connection")

UNAUTHENTICATED_NODES = 1000
"""The most values, names, arrays and objects in one message before authentication, which needs next to none."""

LEAVE_S = 0.5
"""How long calls may take to end that their caller may make no more, and then the client to close its connection, in
seconds."""

RETRY_AFTER_MS = 1000
"""How long a client should wait when its principal has too many connections, in milliseconds."""

MEMORY_TIMEOUT_S = 10.0
"""How long another thread waits for the server's loop to make a connection in memory, in seconds."""


class AdmittedLink(Link, Protocol):
    """An admitted WebSocket, which is open.

    Attributes:
        principal: who the client is; ``None`` if the handshake does not tell.
        takes_bytes: the largest message that the client accepts, in bytes; ``None`` if it does not tell.
        attempts_address: the address by which wrong tokens are counted.
        address: the address by which connections are counted; ``None`` if they are not, as on a Unix socket.
        origin: the whole address, as networks of tokens are compared with it.
        limits: the limits of the link, which it keeps.
        message_bytes: the largest message of the client, in bytes.
    """

    principal: Principal | None
    takes_bytes: int | None
    limits: LinkLimits

    @property
    def message_bytes(self) -> int:
        """As above."""
        ...

    def certificate(self) -> tuple[Mapping[str, Any], bytes] | None:
        """Return the certificate of the client, which TLS has verified, decoded and in DER; ``None`` for none."""
        ...

    def unix_groups(self) -> Collection[int]:
        """Return the groups of the process at the other end of a Unix socket."""
        ...

    @property
    def remote(self) -> str:
        """The address of the client, for a person."""
        ...

    @property
    def kind(self) -> str:
        """The transport: ``tcp``, ``tls``, ``unix``, ``other`` for that of a plugin, ``node`` for another node of the
        group."""
        ...

    @property
    def attempts_address(self) -> str:
        """As above."""
        ...

    @property
    def address(self) -> str | None:
        """As above."""
        ...

    @property
    def certificate_serial(self) -> int | None:
        """The serial number of the certificate that the client has shown; ``None`` if it has shown none."""
        ...

    @property
    def origin(self) -> str:
        """As above."""
        ...

    def refuse_if_short(self, principal: Principal) -> str | None:
        """Return why a client that has authenticated by a call may not stay; ``None`` if it may.

        Parameters:
            principal: who it is.
        """
        ...

    def attach(self, receiver: FrameReceiver, codec: Codec) -> None:
        """Hand frames to ``receiver`` from now on."""
        ...

    def grant_full_limits(self, shares: Shares, message_bytes: int) -> None:
        """Give the client its full limits, because it has authenticated.

        Parameters:
            shares: count the bytes that the link holds.
            message_bytes: the largest message of the client, in bytes.
        """
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """What has come of a call of ``rpc.authenticate``.

    Attributes:
        principal: who it was.
        grant: the session that has begun; ``None`` for none.
    """

    principal: Principal
    grant: SessionGrant | None


async def _save_nothing() -> None:
    """Do as if there were nothing to write down: the server has not started."""


def _may_go_on(old: Role | None, new: Role | None) -> bool:
    """Return whether a connection may go on with another role. Its largest message is that of the old one."""
    if old is None:
        return new is None or not takes_less(new.limits, RoleLimits())
    return new is not None and new.gives_all_of(old)


def _session_limits(limits: LimitsConfig, opening_violations: int) -> SessionLimits:
    return SessionLimits(
        message_bytes=min(limits.message_bytes, limits.outgoing_bytes),
        unwrapped_bytes=limits.message_bytes,
        batch_items=limits.batch_items,
        calls_in_flight=limits.calls_in_flight,
        streams=limits.streams,
        stream_window=limits.stream_window,
        violations=limits.violations,
        opening_violations=opening_violations,
    )


class Connections(Mapping[Connection, Peer]):
    """The open connections, each with its peer. All methods except :meth:`connect_memory` belong to the thread of the
    event loop.

    Parameters:
        dispatch: decides on every call.
        authentication: finds out who a client is.
        roles: who may do what.
        limits: the limits of each connection.
        opening_violations: how many messages that break the rules a connection may send before it has authenticated.
        executor: runs handlers that are plain functions.
        service_logger: the logger that handlers get with their connection.

    Attributes:
        opened: the number of connections since the start.
        refusals: counts what is refused, by the setting of the limit.
        memory: counts the bytes that the connections hold.
        quotas: counts connections, calls and streams.
        on_authenticated: called when somebody has authenticated on a connection.
        on_end: called when a connection has ended, with the reason.
        save_sessions: writes down sessions that have begun or ended.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        authentication: Authentication,
        roles: Roles,
        limits: LimitsConfig,
        opening_violations: int,
        executor: Pool,
        service_logger: logging.Logger,
    ) -> None:
        self._dispatch = dispatch
        self._authentication = authentication
        self._roles = roles
        self._session_limits = _session_limits(limits, opening_violations)
        self.opened_count = 0
        self._on_closed = self._forget_closed  # The same for all connections.
        self.refusals: Counter[str] = Counter()
        self.memory = Memory(limits, self.refusals)
        self.quotas = Quotas(limits, self.refusals)
        self._limits = limits
        self._limits_by_role: dict[str | None, Limits] = {}
        self._session_limits_of = lru_cache(64)(self._narrow_limits)  # One object for many connections.
        self._recounted_limits_of = lru_cache(64)(self._recount_limits)
        self.on_authenticated: Callable[[Connection], None] = lambda _: None
        self.on_end: Callable[[Connection, str], None] = lambda _connection, _reason: None
        self.save_sessions: Callable[[], Awaitable[None]] = _save_nothing
        self._executor = executor
        self._service_logger = service_logger
        self._numbers = count(1)
        self._context = copy_context()  # One for all: otherwise each connection would keep a copy.
        self._peers: dict[Connection, Peer] = {}
        self._links: dict[Connection, AdmittedLink] = {}
        self._nodes: dict[Connection, str] = {}
        self._leaving: set[Link] = set()
        self._with_own_dispatch: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def __getitem__(self, connection: Connection) -> Peer:
        return self._peers[connection]

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._peers)

    def __len__(self) -> int:
        return len(self._peers)

    def kinds(self) -> Iterator[tuple[str, str, str]]:
        """Yield of each connection the transport (``tcp``, ``tls``, ``unix``, ``memory``, ``node`` or ``other``), the
        form of the wire, and how the client has authenticated (empty if it has not)."""
        for connection, peer in self._peers.items():
            way = "" if connection.principal is None else connection.principal.method
            yield self.transport_of(connection), peer.session.codec.subprotocol, way

    def transport_of(self, connection: Connection) -> str:
        """Return the transport of a connection: ``tcp``, ``tls``, ``unix``, ``memory``, ``node`` or ``other``."""
        link = self._links.get(connection)
        return "memory" if link is None else link.kind

    def note_node(self, connection: Connection, name: str) -> None:
        """Note that a connection leads to another node of the group."""
        if connection in self._peers:
            self._nodes[connection] = name

    def node_of(self, connection: Connection) -> str | None:
        """Return the name of the node that a connection leads to; ``None`` for this one."""
        return self._nodes.get(connection)

    # --- the beginning ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Note the running event loop, to which the connections belong."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def adopt(self, link: AdmittedLink, subprotocol: str | None, dispatch: Dispatch | None = None) -> None:
        """Make a connection of a WebSocket.

        Parameters:
            link: the WebSocket.
            subprotocol: the subprotocol of the handshake; ``None`` for none.
            dispatch: decides on its calls; ``None`` for that of all connections. With one of its own it is expected to
                be short, so that the log does not tell of it.
        """
        is_known = link.principal is not None
        connection, peer = self._connect(link, subprotocol, link.remote, link.takes_bytes, dispatch, is_known=is_known)
        if dispatch is not None:
            self._with_own_dispatch.add(connection)
        self._links[connection] = link
        link.attach(peer, peer.session.codec)
        level = self._level_of(connection)
        if logger.isEnabledFor(level):
            extra = about(link.remote, is_known=is_known)
            form = peer.session.codec.subprotocol
            logger.log(level, "%s %s connected, %s", connection.id, link.remote, form, extra=extra)
        if link.principal is not None:
            self._set_principal(connection, link.principal)

    def _level_of(self, connection: Connection) -> int:
        """Return the level at which the log tells of the beginning and the end of a connection: those that have one
        call each would fill it."""
        return logging.DEBUG if connection in self._with_own_dispatch else logging.INFO

    def connect_memory(self, subprotocol: Subprotocol) -> MemoryLink:
        """Make a connection without a socket, within this process, that has authenticated. Any thread may call this
        after :meth:`start`.

        Returns:
            The client's end, which belongs to the server's loop.
        """
        loop = self._loop
        if loop is not None and threading.get_ident() != self._thread:

            async def on_loop() -> MemoryLink:
                return self.connect_memory(subprotocol)

            return asyncio.run_coroutine_threadsafe(on_loop(), loop).result(MEMORY_TIMEOUT_S)
        server_end, client_end = MemoryLink.pair(self._limits.batch_items, self._limits.message_nodes)
        connection, peer = self._connect(server_end, subprotocol, "memory", None)
        server_end.attach(peer)
        self._set_principal(connection, self._authentication.by_memory())
        return client_end

    def _narrow_limits(self, takes_bytes: int | None, unwrapped_bytes: int | None) -> SessionLimits:
        """The limits of a session whose client takes messages of ``takes_bytes``, and whose own in plain JSON may have
        ``unwrapped_bytes``."""
        limits = self._session_limits
        if takes_bytes is not None and takes_bytes < limits.message_bytes:
            limits = replace(limits, message_bytes=takes_bytes)
        return limits if unwrapped_bytes is None else replace(limits, unwrapped_bytes=unwrapped_bytes)

    def _recount_limits(self, limits: SessionLimits) -> SessionLimits:
        """The limits of a session with the number of calls and streams of today."""
        return replace(limits, calls_in_flight=self._limits.calls_in_flight, streams=self._limits.streams)

    def _connect(
        self,
        link: Link,
        subprotocol: str | None,
        remote: str,
        takes_bytes: int | None,
        dispatch: Dispatch | None = None,
        *,
        is_known: bool = False,
    ) -> tuple[Connection, Peer]:
        codec = codec_for(subprotocol, batch_items=self._limits.batch_items)
        codec.most_nodes = UNAUTHENTICATED_NODES
        unwrapped_bytes = self._limits.incoming_bytes(packed=codec.packed) if codec.wraps else None
        limits = self._session_limits_of(takes_bytes, unwrapped_bytes)
        session = Session(codec, limits=limits, stream_prefix="s", state=SessionState.OPENING)
        if not is_known:  # Else its principal is set at once.
            session.account = self.memory.of_connection(self.memory.join(NOBODY))
        caller = RemoteCaller()
        self.opened_count = next(self._numbers)
        connection = Connection(f"c{self.opened_count}", remote, caller, logger=self._service_logger)
        connection.allowed = OPEN_TO_ALL
        dispatch = dispatch or self._dispatch
        peer = Peer(session, link, dispatch, connection, executor=self._executor, logger=logger)
        caller.bind(peer)
        self._peers[connection] = peer
        # A function with its closure would take twice as much memory for each connection as this.
        peer.closed.add_done_callback(partial(self._on_closed, connection), context=self._context)
        return connection, peer

    def limits_of(self, principal: Principal) -> Limits:
        """Return the limits of the connections of a principal."""
        role = self._roles.of(principal)
        name = None if role is None else role.name
        limits = self._limits_by_role.get(name)
        if limits is None:
            own, place = (RoleLimits(), "") if role is None else (role.limits, f"roles.{role.name}.limits")
            limits = self._limits_by_role[name] = Limits.of(self._limits, own, place)
        return limits

    def refuse(self, link: AdmittedLink) -> str | None:
        """Return why a link whose client has authenticated may not become a connection; ``None`` if it may."""
        if link.principal is None:
            return None
        return self.quotas.refuse(link.principal.name, link.address or "", self.limits_of(link.principal))

    # --- authentication -------------------------------------------------------------------------------------------

    async def authenticate(self, connection: Connection, proof: Proof) -> Admission:
        """Authenticate a connection by the token, the ticket or the session of a call.

        Raises:
            Unauthenticated: it is wrong. After some wrong ones the connection is closed.
            Busy: another attempt of the connection is not over yet, the principal or the address has too many
                connections, or too few open files are left.
            InvalidRequest: it is that of somebody else than the connection belongs to already; or it is a ticket, and
                the connection belongs to somebody.
            Unavailable: the session cannot be written down.
        """
        is_ticket = proof.kind == "ticket"
        if is_ticket and connection.principal is not None:
            text = f"this connection belongs to {connection.principal.name} already: use the ticket on another one"
            raise InvalidRequest(text)
        link = self._links.get(connection)
        address, origin = ("memory", "") if link is None else (link.attempts_address, link.origin)
        try:
            principal = await self._authentication.by_call(connection, proof, address, origin)
        except Unauthenticated:
            peer = self._peers.get(connection)
            if peer is not None and self._authentication.has_ended_attempts(connection):
                # Close after this turn, so that the answer is sent first.
                peer.loop.call_soon(peer.link.close, 1008, "too many wrong tokens")
            raise
        grant: SessionGrant | None = None
        if connection.principal is None and connection in self._peers:  # It may have ended while it waited.
            counted_address = "" if link is None else link.address or ""
            refusal = self.quotas.refuse(principal.name, counted_address, self.limits_of(principal))
            if refusal is not None:
                raise Busy(f"{refusal}: close some", retry_after_ms=RETRY_AFTER_MS)
            if link is not None and (refusal := link.refuse_if_short(principal)) is not None:
                raise Busy(refusal, retry_after_ms=RETRY_AFTER_MS)
            if is_ticket:
                grant = self._authentication.exchange_ticket(proof.text, connection.remote)
                principal = grant.session.principal
            self._set_principal(connection, principal)
        now = connection.principal
        if is_ticket and grant is None:
            raise InvalidRequest("meanwhile this connection has ended, or is somebody's: use the ticket on another one")
        if now is not None and now.name != principal.name:
            # What one principal has opened must not become another one's. SMTP refuses it, too (RFC 4954, section 4).
            text = f"this connection belongs to {now.name} already: make another one for {principal.name}"
            raise InvalidRequest(text)
        if grant is not None:
            await self._write_down(connection, proof, grant)
        return Admission(now or principal, grant)

    async def _write_down(self, connection: Connection, proof: Proof, grant: SessionGrant) -> None:
        """Have a new session written down, before its page is told of it."""
        try:
            await self.save_sessions()
        except OSError as exc:
            logger.error("%s: its session cannot be written: %s", connection.id, exc)  # noqa: TRY400 - an operator's
            self._authentication.take_back(proof.text, grant)
            principal = grant.session.principal
            end = partial(self.end_principals, lambda each: each == principal, "its session cannot be written")
            asyncio.get_running_loop().call_soon(end)  # After this turn, so that the answer is sent first.
            raise Unavailable("the session cannot be written; see the server's log", executed="no") from None
        if connection not in self._peers:
            self._authentication.sessions.revoke(grant.session)  # Nobody has its secret.

    def _set_principal(self, connection: Connection, principal: Principal) -> None:
        connection.identify(principal, self._roles.methods_of(principal))
        peer, shares = self._peers[connection], self.memory.join(principal.name)
        session = peer.session
        peer.handlers.executor = self._executor.share(principal.name)
        if session.account is not None:
            self.memory.leave(NOBODY)
        session.move(SessionStep.AUTHENTICATED)
        session.codec.most_nodes = self._limits.message_nodes
        session.account = self.memory.of_connection(shares)
        link, limits = self._links.get(connection), self.limits_of(principal)
        address = "" if link is None else link.address or ""
        self.quotas.join(session, connection.id, principal.name, address, limits)
        if link is not None:
            incoming_bytes = self._limits.incoming_bytes(packed=session.codec.packed)
            link.grant_full_limits(shares, min(limits.message_bytes, incoming_bytes))
        level = self._level_of(connection)
        if logger.isEnabledFor(level):
            name, method = printable(principal.name), printable(principal.method)
            logger.log(level, "%s is %s by %s", connection.id, name, method, extra=connection.log_extra)
        self.on_authenticated(connection)

    # --- changed limits -------------------------------------------------------------------------------------------

    def change_limits(self, limits: LimitsConfig, opening_violations: int) -> None:
        """Have other limits from now on. Those on numbers and memory hold at once; what both sides have agreed upon at
        the beginning of a connection, such as the size of messages, only for new connections.

        Parameters:
            limits, opening_violations: as of the class.
        """
        self._limits = limits
        self._session_limits = _session_limits(limits, opening_violations)
        self._session_limits_of.cache_clear()
        self._recounted_limits_of.cache_clear()
        self.memory.change(limits, (peer.session.account for peer in self._peers.values()))
        self.quotas.change(limits)
        self.note_roles()

    def note_roles(self) -> None:
        """Give each connection the limits of its role, because roles or limits have changed."""
        self._limits_by_role.clear()
        for connection, peer in self._peers.items():
            peer.session.set_limits(self._recounted_limits_of(peer.session.limits))
            if connection.principal is not None:
                self.quotas.change_connection(peer.session, self.limits_of(connection.principal))

    def message_bytes_of(self, connection: Connection) -> int:
        """Return the largest message that the other side of a connection may send, in bytes."""
        link, principal = self._links.get(connection), connection.principal
        if link is not None and principal is not None:
            return link.message_bytes
        incoming_bytes = self._limits.incoming_bytes(packed=self._peers[connection].session.codec.packed)
        return incoming_bytes if principal is None else min(incoming_bytes, self.limits_of(principal).message_bytes)

    def takes_bytes_of(self, connection: Connection) -> int | None:
        """Return the largest message that the other side of a connection accepts, in bytes; ``None`` if it does not
        tell."""
        link = self._links.get(connection)
        return None if link is None else link.takes_bytes

    def link_of(self, connection: Connection) -> AdmittedLink | None:
        """Return the link of a connection; ``None`` for one in memory."""
        return self._links.get(connection)

    def ping_interval_s_of(self, connection: Connection) -> float | None:
        """Return after which silence a connection gets a ping, in seconds; ``None`` in memory, where there is none."""
        link = self._links.get(connection)
        return None if link is None else link.limits.ping_interval_s

    # --- changed rights -------------------------------------------------------------------------------------------

    def reconsider(self, before: Roles | None = None) -> None:
        """Ask authentication anew who everybody is, because tokens, other credentials or roles have changed.

        - Whoever is nobody any more is disconnected, with the code 1008. All that belongs to the connection ends.
        - Whose role gives all that it gave before goes on, with what the role gives now, and with its limits. So does
          whoever had no role.
        - Whose role gives less, gives it on other conditions, or takes only smaller messages, is disconnected, too,
          because transactions, ports and streams that were opened by the old role would go on. Calls and streams that
          the new role does not give end with PermissionDenied first.

        Parameters:
            before: the roles that held until now; ``None`` if the roles have not changed.
        """
        before = before or self._roles
        self._authentication.sessions.sweep()
        for connection, peer in list(self._peers.items()):
            principal = connection.principal
            if principal is None:
                continue
            now = self._authentication.renew(principal, self._links.get(connection))
            if now is None or now.name != principal.name:
                reason = f"the credentials of {principal.name} are valid no more"
                if principal.method == SESSION:
                    reason = f"the session of {principal.name} has ended"
                self._end(connection, peer, reason)
                continue
            old, new = before.of(principal), self._roles.of(now)
            connection.identify(now, self._roles.methods_of(now))
            self.quotas.change_connection(peer.session, self.limits_of(now))
            if old is not new and not _may_go_on(old, new):
                self._end_after_calls(connection, peer, f"the role of {now.name} has changed: connect again")

    def end(self, chooses: Callable[[AdmittedLink], bool], reason: str) -> None:
        """End the connections of clients who may not use them any more.

        Parameters:
            chooses: returns whether a link belongs to such a client.
            reason: the reason that the clients get.
        """
        for connection in [connection for connection, link in self._links.items() if chooses(link)]:
            self._end(connection, self._peers[connection], reason)

    def end_principals(self, chooses: Callable[[Principal], bool], reason: str) -> None:
        """End the connections of principals who may not use them any more.

        Parameters:
            chooses: returns whether somebody is such a principal.
            reason: the reason that the clients get.
        """
        for connection, peer in list(self._peers.items()):
            if connection.principal is not None and chooses(connection.principal):
                self._end(connection, peer, reason)

    def _end_after_calls(self, connection: Connection, peer: Peer, reason: str) -> None:
        """Stop what the caller may do no more, and end the connection when that is answered."""
        principal, methods = connection.principal, connection.allowed
        assert principal is not None

        def refuse(offer: Offer) -> RpcError | None:
            if offer.name in methods:
                return None
            error = denial(self._roles, principal, offer.spec.permission, f"call {offer.name} any more")
            return PermissionDenied(error.message, executed="yes")

        tasks = peer.handlers.stop_refused(refuse)

        async def leave() -> None:
            if tasks:
                await asyncio.wait(tasks, timeout=LEAVE_S)
            if connection in self._peers:
                self._end(connection, peer, reason)

        self._keep(leave())

    def _end(self, connection: Connection, peer: Peer, reason: str) -> None:
        """End a connection now, even if its client does not close it."""
        reason = printable(reason, 120)
        logger.warning("%s %s is disconnected: %s", connection.id, connection.remote, reason)
        self._leaving.add(peer.link)
        peer.end(1008, reason)
        peer.loop.call_later(LEAVE_S, self._abort, peer.link)

    def _abort(self, link: Link) -> None:
        self._leaving.discard(link)
        link.abort()

    # --- the end ----------------------------------------------------------------------------------------------

    def _forget_closed(self, connection: Connection, closed: asyncio.Future[str]) -> None:
        self._forget(connection, closed.result())

    def _forget(self, connection: Connection, reason: str) -> None:
        peer = self._peers.pop(connection, None)
        if peer is not None:
            self.quotas.leave(peer.session)
        self._links.pop(connection, None)
        self._nodes.pop(connection, None)
        self._authentication.forget(connection)
        self.memory.leave(NOBODY if connection.principal is None else connection.principal.name)
        level, remote = self._level_of(connection), connection.remote
        self._with_own_dispatch.discard(connection)
        if logger.isEnabledFor(level):
            text = printable(reason)
            logger.log(level, "%s %s disconnected: %s", connection.id, remote, text, extra=connection.log_extra)
        self.on_end(connection, reason)

    def drain(self, link: AdmittedLink, reason: str, grace_s: float, patience_s: float) -> None:
        """Let the running calls of a connection end, and close it then.

        Parameters:
            link: the link of the connection.
            reason: the reason that the client gets.
            grace_s: the time for running calls, in seconds.
            patience_s: the time for cancelled calls to end, in seconds.
        """
        for connection in [connection for connection, each in self._links.items() if each is link]:
            self._keep(self._drain(connection, self._peers[connection], reason, grace_s, patience_s))

    async def _drain(self, connection: Connection, peer: Peer, reason: str, grace_s: float, patience_s: float) -> None:
        await peer.drain(grace_s, patience_s)
        if connection in self._peers:
            peer.link.close(1001, reason)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(
        self, reason: str, grace_s: float, patience_s: float, besides: Coroutine[Any, Any, None] | None = None
    ) -> None:
        """Let running calls end, and close all connections.

        Parameters:
            reason: the reason that the clients get.
            grace_s: the time for running calls, and for their answers on a slow network, in seconds.
            patience_s: the time for cancelled calls to end, and for connections to close, in seconds.
            besides: what must end, too, before connections are closed.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        for link in list(self._leaving):
            self._abort(link)
        peers = list(self._peers.values())
        drains: list[Coroutine[Any, Any, None]] = [peer.drain(grace_s, patience_s) for peer in peers]
        await asyncio.gather(*drains, *([] if besides is None else [besides]))
        for peer in peers:
            peer.link.close(1001, reason)
        waiting = [asyncio.ensure_future(peer.wait_closed()) for peer in peers]
        if waiting:
            # Answers may be on their way: each link waits as long as the client reads them.
            _, late = await asyncio.wait(waiting, timeout=max(until - loop.time(), 0.0) + patience_s)
            for peer in list(self._peers.values()):
                peer.link.abort()
            for task in late:
                task.cancel()
