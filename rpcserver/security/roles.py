"""Roles: a service's configuration gives rights to callers by roles. A service declares the rights of its own roles,
and asks a table for the role of a caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from pydantic import Field

from rpcwire.context import OWNER, Principal
from rpcwire.service import ServiceConfig

_MOST_CALLERS = 1000


class Role(ServiceConfig):
    """The root of roles: names its members. The service declares what they may do."""

    principals: tuple[str, ...] = Field(
        default=(), description='Who is in it, by the names that rpc.hello tells; "*" for everybody.'
    )


RoleT = TypeVar("RoleT", bound=Role)


def each_in_one(roles: Mapping[str, RoleT]) -> Mapping[str, RoleT]:
    """Make sure that nobody is in two roles, since the second would never count. Return the roles.

    Raises:
        ValueError: somebody is in two roles.
    """
    role_of: dict[str, str] = {}
    for name, role in roles.items():
        for principal in set(role.principals):
            if principal in role_of:
                raise ValueError(
                    f"{principal!r} is in {role_of[principal]} and in {name}: name everybody in one role only"
                )
            role_of[principal] = name
    return roles


def is_owner(principal: Principal, owner_uid: int) -> bool:
    """Return whether a caller is the owner: the user who runs the server, or somebody who has its token.

    Parameters:
        principal: the caller.
        owner_uid: the user who runs the server.
    """
    return principal.uid == owner_uid or (principal.name == OWNER and principal.method == "token")


class RoleTable(Generic[RoleT]):
    """The roles of one place in the configuration.

    Parameters:
        prefix: that place, such as ``services.programs``; the names of roles begin with it.
        roles: the roles by name.
        owner: the role of the owner if no other role names them; ``None`` for none.
        owner_uid: the user who runs the server.
    """

    def __init__(self, prefix: str, roles: Mapping[str, RoleT], owner: RoleT | None, owner_uid: int) -> None:
        self._prefix = prefix
        self._roles = roles
        self._owner = owner
        self._owner_uid = owner_uid
        self._role_of: dict[Principal, tuple[str, RoleT] | None] = {}

    def role(self, principal: Principal) -> tuple[str, RoleT] | None:
        """Find the role of a caller, and its name in the configuration; ``None`` if there is none. A role that names
        the caller goes before a role for everybody."""
        if principal not in self._role_of:
            if len(self._role_of) > _MOST_CALLERS:
                self._role_of.clear()
            self._role_of[principal] = self._find(principal)
        return self._role_of[principal]

    def _find(self, principal: Principal) -> tuple[str, RoleT] | None:
        for member in (principal.name, "*"):
            for name, role in self._roles.items():
                if member in role.principals:
                    return f"{self._prefix}.roles.{name}", role
        if self._owner is not None and is_owner(principal, self._owner_uid):
            return f"{self._prefix}.unlisted", self._owner
        return None
