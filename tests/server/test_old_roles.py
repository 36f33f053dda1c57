"""A configuration with the tables of roles that services had of their own is refused, and shown as what replaces it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from rpcserver import Principal, Service, ServiceConfig, method
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.plugins.finding import create_services
from rpcserver.plugins.old_roles import ConfigWithOldRoles, Grant, OldRoles, read_grants
from rpcserver.security.roles import Roles
from rpcserver.system import System

SHOP, LAB = ("shop.*",), ("lab.*",)
OWNER = Principal("owner", "peer", os.geteuid())
ADA, BOB = Principal("ada", "token"), Principal("bob", "token")


class OldConfig(ConfigWithOldRoles):
    """A service that had roles."""

    @classmethod
    def read_old_roles(cls, section: Mapping[str, Any]) -> OldRoles:
        name = cls.__name__.removesuffix("Config").lower()
        everything = (f"{name}.*",)
        return OldRoles(
            keys=tuple(key for key in ("unlisted", "roles") if key in section),
            grants=read_grants(
                section.get("roles", {}),
                lambda role, conditions: Grant(everything, conditions, role),
                owner=Grant()
                if section.get("unlisted") == "nobody"
                else Grant(everything, {"most": 100}, of_owner=True),
                everybody=Grant(),
            ),
        )


class ShopConfig(OldConfig):
    """One service that had roles."""


class LabConfig(OldConfig):
    """Another one."""


class Condition(ServiceConfig):
    """What a role may be limited to."""

    most: int = 0
    things: Mapping[str, Mapping[str, Any]] = {}
    note: str = ""


class Shop(Service[ShopConfig]):
    """Had roles."""

    role_model = Condition
    owner_conditions = Condition(most=100)

    @method()
    async def buy(self) -> None:
        """Buy something."""


class Lab(Service[LabConfig]):
    """Had roles, too."""

    role_model = Condition
    owner_conditions = Condition(most=100)

    @method()
    async def mix(self) -> None:
        """Mix something."""


class Park(Service):
    """Has always been open to everybody."""

    @method()
    async def walk(self) -> None:
        """Walk."""


CLASSES: list[type[Service[Any]]] = [Shop, Lab, Park]


def translated(**sections: Any) -> Roles:
    """The roles of the text that the error shows, for the three services."""
    with pytest.raises(ConfigError) as caught:
        create_services(CLASSES, sections)
    told, _, text = str(caught.value).partition("\n\n")
    for service, section in sections.items():
        for key in section:
            assert f"services.{service}.{key}" in told
    config = ServerConfig.model_validate(tomllib.loads(text))
    return Roles(config.roles, create_services(CLASSES, {}), os.geteuid(), System)


def rights(roles: Roles, principal: Principal) -> dict[str, int]:
    """The services that somebody may use, each with a number that is among the conditions."""
    role = roles.of(principal)
    if role is None:
        return {}
    services = {name.partition(".")[0] for name in role.permissions} - {"rpc"}
    return {name: getattr(role.conditions[name], "most", -1) for name in sorted(services)}


def test_a_service_without_old_keys_is_no_matter() -> None:
    assert len(create_services(CLASSES, {})) == 3


def test_the_owner_loses_what_nobody_had() -> None:
    roles = translated(shop={"unlisted": "nobody"})
    assert rights(roles, OWNER) == {"lab": 100, "park": -1}
    assert rights(roles, ADA) == {"park": -1}
    roles = translated(shop={"unlisted": "nobody"}, lab={"unlisted": "nobody"})
    assert rights(roles, OWNER) == {"park": -1}


def test_without_an_open_service_the_owner_has_nothing() -> None:
    with pytest.raises(ConfigError) as caught:
        create_services([Shop], {"shop": {"unlisted": "nobody"}})
    assert str(caught.value).endswith("which says the same:\n\n[roles.owner]\npermissions = []\n")


def test_the_default_written_out_takes_nothing_from_the_owner() -> None:
    roles = translated(shop={"unlisted": "owner"})
    assert rights(roles, OWNER) == {"lab": 100, "park": -1, "shop": 100}
    assert rights(roles, ADA) == {"park": -1}


def test_roles_keep_their_names_and_conditions() -> None:
    things = {"a b": {"kind": 'a "word"', "rows": [{"x": 1.5, "deep": {"é.": True}}]}, "c": {}}
    roles = translated(
        shop={"roles": {"clerks": {"principals": ["ada"], "most": 3, "things": things, "note": "\x7f\n\\"}}}
    )
    role = roles["clerks"]
    assert role.conditions["shop"] == Condition(most=3, things=things, note="\x7f\n\\")
    assert rights(roles, ADA) == {"park": -1, "shop": 3}
    assert rights(roles, BOB) == {"park": -1}
    assert rights(roles, OWNER) == {"lab": 100, "park": -1, "shop": 100}


def test_members_of_different_roles_of_two_services() -> None:
    """Everybody has one role now, so there is one for each set of rights."""
    roles = translated(
        shop={"roles": {"team": {"principals": ["ada", "bob", "eve"], "most": 1}}},
        lab={"roles": {"team": {"principals": ["ada"], "most": 2}, "rest": {"principals": ["*"], "most": 3}}},
    )
    assert rights(roles, ADA) == {"lab": 2, "park": -1, "shop": 1}
    assert rights(roles, BOB) == {"lab": 3, "park": -1, "shop": 1}
    assert roles.of(BOB) == roles.of(Principal("eve", "token"))
    assert rights(roles, Principal("zoe", "token")) == {"lab": 3, "park": -1}
    # A role for everybody went before what the owner had without a role, but only in its own service.
    assert rights(roles, OWNER) == {"lab": 3, "park": -1, "shop": 100}
    assert {role.name for role in roles} == {"owner", "team", "team-2", "rest"}


def test_the_owner_in_a_role() -> None:
    for name in ("operator", "owner"):
        roles = translated(shop={"unlisted": "nobody", "roles": {name: {"principals": ["owner"], "most": 5}}})
        assert rights(roles, OWNER) == {"lab": 100, "park": -1, "shop": 5}
    roles = translated(shop={"roles": {"owner": {"principals": ["ada"], "most": 5}}})
    assert rights(roles, ADA) == {"park": -1, "shop": 5}
    assert rights(roles, OWNER) == {"lab": 100, "park": -1, "shop": 100}
    # Conditions of the role called owner are its own, even if there are none.
    roles = translated(shop={"roles": {"owner": {"principals": ["owner"]}}})
    assert rights(roles, OWNER) == {"lab": 100, "park": -1, "shop": 0}
    roles = translated(shop={"roles": {"all": {"principals": ["*", "ada"]}}})
    assert rights(roles, OWNER) == {"lab": 100, "park": -1, "shop": 0}
    assert rights(roles, ADA) == rights(roles, BOB) == {"park": -1, "shop": 0}


@pytest.mark.parametrize("table", [{"roles": [1]}, {"roles": {"a": 1}}, {"roles": {"a": {"principals": "x"}}}])
def test_old_roles_that_were_never_right(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"services\.shop: who may do what stands in \[roles\.NAME\] now.*roles"):
        create_services(CLASSES, {"shop": table})
