"""Roles: who may do what. The configuration has a table for each, ``[roles.NAME]``, with permissions, and in it a table
for each service that has conditions, ``[roles.NAME.SERVICE]``. Everybody has one role at most."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from rpcserver.config import ConfigError, RoleConfig, RoleLimits, name_keys
from rpcwire.context import OWNER, VIA, Principal
from rpcwire.errors import describe_fields, field_errors
from rpcwire.service import Service, ServiceConfig, ServiceConfigError, ServiceRole

EVERYBODY = "*"
"""In the list of a role's principals: everybody who has authenticated and is in no other role."""

OWNER_ROLE = "owner"
"""The role of the user who runs the server. It gives everything unless the configuration has a table for it."""

OPEN_TO_ALL = frozenset({"rpc.hello", "rpc.authenticate", "rpc.ping"})
"""The methods that may be called before authentication."""

OPEN_TO_PRINCIPALS = OPEN_TO_ALL | {
    "rpc.discover",
    "rpc.services",
    "rpc.list_permissions",  # Those of the caller.
    "rpc.create_ticket",  # A ticket gives no more than its maker has.
    "rpc.list_sessions",  # Of others only with a permission, and so the next one.
    "rpc.revoke_session",
}
"""The methods that everybody who has authenticated may call, without a role."""

_MOST_CALLERS = 1000


@dataclass(frozen=True, slots=True)
class Role:
    """One role, as the services that are loaded understand it.

    Attributes:
        name: its name.
        principals: who is in it, by name, besides those whose credentials name the role.
        patterns: its patterns of permissions, as the configuration has them.
        permissions: all permissions that its patterns stand for.
        methods: the methods that these permissions allow, and those that are open to everybody.
        conditions: the conditions for each service, by its name.
        limits: its own limits.
    """

    name: str
    principals: tuple[str, ...]
    patterns: tuple[str, ...]
    permissions: frozenset[str]
    methods: frozenset[str]
    conditions: Mapping[str, ServiceConfig]
    limits: RoleLimits

    def gives_all_of(self, other: Role) -> bool:
        """Return whether this role gives all that another one does, on the same conditions, and takes no smaller
        messages: the size of a message is agreed upon when a connection begins, all other limits hold at once.

        Parameters:
            other: the other role.
        """
        services = {permission.partition(".")[0] for permission in other.permissions}
        return (
            other.permissions <= self.permissions
            and not takes_less(self.limits, other.limits)
            and all(self.conditions.get(service) == other.conditions.get(service) for service in services)
        )


def list_permissions(kinds: Iterable[type[Service[Any]]]) -> dict[str, str]:
    """List the permissions of classes of services, each with what it is for.

    Raises:
        TypeError: a method names a permission that its service does not declare, a service declares one that does not
            begin with its name, or its name has a dot, so that ``NAME.*`` of another service would stand for it, too.
    """
    permissions: dict[str, str] = {}
    for kind in kinds:
        if "." in kind.name:
            raise TypeError(
                f"{kind.__qualname__}: the name {kind.name!r} has a dot, which divides services and methods"
            )
        for permission in kind.permissions:
            if not permission.startswith(f"{kind.name}."):
                raise TypeError(f"{kind.__qualname__}: the permission {permission!r} must begin with {kind.name}.")
        permissions.update(kind.permissions)
        for method in kind.methods():
            if method.permission == method.full_name:
                permissions.setdefault(method.permission, f"call {method.full_name}")
            if method.permission not in permissions or not method.permission.startswith(f"{kind.name}."):
                raise _undeclared_error(kind, method.permission, method.full_name)
    return permissions


def _permissions_of_pages(services: Iterable[Service[Any]], permissions: Mapping[str, str]) -> dict[str, str | None]:
    """Return the permission that each page needs, by its path; ``None`` for none."""
    pages: dict[str, str | None] = {}
    for service in services:
        for path, page in service.http_pages().items():
            needs = page.permission
            if needs is not None and not (needs in permissions and needs.startswith(f"{service.name}.")):
                raise _undeclared_error(type(service), needs, f"the page {path}")
            pages[path] = needs
    return pages


def _undeclared_error(kind: type[Service[Any]], permission: str, of: str) -> TypeError:
    return TypeError(
        f"{kind.__qualname__}: {of} needs the permission {permission!r}, which the service does not declare: add it to "
        "`permissions` of the class"
    )


def methods_by_permission(kinds: Iterable[type[Service[Any]]]) -> dict[str, list[str]]:
    """List the methods that each permission allows."""
    methods: dict[str, list[str]] = {}
    for kind in kinds:
        for method in kind.methods():
            methods.setdefault(method.permission, []).append(method.full_name)
    return methods


def expand(pattern: str, permissions: Iterable[str]) -> frozenset[str]:
    """Return the permissions that a pattern stands for: ``*``, ``SERVICE.*``, or the name of one.

    Raises:
        ValueError: there is no such permission.
    """
    names = list(permissions)
    if pattern == "*":
        return frozenset(names)
    if pattern.endswith(".*"):
        of_service = frozenset(name for name in names if name.startswith(pattern[:-1]))
        if of_service:
            return of_service
    elif pattern in names:
        return frozenset({pattern})
    services = {name.partition(".")[0] + ".*" for name in names}
    near = difflib.get_close_matches(pattern[:100], [*names, *services], 1)
    hint = f"did you mean {near[0]}?" if near else "`rpcserver permissions` lists those there are"
    raise ValueError(f"there is no permission {pattern[:100]!r}: {hint}")


def is_owner(principal: Principal, owner_uid: int) -> bool:
    """Return whether somebody is the owner: the user who runs the server, or somebody who has its token.

    Parameters:
        principal: the caller.
        owner_uid: the user who runs the server.
    """
    if principal.method in ("peer", "memory"):
        return principal.uid == owner_uid
    return principal.name == OWNER and principal.method == "token"


class Roles:
    """All roles of a server.

    Parameters:
        sections: the tables below ``[roles]``.
        services: the services that are offered, without that of the protocol itself.
        owner_uid: the user who runs the server.
        system: the class of the service of the protocol itself.
        absent: the names of services whose code cannot be imported. What roles give of them counts when
            :meth:`admit` brings them.
        like: other roles of services of the same classes, whose permissions and pages are taken over.

    Raises:
        ConfigError: a table names a permission, a service or a key that does not exist, or somebody is in two roles.
        TypeError: a service needs a permission that it does not declare.

    Attributes:
        permissions: all permissions, each with what it is for.
        methods: the methods that each permission allows.
        pages: the permission that each page of a service needs, by its path; ``None`` for none.
    """

    def __init__(
        self,
        sections: Mapping[str, RoleConfig],
        services: Iterable[Service[Any]],
        owner_uid: int,
        system: type[Service[Any]],
        absent: Iterable[str] = (),
        *,
        like: Roles | None = None,
    ) -> None:
        self._sections = sections
        self._services = {service.name: service for service in services}
        self._system = system
        self._absent: frozenset[str] = frozenset(absent) if like is None else like._absent  # noqa: SLF001 - of this class
        self._owner_uid = owner_uid
        self._members = _index(sections)
        self._role_of: dict[Principal, Role | None] = {}
        self._make_all(like)

    def _make_all(self, like: Roles | None) -> None:
        sections = self._sections
        if like is None:
            kinds = [self._system, *(type(service) for service in self._services.values())]
            self.permissions: Mapping[str, str] = list_permissions(kinds)
            self.methods: Mapping[str, list[str]] = methods_by_permission(kinds)
            self.pages: Mapping[str, str | None] = _permissions_of_pages(self._services.values(), self.permissions)
        else:
            self.permissions, self.methods, self.pages = like.permissions, like.methods, like.pages
        self._roles = {name: self._make(name, section) for name, section in sections.items()}
        if OWNER_ROLE not in self._roles:
            self._roles[OWNER_ROLE] = self._make(OWNER_ROLE, RoleConfig(permissions=("*",)))
        self._views = {name: self._make_views(name) for name in self._services}
        for service in self._services.values():
            for view in self._views[service.name].values():
                try:
                    service.check_role(view)
                except ServiceConfigError as exc:
                    raise ConfigError(str(exc)) from exc

    def admit(self, service: Service[Any]) -> None:
        """Give the roles what they give of a service whose code could not be imported before.

        Parameters:
            service: the service.

        Raises:
            ConfigError, TypeError: a role does not fit the service, or the service is malformed. Nothing has changed.
        """
        # Another object first: a service that does not fit must leave nothing behind.
        successor = Roles(
            self._sections,
            [*self._services.values(), service],
            self._owner_uid,
            self._system,
            self._absent - {service.name},
        )
        vars(self).update(vars(successor))

    def exchange(self, other: Roles) -> None:
        """Exchange everything with other roles of the same services. So whoever holds this object has the new roles
        from now on, and the other object has those that held before.

        Parameters:
            other: the new roles.
        """
        mine = dict(vars(self))
        vars(self).update(vars(other))
        vars(other).update(mine)
        self._services = other._services  # The others were made only to check the roles by them.

    def __iter__(self) -> Iterator[Role]:
        return iter(self._roles.values())

    def __contains__(self, name: object) -> bool:
        return name in self._roles

    def __getitem__(self, name: str) -> Role:
        return self._roles[name]

    def _make(self, name: str, section: RoleConfig) -> Role:
        permissions: set[str] = set()
        for index, pattern in enumerate(section.permissions):
            try:
                permissions |= expand(pattern, self.permissions)
            except ValueError as exc:
                if pattern.partition(".")[0] in self._absent:
                    continue
                raise ConfigError(f"roles.{name}.permissions.{index}: {exc}") from None
        for table in section.tables:
            if table not in self._services and table not in self._absent:
                keys = ", ".join([*RoleConfig.model_fields, *self._services])
                raise ConfigError(f"roles.{name}.{table}: there is no such key, and no such service; there are: {keys}")
        methods = {method for permission in permissions for method in self.methods.get(permission, ())}
        conditions = {each.name: self._condition(name, section, each) for each in self._services.values()}
        return Role(
            name,
            section.principals,
            section.permissions,
            frozenset(permissions),
            frozenset(methods | OPEN_TO_PRINCIPALS),
            conditions,
            section.limits,
        )

    def _condition(self, name: str, section: RoleConfig, service: Service[Any]) -> ServiceConfig:
        if service.name not in section.tables:
            if name == OWNER_ROLE and service.owner_conditions is not None:
                return service.owner_conditions
            return service.role_model()
        try:
            return service.role_model.model_validate(section.tables[service.name])
        except ValidationError as exc:
            errors = field_errors(exc, prefix=("roles", name, service.name))
            name_keys(errors, service.role_model, 3)
            raise ConfigError(describe_fields(errors, 5), errors) from exc

    def of(self, principal: Principal) -> Role | None:
        """Find the role of somebody; ``None`` if there is none. First counts the role of the credentials, then a role
        that names the principal, then the owner's, then a role for everybody. Whoever comes through another node has a
        role only if one names them with that node (``alice via gateway-1``), or all that come through it (``* via
        gateway-1``): neither the owner's nor that for everybody is meant for them."""
        if principal not in self._role_of:
            if len(self._role_of) > _MOST_CALLERS:
                self._role_of.clear()
            self._role_of[principal] = self._find(principal)
        return self._role_of[principal]

    def _find(self, principal: Principal) -> Role | None:
        if principal.role:
            return self._roles.get(principal.role)
        if principal.via:
            name = self._members.get(principal.name) or self._members.get(f"{EVERYBODY}{VIA}{principal.via}")
            return None if name is None else self._roles[name]
        # Such a name is for clients of that node alone, whatever somebody is called here.
        name = None if VIA in principal.name else self._members.get(principal.name)
        if name is None:
            name = OWNER_ROLE if is_owner(principal, self._owner_uid) else self._members.get(EVERYBODY)
        return None if name is None else self._roles[name]

    def methods_of(self, principal: Principal) -> frozenset[str]:
        """Return the full names of the methods that somebody may call."""
        role = self.of(principal)
        return OPEN_TO_PRINCIPALS if role is None else role.methods

    def views(self, service: str) -> Mapping[str, ServiceRole]:
        """Return all roles, as one service sees them, by name."""
        return self._views[service]

    def _make_views(self, service: str) -> dict[str, ServiceRole]:
        prefix = f"{service}."
        return {
            role.name: ServiceRole(
                role.name,
                frozenset(name for name in role.permissions if name.startswith(prefix)),
                role.conditions[service],
            )
            for role in self._roles.values()
        }

    def finder(self, service: str) -> Callable[[Principal], ServiceRole | None]:
        """Return what finds the roles of callers for one service, as they are when it is asked."""

        def find(principal: Principal) -> ServiceRole | None:
            role = self.of(principal)
            return None if role is None else self._views[service][role.name]

        return find


def takes_less(new: RoleLimits, old: RoleLimits) -> bool:
    """Return whether a role takes smaller messages than another one."""
    if new.message_bytes is None:
        return False
    return old.message_bytes is None or new.message_bytes < old.message_bytes


def _index(sections: Mapping[str, RoleConfig]) -> dict[str, str]:
    """Return the role of each principal that a role names.

    Raises:
        ConfigError: somebody is in two roles, of which the second would never count.
    """
    index: dict[str, str] = {}
    for name, section in sections.items():
        for principal in dict.fromkeys(section.principals):
            other = index.setdefault(principal, name)
            if other != name:
                raise ConfigError(
                    f"roles.{name}.principals: {principal!r} is in {other}, too: name everybody in one role only"
                )
    return index
