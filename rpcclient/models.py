"""The results of the reserved methods ``rpc.*`` (:mod:`rpcserver.system` makes them)."""

from __future__ import annotations

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
    """The server's name and version, the form of the wire, the caller, the limits, and the ping interval."""

    server: str
    subprotocol: str
    principal: PrincipalInfo | None
    limits: ServerLimits
    ping_interval_s: float


class MethodInfo(_Answer):
    """One method, in short."""

    name: str
    summary: str
    signature: str
    permission: str
    kind: str
    streams: bool
    deadline_s: float


class ServiceInfo(_Answer):
    """One service, in short."""

    name: str
    summary: str
    methods: list[MethodInfo]
