"""The gate before every call and notification: who may call what."""

from __future__ import annotations

from rpcwire.context import Connection
from rpcwire.errors import RpcError, Unauthenticated
from rpcwire.registry import Offer

ANYBODY = frozenset({"rpc.hello", "rpc.authenticate", "rpc.ping"})
"""What may be called before authentication."""


def gate(connection: Connection, method: str, _: Offer | None) -> RpcError | None:
    """Refuse whoever has not authenticated, but for the methods in :data:`ANYBODY`.

    Parameters:
        connection: the connection on which the call came.
        method: the name that is called.

    Returns:
        The error to answer with; ``None`` lets the call through.
    """
    if connection.principal is not None:
        return None
    if method in ANYBODY:
        return None
    return Unauthenticated(
        'authenticate first: call rpc.authenticate {"token": ...}, or send Authorization: Bearer with the handshake '
        "(rpcclient takes a token from token=, RPC_TOKEN or RPC_TOKEN_FILE)"
    )
