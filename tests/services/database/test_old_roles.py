"""The tables of roles that databases had of their own are refused, with roles in their place that say the same."""

from __future__ import annotations

import os
import random
import tomllib
from collections.abc import Mapping
from typing import Any, get_args

import pytest

from rpcserver import Principal
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.plugins.finding import create_services
from rpcserver.security.roles import Roles
from rpcserver.system import System
from rpcservices.database import Database
from rpcservices.database.roles import Right, rights_on, sees

OWNER = Principal("owner", "peer", os.geteuid())
TOKEN_OWNER = Principal("owner", "token")
PEOPLE = (OWNER, TOKEN_OWNER, *(Principal(name, "token") for name in ("ada", "bob", "eve")))
RIGHTS = frozenset(get_args(Right))


def old_rights(section: Mapping[str, Any], database: str, principal: Principal) -> frozenset[str] | None:
    """What somebody might do by the old rules; ``None`` where the database did not exist for them."""
    config = section["databases"][database]
    for member in (principal.name, "*"):
        for role in config.get("roles", {}).values():
            if member in role.get("principals", ()):
                return frozenset(role.get("may", ("query", "schema")))
    unlisted = config.get("unlisted") or section.get("unlisted", "owner")
    return RIGHTS if unlisted == "owner" and principal.name == "owner" else None


def translate(section: Mapping[str, Any]) -> tuple[str, Roles]:
    with pytest.raises(ConfigError) as caught:
        create_services([Database], {"database": section})
    told, _, text = str(caught.value).partition("\n\n")
    config = ServerConfig.model_validate(tomllib.loads(text))
    databases = {name: {} for name in section.get("databases", {"main": {}})}
    (service,) = create_services([Database], {"database": {"databases": databases}})
    return told + text, Roles(config.roles, [service], os.geteuid(), System)


def new_rights(roles: Roles, database: str, principal: Principal) -> frozenset[str]:
    role = roles.finder("database")(principal)
    return (None if role is None else rights_on(role, database)) or frozenset()


def check_same(section: Mapping[str, Any]) -> str:
    text, roles = translate(section)
    for principal in PEOPLE:
        for database in section["databases"]:
            before = old_rights(section, database, principal)
            assert new_rights(roles, database, principal) == (before or frozenset()), (text, principal, database)
            role = roles.finder("database")(principal)
            hidden = role is None or not role.permissions or not sees(role, database)
            assert before is not None or hidden, (text, principal, database)
    return text


def test_the_example_that_the_guide_had() -> None:
    text = check_same(
        {
            "unlisted": "nobody",
            "databases": {
                "main": {},
                "shop": {
                    "roles": {
                        "reports": {"principals": ["ada", "bob"], "may": ["query", "schema"]},
                        "shopkeepers": {"principals": ["eve"], "may": ["query", "execute", "transaction", "schema"]},
                    }
                },
            },
        }
    )
    assert "services.database.unlisted, services.database.databases.shop.roles" in text
    assert '[roles.reports]\nprincipals = ["ada", "bob"]\npermissions = ["database.query", "database.schema"]' in text
    assert '[roles.reports.database]\ndatabases = ["shop"]' in text


def test_different_rights_to_two_databases() -> None:
    text = check_same(
        {
            "databases": {
                "a*b": {"roles": {"team": {"principals": ["ada"], "may": list(RIGHTS)}}},
                "axb": {"roles": {"team": {"principals": ["ada", "*"]}}, "unlisted": "owner"},
                "c": {"roles": {"all": {"principals": ["*"], "may": []}}, "unlisted": "nobody"},
            }
        }
    )
    assert 'permissions = ["database.*"]' in text
    assert check_same({"databases": {"main": {"unlisted": "owner"}}}).endswith("Remove this key: nothing replaces it.")


def test_any_old_configuration() -> None:
    seed = random.randrange(2**32)
    print(f"{seed=}")
    dice = random.Random(seed)

    def table() -> dict[str, Any]:
        people = ["ada", "bob", "eve", "owner", "*"]
        dice.shuffle(people)
        roles: dict[str, Any] = {}
        for name in dice.sample(["reader", "owner", "team", "a b"], dice.randrange(4)):
            members = [people.pop() for _ in range(min(len(people), dice.randrange(3)))]
            roles[name] = {"principals": members}
            if dice.random() < 0.7:
                roles[name]["may"] = dice.sample(sorted(RIGHTS), dice.randrange(6))
        return roles

    for _ in range(100):
        section: dict[str, Any] = {"databases": {name: {} for name in dice.sample(["a", "ab", "[a]", "a?"], 3)}}
        for database in section["databases"].values():
            if dice.random() < 0.8:
                database["roles"] = table()
            if dice.random() < 0.3:
                database["unlisted"] = dice.choice(["owner", "nobody", ""])
        if dice.random() < 0.5 or not any(section["databases"].values()):
            section["unlisted"] = dice.choice(["owner", "nobody"])
        check_same(section)


@pytest.mark.parametrize(
    ("database", "place"),
    [
        ({"roles": {"reader": {"may": ["delete"]}}}, r"databases\.main\.roles\.reader\.may\.0"),
        ({"roles": {"reader": {"can": ["query"]}}}, r"databases\.main\.roles\.reader\.can"),
        ({"roles": {"reader": {"principals": "ada"}}}, r"roles\.reader\.principals"),
        ({"roles": ["reader"]}, "roles"),
    ],
)
def test_what_was_never_right(database: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError, match=f"services.database: .*cannot be translated: .*{place}"):
        create_services([Database], {"database": {"databases": {"main": database}}})


@pytest.mark.parametrize("section", [{"databases": {"main": 1}}, {"databases": []}, {"databases": {"main": {"x": 1}}}])
def test_other_mistakes_are_told_as_before(section: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^services\.database\.databases") as caught:
        create_services([Database], {"database": section})
    assert "roles" not in str(caught.value)
