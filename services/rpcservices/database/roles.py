"""The conditions of roles for the database service."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal, get_args

from pydantic import Field

from rpcserver import Principal, ServiceConfig, ServiceRole

from .errors import DatabaseRefused

Right = Literal["query", "execute", "script", "transaction", "schema"]
"""What a permission of the service lets one do: ``database.query``, and so on."""

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
        'script, transaction, schema. { shop = ["query"] } lets them only read the database shop.',
    )


def sees(role: ServiceRole | None, database: str) -> bool:
    """Return whether a database exists for the members of a role."""
    conditions: DatabaseRole | None = None if role is None else role.conditions
    return conditions is not None and any(fnmatchcase(database, pattern) for pattern in conditions.databases)


def check(
    principal: Principal, role: ServiceRole | None, database: str, right: Right, *, writing: bool = False
) -> None:
    """Make sure that a caller, who sees a database, may do something to it.

    Parameters:
        principal: the caller.
        role: the role of the caller.
        database: the name of the database.
        right: the right that the caller needs.
        writing: whether the statements may change something.

    Raises:
        DatabaseRefused: the role lacks the right; the error names both.
    """
    allowed = set() if role is None else {r for r in get_args(Right) if f"database.{r}" in role.permissions}
    conditions: DatabaseRole | None = None if role is None else role.conditions
    if conditions is not None and database in conditions.may:
        allowed &= set(conditions.may[database])
    if right not in allowed:
        raise _refusal(principal, role, database, right, "")
    if writing and not {"execute", "script"} & allowed:
        raise _refusal(principal, role, database, "execute", "give readonly=True, or ")


def _refusal(
    principal: Principal, role: ServiceRole | None, database: str, right: Right, remedy: str
) -> DatabaseRefused:
    rule = "roles" if role is None else f"{role.place}.permissions"
    add = f"database.{right}"
    if role is not None and database in role.conditions.may and f"database.{right}" in role.permissions:
        rule, add = f"{role.place}.database.may.{database}", right
    return DatabaseRefused(
        f"{principal.name} may not {_VERBS[right]} the database {database!r}: {remedy}have the operator add "
        f'"{add}" to {rule}',
        database=database, right=right, rule=rule, sqlstate="42501",
    )  # fmt: skip
