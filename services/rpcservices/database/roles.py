"""The conditions of roles for the database service: which databases exist for a caller, and what they may do there."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Literal, get_args

from pydantic import Field

from rpcserver import Principal, ServiceConfig, ServiceConfigError, ServiceRole
from rpcserver.plugins.toml import write_key

from .errors import DatabaseRefused

Right = Literal["query", "execute", "script", "transaction", "schema"]
"""What a permission of the service lets one do: ``database.query``, and so on."""

RIGHTS: Mapping[str, Right] = {f"database.{right}": right for right in get_args(Right)}
"""The right that each permission gives."""

_VERBS: Mapping[Right, str] = {
    "query": "query", "execute": "change", "script": "run scripts on", "transaction": "begin transactions on",
    "schema": "see the schema of",
}  # fmt: skip


class DatabaseRole(ServiceConfig):
    """Which databases the members of a role may use, if its permissions let them use any."""

    databases: tuple[str, ...] = Field(
        default=("*",),
        description="The databases that they see, by name; * is any text. The others do not exist for them.",
    )
    may: Mapping[str, tuple[Right, ...]] = Field(
        default={},
        description="For single databases: what they may do there, of what their permissions allow: query, execute, "
        'script, transaction, schema. With { shop = ["query"] } they only read the database shop. The key is a name, '
        "or a pattern with * for databases without a key of their own; of several patterns, the first counts.",
    )


def check_conditions(role: ServiceRole, databases: Collection[str]) -> None:
    """Make sure that each condition of a role means something: one with a typing error would forbid nothing.

    Parameters:
        role: the role.
        databases: the names of all databases.

    Raises:
        ServiceConfigError: a condition names a database that does not exist or that the role does not see, or a right
            for which the role has no permission. A pattern of ``databases`` may be for databases to come.
    """
    conditions: DatabaseRole = role.conditions
    place = f"{role.place}.database"
    for pattern in conditions.databases:
        if "*" not in pattern and not _fits_any(pattern, databases):
            raise ServiceConfigError(f"{place}.databases: {_no_database(pattern, databases)}")
    visible = [database for database in databases if sees(role, database)]
    for pattern, rights in conditions.may.items():
        if pattern != "*" and not _fits_any(pattern, databases):
            raise ServiceConfigError(f"{place}.may: {_no_database(pattern, databases)}")
        if pattern != "*" and not _fits_any(pattern, visible):
            raise ServiceConfigError(f"{place}.may: the role does not see {pattern}: add it to {place}.databases")
        for right in rights:
            if f"database.{right}" not in role.permissions:
                raise ServiceConfigError(
                    f'{place}.may.{pattern}: "{right}" gives nothing: add "database.{right}" to '
                    f"{role.place}.permissions, and list under may what the role may do to its other databases"
                )


def _fits_any(pattern: str, names: Iterable[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)


def _no_database(pattern: str, databases: Collection[str]) -> str:
    near = difflib.get_close_matches(pattern[:100], databases, 1)
    return f"there is no database {pattern!r}: " + (
        f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(databases)) or 'none'}"
    )


def sees(role: ServiceRole, database: str) -> bool:
    """Return whether a database exists for the members of a role."""
    conditions: DatabaseRole = role.conditions
    return any(database == pattern or fnmatchcase(database, pattern) for pattern in conditions.databases)


def find_rule(conditions: DatabaseRole, database: str) -> str | None:
    """Find the key of ``may`` that counts for a database: its name, or else the first pattern that fits."""
    if database in conditions.may:
        return database
    return next((pattern for pattern in conditions.may if fnmatchcase(database, pattern)), None)


def rights_on(role: ServiceRole, database: str) -> frozenset[Right] | None:
    """Return what the members of a role may do to a database; ``None`` if it does not exist for them."""
    if not sees(role, database):
        return None
    conditions: DatabaseRole = role.conditions
    rights: frozenset[Right] = frozenset(RIGHTS[name] for name in role.permissions if name in RIGHTS)
    rule = find_rule(conditions, database)
    return rights if rule is None else frozenset(right for right in conditions.may[rule] if right in rights)


class Access:
    """What the members of one role may do to each database, so that a call need only look it up.

    Parameters:
        role: the role.
        databases: the names of all databases.

    Attributes:
        role: the role.
        rights: their rights to each database that exists for them, by its name.
    """

    __slots__ = ("rights", "role")

    def __init__(self, role: ServiceRole, databases: Iterable[str]) -> None:
        self.role = role
        self.rights = {name: rights for name in databases if (rights := rights_on(role, name)) is not None}


def check_right(principal: Principal, access: Access, database: str, right: Right, *, writing: bool = False) -> None:
    """Make sure that a caller may do something to a database that exists for them.

    Parameters:
        principal: the caller.
        access: what the caller's role may do.
        database: the name of the database.
        right: the right that the caller needs.
        writing: whether the statements may change something.

    Raises:
        DatabaseRefused: the role lacks the right; the error names both.
    """
    rights = access.rights[database]
    if right not in rights:
        raise _refusal(principal, access.role, database, right, "")
    if writing and "execute" not in rights and "script" not in rights:
        raise _refusal(principal, access.role, database, "execute", "give readonly=True, or ")


def _refusal(principal: Principal, role: ServiceRole, database: str, right: Right, remedy: str) -> DatabaseRefused:
    place, add = f"{role.place}.permissions", f"database.{right}"
    if add in role.permissions and (rule := find_rule(role.conditions, database)) is not None:
        place, add = f"{role.place}.database.may.{write_key(rule)}", right
    return DatabaseRefused(
        f"{principal.name} may not {_VERBS[right]} the database {database!r}: {remedy}have the operator add "
        f'"{add}" to {place}',
        database=database, right=right, rule=place, sqlstate="42501",
    )  # fmt: skip
