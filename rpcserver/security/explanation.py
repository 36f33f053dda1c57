"""Explains the roles of a configuration: who may do what, and why. It decides nothing: it tells what
:class:`~rpcserver.security.roles.Roles` has decided."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from rpcwire.context import OWNER

from .roles import EVERYBODY, OPEN_TO_ALL, OPEN_TO_PRINCIPALS, OWNER_ROLE, Role, Roles, expand

Holders = Mapping[str, Sequence[str]]
"""For each role: whose credentials name it, in words, such as ``token ada``."""

Opening = Literal["anybody", "principals", "roles"]
"""Who may call a method: anybody, whoever has authenticated, or whoever has a role that allows it."""


TargetKind = Literal["method", "page", "permission"]
"""What somebody may use: a method, a page, or whatever needs a permission."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class PermissionInfo(_Answer):
    """A permission.

    Attributes:
        permission: its name.
        purpose: the words in which its service says what it is for.
        methods: the methods that need it.
        pages: the pages that need it.
        roles: the roles that give it.
    """

    permission: str
    purpose: str
    methods: tuple[str, ...]
    pages: tuple[str, ...]
    roles: tuple[str, ...]


class Grant(_Answer):
    """One permission of a role.

    Attributes:
        permission: its name.
        purpose: what it is for.
        patterns: the patterns of the role that stand for it.
    """

    permission: str
    purpose: str
    patterns: tuple[str, ...]


class RoleInfo(_Answer):
    """A role, and what it gives.

    Attributes:
        role: its name.
        principals: who is in it, by name; ``*`` stands for everybody who is in no other role.
        members: who is in it, in words.
        grants: its permissions.
        methods: the methods that its members may call, besides those that everybody may call.
        pages: the pages that its members may read, besides those that everybody may read.
        conditions: its conditions for each service of which it has a permission.
    """

    role: str
    principals: tuple[str, ...]
    members: tuple[str, ...]
    grants: tuple[Grant, ...]
    methods: tuple[str, ...]
    pages: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, Any]]


class AllowingRole(_Answer):
    """A role that allows a method or a page, or gives a permission.

    Attributes:
        role: its name.
        patterns: the patterns that stand for the permission.
        principals: see :class:`RoleInfo`.
        members: see :class:`RoleInfo`.
        conditions: the role's conditions for the service.
    """

    role: str
    patterns: tuple[str, ...]
    principals: tuple[str, ...]
    members: tuple[str, ...]
    conditions: Mapping[str, Any]


class Target(_Answer):
    """A method, a page or a permission, and who may call it, read it or has it.

    Attributes:
        name: the full name of the method, the path of the page, or the permission.
        kind: which of them it is.
        permission: the permission that it needs; empty if it needs none; of a permission itself its name.
        purpose: what the permission is for.
        open_to: whether a role is needed at all.
        roles: the roles that allow or give it.
    """

    name: str
    kind: TargetKind
    permission: str
    purpose: str
    open_to: Opening
    roles: tuple[AllowingRole, ...]


def explain_permissions(roles: Roles) -> list[PermissionInfo]:
    """List all permissions of services with the roles that give them, by name. Those of the protocol itself, which
    need no role, are left out.

    Parameters:
        roles: the roles of the configuration.
    """
    return [
        PermissionInfo(
            permission=name,
            purpose=roles.permissions[name],
            methods=tuple(sorted(roles.methods.get(name, ()))),
            pages=tuple(sorted(path for path, needs in roles.pages.items() if needs == name)),
            roles=tuple(role.name for role in roles if name in role.permissions),
        )
        for name in sorted(roles.permissions.keys() - OPEN_TO_PRINCIPALS)
    ]


def explain_role(roles: Roles, name: str, holders: Holders = MappingProxyType({})) -> RoleInfo:
    """Tell what a role gives, and to whom.

    Parameters:
        roles: the roles of the configuration.
        name: the name of the role.
        holders: whose credentials name each role.

    Raises:
        ValueError: there is no such role.
    """
    if name not in roles:
        raise ValueError(f"there is no role {name[:100]!r}: {_hint(name, [role.name for role in roles])}")
    role = roles[name]
    own = sorted(role.permissions - OPEN_TO_PRINCIPALS)
    services = dict.fromkeys(permission.partition(".")[0] for permission in own)
    return RoleInfo(
        role=name,
        principals=role.principals,
        members=describe_members(roles, role, holders),
        grants=tuple(
            Grant(permission=each, purpose=roles.permissions[each], patterns=_patterns(roles, role, each))
            for each in own
        ),
        methods=tuple(sorted(role.methods - OPEN_TO_PRINCIPALS)),
        pages=tuple(sorted(path for path, needs in roles.pages.items() if needs in role.permissions)),
        conditions={each: table for each in services if (table := _conditions(role, each))},
    )


def explain_target(roles: Roles, name: str, holders: Holders = MappingProxyType({})) -> Target:
    """Tell who may call a method, read a page or has a permission, and why. A method goes before a permission that has
    the same name.

    Parameters:
        roles: the roles of the configuration.
        name: the full name of the method, the path of the page, or the permission.
        holders: whose credentials name each role.

    Raises:
        ValueError: there is no such method, page or permission.
    """
    methods = {method: permission for permission, names in roles.methods.items() for method in names}
    if name in roles.pages:
        permission = roles.pages[name] or ""
        kind: TargetKind = "page"
        open_to: Opening = "roles" if permission else "anybody"
    elif name in methods:
        kind, permission = "method", methods[name]
        open_to = "anybody" if name in OPEN_TO_ALL else "principals" if name in OPEN_TO_PRINCIPALS else "roles"
    elif name in roles.permissions:
        kind, permission, open_to = "permission", name, "roles"
    elif name.startswith("/"):
        raise ValueError(f"there is no page {name[:100]!r}: {_hint(name, roles.pages)}")
    else:
        names = {*methods, *roles.permissions}
        raise ValueError(f"there is no method and no permission {name[:100]!r}: {_hint(name, names)}")
    if open_to != "roles":
        return Target(name=name, kind=kind, permission="", purpose="", open_to=open_to, roles=())
    return Target(
        name=name,
        kind=kind,
        permission=permission,
        purpose=roles.permissions[permission],
        open_to=open_to,
        roles=tuple(
            AllowingRole(
                role=role.name,
                patterns=_patterns(roles, role, permission),
                principals=role.principals,
                members=describe_members(roles, role, holders),
                conditions=_conditions(role, permission.partition(".")[0]),
            )
            for role in roles
            if permission in role.permissions
        ),
    )


def describe_members(roles: Roles, role: Role, holders: Holders) -> tuple[str, ...]:
    """Tell in words who is in a role, in the order in which the server looks.

    Parameters:
        roles: the roles of the configuration.
        role: one of them.
        holders: whose credentials name each role.
    """
    members = [*(name for name in role.principals if name != EVERYBODY), *holders.get(role.name, ())]
    elsewhere = any(OWNER in other.principals for other in roles if other.name != role.name)
    if role.name == OWNER_ROLE and OWNER not in role.principals and not elsewhere:
        members.append("the user who runs the server, and whoever has its token")
    if EVERYBODY in role.principals:
        members.append("everybody who has authenticated and is in no other role")
    return (*members, "whoever has other credentials that name the role")


def _patterns(roles: Roles, role: Role, permission: str) -> tuple[str, ...]:
    return tuple(pattern for pattern in role.patterns if permission in expand(pattern, roles.permissions))


def _conditions(role: Role, service: str) -> dict[str, Any]:
    """Return a role's conditions for a service as plain data: all keys, and of the tables in them what is not a
    default. Secrets are masked."""
    conditions = role.conditions.get(service)
    if conditions is None:
        return {}
    short = conditions.model_dump(mode="json", exclude_defaults=True)
    return {
        key: short.get(key, value) for key, value in conditions.model_dump(mode="json").items() if value is not None
    }


def _hint(name: str, names: Iterable[str]) -> str:
    choices = sorted(names)
    if not choices:
        return "no service has one"
    near = difflib.get_close_matches(name[:100], choices, 3)
    near = near or [each for each in choices if each.rpartition(".")[2] == name][:3]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return "there are: " + ", ".join(choices) if len(choices) <= 20 else "rpcserver permissions lists those there are"
