"""The command ``rpcserver permissions``: says who may do what, and why."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rpcserver.config import ConfigError, ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.plugins.toml import write_key, write_value
from rpcserver.security.explanation import (
    PermissionInfo,
    RoleInfo,
    Target,
    explain_permissions,
    explain_role,
    explain_target,
)
from rpcserver.security.roles import OPEN_TO_ALL, OPEN_TO_PRINCIPALS, Roles
from rpcserver.security.token_file import TokenFile
from rpcserver.system import System
from rpcwire.logs import printable

from .options import config_option, plugin_option
from .server_user import load_as_server_user

_LINE_CHARACTERS = 10_000
"""The longest line: more than any condition that a person could read."""


@click.command(short_help="Say who may do what, and why.")
@click.argument("name", required=False)
@click.option("--role", metavar="ROLE", help="Only this role: what it gives; with NAME, whether it allows that.")
@config_option
@plugin_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def permissions(
    name: str | None, role: str | None, config_file: Path | None, files: tuple[str, ...], as_json: bool
) -> None:
    """List the permissions, what each is for, and the roles that give it.

    With the NAME of a method (programs.list), of a page (/metrics) or of a permission (hardware.read): say who may call
    the method, may read the page or has the permission, and why.
    """
    try:
        config = load_as_server_user(config_file, {"plugins": {"files": files}} if files else {})
        roles, holders = _make_roles(config), _list_holders(config)
        answer: list[PermissionInfo] | RoleInfo | Target
        if name is not None:
            answer = explain_target(roles, name, holders)
            if role is not None:
                only = explain_role(roles, role).role
                answer = answer.model_copy(update={"roles": tuple(each for each in answer.roles if each.role == only)})
            lines = _write_target(answer, role)
        elif role is not None:
            answer = explain_role(roles, role, holders)
            lines = _write_role(answer)
        else:
            answer = explain_permissions(roles)
            lines = _write_permissions(answer)
    except (ConfigError, ValueError, TypeError) as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)
    if as_json:
        data: Any = [each.model_dump() for each in answer] if isinstance(answer, list) else answer.model_dump()
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        for line in lines:
            click.echo(printable(line, _LINE_CHARACTERS))


def _make_roles(config: ServerConfig) -> Roles:
    """Make the roles of a configuration, as a server would at its start, without starting anything."""
    services = create_services(find_services(config.plugins), config.services)
    return Roles(config.roles, services, os.geteuid(), System)


def _list_holders(config: ServerConfig) -> dict[str, list[str]]:
    """List whose credentials name each role: named tokens that are valid now, certificates, users and groups."""
    pairs = [(each.role, f"certificate {name}") for name, each in config.auth.certificates.items()]
    pairs += [(role, f"user {name}, by the Unix socket") for name, role in config.auth.unix.users.items()]
    pairs += [(role, f"group {name}, by the Unix socket") for name, role in config.auth.unix.groups.items()]
    try:
        tokens = TokenFile(config.state_path).read().tokens
    except ConfigError as exc:  # Another user may have made them. The rest is true all the same.
        click.echo(f"rpcserver: {exc}", err=True)
        tokens = ()
    now = time.time()
    pairs += [(each.role, f"token {each.name}") for each in tokens if each.is_valid(now)]
    holders: dict[str, list[str]] = {}
    for role, who in dict.fromkeys(pairs):
        holders.setdefault(role, []).append(who)
    return holders


def _write_permissions(permissions: Sequence[PermissionInfo]) -> Iterator[str]:
    rows = [(each.permission, each.purpose, ", ".join(each.roles)) for each in permissions]
    yield from _write_table(("PERMISSION", "FOR", "ROLES"), rows)
    yield ""
    yield f"Open to everybody: {', '.join(sorted(OPEN_TO_ALL))}."
    yield f"Open to whoever has authenticated: {', '.join(sorted(OPEN_TO_PRINCIPALS - OPEN_TO_ALL))}."


def _write_role(role: RoleInfo) -> Iterator[str]:
    yield f"Role {role.role}"
    yield ""
    yield "In it:"
    yield from (f"  {member}" for member in role.members)
    yield ""
    if not role.grants:
        yield "It gives no permission."
        return
    yield "Permissions:"
    rows = [(each.permission, each.purpose, f"by {_quote(each.patterns)}") for each in role.grants]
    yield from (f"  {line}" for line in _write_table(None, rows))
    for service, conditions in role.conditions.items():
        yield ""
        yield f"Conditions of {service}:"
        yield from (f"  {line}" for line in _write_conditions(conditions))
    yield ""
    yield "Methods:"
    yield from (f"  {method}" for method in role.methods)
    if role.pages:
        yield ""
        yield "Pages:"
        yield from (f"  {page}" for page in role.pages)


def _write_target(target: Target, only: str | None) -> Iterator[str]:
    may_use = {"page": "may read", "method": "may call", "permission": "has the permission"}[target.kind]
    if target.open_to == "anybody":
        yield f"Anybody {may_use} {target.name}, without authenticating."
        return
    if target.open_to == "principals":
        yield f"Whoever has authenticated {may_use} {target.name}, without a role."
        return
    if target.kind == "permission":
        yield f'The permission "{target.permission}": {target.purpose}.'
    else:
        verb = "read" if target.kind == "page" else "call"
        yield f'To {verb} {target.name} one needs the permission "{target.permission}": {target.purpose}.'
    if not target.roles:
        yield ""
        yield f"No role gives it: nobody {may_use} {target.name}." if only is None else f"The role {only} lacks it."
        return
    for role in target.roles:
        yield ""
        yield f"The role {role.role} gives it by {_quote(role.patterns)}. In it:"
        yield from (f"  {member}" for member in role.members)
        if role.conditions:
            yield f"Conditions, roles.{write_key(role.role)}.{target.permission.partition('.')[0]}:"
            yield from (f"  {line}" for line in _write_conditions(role.conditions))
    if only is None:
        yield ""
        yield f"Nobody else {may_use} {target.name}."


def _write_conditions(conditions: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Write conditions as TOML, a table of tables with a line for each of them."""
    for name, value in conditions.items():
        key = prefix + write_key(name)
        if isinstance(value, dict) and value and all(isinstance(each, dict) for each in value.values()):
            yield from _write_conditions(value, f"{key}.")
        else:
            yield f"{key} = {write_value(value)}"


def _write_table(head: tuple[str, ...] | None, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    lines = [*([head] if head is not None else []), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    for line in lines:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()


def _quote(patterns: Sequence[str]) -> str:
    return ", ".join(f'"{pattern}"' for pattern in patterns)
