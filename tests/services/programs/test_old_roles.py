"""The tables of roles that the programs service had of its own are translated: the new text allows the same."""

from __future__ import annotations

import os
import tomllib
from typing import Any

import pytest

from rpcserver import Principal
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.plugins.finding import create_services
from rpcserver.security.roles import Roles
from rpcserver.system import System
from rpcservices.programs import Programs
from rpcservices.programs.permission.policy import OWNER
from rpcservices.programs.permission.rules import RoleRule

BY_TOKEN, BY_SOCKET = Principal("owner", "token"), Principal("owner", "peer", os.geteuid())
ADA, BOB = Principal("ada", "token"), Principal("bob", "token")
OPERATOR: dict[str, Any] = {
    "others": "view",
    "cwd": ["/srv/app", "/var/log"],
    "env": ["LC_*", "APP_MODE"],
    "user": "nobody",
    "users": ["daemon"],
    "no_new_privs": False,
    "limits": {"memory_bytes": 500_000_000, "processes": 32, "cpu_s": 60.0},
    "programs": {
        "log": {
            "path": "/usr/bin/tail",
            "options": {"--lines": {"kind": "integer", "minimum": 1, "maximum": 10_000}, "-q": {"kind": "flag"}},
            "arguments": [{"kind": "path", "under": "/var/log", "repeat": True}],
        },
        "say it": {
            "path": "/usr/bin/echo",
            "arguments": [{"kind": "pattern", "pattern": r'"\d+\.\\[a-z]+\t'}, {"kind": "choice", "choices": ["é", "\u2028"]}],
            "separator": False,
        },
        "any": {"path": "/usr/bin/env", "any_arguments": True},
    },
}  # fmt: skip


def translate(section: dict[str, Any]) -> str:
    """The text that the error shows."""
    with pytest.raises(ConfigError) as caught:
        create_services([Programs], {"programs": section})
    told, _, text = str(caught.value).partition("\n\n")
    assert told.startswith("services.programs.")
    assert ("which says the same" if text else "nothing replaces it") in told
    return text


def conditions(section: dict[str, Any], *callers: Principal) -> list[RoleRule | None]:
    """What each of the callers may do by the translation; ``None`` for nothing."""
    config = ServerConfig.model_validate(tomllib.loads(translate(section)))
    roles = Roles(config.roles, create_services([Programs], {}), os.geteuid(), System)
    found = [roles.of(caller) for caller in callers]
    every = {"programs.run", "programs.view", "programs.control"}
    return [role.conditions["programs"] if role and every <= role.permissions else None for role in found]


def test_nobody() -> None:
    assert translate({"unlisted": "nobody"}) == "[roles.owner]\npermissions = []\n"
    assert conditions({"unlisted": "nobody"}, BY_TOKEN, BY_SOCKET, ADA) == [None, None, None]


def test_the_owner() -> None:
    """It is the default: no role need be written."""
    assert translate({"unlisted": "owner"}) == ""
    assert conditions({"unlisted": "owner"}, BY_TOKEN, BY_SOCKET, ADA) == [OWNER, OWNER, None]


def test_a_role_with_all_that_it_can_say() -> None:
    role = {"principals": ["owner", "ada"], **OPERATOR}
    rule = RoleRule.model_validate(OPERATOR)
    for unlisted in ("owner", "nobody"):
        found = conditions({"unlisted": unlisted, "roles": {"operator": role}}, BY_TOKEN, BY_SOCKET, ADA, BOB)
        assert found == [rule, rule, rule, None]


def test_the_owner_and_guests() -> None:
    roles = {
        "owner": {"principals": ["owner"], "may_run": "anything", "users": ["www-data"]},
        "guests": {"principals": ["*"], "may_run": "anything", "user": "guest"},
    }
    owner = RoleRule(may_run="anything", users=("www-data",))
    guest = RoleRule(may_run="anything", user="guest")
    assert conditions({"roles": roles}, BY_TOKEN, BY_SOCKET, ADA) == [owner, owner, guest]
    # A role for everybody took the place of what the owner had without a role.
    assert conditions({"roles": {"guests": roles["guests"]}}, BY_SOCKET, ADA) == [guest, guest]
    assert conditions({"roles": {"empty": {"principals": ["*"]}}}, BY_SOCKET, ADA) == [RoleRule(), RoleRule()]


def test_somebody_in_two_old_roles_has_the_first() -> None:
    """The old server refused that, and the translation loads all the same."""
    roles = {name: {"principals": ["ada"], "others": others} for name, others in (("a", "view"), ("b", "control"))}
    assert conditions({"roles": roles}, ADA) == [RoleRule(others="view")]


def test_a_mistake_in_an_old_role_is_told_when_the_new_text_is_loaded() -> None:
    text = translate({"roles": {"r": {"principals": ["ada"], "programs": {"x": {"path": "tail"}}}}})
    config = ServerConfig.model_validate(tomllib.loads(text))
    with pytest.raises(ConfigError, match=r"roles\.r\.programs\.programs\.x\.path: .*absolute"):
        Roles(config.roles, create_services([Programs], {}), os.geteuid(), System)
