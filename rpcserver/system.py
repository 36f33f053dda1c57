"""The reserved methods that are ordinary calls: ``rpc.hello``, ``rpc.authenticate``, ``rpc.ping``, ``rpc.discover``
and ``rpc.services``. They are a service like any other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rpcserver.events.exchange import EventNews
from rpcserver.events.messages import MOST_NAMES
from rpcserver.group.asking_clients import CallPolicy, CallTarget, call_group, read_target
from rpcserver.group.gateway import NodeConnection, lead_to
from rpcserver.group.leases import LeaseGrant, LeaseRequest
from rpcserver.group.nodes import NodeInfo, NodesEvent, describe_members, watch_members
from rpcserver.reload.report import ReloadFailed, ReloadReport
from rpcserver.security.authentication import Authentication, Proof, ProofKind
from rpcserver.security.roles import Roles
from rpcwire.context import Context, Principal
from rpcwire.errors import InvalidParams, PermissionDenied, Unavailable
from rpcwire.group.leases import (
    MOST_WAIT_S,
    LeaseHeld,
    LeaseId,
    LeaseLost,
    LeaseName,
    LeaseScope,
    LeaseTtl,
)
from rpcwire.group.nodes import NodeAmbiguous, NodeNotFound, NoNodes
from rpcwire.limits import METHOD_MESSAGE_BYTES
from rpcwire.logs import printable
from rpcwire.publishing import BUFFER_ITEMS, BufferItems, EventPolicy
from rpcwire.reading import summary_of
from rpcwire.registry import Registry
from rpcwire.secret import Secret
from rpcwire.service import Health, Page, Service, method
from rpcwire.values.encoded import EncodedObject

from .activity import (
    CircuitUse,
    ConnectionInfo,
    Refusals,
    RunningCall,
    ServiceFigure,
    list_connections,
    list_running,
)
from .config import ServerConfig
from .connections import Connections
from .group_side import GroupSide
from .health import TIMEOUT_S, figures_of
from .sessions import SessionInfo, SessionSecret, TicketInfo, is_by, list_sessions
from .stalls import StallProbe

_MEMORY = {"calls": "calls and streams", "arriving": "arriving messages", "outgoing": "output"}
"""The purposes of memory, for a person."""


AUDIT_PAGE = "/metrics/audit"
"""The page with the state of the audit log."""

METRICS_PAGE = "/metrics"
"""The page with the figures of the server, and of services."""

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
"""The type of both."""


SESSIONS = "rpc.sessions"
"""The permission for the sessions of others."""

CONNECT_NODE_S = 5.0
"""How long it may take to connect to another node, in seconds."""

LEASE_GRACE_S = 60.0
"""How much longer the answer about a lease may take than the caller wants to wait for it, in seconds."""

RELOAD_S = 300.0
"""How long a reload may take if the caller says nothing, in seconds."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class PrincipalInfo(_Answer):
    """Who the server takes the caller for."""

    name: Annotated[str, Field(description="A stable name, such as owner or the name of a token.")]
    method: Annotated[str, Field(description="How it was established: token, session, certificate, peer or memory.")]
    role: Annotated[str | None, Field(description="The role, which says what the caller may do; null for none.")]


class Identity(PrincipalInfo):
    """Who the server takes the caller for, and by which session."""

    session: Annotated[SessionSecret | None, Field(description="The session; null for a token.")]


class ServerLimits(_Answer):
    """What one connection may ask for."""

    message_bytes: Annotated[int, Field(description="Largest message of the caller in this form, in bytes.")]
    message_nodes: Annotated[int, Field(description="Most values, names, arrays and objects in one message.")]
    batch_items: int
    calls_in_flight: int
    streams: int


class Hello(_Answer):
    """What a client may want to know first."""

    server: Annotated[str, Field(description="Name of the program; with its version after authentication.")]
    subprotocol: Annotated[str, Field(description="The form of the wire in use.")]
    principal: Annotated[PrincipalInfo | None, Field(description="Who is calling; null before authentication.")]
    limits: ServerLimits
    ping_interval_s: Annotated[float, Field(description="Silence after which the server pings, in seconds.")]
    has_group: Annotated[bool, Field(description="Whether it is a node of a group; false before authentication.")]


class LimitUse(_Answer):
    """One limit, and its present use."""

    scope: Annotated[str, Field(description="server, role, method, principal, address or connection.")]
    holder: Annotated[
        str, Field(description="The name of the role, method or principal, the address, or the connection's id.")
    ]
    what: Annotated[str, Field(description="The thing that is limited, such as calls in flight.")]
    used: Annotated[float | None, Field(description="The number now; null for limits of one message.")]
    most: Annotated[float | None, Field(description="The most at one time; null if nobody counts it.")]
    limit: float
    setting: Annotated[str, Field(description="The setting that says so.")]


class ServiceCondition(_Answer):
    """How a service is."""

    name: str
    phase: Annotated[str, Field(description="starting, running, down or stopped; one that is down is started again.")]
    reason: Annotated[str, Field(description="Why it does not run; empty if it runs.")]
    failures: Annotated[int, Field(description="How often it has failed since the server started.")]
    next_start_s: Annotated[
        float | None, Field(description="Time until it is started again, in seconds; null if that is not planned.")
    ]
    essential: Annotated[bool, Field(description="Whether the server is ready only with it.")]


class Status(_Answer):
    """How the server is."""

    version: str
    uptime_s: Annotated[float, Field(description="Time since the server was made, in seconds.")]
    connections: Annotated[int, Field(description="WebSockets that are open, authenticated or not.")]
    longest_stall_s: Annotated[
        float, Field(description="Longest time since the start in which the server answered nobody, in seconds.")
    ]
    wrong_attempts: Annotated[int, Field(description="Wrong attempts to authenticate since the start.")]
    services: list[ServiceCondition]


class ServiceHealth(_Answer):
    """Whether a service can work."""

    name: str
    ok: bool
    reason: Annotated[str, Field(description="Why it cannot; empty if it can.")]
    details: Annotated[str, Field(description="More about it, such as which part of it cannot; may be empty.")]


class Activity(Status):
    """What the server does at the moment."""

    health: list[ServiceHealth]
    connected: Annotated[list[ConnectionInfo], Field(description="Who is connected, without the one who asks.")]
    running: Annotated[list[RunningCall], Field(description="Calls, notifications and streams that have not ended.")]
    waiting: Annotated[dict[str, int], Field(description="Connections that have not authenticated, by their state.")]
    refused: Annotated[list[Refusals], Field(description="What was refused for limits since the start.")]
    circuits: Annotated[list[CircuitUse], Field(description="Connections with other nodes of the group.")]
    circuit_ends: Annotated[dict[str, int], Field(description="Those that have ended since the start, by the reason.")]
    figures: Annotated[list[ServiceFigure], Field(description="Numbers that services tell of themselves.")]


class MethodInfo(_Answer):
    """One method, in short. ``rpc.discover`` has all of it."""

    name: str
    summary: str
    signature: str
    permission: str
    kind: str
    streams: Annotated[bool, Field(description="Whether it answers with a stream.")]
    is_event: Annotated[bool, Field(description="Whether that is the stream of an event that the service publishes.")]
    deadline_s: float


class ServiceInfo(_Answer):
    """One service, in short."""

    name: str
    summary: str
    methods: list[MethodInfo]


@dataclass(frozen=True, slots=True)
class SystemParts:
    """The parts of a server that the protocol's own methods tell of.

    Attributes:
        registry: all methods that the server offers.
        connections: the connections of the server.
        roles: who may do what.
        settings: returns the server's configuration, as it is now.
        version: the version of the server.
        openrpc: returns the OpenRPC document of all methods.
        stalls: measures how long the event loop answers nobody.
        authentication: finds out who a client is.
        show_audit: returns the state of the audit log as text for Prometheus.
        show_metrics: returns the figures of the server as text for Prometheus.
        ask_health: asks each service for its health, with a time limit in seconds, and returns it by its name.
        running: the services that run now.
        count_waiting: returns the number of connections that have not authenticated, by their state.
        conditions: returns how all services are.
        group: makes the server a node of its group.
        list_pages: returns the addresses of the console.
        reconsider: asks anew who everybody is.
    """

    registry: Registry
    connections: Connections
    roles: Roles
    settings: Callable[[], ServerConfig]
    version: str
    openrpc: Callable[[], Awaitable[dict[str, Any]]]
    stalls: StallProbe
    authentication: Authentication
    show_audit: Callable[[], str]
    show_metrics: Callable[[], Awaitable[str]]
    ask_health: Callable[[float], Awaitable[Mapping[str, tuple[Health, bool]]]]
    running: Sequence[Service[Any]]
    count_waiting: Callable[[], dict[str, int]]
    conditions: Callable[[], list[ServiceCondition]]
    group: GroupSide
    list_pages: Callable[[], list[str]]
    reconsider: Callable[[], None]


class System(Service):
    """The protocol's own methods.

    Parameters:
        parts: what it tells of.

    Attributes:
        reloader: reads the configuration anew, and has the server use it; ``None`` if that cannot be done.
    """

    name = "rpc"
    permissions: ClassVar[Mapping[str, str]] = {
        "rpc.limits": "see all limits, and who uses how much",
        "rpc.status": "see how the server is",
        "rpc.activity": "see who is connected, and what runs",
        "rpc.metrics": f"read the figures of the server on the page {METRICS_PAGE}",
        "rpc.connect_node": "reach other nodes of the group through this one",
        "rpc.reload": "have the server read its configuration anew",
        "rpc.lease": "hold leases of the group",
        "rpc.nodes": "see which nodes belong to the group, and how they are; and call methods on many of them",
        "rpc.follow": "follow events of this node and of others, each of which decides about its own",
        SESSIONS: "see and revoke the sessions of all principals, and not only one's own",
        "rpc.audit": f"read the page {AUDIT_PAGE}, with the state of the audit log",
    }

    def __init__(self, parts: SystemParts) -> None:
        super().__init__()
        self._parts = parts
        self._began = time.monotonic()
        settings = parts.settings()
        self._has_audit = settings.audit.enabled
        self._has_metrics = settings.metrics.enabled
        self.reloader: Callable[[], Awaitable[ReloadReport]] | None = None

    def http_pages(self) -> Mapping[str, Page]:
        """Return the pages with the figures of the server, and with the state of the audit log, if they are kept."""

        async def show_audit() -> str:
            return self._parts.show_audit()

        pages: dict[str, Page] = {}
        if self._has_metrics:
            pages[METRICS_PAGE] = Page(self._parts.show_metrics, _PROMETHEUS, permission="rpc.metrics")
        if self._has_audit:
            pages[AUDIT_PAGE] = Page(show_audit, _PROMETHEUS, permission="rpc.audit")
        return pages

    @method(kind="read")
    async def hello(self, ctx: Context) -> Hello:
        """Say who you are talking to, in which form, and within which limits."""
        connection, limits = ctx.connection, self._parts.settings().limits
        principal, session = connection.principal, self._parts.connections[connection].session
        codec = session.codec
        own = None if principal is None else self._parts.connections.limits_of(principal)
        interval_s = self._parts.connections.ping_interval_s_of(connection)
        return Hello(
            server="rpcserver" if principal is None else f"rpcserver/{self._parts.version}",
            subprotocol=codec.subprotocol,
            principal=None if principal is None else self._describe(principal),
            limits=ServerLimits(
                message_bytes=self._parts.connections.message_bytes_of(connection),
                message_nodes=limits.message_nodes if own is None else codec.most_nodes,
                batch_items=session.limits.batch_items,
                calls_in_flight=limits.calls_in_flight if own is None else own.calls_in_flight,
                streams=limits.streams if own is None else own.streams,
            ),
            ping_interval_s=self._parts.settings().keepalive.ping_interval_s if interval_s is None else interval_s,
            has_group=principal is not None and self._parts.group.use() is not None,
        )

    @method(kind="idempotent", group=False)
    async def authenticate(
        self,
        ctx: Context,
        token: Annotated[str | None, Secret()] = None,
        ticket: Annotated[str | None, Secret()] = None,
        session: Annotated[str | None, Secret()] = None,
    ) -> Identity:
        """Prove who is calling, where the handshake could not (a browser sends no Authorization header).

        Parameters:
            token: the owner's token, or a named one.
            ticket: a ticket, which begins a session. It is good once.
            session: the secret of a session that has begun before.

        Raises:
            Unauthenticated: the token is wrong. After some of them the connection is closed. After some of one address
                the answer comes later, by up to a second.
            TicketUnknown, TicketUsed, TicketExpired, SessionUnknown, SessionEnded: the same of a ticket or a session.
            Busy: another attempt of the connection is not over yet, or there is no room for the connection.
            InvalidRequest: the connection belongs to somebody else already, or to anybody if it is a ticket.
            InvalidParams: it is none of them, or several.
        """
        texts: dict[ProofKind, str | None] = {"token": token, "ticket": ticket, "session": session}
        proofs = [Proof(kind, text) for kind, text in texts.items() if text is not None]
        if len(proofs) != 1:
            raise InvalidParams("give exactly one of token, ticket and session")
        admission = await self._parts.connections.authenticate(ctx.connection, proofs[0])
        sessions, grant = self._parts.authentication.sessions, admission.grant
        current = sessions.get(admission.principal.credential) if grant is None else grant.session
        own = None
        if current is not None and is_by(admission.principal, current):
            own = SessionSecret(
                id=current.id,
                secret=None if grant is None else grant.secret,
                expires_in_s=round(sessions.end_of(current) - time.time(), 3),
            )
        return Identity(**dict(self._describe(admission.principal)), session=own)

    @method(group=False)
    async def create_ticket(self, ctx: Context) -> TicketInfo:
        """Make a ticket, by which one web page can sign in once as the caller, with the caller's role.

        Raises:
            InvalidRequest: the caller comes by a certificate, or through another node.
            Unavailable: the settings allow no sessions.
            Busy: too many tickets of the caller wait to be used.
        """
        principal, link = ctx.principal, self._parts.connections.link_of(ctx.connection)
        ticket, ttl_s = self._parts.authentication.create_ticket(principal, link)
        return TicketInfo(ticket=ticket, expires_in_s=ttl_s, urls=self._parts.list_pages())

    @method(kind="read")
    async def list_permissions(self, ctx: Context) -> list[str]:
        """List the permissions that the caller's role gives, sorted. The conditions of the role may say more."""
        role = self._parts.roles.of(ctx.principal)
        return [] if role is None else sorted(role.permissions)

    @method(kind="read")
    async def list_sessions(self, ctx: Context) -> list[SessionInfo]:
        """List the sessions of the caller that have not ended; with the permission rpc.sessions those of everybody."""
        parts = self._parts
        of_all = self._may_see_all(ctx.principal)
        return list(list_sessions(parts.authentication.sessions, parts.connections, ctx.principal, of_all=of_all))

    @method(kind="idempotent")
    async def revoke_session(self, session_id: str, ctx: Context) -> bool:
        """End a session of the caller, and the connections by it; with the permission rpc.sessions that of anybody.

        Parameters:
            session_id: the id of the session, as `rpc.list_sessions` tells it.

        Returns:
            Whether there was such a session.

        Raises:
            PermissionDenied: it is the session of somebody else.
            Unavailable: the end of the session cannot be written down. It has ended, but would come back at a restart.
        """
        sessions = self._parts.authentication.sessions
        session = sessions.get(session_id)
        if session is None:
            return False
        if session.maker.name != ctx.principal.name and not self._may_see_all(ctx.principal):
            raise PermissionDenied(
                f"{ctx.principal.name} may not revoke a session of somebody else: have the operator add "
                f'"{SESSIONS}" to the permissions of a role'
            )
        sessions.revoke(session)
        try:
            await self._parts.connections.save_sessions()
        except OSError:
            raise Unavailable("the end of the session cannot be written; see the server's log") from None
        finally:
            # After this turn, so that somebody who ends the own session gets the answer first.
            asyncio.get_running_loop().call_soon(self._parts.reconsider)
        return True

    def _may_see_all(self, principal: Principal) -> bool:
        role = self._parts.roles.of(principal)
        return role is not None and SESSIONS in role.permissions

    def _describe(self, principal: Principal) -> PrincipalInfo:
        role = self._parts.roles.of(principal)
        return PrincipalInfo(name=principal.name, method=principal.method, role=None if role is None else role.name)

    @method(permission="rpc.connect_node", deadline_s=CONNECT_NODE_S, errors=(NodeNotFound, NodeAmbiguous), group=False)
    async def connect_node(self, node: str, ctx: Context) -> NodeConnection:
        """Turn this connection into one with another node of the group: whatever is sent after the answer goes there,
        and comes from there. It must be the only call of its connection. `client.node(NAME)` uses it.

        Parameters:
            node: the name or the id of the node.

        Raises:
            NodeNotFound, NodeAmbiguous: there is no node of that name, or there are several.
            Unavailable: the node is not there, or cannot be reached.
            PermissionDenied: the node takes no clients from this one.
            Busy: there is no room for a further circuit, here or there.
            InvalidRequest: the connection is in use.
        """
        circuits = self._parts.group.circuits
        if circuits is None:
            raise Unavailable("the server is starting: try again", executed="no")
        connections = self._parts.connections
        peer, takes_bytes = connections[ctx.connection], connections.takes_bytes_of(ctx.connection)
        answer = await lead_to(circuits, peer, node, takes_bytes, min(ctx.remaining_s(), CONNECT_NODE_S))
        if not answer.is_here:
            connections.note_node(ctx.connection, answer.name)
        return answer

    @method(kind="read")
    async def ping(self) -> str:
        """Answer "pong": for clients that cannot send WebSocket pings, such as browsers."""
        return "pong"

    @method(kind="read", permission="rpc.status")
    async def status(self) -> Status:
        """Say how the server is: how long it has run, and what it had to bear."""
        return self._status()

    @method(kind="read", permission="rpc.activity")
    async def activity(self, ctx: Context) -> Activity:
        """Say what the server does at the moment: who is connected, what runs, what waits, what was refused for limits,
        and how the services are."""
        answers = await self._parts.ask_health(TIMEOUT_S)
        connections, circuits = self._parts.connections, self._parts.group.circuits
        return Activity(
            **dict(self._status()),
            health=[
                ServiceHealth(name=name, ok=each.ok, reason=each.reason, details=each.details)
                for name, (each, _) in answers.items()
            ],
            connected=list(list_connections(connections, self._parts.roles, ctx.connection)),
            running=list(list_running(connections, ctx.connection)),
            waiting=self._parts.count_waiting(),
            refused=[Refusals(limit=limit, count=count) for limit, count in connections.refusals.most_common()],
            circuits=[
                CircuitUse(
                    direction=use.direction, open=use.open_count, began=use.began_count, sent_bytes=use.sent_bytes,
                    received_bytes=use.received_bytes,
                )
                for use in ([] if circuits is None else circuits.uses())
            ],
            circuit_ends={} if circuits is None else dict(circuits.ends),
            figures=[
                ServiceFigure(
                    service=service.name, name=figure.name, labels=dict(figure.labels), value=figure.value,
                    text=figure.text,
                )
                for service in self._parts.running
                for figure in figures_of(service)
            ],
        )  # fmt: skip

    def _status(self) -> Status:
        return Status(
            version=self._parts.version,
            uptime_s=round(time.monotonic() - self._began, 3),
            connections=len(self._parts.connections),
            longest_stall_s=round(self._parts.stalls.longest_s, 6),
            wrong_attempts=self._parts.authentication.wrong_attempts.count,
            services=self._parts.conditions(),
        )

    @method(kind="idempotent", permission="rpc.reload", deadline_s=RELOAD_S, errors=(ReloadFailed,))
    async def reload(self) -> ReloadReport:
        """Have the server read its configuration anew, and use it if it is without a fault.

        Raises:
            ReloadFailed: a setting or a file cannot be used; nothing has changed.
            Unavailable: this server cannot be reloaded: it was not started by `rpcserver serve`, or it is stopping.
        """
        if self.reloader is None:
            raise Unavailable("this server cannot be reloaded: it is stopping, or part of another program")
        return await self.reloader()

    @method(kind="read", permission="rpc.limits")
    async def limits(self) -> list[LimitUse]:
        """List every limit with its present use: of the server, of each principal, address and connection; and the
        largest messages: of the server, and of each role and method that has a limit of its own."""
        uses = [*self._message_limits()]
        uses += [
            LimitUse(
                scope=use.scope, holder=use.holder, what=use.what, used=use.used, most=use.most, limit=use.limit,
                setting=use.setting,
            )
            for use in self._parts.connections.quotas.uses()
        ]  # fmt: skip
        for account in self._parts.connections.memory.uses():
            of_server = account.scope == "server"
            uses.append(
                LimitUse(
                    scope=account.scope,
                    holder="" if of_server else account.holder,
                    what=f"bytes of {_MEMORY[account.purpose]}",
                    used=account.used_bytes,
                    most=account.most_bytes,
                    limit=account.limit_bytes,
                    setting="limits.memory_bytes" if of_server else "limits.memory_per_principal_bytes",
                )
            )
        return uses

    def _message_limits(self) -> Iterator[LimitUse]:
        """Yield the limits of single messages."""

        def of(scope: str, holder: str, what: str, limit: int, setting: str) -> LimitUse:
            return LimitUse(
                scope=scope, holder=holder, what=what, used=None, most=None, limit=limit, setting=setting
            )  # fmt: skip

        limits = self._parts.settings().limits
        json_bytes, json_setting = limits.incoming_bytes(packed=False), "limits.json_message_bytes"
        if json_bytes < limits.json_message_bytes:
            json_setting = "limits.message_bytes"
        yield of("server", "", "bytes of a message in MessagePack", limits.message_bytes, "limits.message_bytes")
        yield of("server", "", "bytes of a message in JSON", json_bytes, json_setting)
        yield of("server", "", "values of a message", limits.message_nodes, "limits.message_nodes")
        yield of(
            "server", "", "bytes of a message before authentication",
            self._parts.settings().auth.unauthenticated_message_bytes, "auth.unauthenticated_message_bytes",
        )  # fmt: skip
        for role in self._parts.roles:
            if role.limits.message_bytes is not None:
                setting = f"roles.{role.name}.limits.message_bytes"
                yield of("role", role.name, "bytes of a message", role.limits.message_bytes, setting)
        yield of("method", "", "bytes of a call", METHOD_MESSAGE_BYTES, "the default of @method(message_bytes=...)")
        for offer in self._parts.registry.offers.values():
            most = offer.spec.options.message_bytes
            if most is None:
                yield of("method", offer.name, "bytes of a call", limits.message_bytes, "limits.message_bytes")
            elif most != METHOD_MESSAGE_BYTES:
                yield of("method", offer.name, "bytes of a call", most, "@method(message_bytes=...)")
            if (most_nodes := offer.contract.most_nodes) is not None:
                yield of("method", offer.name, "values of a call", most_nodes, "the types of its parameters")

    @method(kind="read", permission="rpc.nodes")
    async def nodes(self) -> list[NodeInfo]:
        """List the nodes of the group, this one included, sorted by name; a server without a group is its only node.

        Nodes that have died or left are listed for ten minutes.
        """
        return describe_members(self._parts.group.membership.node)

    @method(kind="read", permission="rpc.nodes")
    async def watch_nodes(self) -> AsyncIterator[NodesEvent]:
        """Tell of the nodes of the group: at first a snapshot of all, then each change. If a reader is too slow for all
        changes, it gets all nodes anew, as a `resync`."""
        async for event in watch_members(self._parts.group.membership.node):
            yield event

    @method(permission="rpc.nodes", message_bytes=None, errors=(NoNodes,), group=False)  # Or each would ask all others.
    async def call_nodes(
        self,
        target: CallTarget,
        method: str,
        ctx: Context,
        params: list[Any] | dict[str, Any] | None = None,
        policy: CallPolicy | None = None,
    ) -> AsyncIterator[EncodedObject]:
        """Call a method on many nodes of the group, and tell what comes of it on each. `client.group(SELECTOR)` uses
        it. The roles of each node decide, by the caller and by this node.

        The stream begins with an object of the kind `start`, with the nodes and the names that no node has. Then come
        `item` and `progress` of the nodes, and exactly one `outcome` of each. To close the stream cancels the call.

        Parameters:
            target: the nodes.
            method: the full name of the method.
            params: its parameters, by position or by name.
            policy: how the nodes are asked; without it all at once.

        Raises:
            InvalidParams: the selector or the policy cannot be used.
            NoNodes: the selector has selected no node.
            Unavailable: there is no connection to the group's broker.
            Busy: too many group calls are under way.
        """
        calls = self._parts.group.calls
        if calls is None:
            raise Unavailable("the server is starting: try again", executed="no")
        await calls.wait_for_broker(read_target(target), ctx.remaining_s() / 2)
        return call_group(
            calls, self._parts.connections[ctx.connection], self._parts.connections.link_of(ctx.connection),
            target, method, params, policy, ctx,
        )  # fmt: skip

    @method(kind="idempotent", permission="rpc.lease", deadline_s=MOST_WAIT_S + LEASE_GRACE_S, errors=(LeaseHeld,))
    async def acquire_lease(
        self,
        name: LeaseName,
        holder_id: LeaseId,
        ttl_s: LeaseTtl,
        ctx: Context,
        scope: LeaseScope = "",
        wait_s: Annotated[float, Field(ge=0, le=MOST_WAIT_S)] = 0.0,
    ) -> LeaseGrant:
        """Acquire a lease of the group, as soon as nobody holds it. `client.lease(NAME)` uses it.

        Its holder counts `ttl_s` from before this was sent. If it had to wait, it renews the lease before it believes
        to hold it.

        Parameters:
            name: the name of the lease.
            holder_id: 32 random hexadecimal digits, by which the holder renews it and gives it back. Asked again with
                the same ones, the lease is granted again.
            ttl_s: how long it lasts without being renewed, in seconds.
            scope: what it is for, such as a selector. In each scope a name is another lease.
            wait_s: how long to wait for it, in seconds.

        Raises:
            LeaseHeld: somebody else has held it all that time.
            Unavailable: the group's broker does not answer, so that nobody can know who holds it.
        """
        wait_s = min(wait_s, max(ctx.remaining_s() - 1.0, 0.0))
        request = LeaseRequest(name=name, scope=scope, id=holder_id, holder=_name_holder(ctx), ttl_s=ttl_s)
        return await self._parts.group.membership.leases.acquire(request, wait_s)

    @method(kind="idempotent", permission="rpc.lease", errors=(LeaseLost,))
    async def renew_lease(self, name: LeaseName, holder_id: LeaseId, scope: LeaseScope = "") -> LeaseGrant:
        """Have a lease last as long again: its holder counts from before this was sent.

        Parameters:
            name, holder_id, scope: as of `rpc.acquire_lease`.

        Raises:
            LeaseLost: this holder holds it no more.
            Unavailable: the group's broker does not answer.
        """
        return await self._parts.group.membership.leases.renew(LeaseRequest(name=name, scope=scope, id=holder_id))

    @method(kind="idempotent", permission="rpc.lease")
    async def release_lease(self, name: LeaseName, holder_id: LeaseId, scope: LeaseScope = "") -> bool:
        """Give a lease back, and return whether this holder has still held it.

        Parameters:
            name, holder_id, scope: as of `rpc.acquire_lease`.

        Raises:
            Unavailable: the group's broker does not answer. The lease then expires.
        """
        return await self._parts.group.membership.leases.release(LeaseRequest(name=name, scope=scope, id=holder_id))

    @method(kind="read", permission="rpc.follow", group=False)
    async def follow(
        self,
        ctx: Context,
        events: Annotated[list[str] | None, Field(min_length=1, max_length=MOST_NAMES)] = None,
        target: CallTarget | None = None,
        policy: EventPolicy = "drop_oldest",
        buffer_items: BufferItems = BUFFER_ITEMS,
    ) -> AsyncIterator[EventNews]:
        """Follow events of one or several kinds, of this node or of many, also of nodes that join later.

        Each node decides by its own roles which events the caller gets. The stream tells what becomes of the nodes, too
        (`following`, `refused`, `gone`).

        Parameters:
            events: their full names, such as programs.program_ended; null for all that the caller may follow.
            target: the nodes; null for this one.
            policy: what becomes of events while the caller is slow: drop_oldest, latest (all but the newest of each
                kind and node are dropped) or close.
            buffer_items: how many events may wait for the caller.

        Raises:
            PermissionDenied: target is null, and the caller may not follow one of the events.
            SlowConsumer: the policy is close, and more events wait.
            InvalidParams: the target cannot be used.
            Unavailable: the server is starting.
        """
        exchange = self._parts.group.exchange
        if exchange is None:
            raise Unavailable("the server is starting: try again", executed="no")
        is_packed = self._parts.connections[ctx.connection].session.codec.packed
        nodes = None if target is None else read_target(target)
        return exchange.follow(ctx.principal, events, nodes, policy, buffer_items, is_packed=is_packed)

    @method(kind="read")
    async def discover(self) -> dict[str, Any]:
        """Describe everything that is offered, as an OpenRPC 1.4.1 document."""
        return await self._parts.openrpc()

    @method(kind="read")
    async def services(self) -> list[ServiceInfo]:
        """List the services and their methods, in short."""
        return [
            ServiceInfo(
                name=name,
                summary=summary_of(type(service).__doc__ or "")[0],
                methods=[
                    MethodInfo(
                        name=offer.name,
                        summary=summary_of(offer.spec.doc)[0],
                        signature=offer.spec.signature_text,
                        permission=offer.spec.permission,
                        kind=offer.spec.options.kind,
                        streams=offer.contract.item is not None,
                        is_event=offer.spec.options.event is not None,
                        deadline_s=offer.spec.options.deadline_s,
                    )
                    for offer in self._parts.registry.offers.values()
                    if offer.spec.service.name == name
                ],
            )
            for name, service in sorted(self._parts.registry.services.items())
        ]


def _name_holder(ctx: Context) -> str:
    principal = ctx.connection.principal
    return "" if principal is None else printable(principal.name, 200)
