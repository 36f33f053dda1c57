"""Translates the tables of roles that services had of their own into ``[roles.NAME]``, which has replaced them.

A service that had such tables derives the model of its configuration from :class:`ConfigWithOldRoles`, and says what
its old keys gave to whom. A server with an old configuration does not start, and shows the new text, which says the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from rpcwire.context import OWNER
from rpcwire.errors import describe_fields, field_errors
from rpcwire.service import Service, ServiceConfig

from .toml import write_key, write_value

EVERYBODY = "*"
"""In grants: everybody whom no role names."""

UNNAMED_OWNER = ""
"""In grants: the owner whom no role names."""


OWNER_ROLE = "owner"
"""The role of the owner, whoever is in it besides."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a service gave to somebody, in the terms of the new roles.

    Attributes:
        permissions: the permissions, in full.
        conditions: the table ``[roles.NAME.SERVICE]``.
        role: the name of the old role; empty where there was none.
        of_owner: whether it is what the role ``owner`` has anyway.
    """

    permissions: tuple[str, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    role: str = ""
    of_owner: bool = False


@dataclass(frozen=True, slots=True)
class OldRoles:
    """What the old keys of a service said.

    Attributes:
        keys: the old keys, by their places below ``services.NAME``; empty if the configuration has none.
        grants: what each principal got who is named, :data:`EVERYBODY` else, and :data:`UNNAMED_OWNER`.
    """

    keys: tuple[str, ...]
    grants: Mapping[str, Grant]


class ConfigWithOldRoles(ServiceConfig):
    """The root of the configuration models of services that had roles of their own."""

    @classmethod
    def read_old_roles(cls, section: Mapping[str, Any]) -> OldRoles:
        """Read the old keys of the service's section, which may have none: then the old defaults count.

        Parameters:
            section: the section as it is written.

        Raises:
            ValueError: the old keys have a wrong form.
        """
        raise NotImplementedError


class _OldRole(BaseModel):
    """The part of an old role that all services had in common. The others are extra."""

    model_config = ConfigDict(frozen=True, extra="allow")

    principals: tuple[str, ...] = ()


_OLD_TABLE: TypeAdapter[dict[str, _OldRole]] = TypeAdapter(dict[str, _OldRole])


def read_grants(
    table: Mapping[str, Any], make: Callable[[str, Mapping[str, Any]], Grant], *, owner: Grant, everybody: Grant
) -> dict[str, Grant]:
    """Say what one old table of roles gave to whom. A role that named somebody went before one for everybody, and that
    before what the owner got without a role.

    Parameters:
        table: the roles, by name, each with its ``principals`` and more.
        make: translates one role, from its name and its keys, without ``principals``.
        owner: what the owner got without a role: with ``unlisted = "nobody"`` no more than everybody.
        everybody: what everybody got without a role.

    Raises:
        ValueError: the table has a wrong form.
    """
    try:
        roles = _OLD_TABLE.validate_python(table)
    except ValidationError as exc:
        raise ValueError(describe_fields(field_errors(exc, prefix=("roles",)))) from exc
    grants: dict[str, Grant] = {}
    for name, role in roles.items():
        grant = make(name, role.model_extra or {})
        for principal in role.principals:
            grants.setdefault(principal, grant)
    grants[UNNAMED_OWNER] = grants.get(EVERYBODY, owner)
    grants.setdefault(EVERYBODY, everybody)
    return grants


def explain_old_roles(classes: Iterable[type[Service[Any]]], sections: Mapping[str, Any]) -> str | None:
    """Say what to write in place of old keys; ``None`` if there are none.

    Parameters:
        classes: the classes of the services that are loaded.
        sections: the tables below ``[services]``.

    Raises:
        ValueError: the old keys have a wrong form. The message names their service.
    """
    keys: list[str] = []
    grants: dict[str, Mapping[str, Grant]] = {}
    for cls in classes:
        section = sections.get(cls.name, {})
        if issubclass(cls.config_model, ConfigWithOldRoles) and isinstance(section, Mapping):
            try:
                old = cls.config_model.read_old_roles(section)
            except (ValueError, TypeError, AttributeError) as exc:
                raise ValueError(
                    f"services.{cls.name}: who may do what stands in [roles.NAME] now, and these old tables of roles "
                    f"cannot be translated: {exc}"
                ) from exc
            keys += [f"services.{cls.name}.{key}" for key in old.keys]
            grants[cls.name] = old.grants
        else:
            grants[cls.name] = _open_to_all(cls.name)
    if not keys:
        return None
    message = f"{', '.join(keys)}: who may do what stands in one place now, [roles.NAME], for all services. Remove "
    message += "these keys" if len(keys) > 1 else "this key"
    text = translate(grants)
    return f"{message}, and write this, which says the same:\n\n{text}" if text else f"{message}: nothing replaces it."


def _open_to_all(service: str) -> dict[str, Grant]:
    """A service without roles was open to everybody who had authenticated."""
    return {
        EVERYBODY: Grant((f"{service}.*",)),
        UNNAMED_OWNER: Grant((f"{service}.*",), of_owner=True),
    }


def translate(grants: Mapping[str, Mapping[str, Grant]]) -> str:
    """Write the tables ``[roles.NAME]`` that give the same.

    Parameters:
        grants: what each service gave to whom, by its name.
    """
    principals = dict.fromkeys(principal for of_service in grants.values() for principal in of_service)
    of = {principal: _all_of(principal, grants) for principal in (*principals, OWNER)}
    unnamed_owner = of.pop(UNNAMED_OWNER)
    if _meaning(of[OWNER]) == _meaning(unnamed_owner):
        del of[OWNER]
    groups: dict[str, list[str]] = {}
    for principal in sorted(of, key=lambda name: name == EVERYBODY):
        groups.setdefault(_meaning(of[principal]), []).append(principal)
    tables: dict[str, str] = {}
    if not all(grant.of_owner for grant in unnamed_owner.values()):
        tables[OWNER_ROLE] = _write_role(OWNER_ROLE, (), unnamed_owner)
    for group in groups.values():
        members = [name for name in group if name in (EVERYBODY, OWNER)] if EVERYBODY in group else group
        rights = of[members[0]]
        if members == [EVERYBODY] and not any(grant.permissions for grant in rights.values()):
            continue
        name = _name_role(members, rights, tables)
        tables[name] = _write_role(name, members, rights)
    return "\n".join(tables.values())


def _all_of(principal: str, grants: Mapping[str, Mapping[str, Grant]]) -> dict[str, Grant]:
    """What each service gave to somebody."""
    otherwise = UNNAMED_OWNER if principal == OWNER else EVERYBODY
    return {service: each.get(principal, each[otherwise]) for service, each in grants.items()}


def _meaning(grants: Mapping[str, Grant]) -> str:
    """A text that is the same for the same rights."""
    return "".join(_body("", grants))


def _name_role(members: list[str], grants: Mapping[str, Grant], others: Iterable[str]) -> str:
    """Name a role like the first of the old ones, if no other is called so."""
    old_names = dict.fromkeys(grant.role for grant in grants.values() if grant.role)
    first = next(iter(old_names), "everybody" if EVERYBODY in members else members[0])
    if first == OWNER_ROLE and members == [OWNER]:
        return first  # In place of what the owner would have who is in no role: there is no such owner.
    number, name = 1, first
    while name in others or name == OWNER_ROLE:
        number += 1
        name = f"{first}-{number}"
    return name


def _write_role(name: str, members: Iterable[str], grants: Mapping[str, Grant]) -> str:
    lines = [f"[roles.{write_key(name)}]"]
    if members:
        lines.append(f"principals = {write_value(list(members))}")
    return "\n".join([*lines, *_body(name, grants)]) + "\n"


def _body(role: str, grants: Mapping[str, Grant]) -> Iterator[str]:
    """Yield the lines of a role below its members."""
    permissions = [permission for grant in grants.values() for permission in grant.permissions]
    yield f"permissions = {write_value(permissions)}"
    for service, grant in grants.items():
        # Without a table the role called owner has conditions of its own.
        if (role == OWNER_ROLE and grant.of_owner) or not grant.permissions:
            continue
        if grant.conditions or role == OWNER_ROLE:
            yield from _write_table(f"roles.{write_key(role)}.{write_key(service)}", grant.conditions)


def _write_table(place: str, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table. Tables of tables in it get headers of their own."""
    inner = {key: value for key, value in table.items() if _holds_tables(value)}
    yield from ("", f"[{place}]")
    for key, value in table.items():
        if key not in inner:
            yield f"{write_key(key)} = {write_value(value)}"
    for key, tables in inner.items():
        for name, each in tables.items():
            yield from ("", f"[{place}.{write_key(key)}.{write_key(name)}]")
            yield from (f"{write_key(name)} = {write_value(value)}" for name, value in each.items())


def _holds_tables(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(each, Mapping) for each in value.values())
