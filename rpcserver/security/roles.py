"""Roles: what a service's configuration allows to whom. A service declares what its own roles say, and asks a table of
them who is in which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from pydantic import Field

from rpcwire.context import OWNER, Principal
from rpcwire.service import ServiceConfig

_MOST_KNOWN = 1000


class Role(ServiceConfig):
    """The root of roles: who is in it. What they may do is up to the service."""

    principals: tuple[str, ...] = Field(
        default=(), description='Who is in it, by the names that rpc.hello tells; "*" for everybody.'
    )


RoleT = TypeVar("RoleT", bound=Role)


def each_in_one(roles: Mapping[str, RoleT]) -> Mapping[str, RoleT]:
    """Roles of a configuration in which nobody is in two: the second would never count.

    Raises:
        ValueError: somebody is.
    """
    found: dict[str, str] = {}
    for name, role in roles.items():
        for principal in set(role.principals):
            if principal in found:
                raise ValueError(
                    f"{principal!r} is in {found[principal]} and in {name}: name everybody in one role only"
                )
            found[principal] = name
    return roles


def is_owner(principal: Principal, owner_uid: int) -> bool:
    """Whether a caller is the local owner: the server's own user, or whoever has its token.

    Parameters:
        principal: the caller.
        owner_uid: the server's own user.
    """
    return principal.uid == owner_uid or (principal.name == OWNER and principal.method == "token")


class RoleTable(Generic[RoleT]):
    """The roles of one place in the configuration.

    Parameters:
        prefix: that place, such as ``services.programs``; the names of roles begin with it.
        roles: the roles by name.
        owner: what the local owner may do without being in one; ``None`` for nothing.
        owner_uid: the server's own user.
    """

    def __init__(self, prefix: str, roles: Mapping[str, RoleT], owner: RoleT | None, owner_uid: int) -> None:
        self._prefix = prefix
        self._roles = roles
        self._owner = owner
        self._owner_uid = owner_uid
        self._known: dict[Principal, tuple[str, RoleT] | None] = {}

    def role(self, principal: Principal) -> tuple[str, RoleT] | None:
        """The role of a caller, and its name in the configuration; ``None`` where there is none. One that names the
        caller goes before one for everybody."""
        if principal not in self._known:
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            self._known[principal] = self._find(principal)
        return self._known[principal]

    def _find(self, principal: Principal) -> tuple[str, RoleT] | None:
        for wanted in (principal.name, "*"):
            for name, role in self._roles.items():
                if wanted in role.principals:
                    return f"{self._prefix}.roles.{name}", role
        if self._owner is not None and is_owner(principal, self._owner_uid):
            return f"{self._prefix}.unlisted", self._owner
        return None
