"""The reserved methods that are ordinary calls: ``rpc.hello``, ``rpc.authenticate``, ``rpc.ping``, ``rpc.discover``
and ``rpc.services``. They are a service like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rpcwire.context import Context
from rpcwire.reading import readable, summary_of
from rpcwire.registry import Registry
from rpcwire.service import Service, method

from .config import ServerConfig
from .connections import Connections


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class PrincipalInfo(_Answer):
    """Who the server takes the caller for."""

    name: Annotated[str, Field(description="A stable name, such as owner or the name of a token.")]
    method: Annotated[str, Field(description="How it was established: token, peer or memory.")]


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


class MethodInfo(_Answer):
    """One method, in short. ``rpc.discover`` has all of it."""

    name: str
    summary: str
    signature: str
    permission: str
    kind: str
    streams: Annotated[bool, Field(description="Whether it answers with a stream.")]
    deadline_s: float


class ServiceInfo(_Answer):
    """One service, in short."""

    name: str
    summary: str
    methods: list[MethodInfo]


class System(Service):
    """The protocol's own methods.

    Parameters:
        registry: all methods that the server offers.
        connections: the connections of the server.
        config: the server's configuration.
        version: the version of the server.
        openrpc: returns the OpenRPC document of all methods.
    """

    name = "rpc"

    def __init__(
        self,
        registry: Registry,
        connections: Connections,
        config: ServerConfig,
        version: str,
        openrpc: Callable[[], dict[str, Any]],
    ) -> None:
        super().__init__()
        self._registry = registry
        self._connections = connections
        self._limits = config.limits
        self._ping_interval_s = config.keepalive.ping_interval_s
        self._version = version
        self._openrpc = openrpc

    @method(kind="read")
    async def hello(self, ctx: Context) -> Hello:
        """Say who you are talking to, in which form, and within which limits."""
        connection, limits = ctx.connection, self._limits
        principal, codec = connection.principal, self._connections[connection].session.codec
        return Hello(
            server="rpcserver" if principal is None else f"rpcserver/{self._version}",
            subprotocol=codec.subprotocol,
            principal=None if principal is None else PrincipalInfo(name=principal.name, method=principal.method),
            limits=ServerLimits(
                message_bytes=limits.incoming_bytes(packed=codec.packed),
                message_nodes=limits.message_nodes,
                batch_items=limits.batch_items,
                calls_in_flight=limits.calls_in_flight,
                streams=limits.streams,
            ),
            ping_interval_s=self._ping_interval_s,
        )

    @method(kind="idempotent")
    async def authenticate(self, token: str, ctx: Context) -> PrincipalInfo:
        """Prove who is calling, where the handshake could not (a browser sends no Authorization header).

        Raises:
            Unauthenticated: the token is wrong. After some of them the connection is closed. After some of one address
                the answer comes later, by up to a second.
            Busy: another attempt of the connection is not over yet.
        """
        principal = await self._connections.authenticate(ctx.connection, token)
        return PrincipalInfo(name=principal.name, method=principal.method)

    @method(kind="read")
    async def ping(self) -> str:
        """Answer "pong": for clients that cannot send WebSocket pings, such as browsers."""
        return "pong"

    @method(kind="read")
    async def discover(self) -> dict[str, Any]:
        """Describe everything that is offered, as an OpenRPC 1.4.1 document."""
        return self._openrpc()

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
                        signature=str(readable(offer.contract.signature)),
                        permission=offer.spec.permission,
                        kind=offer.spec.options.kind,
                        streams=offer.contract.item is not None,
                        deadline_s=offer.spec.options.deadline_s,
                    )
                    for offer in self._registry.offers.values()
                    if offer.spec.service.name == name
                ],
            )
            for name, service in sorted(self._registry.services.items())
        ]
