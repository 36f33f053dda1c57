"""The daemon, and what a service plugin needs: ``from rpcserver import Service, method``."""

from rpcserver.fence import Fence
from rpcserver.security.way import Way
from rpcwire.context import Caller, Connection, Context, Principal
from rpcwire.errors import (
    Busy,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidParams,
    PermissionDenied,
    RpcError,
    ServiceError,
    SlowConsumer,
    TooLarge,
    Unavailable,
)
from rpcwire.group.leases import StaleFencingToken
from rpcwire.outcomes import Observer, Outcome
from rpcwire.publishing import Event
from rpcwire.secret import Secret
from rpcwire.service import (
    Figure,
    Guard,
    Health,
    MethodSpec,
    Page,
    Reload,
    Service,
    ServiceConfig,
    ServiceConfigError,
    ServiceRole,
    ServiceRuntime,
    SlowPolicy,
    event,
    method,
)
from rpcwire.values.tagged import Value

__all__ = [
    "Busy",
    "Caller",
    "Cancelled",
    "Connection",
    "Context",
    "DeadlineExceeded",
    "Event",
    "Fence",
    "Figure",
    "Guard",
    "Health",
    "InternalError",
    "InvalidParams",
    "MethodSpec",
    "Observer",
    "Outcome",
    "Page",
    "PermissionDenied",
    "Principal",
    "Reload",
    "RpcError",
    "Secret",
    "Service",
    "ServiceConfig",
    "ServiceConfigError",
    "ServiceError",
    "ServiceRole",
    "ServiceRuntime",
    "SlowConsumer",
    "SlowPolicy",
    "StaleFencingToken",
    "TooLarge",
    "Unavailable",
    "Value",
    "Way",
    "event",
    "method",
]
