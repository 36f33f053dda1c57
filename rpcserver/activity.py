"""What a server does at the moment: who is connected, what runs, what waits, and what was refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from rpcserver.connections import Connections
from rpcserver.security.roles import Roles
from rpcwire.context import Connection


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class ConnectionInfo(_Part):
    """One connection."""

    id: str
    address: Annotated[str, Field(description="Address of the client, for a person.")]
    transport: Annotated[
        str, Field(description="tcp, tls, unix, memory, other; node for a client of another node of the group.")
    ]
    subprotocol: Annotated[str, Field(description="The form of the wire.")]
    principal: Annotated[str | None, Field(description="Who is on it; null before authentication.")]
    authenticated_by: Annotated[str | None, Field(description="How that was established.")]
    role: str | None
    node: Annotated[
        str | None, Field(description="Name of the other node that it leads to; null if it ends at this one.")
    ] = None
    age_s: Annotated[float, Field(description="Time since it began, in seconds.")]
    calls_in_flight: int
    streams: Annotated[int, Field(description="Open streams, in both directions.")]


class RunningCall(_Part):
    """A call, a notification or a stream whose handler has not ended."""

    kind: Annotated[str, Field(description="call, notification or stream.")]
    method: str
    connection: Annotated[str, Field(description="The id of the connection.")]
    principal: str | None
    age_s: Annotated[
        float | None, Field(description="Time since it arrived, in seconds; null for a call if nobody counts calls.")
    ]
    items: Annotated[int | None, Field(description="Items that a stream has sent; null for others.")]


class Refusals(_Part):
    """What was refused for one limit since the start."""

    limit: Annotated[str, Field(description="The setting of the limit.")]
    count: int


class CircuitUse(_Part):
    """The connections with other nodes of the group, in one direction."""

    direction: Annotated[str, Field(description="out: of own clients to other nodes; in: of other nodes' clients.")]
    open: Annotated[int, Field(description="How many there are now.")]
    began: Annotated[int, Field(description="How many have begun since the start.")]
    sent_bytes: Annotated[int, Field(description="Bytes that this node has sent over them, since the start.")]
    received_bytes: Annotated[int, Field(description="Bytes that have arrived over them, since the start.")]


class ServiceFigure(_Part):
    """A number that a service tells of itself."""

    service: str
    name: str
    labels: dict[str, str]
    value: float
    text: Annotated[str, Field(description="What it means.")]


def list_connections(connections: Connections, roles: Roles, leave_out: Connection) -> Iterator[ConnectionInfo]:
    """Yield what is known of each connection, the oldest first.

    Parameters:
        connections: the connections of the server.
        roles: who may do what.
        leave_out: a connection that is left out, because it asks.
    """
    now = time.monotonic()
    for connection, peer in connections.items():
        if connection is leave_out:
            continue
        principal = connection.principal
        role = None if principal is None else roles.of(principal)
        yield ConnectionInfo(
            id=connection.id,
            address=connection.remote,
            transport=connections.transport_of(connection),
            subprotocol=peer.session.codec.subprotocol,
            principal=None if principal is None else principal.name,
            authenticated_by=None if principal is None else principal.method,
            role=None if role is None else role.name,
            node=connections.node_of(connection),
            age_s=round(now - peer.began_s, 3),
            calls_in_flight=peer.session.calls_running,
            streams=len(peer.session.streams),
        )


def list_running(connections: Connections, leave_out: Connection) -> Iterator[RunningCall]:
    """Yield each call, notification and stream whose handler has not ended.

    Parameters:
        connections: the connections of the server.
        leave_out: a connection that is left out, because it asks.
    """
    now_ns = time.monotonic_ns()
    for connection, peer in connections.items():
        if connection is leave_out:
            continue
        for run in peer.handlers.runs():
            yield RunningCall(
                kind=run.kind,
                method=run.method,
                connection=connection.id,
                principal=None if connection.principal is None else connection.principal.name,
                age_s=None if run.arrived_ns is None else round((now_ns - run.arrived_ns) / 1e9, 3),
                items=run.items,
            )
