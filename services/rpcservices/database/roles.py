"""Decides who may do what to a database, by the roles of its configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import Field

from rpcserver import Principal, Role, RoleTable

from .errors import DatabaseRefused

Right = Literal["query", "execute", "script", "transaction", "schema"]
"""``query``: query, stream, explain, describe, copy_out. ``execute``: execute, executemany, batch, copy_in. ``script``:
script. ``transaction``: begin and connect; one that may write needs ``execute`` or ``script``, too. ``schema``:
schemas, tables, table."""

_VERBS: Mapping[Right, str] = {
    "query": "query", "execute": "change", "script": "run scripts on", "transaction": "begin transactions on",
    "schema": "see the schema of",
}  # fmt: skip


class DatabaseRole(Role):
    """What a group of callers may do to a database. Whoever is in no role does not see it."""

    may: tuple[Right, ...] = Field(
        default=("query", "schema"),
        description="What they may do: query (read), execute (change), script, transaction (one that writes needs "
        "execute or script, too), schema (list tables).",
    )


OWNER = DatabaseRole(may=get_args(Right))
"""The role of a local owner who is in no other: everything."""


class Access:
    """The roles of one database.

    Parameters:
        database: its name.
        roles: the roles by name.
        owner_may: whether the local owner may do everything without being in a role.
    """

    def __init__(self, database: str, roles: Mapping[str, DatabaseRole], *, owner_may: bool) -> None:
        self._database = database
        prefix = f"services.database.databases.{database}"
        self._roles = RoleTable(prefix, roles, OWNER if owner_may else None, os.geteuid())

    def sees(self, principal: Principal) -> bool:
        """Whether the database exists for a caller."""
        return self._roles.role(principal) is not None

    def check(self, principal: Principal, right: Right, *, writing: bool = False) -> None:
        """Make sure that a caller may do something.

        Parameters:
            principal: the caller, who sees the database.
            right: the right that the caller needs.
            writing: whether the statements may change something.

        Raises:
            DatabaseRefused: the role lacks the right; the error names both.
        """
        role = self._roles.role(principal)
        rule, may = ("", ()) if role is None else (role[0], role[1].may)
        if right not in may:
            raise self._refusal(principal, right, rule, "")
        if writing and not {"execute", "script"} & set(may):
            raise self._refusal(principal, "execute", rule, "give readonly=True, or ")

    def _refusal(self, principal: Principal, right: Right, rule: str, remedy: str) -> DatabaseRefused:
        return DatabaseRefused(
            f"{principal.name} may not {_VERBS[right]} the database {self._database!r}: {remedy}have the operator add "
            f'"{right}" to {rule}.may',
            database=self._database, right=right, rule=rule, sqlstate="42501",
        )  # fmt: skip
