"""What makes a server a node of its group: it is a member, its clients reach other nodes, and clients of others reach
it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from rpcwire.codec import SUBPROTOCOLS, Subprotocol
from rpcwire.context import Principal
from rpcwire.dispatch import Dispatch
from rpcwire.errors import Busy, InvalidRequest, RpcError, Unavailable
from rpcwire.logs import printable
from rpcwire.registry import Registry
from rpcwire.service import Service

from .config import ServerConfig
from .connections import Connections
from .events.board import Board, Origin
from .events.exchange import Exchange
from .group.call_link import CallDispatch, CallLink
from .group.calls import GroupCalls
from .group.circuit import Drain
from .group.circuit_link import CircuitLink
from .group.circuits import Acceptance, Circuits, Opening
from .group.directory import NodeDirectory
from .group.executing import Executing
from .group.identity import name_of_machine
from .group.joining import Membership
from .group.leases import Leases
from .group.line import Line
from .group.members import MOST_ADDRESSES, MOST_SERVICES, InvalidGroupMessage, Profile, format_id, read_name
from .group.node import Description, Use
from .group.reporting import Reporter
from .group.vouching import Gateways
from .plugins.finding import find_installed
from .security.authentication import Authentication
from .security.roles import Roles


class GroupSide:
    """The server's side of its group. It belongs to the thread of the event loop.

    Parameters:
        settings: returns the server's configuration, as it is now.
        version: the version of the server.
        services: the services that run now.
        addresses: returns the addresses of the server, as URLs for clients.
        registry: all methods that the server offers.
        roles: who may do what.
        authentication: finds out who a client is.
        connections: the connections of the server.
        dispatch: decides on every call.
        drain_s: how long cancelled calls and connections may take to end, in seconds.

    Attributes:
        name: the name of the node.
        membership: makes the server a member.
        board: the events of all services.
        circuits: the connections of clients with other nodes; ``None`` before the start.
        calls: the calls to many nodes; ``None`` before the start.
        exchange: follows events of this and other nodes for clients; ``None`` before the start.
        is_stopping: whether the server will stop soon, and takes nothing new from other nodes.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], ServerConfig],
        version: str,
        services: Sequence[Service[Any]],
        addresses: Callable[[], list[str]],
        registry: Registry,
        roles: Roles,
        authentication: Authentication,
        connections: Connections,
        dispatch: Dispatch,
        drain_s: float,
    ) -> None:
        config = settings()
        self.name = config.group.name or name_of_machine()
        self.membership = Membership(config, self._describe, self.name)
        self.board = Board(self._name_origin)
        self.circuits: Circuits | None = None
        self.calls: GroupCalls | None = None
        self.exchange: Exchange | None = None
        self.is_stopping = False
        self._settings = settings
        self._version = version
        self._services = services
        self._service_versions: dict[str, str] = {}
        self._addresses = addresses
        self._registry = registry
        self._roles = roles
        self._authentication = authentication
        self._connections = connections
        self._dispatch = dispatch
        self._drain_s = drain_s

    # --- what is told of it ---------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id of the node, 16 hexadecimal digits. It is there once the side has been prepared."""
        return format_id(self.membership.node.id)

    @property
    def leases(self) -> Leases | None:
        """What grants leases; ``None`` before the start."""
        return self.membership.grants

    def use(self) -> Use | None:
        """Return what this server sees of its group; ``None`` if it has none."""
        return self.membership.node.use()

    def _name_origin(self) -> Origin:
        return Origin(self.name, self.id, f"{self.membership.node.process_epoch:016x}")

    def _describe(self) -> Description:
        """Say what other nodes and clients are told of this server."""
        group = self._settings().group
        addresses = group.addresses or tuple(
            url.replace("//0.0.0.0:", f"//{self.name}:").replace("//[::]:", f"//{self.name}:")
            for url in self._addresses()
            if url.startswith(("ws://", "wss://"))
        )
        services = [(each.name, self._service_versions.get(each.name, "")) for each in self._services]
        return Description(
            name=self.name,
            addresses=addresses[:MOST_ADDRESSES],
            profile=Profile(
                labels=tuple(sorted(group.labels.items())),
                services=tuple(sorted(service for service in services if _can_be_told(service[0])))[:MOST_SERVICES],
                version=self._version,
            ),
        )

    # --- the life -------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check what :meth:`prepare` needs. Nothing is changed.

        Raises:
            ConfigError: something is missing or cannot be used.
        """
        self.membership.check()

    async def prepare(self) -> None:
        """Say who this node is, start the broker if it is embedded, and make what answers other nodes. The state folder
        must be locked.

        Raises:
            ConfigError: something is missing or cannot be used.
        """
        points = find_installed().items()
        self._service_versions = {name: point.dist.version for name, point in points if point.dist is not None}
        await self.membership.prepare()
        node, settings = self.membership.node, self._settings
        directory = NodeDirectory(node)
        reporter = Reporter(self._dispatch)

        def report_circuit(principal: Principal | None, remote: str, error: RpcError) -> None:
            reporter.report_circuit(principal, remote, directory.own, error)

        gateways = _read_gateways(settings())
        circuits = self.circuits = Circuits(node.link, directory, gateways, self._admit_circuit, report_circuit)
        self._authentication.is_vouched_for = circuits.is_vouched_for
        executing = Executing(
            directory, lambda: circuits.gateways, self._adopt_call, lambda: settings().limits.message_bytes, reporter
        )
        self.exchange = Exchange(node, self.board, self._registry, self._roles, lambda: circuits.gateways, reporter)
        self.calls = GroupCalls(node.link, directory, executing, lambda: node.is_settled)

    def start(self) -> None:
        """Become a member, in the background: call this when the server listens."""
        self.membership.start()
        assert self.circuits is not None
        assert self.calls is not None
        self.circuits.start(self.membership.node.watch())
        self.calls.start(self.membership.node.watch())

    def change(self, config: ServerConfig) -> None:
        """Take new settings into use."""
        if self.circuits is not None:
            self.circuits.gateways = _read_gateways(config)

    def leave(self) -> None:
        """Tell the others that this node is about to leave, and take nothing new from them."""
        self.is_stopping = True
        if self.calls is not None:
            self.calls.executing.is_leaving = True
        self.membership.leave()
        self.board.close()
        if self.exchange is not None:
            self.exchange.close()

    async def drain(self, reason: str, grace_s: float, patience_s: float) -> None:
        """Let what clients do on other nodes end.

        Parameters:
            reason: why, for those who see it.
            grace_s: the time for running calls, in seconds.
            patience_s: the time for cancelled calls to end, in seconds.
        """
        if self.circuits is not None:
            await self.circuits.drain(reason, grace_s, patience_s)

    async def stop(self) -> None:
        """End all connections with other nodes, and be a member no more. This may be called at any time."""
        if self.circuits is not None:
            await self.circuits.close("the node is stopping")
        if self.calls is not None:
            await self.calls.close()
        await self.membership.stop()

    # --- what comes from other nodes ------------------------------------------------------------------------------

    def _admit_circuit(self, line: Line, principal: Principal, opening: Opening) -> Acceptance:
        """Make a connection of a circuit that leads here.

        Raises:
            Unavailable: the server is stopping.
            Busy: there are too many connections of this principal.
            InvalidRequest: the form of the wire is unknown.
        """
        if self.is_stopping:
            raise Unavailable("the node is stopping, and takes no new clients", executed="no")
        if opening.subprotocol not in SUBPROTOCOLS:
            raise InvalidRequest(f"subprotocol: one of {', '.join(SUBPROTOCOLS)}", executed="no")
        remote = f"{printable(opening.remote, 100)} via the node {principal.via}"
        link = CircuitLink(line, principal, remote, opening.takes_bytes, self._drain_circuit)
        refusal = self._connections.refuse(link)
        if refusal is not None:
            raise Busy(f"{refusal}: close some", executed="no")
        self._connections.adopt(link, opening.subprotocol)
        limits = self._settings().limits
        return Acceptance(
            epoch=opening.to_epoch,
            message_bytes=link.message_bytes,
            message_nodes=limits.message_nodes,
            batch_items=limits.batch_items,
        )

    def _drain_circuit(self, link: CircuitLink, drain: Drain) -> None:
        reason = f"the node {link.gateway} stops: {printable(drain.reason, 80)}"
        self._connections.drain(link, reason, drain.grace_s, self._drain_s)

    def _adopt_call(self, link: CallLink, subprotocol: Subprotocol) -> None:
        """Make a connection of a group call."""
        if self.is_stopping:
            raise Unavailable("the node is stopping, and takes no new calls", executed="no")
        # A client of this node has a connection already, by which this call came.
        if link.is_foreign and (reason := self._connections.refuse(link)) is not None:
            raise Busy(reason, executed="no")
        self._connections.adopt(link, subprotocol, cast("Dispatch", CallDispatch(self._dispatch, link)))


def _read_gateways(config: ServerConfig) -> Gateways:
    return Gateways(config.group.gateways, config.group.trust_gateway_names)


def _can_be_told(name: str) -> bool:
    """Whether the group allows a service of that name."""
    try:
        read_name("services", name)
    except InvalidGroupMessage:
        return False
    return True
