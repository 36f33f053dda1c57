"""The results of the reserved methods ``rpc.*`` (:mod:`rpcserver.system` makes them)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)  # Unknown members are ignored: a newer server may say more.


class PrincipalInfo(_Answer):
    """Who the caller is for the server: a stable name, the method by which the server established it, and the role,
    which says what the caller may do (``None`` for none)."""

    name: str
    method: str
    role: str | None = None


class ServerLimits(_Answer):
    """The limits of one connection."""

    message_bytes: int
    message_nodes: int | None = None
    batch_items: int
    calls_in_flight: int
    streams: int


class Hello(_Answer):
    """The server's name and version, the form of the wire, the caller, the limits, the ping interval, and whether the
    server is a node of a group."""

    server: str
    subprotocol: str
    principal: PrincipalInfo | None
    limits: ServerLimits
    ping_interval_s: float
    has_group: bool = False


class MethodInfo(_Answer):
    """One method, in short."""

    name: str
    summary: str
    signature: str
    permission: str
    kind: str
    streams: bool
    is_event: bool = False
    deadline_s: float


class ServiceInfo(_Answer):
    """One service, in short."""

    name: str
    summary: str
    methods: list[MethodInfo]


class NodeInfo(_Answer):
    """One node of the group to which the server belongs.

    Attributes:
        name: the name for people; several nodes may have the same.
        id: the id, which no other node has, and which restarts do not change.
        epoch: the number of its life, as 16 hexadecimal digits: a later one is larger.
        is_self: whether it is the server that answers.
        state: ``up``, ``suspect``, ``leaving``, ``died`` or ``left``.
        since: when it came into that state, in seconds since 1970.
        reason: why it is in that state, in one word.
        explanation: the same as a sentence.
        labels: what selectors ask for.
        addresses: URLs under which clients reach it directly.
        services: the names of its services with their versions, empty where unknown.
        version: the version of its server.
        load: how busy it was last: 1.0 if as many processes want to run as it has processors.
    """

    name: str
    id: str
    epoch: str
    is_self: bool
    state: str
    since: float
    reason: str
    explanation: str
    labels: dict[str, str]
    addresses: list[str]
    services: dict[str, str]
    version: str
    load: float


class NodesEvent(_Answer):
    """What has happened in the group.

    Attributes:
        kind: ``snapshot`` comes first, with all nodes; ``resync`` comes with all nodes where changes were lost; any
            other comes with one node: ``joined``, ``returned``, ``changed``, ``suspect``, ``alive``, ``leaving``,
            ``left``, ``died`` or ``forgotten``. ``settled`` and ``unsettled`` come without nodes, when ``is_settled``
            has changed.
        version: counts the changes that the server has seen.
        nodes: the nodes, as they are since then.
        is_settled: whether the server is sure of its nodes now. It is not without a connection to the broker, nor in
            the first second of one, nor while it reads too slowly: then nodes may be missing, or be gone.
    """

    kind: str
    version: int
    nodes: list[NodeInfo]
    is_settled: bool


class EventNews(_Answer):
    """What is told to those who follow events.

    Attributes:
        kind: ``event``; ``lost``: events that will not come, after the last one; ``resync``: the node's server has
            begun a new life, and what was published between is not known; ``following``: the node tells its events from
            now on; ``refused``: it does not; ``gone``: it is not there any more.
        node: the name of the node.
        id: its id.
        event: the full name of the event; empty if the news concern all of the node.
        epoch: the number of the life of the node's server, as 16 hexadecimal digits.
        seq: the number of the event in that life, from 1 on.
        time: when it was published, in seconds since 1970.
        lost: how many events are lost before it, or after the last one (``lost``).
        value: what has happened, as plain data.
        reason: why (``refused``, ``gone``).
    """

    kind: str
    node: str
    id: str
    event: str
    epoch: str
    seq: int
    time: float
    lost: int
    value: Any = None
    reason: str = ""
