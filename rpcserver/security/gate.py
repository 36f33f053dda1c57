"""The gate before every call and notification: decides who may call which method."""

from __future__ import annotations

from rpcwire.context import Connection
from rpcwire.errors import RpcError, Unauthenticated
from rpcwire.registry import Offer

ANYBODY = frozenset({"rpc.hello", "rpc.authenticate", "rpc.ping"})
"""The methods that may be called before authentication."""


def gate(connection: Connection, method: str, _: Offer | None) -> RpcError | None:
    """Refuse callers who have not authenticated, except for the methods in :data:`ANYBODY`.

    Parameters:
        connection: the connection of the call.
        method: the name that is called.

    Returns:
        The error to answer with; ``None`` if the call may run.
    """
    if connection.principal is not None:
        return None
    if method in ANYBODY:
        return None
    return Unauthenticated(
        'authenticate first: call rpc.authenticate {"token": ...}, or send Authorization: Bearer with the handshake '
        "(rpcclient takes a token from token=, RPC_TOKEN or RPC_TOKEN_FILE)"
    )
