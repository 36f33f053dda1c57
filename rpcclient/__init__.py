"""Calls the services of another computer as if they were local functions: ``from rpcclient import Client``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpcclient.group.events import GroupItem
    from rpcclient.group.failures import GroupFailed
    from rpcclient.programs.results import CompletedProgram, OutputCut, OutputLost, ProgramFailed
    from rpcwire.context import Context
    from rpcwire.errors import RpcError
    from rpcwire.group.outcomes import GroupNode, NodeOutcome
    from rpcwire.service import Service, method

    from .aio.client import AsyncClient
    from .aio.discovery import discover_async
    from .aio.group import AsyncGroup
    from .aio.lease import AsyncLease
    from .aio.outcomes import AsyncGroupStream, AsyncOutcomes
    from .aio.program import AsyncProgram
    from .aio.stream import AsyncStream
    from .aio.transaction import AsyncDatabaseTransaction
    from .nearby import NearbyServer
    from .sync.client import Client
    from .sync.discovery import discover
    from .sync.group import Group
    from .sync.lease import Lease
    from .sync.outcomes import GroupStream, Outcomes
    from .sync.program import Program
    from .sync.stream import Stream
    from .sync.transaction import DatabaseTransaction

__all__ = [
    "AsyncClient",
    "AsyncDatabaseTransaction",
    "AsyncGroup",
    "AsyncGroupStream",
    "AsyncLease",
    "AsyncOutcomes",
    "AsyncProgram",
    "AsyncStream",
    "Client",
    "CompletedProgram",
    "Context",
    "DatabaseTransaction",
    "Group",
    "GroupFailed",
    "GroupItem",
    "GroupNode",
    "GroupStream",
    "Lease",
    "NearbyServer",
    "NodeOutcome",
    "Outcomes",
    "OutputCut",
    "OutputLost",
    "Program",
    "ProgramFailed",
    "RpcError",
    "Service",
    "Stream",
    "discover",
    "discover_async",
    "method",
]

_HOMES = {
    "AsyncClient": "rpcclient.aio.client",
    "AsyncDatabaseTransaction": "rpcclient.aio.transaction",
    "AsyncGroup": "rpcclient.aio.group",
    "AsyncGroupStream": "rpcclient.aio.outcomes",
    "AsyncOutcomes": "rpcclient.aio.outcomes",
    "AsyncLease": "rpcclient.aio.lease",
    "AsyncProgram": "rpcclient.aio.program",
    "AsyncStream": "rpcclient.aio.stream",
    "Client": "rpcclient.sync.client",
    "CompletedProgram": "rpcclient.programs.results",
    "Context": "rpcwire.context",
    "DatabaseTransaction": "rpcclient.sync.transaction",
    "Group": "rpcclient.sync.group",
    "GroupFailed": "rpcclient.group.failures",
    "GroupItem": "rpcclient.group.events",
    "GroupNode": "rpcwire.group.outcomes",
    "GroupStream": "rpcclient.sync.outcomes",
    "NearbyServer": "rpcclient.nearby",
    "NodeOutcome": "rpcwire.group.outcomes",
    "Outcomes": "rpcclient.sync.outcomes",
    "Lease": "rpcclient.sync.lease",
    "OutputCut": "rpcclient.programs.results",
    "OutputLost": "rpcclient.programs.results",
    "Program": "rpcclient.sync.program",
    "ProgramFailed": "rpcclient.programs.results",
    "RpcError": "rpcwire.errors",
    "Service": "rpcwire.service",
    "Stream": "rpcclient.sync.stream",
    "discover": "rpcclient.sync.discovery",
    "discover_async": "rpcclient.aio.discovery",
    "method": "rpcwire.service",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used. The command line starts several times faster without both clients."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
