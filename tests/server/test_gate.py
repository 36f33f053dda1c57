"""The gate: what it answers to a caller whose role does not allow a method."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from rpcserver import Principal
from rpcserver.security.gate import RoleGate, denial
from rpcserver.security.roles import OPEN_TO_ALL, Roles
from rpcserver.system import System
from rpcwire.context import Connection
from rpcwire.errors import PermissionDenied, RpcError, Unauthenticated
from rpcwire.registry import Registry

from .test_roles import ADA, BOB, ME, OWNER, Lab, Shop, roles_of

logger = logging.getLogger("tests.gate")


class Nobody:
    """The other side, which offers nothing."""

    async def call(self, *_: Any, **__: Any) -> Any:
        """Is not called."""
        raise AssertionError

    async def notify(self, *_: Any, **__: Any) -> None:
        """Is not called."""
        raise AssertionError


def registry() -> Registry:
    """The methods of two services; those of the protocol are in the matrix of permissions, on a real server."""
    registry = Registry(logger)
    registry.add(Shop())
    registry.add(Lab())
    return registry


def connection(roles: Roles, principal: Principal | None) -> Connection:
    """A connection as the server sets it up."""
    allowed = OPEN_TO_ALL if principal is None else roles.methods_of(principal)
    return Connection("c1", "memory", Nobody(), principal, allowed, logger=logger)


def ask(roles: Roles, principal: Principal | None, name: str) -> RpcError | None:
    return RoleGate(roles).decide(connection(roles, principal), name, registry().get(name))


ROLES = {
    "readers": {"principals": ["ada"], "permissions": ["shop.read"]},
    "guests": {"principals": ["*"]},
}


def test_a_role_allows_the_methods_of_its_permissions() -> None:
    roles = roles_of(**ROLES)
    assert ask(roles, ADA, "shop.look") is None
    assert ask(roles, OWNER, "shop.price") is None
    for principal, name in ((ADA, "shop.price"), (ADA, "lab.measure"), (BOB, "shop.look")):
        assert isinstance(ask(roles, principal, name), PermissionDenied), name


def test_a_refusal_names_the_permission_the_role_and_the_remedy() -> None:
    error = ask(roles_of(**ROLES), ADA, "shop.price")
    assert error is not None
    assert error.message == (
        "ada may not call shop.price: ada is in the role readers: have the operator add "
        '"shop.write" to roles.readers.permissions'
    )
    assert error.executed == "no"
    error = ask(roles_of(), ADA, "shop.price")
    assert error is not None
    assert error.message == (
        "ada may not call shop.price: ada is in no role: have the operator put 'ada' into one with the "
        'permission "shop.write"'
    )


def test_a_stranger_learns_nothing_but_to_authenticate() -> None:
    """Also of names that do not exist: the answer does not tell which methods there are."""
    roles = roles_of(**ROLES)
    answers = {
        str(ask(roles, None, name))
        for name in ("shop.look", "shop.price", "lab.measure", "no.such", "", "rpc.discover")
    }
    assert len(answers) == 1
    assert isinstance(ask(roles, None, "no.such"), Unauthenticated)


def test_methods_that_do_not_exist_are_left_to_the_dispatch() -> None:
    """It says so itself, with near names, to whoever has authenticated. A stranger's calls of open methods pass, too."""
    roles = roles_of(**ROLES)
    assert ask(roles, BOB, "no.such") is None
    for name in OPEN_TO_ALL:
        assert ask(roles, None, name) is None


def test_what_a_connection_may_do_is_decided_by_name() -> None:
    """Neither by a prefix nor by letters that are alike."""
    roles = roles_of(**ROLES)
    for name in ("shop.look ", "shop.look.price", "SHOP.LOOK", "shop.look\0", "ѕhop.look", "shop"):
        # There is no such method, so nothing runs: the dispatch answers MethodNotFound.
        assert registry().get(name) is None
        assert name not in connection(roles, ADA).allowed


@pytest.mark.parametrize(
    "principal", [ADA, BOB, Principal("eve", "token", role="gone"), Principal("owner", "peer", ME)]
)
def test_whoever_lacks_a_permission_is_told_which(principal: Principal) -> None:
    roles = roles_of(**ROLES, owner={})
    error = denial(roles, principal, "lab.measure", "read /page")
    assert error.message.startswith(f"{principal.name} may not read /page: ")
    assert '"lab.measure"' in error.message


def test_the_class_of_the_protocols_methods_declares_them() -> None:
    assert {spec.full_name for spec in System.methods()} >= OPEN_TO_ALL
