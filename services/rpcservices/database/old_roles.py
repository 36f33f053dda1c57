"""Translates the tables of roles that each database had of its own into conditions of ``[roles.NAME]``."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from rpcserver import ServiceConfig
from rpcserver.plugins.old_roles import EVERYBODY, UNNAMED_OWNER, Grant, OldRoles, read_grants
from rpcwire.context import OWNER
from rpcwire.errors import describe_fields, field_errors

from .roles import Right

_ALL = frozenset(get_args(Right))
_OLD_KEYS = ("unlisted", "roles")


class _OldRole(ServiceConfig):
    """An old role of one database, without its members."""

    may: tuple[Right, ...] = ("query", "schema")


def read_old_roles(section: Mapping[str, Any]) -> OldRoles:
    """Say what the old keys of ``[services.database]`` and of its databases gave to whom.

    Parameters:
        section: the section as it is written.

    Raises:
        ValueError: the old keys have a wrong form; the message names them.
    """
    databases = _tables(section.get("databases", {"main": {}}))
    keys = ["unlisted"] if "unlisted" in section else []
    tables: dict[str, Mapping[str, Grant]] = {}
    for name, database in databases.items():
        keys += [f"databases.{name}.{key}" for key in _OLD_KEYS if key in database]
        others = database.get("unlisted") or section.get("unlisted")
        tables[name] = _read_table(name, database.get("roles", {}), owner_may=others != "nobody")
    principals = dict.fromkeys(principal for table in tables.values() for principal in table)
    grants = {principal: _join(principal, tables) for principal in (*principals, EVERYBODY, UNNAMED_OWNER)}
    return OldRoles(tuple(keys), grants)


def _tables(value: Any) -> Mapping[str, Mapping[str, Any]]:
    """The tables in a table. Whatever else is there, the model refuses."""
    if not isinstance(value, Mapping):
        return {}
    return {name: table for name, table in value.items() if isinstance(table, Mapping)}


def _read_table(database: str, table: Mapping[str, Any], *, owner_may: bool) -> Mapping[str, Grant]:
    """Read the roles of one database. In these grants the permissions are the rights there."""

    def make(name: str, keys: Mapping[str, Any]) -> Grant:
        try:
            return Grant(_OldRole.model_validate(keys).may, {"sees": True}, name)
        except ValidationError as exc:
            place = ("databases", database, "roles", name)
            raise ValueError(describe_fields(field_errors(exc, prefix=place))) from exc

    owner = Grant(tuple(_ALL), {"sees": True}, of_owner=True) if owner_may else Grant()
    return read_grants(table, make, owner=owner, everybody=Grant())


def _join(principal: str, tables: Mapping[str, Mapping[str, Grant]]) -> Grant:
    """Join what all databases gave to somebody."""
    otherwise = UNNAMED_OWNER if principal in (OWNER, UNNAMED_OWNER) else EVERYBODY
    grants = {database: table.get(principal, table[otherwise]) for database, table in tables.items()}
    if otherwise == UNNAMED_OWNER and all(grant.of_owner for grant in grants.values()):
        return Grant(("database.*",), of_owner=True)
    visible = {database: frozenset(grant.permissions) for database, grant in grants.items() if grant.conditions}
    all_rights = frozenset[str]().union(*visible.values())
    if not all_rights:
        return Grant()
    conditions: dict[str, Any] = {"databases": [glob.escape(database) for database in visible]}
    may = {glob.escape(database): _sort(rights) for database, rights in visible.items() if rights != all_rights}
    if may:
        conditions["may"] = may
    role = next((grant.role for grant in grants.values() if grant.role), "")
    permissions = ("database.*",) if all_rights == _ALL else tuple(f"database.{right}" for right in _sort(all_rights))
    return Grant(permissions, conditions, role)


def _sort(rights: Iterable[str]) -> list[str]:
    return [right for right in get_args(Right) if right in rights]
