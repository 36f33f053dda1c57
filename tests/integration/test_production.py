"""config/production.toml: nothing is allowed until it is listed, of no service."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rpcclient import Client
from rpcclient.stubs.database import DatabaseRefused
from rpcclient.stubs.hardware import HardwareRefused, ProcessGone
from rpcclient.stubs.programs import ProgramRefused
from rpcserver.config import load_config
from rpcserver.plugins.finding import create_services, find_services
from rpcwire.errors import RpcError
from tests.integration.harmless import example

FILE = Path(__file__).parents[2] / "config" / "production.toml"
ROLE = "services.programs.roles.operator"


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


def test_nothing_runs_until_it_is_listed(start_server: Callable[..., Any]) -> None:
    server = start_server("--config", str(FILE))
    socket = f"unix://{server.environment['XDG_RUNTIME_DIR']}/remote-services/rpcserver.sock"
    with Client(server.url, token_file=server.token_file) as by_token, Client(socket) as by_socket:
        for client in (by_token, by_socket):
            assert refused_by(client, ["true"]) == "services.programs.unlisted"
            with pytest.raises(ProgramRefused):
                client.programs.start(["/bin/sh"])
            assert client.programs.list() == []
            assert client.hardware.memory().total_bytes
            for attempt in (
                client.hardware.processes,
                lambda client=client: client.hardware.signal_process(os.getpid(), 0.0),
                lambda client=client: client.hardware.serial("ttyS0"),
            ):
                with pytest.raises(HardwareRefused) as caught:
                    attempt()
                assert caught.value.rule == "services.hardware.unlisted"


OPEN = {
    "database": {"databases"},  # Of those that the caller may use.
    "programs": {"list", "watch", "run_output_bytes"},  # One's own programs, and how much output comes back.
    "hardware": {
        "battery", "capabilities", "cgroup", "cpu", "devices", "disks", "gpus", "history", "history_metrics", "host",
        "memory", "network", "pressure", "sensors", "serial_ports", "snapshot", "subscribe", "users", "watch",
        "watch_devices",
    },
}  # fmt: skip
"""What everybody may call who has authenticated: figures of the machine, and empty lists."""
WORDS = {"programs.resize": {"rows": 1, "columns": 1}, "programs.signal": {"signal": "TERM"}}
"""Parameters of which the schema does not tell what they may be."""
HIDDEN = {"UnknownDatabase", "TransactionLost", "ProgramNotFound", "SerialNotOpen"}
"""Refusals that do not even tell whether the thing exists."""


def test_every_service_denies_by_default(start_server: Callable[..., Any]) -> None:
    """Each method of each service that is installed, those of tomorrow, too."""
    server = start_server("--config", str(FILE))
    with Client(server.url, token_file=server.token_file) as client:
        document = client.call("rpc.discover")
        allowed, services, broken = set(), set(), []
        for method in document["methods"]:
            service, _, name = method["name"].partition(".")
            if service == "rpc":
                continue
            services.add(service)
            params = {
                p["name"]: example(p["schema"], document, p["name"]) for p in method["params"] if p.get("required")
            }
            params |= WORDS.get(method["name"], {})
            try:
                client.call(method["name"], params)
            except RpcError as exc:
                if exc.code == -32002 or exc.type in HIDDEN:
                    continue
                if (service, name) not in {("hardware", "history"), ("hardware", "users")}:
                    broken.append((method["name"], params, exc))
            allowed.add((service, name))
        assert not broken
        assert services == set(OPEN)
        assert allowed <= {(service, name) for service, names in OPEN.items() for name in names}
        assert client.database.databases() == []
        assert client.programs.list() == []


def test_every_service_with_rights_is_closed_in_the_file() -> None:
    config = load_config(FILE)
    for cls in find_services(config.plugins):
        (service,) = create_services([cls], {cls.name: config.services.get(cls.name, {})})
        assert service.config.unlisted == "nobody", f"{cls.name}: production.toml must deny by default"
        assert config.services[cls.name]["unlisted"] == "nobody"


def test_then_who_is_listed_may_query(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server("--config", str(switched_on(tmp_path, "services.database.databases.main.roles")))
    with Client(server.url, token_file=server.token_file) as client:
        assert client.database.query("main", "SELECT 1").rows.to_dicts() == [{"1": 1}]
        with pytest.raises(DatabaseRefused):
            client.database.execute("main", "CREATE TABLE t (a)")


def test_then_what_is_listed_runs(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server("--config", str(switched_on(tmp_path, ROLE)))
    socket = f"unix://{server.environment['XDG_RUNTIME_DIR']}/remote-services/rpcserver.sock"
    with Client(server.url, token_file=server.token_file) as by_token, Client(socket) as by_socket:
        for client in (by_token, by_socket):
            assert client.programs.run(["/usr/bin/df", "-h"], check=True).stdout
            assert refused_by(client, ["true"]) == f"{ROLE}.programs"
            assert refused_by(client, ["/usr/bin/tail", "/etc/shadow"]) == f"{ROLE}.programs.log.arguments[0]"
            assert refused_by(client, ["/usr/bin/systemctl", "restart", "sshd"]).startswith(f"{ROLE}.programs.service")


def test_then_who_is_listed_may_act_on_processes(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server("--config", str(switched_on(tmp_path, "services.hardware.roles")))
    with Client(server.url, token_file=server.token_file) as client:
        assert client.hardware.processes().total
        with pytest.raises(ProcessGone):
            client.hardware.signal_process(os.getpid(), 0.0)


def test_all_that_can_be_switched_on_is_understood(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=\S)", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path = tmp_path / "all.toml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    assert (config.state_dir, config.listen.host) == ("/var/lib/rpcserver", "0.0.0.0")
    assert config.tls.certificate_file
    create_services(find_services(config.plugins), config.services)
