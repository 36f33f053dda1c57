"""The roles that the service had of its own are refused, with roles in their place that say the same."""

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
from rpcservices.hardware import Hardware

READ = {"read", "metrics"}
ALL = {*READ, "processes", "control", "serial", "smart"}
OPERATORS = {"principals": ["owner", "ada"], "may": ["control", "serial"]}
OPERATOR = {*READ, "control", "serial"}


def rights(section: dict[str, Any], *names: str) -> list[set[str]]:
    """The permissions that these people have by the text that the error shows."""
    with pytest.raises(ConfigError) as caught:
        create_services([Hardware], {"hardware": section})
    config = ServerConfig.model_validate(tomllib.loads(str(caught.value).partition("\n\n")[2]))
    roles = Roles(config.roles, create_services([Hardware], {}), os.geteuid(), System)
    every = [roles.of(Principal(name, "token")) for name in names]
    return [
        {p.removeprefix("hardware.") for p in role.permissions if p.startswith("hardware.")} if role else set()
        for role in every
    ]


@pytest.mark.parametrize(
    ("section", "owner", "ada", "bob"),
    [
        ({"unlisted": "owner"}, ALL, READ, READ),
        ({"unlisted": "nobody"}, READ, READ, READ),
        ({"roles": {"operators": OPERATORS}}, OPERATOR, OPERATOR, READ),
        ({"roles": {"operators": {"principals": ["ada"]}}}, ALL, READ | {"processes"}, READ),
        (
            {"unlisted": "nobody", "roles": {"operators": OPERATORS, "all": {"principals": ["*"], "may": ["smart"]}}},
            OPERATOR, OPERATOR, READ | {"smart"},
        ),
        ({"roles": {"all": {"principals": ["*"]}}}, *[READ | {"processes"}] * 3),
        ({"unlisted": "nobody", "roles": {"all": {"principals": ["ada"], "may": []}}}, READ, READ, READ),
    ],
)  # fmt: skip
def test_who_might_what(section: dict[str, Any], owner: set[str], ada: set[str], bob: set[str]) -> None:
    assert rights(section, "owner", "ada", "bob") == [owner, ada, bob]


@pytest.mark.parametrize("role", [{"may": ["everything"]}, {"rights": ["control"]}])
def test_what_was_never_right(role: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"services\.hardware: .*cannot be translated: roles\.operators\."):
        create_services([Hardware], {"hardware": {"roles": {"operators": role}}})
