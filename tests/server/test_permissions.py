"""`rpcserver permissions`: what it lists and explains, and what it says to a name that does not exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rpcserver import Principal
from rpcserver.daemon.cli import main
from rpcserver.security.explanation import explain_permissions, explain_role, explain_target
from rpcserver.security.roles import OPEN_TO_PRINCIPALS

from .test_roles import ME, OWNER, roles_of

CONFIG = """
[services.hardware]
metrics_page = true
[services.database.databases.shop]
url = "sqlite:///shop.db"
[roles.viewers]
principals = ["ada"]
permissions = ["hardware.read", "hardware.*"]
hardware = { devices = ["/dev/ttyUSB0"] }
[roles.deploy]
principals = ["bob", "*"]
permissions = ["programs.run"]
[roles.deploy.programs.programs.list]
path = "/bin/ls"
options = { "-h" = { kind = "flag" } }
[roles.empty]
[auth.unix]
users = { daemon = "viewers" }
groups = { daemon = "empty" }
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("permissions") / "rpcserver.toml"
    file.write_text(f'state_dir = "{file.parent}"\n{CONFIG}')
    file.chmod(0o600)
    for name in ("vera", "gone"):
        done = CliRunner().invoke(main, ["token", "create", name, "--role", "viewers", "--config", str(file)])
        assert done.exit_code == 0, done.output
    assert CliRunner().invoke(main, ["token", "revoke", "gone", "--config", str(file)]).exit_code == 0
    return file


def ask(config: Path, *words: str, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["permissions", "--config", str(config), *words])
    assert done.exit_code == status, done.output
    return done.output if status == 0 else done.stderr


def test_the_list_names_purpose_and_roles(config: Path) -> None:
    lines = ask(config).splitlines()
    assert lines[0].split() == ["PERMISSION", "FOR", "ROLES"]
    rows = {line.split()[0]: line for line in lines[1:] if "." in line.split(" ")[0]}
    assert rows["hardware.read"].endswith("  viewers, owner")
    assert rows["programs.run"].endswith("  deploy, owner")
    assert rows["programs.view"].endswith("  owner")
    assert not OPEN_TO_PRINCIPALS & rows.keys()
    assert "Open to everybody: rpc.authenticate, rpc.hello, rpc.ping." in lines
    own = "rpc.create_ticket, rpc.discover, rpc.list_permissions, rpc.list_sessions, rpc.revoke_session, rpc.services"
    assert f"Open to whoever has authenticated: {own}." in lines


def test_a_role_is_told_whole(config: Path) -> None:
    text = ask(config, "--role", "viewers")
    assert (
        "In it:\n  ada\n  user daemon, by the Unix socket\n  token vera\n  whoever has other credentials that name the role\n"
        in text
    )
    assert 'by "hardware.read", "hardware.*"\n' in text
    assert 'Conditions of hardware:\n  devices = ["/dev/ttyUSB0"]\n' in text
    assert "\n  hardware.watch_processes\n" in text
    assert text.endswith("Pages:\n  /metrics\n")
    assert "database" not in text
    assert "It gives no permission." in ask(config, "--role", "empty")


def test_a_method_is_explained(config: Path) -> None:
    text = ask(config, "programs.run")
    assert text.startswith('To call programs.run one needs the permission "programs.run": ')
    assert 'The role deploy gives it by "programs.run". In it:\n  bob\n' in text
    assert "  everybody who has authenticated and is in no other role\n" in text
    assert 'programs.list = { path = "/bin/ls", options = { -h = { kind = "flag" } } }' in text
    assert 'The role owner gives it by "*". In it:\n  the user who runs the server, and whoever has its token\n' in text
    assert text.endswith("Nobody else may call programs.run.\n")
    assert "The role viewers lacks it." in ask(config, "programs.run", "--role", "viewers")
    assert "owner" not in ask(config, "programs.run", "--role", "deploy")
    assert 'The role viewers gives it by "hardware.*"' in ask(config, "/metrics")
    assert ask(config, "rpc.hello") == "Anybody may call rpc.hello, without authenticating.\n"
    assert ask(config, "rpc.discover") == "Whoever has authenticated may call rpc.discover, without a role.\n"


def test_json_says_the_same(config: Path) -> None:
    listed = json.loads(ask(config, "--json"))
    assert {"permission": "programs.view", "roles": ["owner"]}.items() <= next(
        each for each in listed if each["permission"] == "programs.view"
    ).items()
    role = json.loads(ask(config, "--json", "--role", "viewers"))
    assert role["pages"] == ["/metrics"]
    assert role["conditions"].keys() == {"hardware"}
    assert role["conditions"]["hardware"]["devices"] == ["/dev/ttyUSB0"]
    method = json.loads(ask(config, "--json", "hardware.cpu"))
    assert (method["open_to"], [way["role"] for way in method["roles"]]) == ("roles", ["viewers", "owner"])


def test_a_permission_is_explained_as_a_method_is(config: Path) -> None:
    permission = json.loads(ask(config, "--json", "hardware.read"))
    method = json.loads(ask(config, "--json", "hardware.cpu"))
    assert (permission["permission"], permission["roles"]) == ("hardware.read", method["roles"])
    text = ask(config, "hardware.read")
    assert text.startswith('The permission "hardware.read": read the machine and its devices, and follow them.\n')
    assert text.endswith("Nobody else has the permission hardware.read.\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("programs.rum",), "there is no method and no permission 'programs.rum': did you mean programs.run"),
        (("battery",), "there is no method and no permission 'battery': did you mean hardware.battery?"),
        (("/metric",), "there is no page '/metric': did you mean /metrics?"),
        (("/x",), "there is no page '/x': there are: /metrics"),
        (("--role", "viewer"), "there is no role 'viewer': did you mean viewers?"),
        (("--role", "?"), "there is no role '?': there are: deploy, empty, owner, viewers"),
        (("programs.run", "--role", "viewer"), "there is no role 'viewer': did you mean viewers?"),
        (("x" * 5000,), "rpcserver permissions lists those there are"),
    ],
)
def test_a_name_that_does_not_exist(config: Path, words: tuple[str, ...], text: str) -> None:
    assert text in ask(config, *words, status=2)


def test_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    """It says what the server would say at its start."""
    file = tmp_path / "rpcserver.toml"
    file.write_text('[roles.r]\npermissions = ["hardware.raed"]\n')
    file.chmod(0o600)
    assert "roles.r.permissions.0: there is no permission 'hardware.raed'" in ask(file, status=2)


def test_a_plugin_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RPCSERVER_CONFIG", raising=False)
    plugin = tmp_path / "bell.py"
    plugin.write_text(
        "from rpcserver import Service, method\n\n\nclass Bell(Service):\n    @method()\n"
        "    async def ring(self) -> None:\n        '''Ring.'''\n"
    )
    done = CliRunner().invoke(main, ["permissions", "--plugin", str(plugin), "bell.ring"])
    assert done.output.startswith('To call bell.ring one needs the permission "bell.ring": call bell.ring.')


# --- the explanation is true ---------------------------------------------------------------------------------------------

TABLES: dict[str, Any] = {
    "readers": {"principals": ["ada"], "permissions": ["shop.read", "lab.*"], "shop": {"shelves": ["top"]}},
    "guests": {"principals": ["*"], "permissions": ["shop.read"]},
    "none": {},
}


@pytest.mark.parametrize("tables", [{}, TABLES, {**TABLES, "owner": {"permissions": ["shop.*"]}}])
def test_what_is_told_is_what_is_decided(tables: dict[str, Any]) -> None:
    """By all three ways of asking, for each role and each method."""
    roles = roles_of(**tables)
    listed = {each.permission: each for each in explain_permissions(roles)}
    for role in roles:
        someone = Principal("someone", "token", role=role.name)
        allowed = roles.methods_of(someone) - OPEN_TO_PRINCIPALS
        told = explain_role(roles, role.name)
        assert set(told.methods) == allowed
        assert {grant.permission for grant in told.grants} == {
            name for name, each in listed.items() if role.name in each.roles
        }
        for names in roles.methods.values():
            for method in set(names) - OPEN_TO_PRINCIPALS:
                ways = {way.role for way in explain_target(roles, method).roles}
                assert (role.name in ways) == (method in allowed)
    assert explain_target(roles, "/window").open_to == "anybody"


def test_the_owner_is_told_where_the_owner_is() -> None:
    """Whoever is named by another role is not in the owner's."""
    moved = roles_of(readers={"principals": ["owner"], "permissions": ["shop.read"]})
    assert moved.of(OWNER) is moved["readers"]
    assert explain_role(moved, "owner").members == ("whoever has other credentials that name the role",)
    named = roles_of(owner={"principals": ["owner", "ada"], "permissions": ["*"]})
    assert named.of(OWNER) is named["owner"]
    assert named.of(Principal("owner", "peer", ME)) is named["owner"]
    assert explain_role(named, "owner").members[:2] == ("owner", "ada")
