"""config/production.toml: nothing is allowed until it is listed, of no service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rpcclient import Client
from rpcclient.stubs.hardware import ProcessGone
from rpcclient.stubs.programs import ProgramRefused
from rpcserver import Principal
from rpcserver.layers.loading import load_config
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.security.roles import OPEN_TO_PRINCIPALS, Roles
from rpcserver.system import System
from rpcwire.errors import PermissionDenied, RpcError
from tests.integration.harmless import example

FILE = Path(__file__).parents[2] / "config" / "production.toml"
ROLE = "roles.operator.programs"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RPCSERVER_")]:
        monkeypatch.delenv(name)


def switched_on(folder: Path, sections: str) -> Path:
    """The file with the settings switched on that stand in sections of this name, and in those below it."""
    lines, on = [], False
    for line in FILE.read_text(encoding="utf-8").splitlines():
        header = re.fullmatch(r"#?\[([^]]+)\]", line)
        if header is not None:
            on = f"{header[1]}.".startswith(f"{sections}.")
        lines.append(line[1:] if on and re.match(r"#\S", line) else line)
    path = folder / "production.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def refused_by(client: Client, argv: list[str]) -> str:
    with pytest.raises(ProgramRefused) as caught:
        client.programs.run(argv)
    return caught.value.rule


def test_every_service_denies_by_default(start_server: Callable[..., Any], tmp_path: Path) -> None:
    """Each method and each page of each service that is installed, those of tomorrow, too: for whoever has the token,
    and on the Unix socket."""
    path = tmp_path / "production.toml"
    text = FILE.read_text(encoding="utf-8")
    path.write_text(text.replace("[services.hardware]", "[services.hardware]\nmetrics_page = true"), encoding="utf-8")
    server = start_server("--config", str(path))
    socket = f"unix://{server.environment['XDG_RUNTIME_DIR']}/remote-services/rpcserver.sock"
    config = load_config(path)
    services = create_services(find_services(config.plugins), config.services)
    with Client(server.url, token_file=server.token_file) as by_token, Client(socket) as by_socket:
        document = by_token.call("rpc.discover")
        tried = set()
        for method in document["methods"]:
            service = method["name"].partition(".")[0]
            if service == "rpc":
                continue
            given = {
                p["name"]: example(p["schema"], document, p["name"]) for p in method["params"] if p.get("required")
            }
            for client in (by_token, by_socket):
                for params in (given, {}):  # Whether the parameters are right is no matter, and is not told.
                    with pytest.raises(RpcError) as caught:
                        client.call(method["name"], params)
                        pytest.fail(f"{method['name']}: it was done")
                    assert caught.value.type == "PermissionDenied", method["name"]
                    assert "to roles.owner.permissions" in caught.value.message
                    assert caught.value.executed == "no"
            tried.add(service)
        assert tried == {service.name for service in services}
        assert by_token.call("rpc.hello")["principal"]["role"] == "owner"
    token = Path(server.token_file).read_text(encoding="utf-8").strip()
    pages = [page for service in services for page in service.http_pages()]
    assert pages == ["/metrics"]
    for page in pages:
        url = server.url.replace("ws://", "http://").rstrip("/") + page
        for headers, status in (({"Authorization": f"Bearer {token}"}, 403), ({}, 401)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20)
            with refused.value as answer:
                assert answer.code == status, page


def test_no_role_of_the_file_allows_anything() -> None:
    config = load_config(FILE)
    roles = Roles(config.roles, create_services(find_services(config.plugins), config.services), os.geteuid(), System)
    for role in roles:
        assert (role.permissions, role.methods) == (frozenset(), OPEN_TO_PRINCIPALS), role.name
    for principal in (Principal("owner", "token"), Principal("owner", "peer", os.geteuid()), Principal("ada", "token")):
        assert roles.methods_of(principal) == OPEN_TO_PRINCIPALS


def test_then_who_is_listed_may_query(start_server: Callable[..., Any], tmp_path: Path) -> None:
    path = switched_on(tmp_path, "roles.reports")
    path.write_text(path.read_text(encoding="utf-8").replace('["reports"]', '["owner"]'), encoding="utf-8")
    server = start_server("--config", str(path))
    with Client(server.url, token_file=server.token_file) as client:
        assert client.database.query("main", "SELECT 1").rows.to_dicts() == [{"1": 1}]
        with pytest.raises(PermissionDenied):
            client.database.execute("main", "CREATE TABLE t (a)")


def test_then_what_is_listed_runs(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server("--config", str(switched_on(tmp_path, "roles.operator")))
    socket = f"unix://{server.environment['XDG_RUNTIME_DIR']}/remote-services/rpcserver.sock"
    with Client(server.url, token_file=server.token_file) as by_token, Client(socket) as by_socket:
        for client in (by_token, by_socket):
            assert client.programs.run(["/usr/bin/df", "-h"], check=True).stdout
            assert refused_by(client, ["true"]) == f"{ROLE}.programs"
            assert refused_by(client, ["/usr/bin/tail", "/etc/shadow"]) == f"{ROLE}.programs.log.arguments[0]"
            assert refused_by(client, ["/usr/bin/systemctl", "restart", "sshd"]).startswith(f"{ROLE}.programs.service")
            assert client.hardware.processes().total
            with pytest.raises(ProcessGone):
                client.hardware.signal_process(os.getpid(), 0.0)
            with pytest.raises(PermissionDenied):
                client.database.databases()


def test_all_that_can_be_switched_on_is_understood(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=\S)", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path = tmp_path / "all.toml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    assert (config.state_dir, config.listen.host) == ("/var/lib/rpcserver", "0.0.0.0")
    assert config.tls.certificate_file
    services = create_services(find_services(config.plugins), config.services)
    roles = {role.name: role for role in Roles(config.roles, services, os.geteuid(), System)}
    assert set(roles) == {"owner", "operator", "reports", "everybody"}
    assert not roles["owner"].permissions
    assert set(roles["operator"].conditions["programs"].programs) == {"space", "log", "service"}
    assert roles["reports"].conditions["database"].databases == ("main",)
    assert roles["everybody"].permissions == {"hardware.read"}


OLD = """\
[services.hardware]
unlisted = "nobody"

[services.hardware.roles.operator]
principals = ["owner"]
may = ["processes"]

[services.database]
unlisted = "nobody"

[services.programs]
unlisted = "nobody"

[services.programs.roles.operator]
principals = ["owner"]

[services.programs.roles.operator.programs.echo]
path = "/bin/echo"
arguments = [{ kind = "choice", choices = ["hello"] }]
separator = false
"""
"""A file for servers that had tables of roles for each service."""


def test_an_old_file_is_refused_with_what_replaces_it(start_server: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text(OLD, encoding="utf-8")
    command = [sys.executable, "-m", "rpcserver", "serve", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    told, _, text = done.stderr.partition("\n\n")
    for key in ("hardware.unlisted", "hardware.roles", "database.unlisted", "programs.unlisted", "programs.roles"):
        assert f"services.{key}" in told
    path.write_text(text, encoding="utf-8")
    server = start_server("--config", str(path))
    with Client(server.url, token_file=server.token_file) as client:
        assert client.call("rpc.hello")["principal"]["role"] == "operator"
        assert client.programs.run(["/bin/echo", "hello"]).stdout == b"hello\n"
        assert refused_by(client, ["/bin/echo", "x"]) == f"{ROLE}.programs.echo.arguments[0]"
        assert client.hardware.processes().total
        for attempt in (client.database.databases, lambda: client.hardware.signal_process(os.getpid(), 0.0)):
            with pytest.raises(PermissionDenied):
                attempt()
