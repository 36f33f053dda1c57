"""config/production.toml: nothing runs until it is listed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rpcclient import Client
from rpcclient.stubs.hardware import HardwareRefused, ProcessGone
from rpcclient.stubs.programs import ProgramRefused
from rpcserver.config import load_config
from rpcserver.plugins.finding import create_services, find_services

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
