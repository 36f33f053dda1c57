"""Who is in which role, what its patterns stand for, and what stops the server from starting."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from rpcserver import Context, Page, Principal, Service, ServiceConfig, ServiceConfigError, ServiceRole, method
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.security.roles import OPEN_TO_ALL, OPEN_TO_PRINCIPALS, Roles, expand, is_owner, list_permissions
from rpcserver.server import Server
from rpcserver.system import System

ME = 1234
ADA, BOB, EVE = (Principal(name, "password") for name in ("ada", "bob", "eve"))
OWNER = Principal("owner", "token")


class ShelfRole(ServiceConfig):
    """Which shelves."""

    shelves: tuple[str, ...] = Field(default=(), description="Shelves.")


class Shop(Service):
    """Sells things."""

    permissions: ClassVar[Mapping[str, str]] = {"shop.read": "look around", "shop.write": "change prices"}
    role_model = ShelfRole
    owner_conditions = ShelfRole(shelves=("all",))

    @method(permission="shop.read")
    async def look(self) -> None:
        """Look around."""

    @method(permission="shop.write")
    async def price(self, shelf: str) -> None:
        """Change a price."""

    @method()
    async def close(self) -> None:
        """Close the shop."""

    def check_role(self, role: ServiceRole) -> None:
        if "nowhere" in role.conditions.shelves:
            raise ServiceConfigError(f"{role.place}.shop.shelves: there is no shelf 'nowhere'")

    def http_pages(self) -> Mapping[str, Page]:
        return {"/window": Page(self.show, permission=None), "/prices": Page(self.show, permission="shop.read")}

    async def show(self) -> str:
        """Show a page."""
        return "things"


class Lab(Service):
    """Measures."""

    @method()
    async def measure(self) -> None:
        """Measure."""


def roles_of(**tables: Any) -> Roles:
    """The roles of a configuration, with two services."""
    sections = ServerConfig.model_validate({"roles": tables}).roles
    return Roles(sections, [Shop(), Lab()], ME, System)


def name_of(roles: Roles, principal: Principal) -> str | None:
    role = roles.of(principal)
    return None if role is None else role.name


# --- patterns -------------------------------------------------------------------------------------------------------

ALL = {"shop.read", "shop.write", "shop.close", "lab.measure"} | {spec.permission for spec in System.methods()}
ALL |= set(System.permissions)


def test_what_patterns_stand_for() -> None:
    roles = roles_of(
        all={"permissions": ["*"]},
        shop={"permissions": ["shop.*"]},
        one={"permissions": ["shop.read", "lab.measure", "lab.*"]},
        none={},
    )
    assert roles["all"].permissions == ALL == set(roles.permissions)
    assert roles["shop"].permissions == {"shop.read", "shop.write", "shop.close"}
    assert roles["one"].permissions == {"shop.read", "lab.measure"}
    assert roles["one"].methods == {"shop.look", "lab.measure"} | OPEN_TO_PRINCIPALS
    assert roles["none"].permissions == set()
    assert roles["none"].methods == OPEN_TO_PRINCIPALS
    assert roles["shop"].patterns == ("shop.*",)
    assert [role.name for role in roles] == ["all", "shop", "one", "none", "owner"]
    assert roles.methods["shop.read"] == ["shop.look"]
    assert roles.pages == {"/window": None, "/prices": "shop.read"}
    assert roles.permissions["shop.close"] == "call shop.close"


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("shop.raed", "did you mean shop.read?"),
        ("shp.*", "did you mean shop.*?"),
        ("shop", "did you mean shop.*?"),
        ("shop.", "did you mean shop.*?"),
        ("shop.re*", "did you mean shop.*?"),
        ("shop.look", "did you mean shop.close?"),  # A method, and no permission.
        ("", "`rpcserver permissions` lists those there are"),
        ("**", "`rpcserver permissions` lists those there are"),
        (".*", ""),
        ("*.read", ""),
        ("SHOP.READ", ""),
        ("x" * 100_000, "`rpcserver permissions` lists those there are"),
    ],
)
def test_an_unknown_permission_stops_the_start(pattern: str, near: str) -> None:
    """Also a pattern that looks like one of another program: it must not stand for nothing, or for too much."""
    with pytest.raises(ConfigError, match=r"roles\.r\.permissions\.1: there is no permission") as caught:
        roles_of(r={"permissions": ["shop.read", pattern]})
    assert str(caught.value).endswith(near)


NAMES = st.from_regex(r"[a-z]{1,3}\.[a-z_]{1,3}", fullmatch=True)


@given(names=st.sets(NAMES, max_size=8), pattern=st.one_of(st.text(alphabet="ab.*", max_size=6), NAMES, st.text()))
def test_a_pattern_stands_for_what_it_says_and_for_no_more(names: set[str], pattern: str) -> None:
    """Whatever the pattern: all, all of one service, or one; otherwise an error."""
    if pattern == "*":
        wanted = names
    elif pattern.endswith(".*"):
        wanted = {name for name in names if name.split(".")[0] == pattern[:-2]}
    else:
        wanted = names & {pattern}
    if wanted or pattern == "*":
        assert expand(pattern, names) == wanted
    else:
        with pytest.raises(ValueError, match="there is no permission"):
            expand(pattern, names)


# --- who ------------------------------------------------------------------------------------------------------------


def test_who_is_in_which_role() -> None:
    """The role of the credentials counts first, then the lists, then the owner, then everybody."""
    roles = roles_of(
        readers={"principals": ["ada", "owner2"], "permissions": ["shop.read"]},
        writers={"permissions": ["shop.write"]},
        guests={"principals": ["*"], "permissions": ["lab.*"]},
    )
    assert name_of(roles, ADA) == "readers"
    assert name_of(roles, BOB) == "guests"
    assert name_of(roles, Principal("ada", "token", role="writers")) == "writers"
    assert name_of(roles, Principal("bob", "token", role="writers")) == "writers"
    assert name_of(roles, OWNER) == "owner"
    assert name_of(roles, Principal("owner", "peer", ME)) == "owner"
    assert name_of(roles, Principal("memory", "memory", ME)) == "owner"
    assert roles.methods_of(ADA) == {"shop.look"} | OPEN_TO_PRINCIPALS
    assert roles.methods_of(OWNER) >= {"shop.look", "shop.price", "shop.close", "lab.measure"}


def test_a_role_that_does_not_exist_gives_nothing() -> None:
    """Neither the list for everybody nor the name gives anything to credentials whose role has been removed."""
    roles = roles_of(all={"principals": ["*", "ada"], "permissions": ["*"]})
    lost = Principal("ada", "token", role="gone")
    assert roles.of(lost) is None
    assert roles.methods_of(lost) == OPEN_TO_PRINCIPALS
    assert roles.of(Principal("owner", "token", role="gone")) is None


def test_without_roles_nobody_but_the_owner_may_anything() -> None:
    roles = roles_of()
    assert roles.of(ADA) is None
    assert roles.methods_of(ADA) == OPEN_TO_PRINCIPALS
    assert roles["owner"].permissions == ALL
    assert name_of(roles, OWNER) == "owner"


@pytest.mark.parametrize(
    "impostor",
    [
        Principal("owner", "password"),  # A further way to authenticate gives the name.
        Principal("owner", "peer", ME + 1),
        Principal("owner", "peer"),
        Principal("memory", "memory", ME + 1),
        Principal("Owner", "token"),
        Principal("ada", "token", ME),
    ],
)
def test_a_name_alone_makes_nobody_the_owner(impostor: Principal) -> None:
    assert not is_owner(impostor, ME)
    assert roles_of().of(impostor) is None


def test_the_configuration_can_limit_the_owner() -> None:
    """By a table for the role, or by another role that names the owner."""
    limited = roles_of(owner={"permissions": ["shop.read"]})
    assert limited["owner"].permissions == {"shop.read"}
    assert limited.methods_of(OWNER) == {"shop.look"} | OPEN_TO_PRINCIPALS
    assert limited["owner"].conditions["shop"] == ShelfRole(shelves=("all",))
    conditional = roles_of(owner={"permissions": ["*"], "shop": {"shelves": ["top"]}})
    assert conditional["owner"].conditions["shop"] == ShelfRole(shelves=("top",))
    nothing = roles_of(owner={})
    assert nothing.methods_of(Principal("owner", "peer", ME)) == OPEN_TO_PRINCIPALS
    moved = roles_of(readers={"principals": ["owner"], "permissions": ["shop.read"]})
    assert name_of(moved, OWNER) == name_of(moved, Principal("owner", "peer", ME)) == "readers"
    assert roles_of()["owner"].conditions["shop"] == ShelfRole(shelves=("all",))
    assert roles_of(r={})["r"].conditions["shop"] == ShelfRole()


@pytest.mark.parametrize("name", ["ada", "*", "owner"])
def test_nobody_is_named_in_two_roles(name: str) -> None:
    with pytest.raises(ConfigError, match=r"roles\.b\.principals: '.+' is in a, too: name everybody in one role only"):
        roles_of(a={"principals": [name]}, b={"principals": ["bob", name]})
    roles_of(a={"principals": [name, name]})


def test_many_callers_are_not_kept_for_ever() -> None:
    roles = roles_of(readers={"principals": ["ada"], "permissions": ["shop.read"]})
    for number in range(5000):
        assert roles.of(Principal(f"stranger {number}", "password")) is None
    assert len(roles._role_of) < 2000
    assert name_of(roles, ADA) == "readers"


# --- what a service sees --------------------------------------------------------------------------------------------


def test_a_service_sees_its_part_of_a_role() -> None:
    roles = roles_of(readers={"principals": ["ada"], "permissions": ["*"], "shop": {"shelves": ["a", "b"]}})
    find = roles.finder("shop")
    view = find(ADA)
    assert view == ServiceRole(
        "readers", frozenset({"shop.read", "shop.write", "shop.close"}), ShelfRole(shelves=("a", "b"))
    )
    assert view is not None
    assert view.place == "roles.readers"
    assert find(BOB) is None
    lab = roles.finder("lab")(ADA)
    assert lab is not None
    assert (lab.permissions, lab.conditions) == ({"lab.measure"}, ServiceConfig())
    assert roles.views("shop").keys() == {"readers", "owner"}


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        ({"r": {"permission": ["*"]}}, r"roles\.r\.permission: there is no such key, and no such service; there are: "),
        ({"r": {"shopp": {}}}, r"roles\.r\.shopp: .* there are: principals, permissions, limits, shop, lab"),
        ({"r": {"printer": {"x": 1}}}, r"roles\.r\.printer: there is no such key, and no such service"),
        ({"r": {"rpc": {}}}, r"roles\.r\.rpc: there is no such key"),
        ({"r": {"shop": {"shelfs": []}}}, r"roles\.r\.shop\.shelfs"),
        ({"r": {"shop": {"shelves": [1]}}}, r"roles\.r\.shop\.shelves"),
        ({"r": {"shop": "top"}}, r"roles\.r\.shop"),
        ({"r": {"lab": {"x": 1}}}, r"roles\.r\.lab\.x"),
        ({"r": {"shop": {"shelves": ["nowhere"]}}}, r"roles\.r\.shop\.shelves: there is no shelf 'nowhere'"),
        ({"owner": {"shop": {"shelves": ["nowhere"]}}}, r"roles\.owner\.shop\.shelves"),
    ],
)  # fmt: skip
def test_a_table_that_means_nothing_stops_the_start(tables: dict[str, Any], text: str) -> None:
    """A condition that is not read would forbid nothing."""
    with pytest.raises(ConfigError, match=text):
        roles_of(**tables)


# --- permissions that are not declared ------------------------------------------------------------------------------


class Careless(Service):
    """Names a permission that it does not declare."""

    @method(permission="careless.run")
    async def go(self) -> None:
        """Go."""


class Greedy(Service):
    """Names a permission of another service."""

    @method(permission="shop.read")
    async def go(self) -> None:
        """Go."""


class Foreign(Service):
    """Declares a permission of another service."""

    permissions: ClassVar[Mapping[str, str]] = {"shop.steal": "take things"}

    @method()
    async def go(self) -> None:
        """Go."""


class Paged(Service):
    """Has a page with a permission that is not its own."""

    needs: ClassVar[str] = "paged.view"

    @method()
    async def go(self, ctx: Context) -> str:
        """Go."""
        return ctx.method

    async def show(self) -> str:
        """Show a page."""
        return ""

    def http_pages(self) -> Mapping[str, Page]:
        return {"/page": Page(self.show, permission=self.needs)}


class Borrowing(Paged):
    """Has a page with a permission of another service."""

    needs: ClassVar[str] = "shop.read"


class Branch(Shop):
    """Would be a part of another service."""

    name = "shop.branch"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Branch, r"Branch: the name 'shop\.branch' has a dot"),
        (Careless, r"Careless: careless\.go needs the permission 'careless\.run', which the service does not declare"),
        (Greedy, r"Greedy: greedy\.go needs the permission 'shop\.read', which"),
        (Foreign, r"Foreign: the permission 'shop\.steal' must begin with foreign\."),
        (Paged, r"Paged: the page /page needs the permission 'paged\.view', which the service does not declare"),
        (Borrowing, r"Borrowing: the page /page needs the permission 'shop\.read', which"),
    ],
)
@pytest.mark.parametrize("after", [True, False])
def test_an_undeclared_permission_stops_the_start(kind: type[Service[Any]], text: str, after: bool) -> None:
    """Also one that another service declares, which is loaded before or after."""
    services = [Shop(), kind()] if after else [kind(), Shop()]
    with pytest.raises(TypeError, match=text):
        Server(ServerConfig(), services, token="x" * 32)


def test_the_permissions_of_the_built_in_services_are_all_declared_and_used() -> None:
    from rpcserver.plugins.finding import find_services

    kinds = find_services(ServerConfig().plugins)
    permissions = list_permissions(kinds)
    needed = {spec.permission for kind in kinds for spec in kind.methods()} | {"hardware.metrics"}
    assert needed == set(permissions)
    assert all(purpose and not purpose.endswith(".") for purpose in permissions.values())
    assert not {name for name in permissions if name in OPEN_TO_ALL}


def test_the_real_user_is_the_owner() -> None:
    server = Server(ServerConfig(), [Shop()], token="x" * 32)
    assert name_of(server.roles, server.authentication.by_memory()) == "owner"
    mine = server.authentication.by_unix_socket(os.geteuid())
    assert mine is not None
    assert name_of(server.roles, mine) == "owner"
