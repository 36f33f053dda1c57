"""The daemon, and what a service plugin needs: ``from rpcserver import Service, method``."""

from rpcserver.security.roles import Role, RoleTable, each_in_one
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
from rpcwire.outcomes import Observer, Outcome
from rpcwire.service import Health, Page, Service, ServiceConfig, ServiceConfigError, ServiceRuntime, SlowPolicy, method
from rpcwire.values.tagged import Value

__all__ = [
    "Busy",
    "Caller",
    "Cancelled",
    "Connection",
    "Context",
    "DeadlineExceeded",
    "Health",
    "InternalError",
    "InvalidParams",
    "Observer",
    "Outcome",
    "Page",
    "PermissionDenied",
    "Principal",
    "Role",
    "RoleTable",
    "RpcError",
    "Service",
    "ServiceConfig",
    "ServiceConfigError",
    "ServiceError",
    "ServiceRuntime",
    "SlowConsumer",
    "SlowPolicy",
    "TooLarge",
    "Unavailable",
    "Value",
    "Way",
    "each_in_one",
    "method",
]
