"""What the reserved methods answer (:mod:`rpcserver.system` on the other side)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)  # Unknown members are ignored: a newer server may say more.


class PrincipalInfo(_Answer):
    """Who the server takes the caller for: a stable name, and how it was established."""

    name: str
    method: str


class ServerLimits(_Answer):
    """What one connection may ask for."""

    message_bytes: int
    batch_items: int
    calls_in_flight: int
    streams: int


class Hello(_Answer):
    """The server's name and version, the form of the wire, who is calling, the limits, and the ping interval."""

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
