"""The gate before every call, notification and page: decides who may do what, by roles."""

from __future__ import annotations

from collections.abc import Callable

from rpcwire.context import Connection, Principal
from rpcwire.errors import PermissionDenied, RpcError, Unauthenticated
from rpcwire.registry import Offer

from .roles import OPEN_TO_ALL, Roles


class RoleGate:
    """The gate of a server. Whoever sets a connection's principal puts the methods of its role into
    ``Connection.allowed``, so that the gate need only look there.

    Parameters:
        roles: the roles of the server.
        why_absent: returns the error for a call of a method whose service's code cannot be imported; ``None`` for any
            other one.
    """

    __slots__ = ("_roles", "_why_absent")

    def __init__(self, roles: Roles, why_absent: Callable[[str], RpcError | None] = lambda _: None) -> None:
        self._roles = roles
        self._why_absent = why_absent

    def decide(self, connection: Connection, method: str, offer: Offer | None) -> RpcError | None:
        """Decide whether a call may run: a :data:`~rpcwire.dispatch.Gate`.

        Parameters:
            connection: the connection of the call.
            method: the name that is called.
            offer: the method; ``None`` if there is none.

        Returns:
            The error of a refusal; ``None`` to let the call run.
        """
        if method in connection.allowed:
            return None
        if offer is None and connection.principal is not None:
            return self._why_absent(method)  # Of a method that there never was, the dispatch says so.
        return refuse(self._roles, connection, method, offer)


def refuse(roles: Roles, connection: Connection, method: str, offer: Offer | None) -> RpcError | None:
    """Return the error for a call of a method that the caller's role does not allow; ``None`` if there is no such
    method, which the dispatch says itself.

    Parameters:
        roles: the roles of the server.
        connection: the connection of the call.
        method: the name that is called.
        offer: the method; ``None`` if there is none.
    """
    principal = connection.principal
    if principal is None:
        if method in OPEN_TO_ALL:
            return None
        return Unauthenticated(
            'authenticate first: call rpc.authenticate {"token": ...}, or send Authorization: Bearer with the '
            "handshake (rpcclient takes a token from token=, RPC_TOKEN or RPC_TOKEN_FILE)"
        )
    if offer is None:
        return None
    return denial(roles, principal, offer.spec.permission, f"call {offer.name}")


def denial(roles: Roles, principal: Principal, permission: str, what: str) -> PermissionDenied:
    """Return the error for somebody who lacks a permission. It names the remedy.

    Parameters:
        roles: the roles of the server.
        principal: the caller.
        permission: the permission that the caller needs.
        what: what the caller wants to do, after "may not".
    """
    role = roles.of(principal)
    if role is None:
        remedy = f'is in no role: have the operator put {principal.name!r} into one with the permission "{permission}"'
    else:
        remedy = f'is in the role {role.name}: have the operator add "{permission}" to roles.{role.name}.permissions'
    return PermissionDenied(f"{principal.name} may not {what}: {principal.name} {remedy}")
