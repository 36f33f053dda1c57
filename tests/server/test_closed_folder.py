"""Where a package has installed the machine's server, its configuration is closed to ordinary users. Their commands work
all the same, for servers of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcserver.config import ConfigError
from rpcserver.daemon.cli import _make_reader
from rpcserver.layers import files
from rpcserver.layers.loading import load

NOTICE = "is closed to this user"

RUN = """
import sys
from pathlib import Path
from rpcserver.layers import files
files._SYSTEM_FOLDER = sys.argv.pop(1)
from rpcserver.daemon.cli import main
main()
"""
"""Runs the command with another folder in place of /etc/rpcserver."""


class Machine:
    """A machine whose configuration is closed to a user, and that user's home."""

    def __init__(self, folder: Path) -> None:
        self.etc = folder / "etc"
        self.home = folder / "home"
        (self.etc / "conf.d").mkdir(parents=True)
        self.home.mkdir(mode=0o700)
        (self.etc / "rpcserver.toml").write_text('state_dir = "/var/lib/nowhere"\n[roles.x]\npermissions = ["*"]\n')
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("RPC", "XDG_", "CONFIGURATION_"))},
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home),
            "RPCSERVER_PLUGINS__DISABLED": '["programs", "hardware"]',
        }

    def close(self) -> None:
        """Close the folder to whoever is not in its group: to a process of root without the rights of root, too."""
        self.etc.chmod(0o750)
        if os.geteuid() == 0:
            os.chown(self.etc, 4711, 4711)
        else:
            self.etc.chmod(0)

    def command(self, *words: str) -> list[str]:
        """Return a command of the user."""
        command = [sys.executable, "-c", RUN, str(self.etc), *words]
        if os.geteuid() == 0:
            rights = "-dac_override,-dac_read_search"
            command = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *command]
        return command

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the user to its end."""
        environment = {**self.environment, **variables}
        return subprocess.run(
            self.command(*words), env=environment, cwd=self.home, capture_output=True, text=True, timeout=120, check=False
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path, missing: Callable[[str], NoReturn]) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    machine.close()
    if os.geteuid() == 0 and subprocess.run(["setpriv", "--version"], check=False, capture_output=True).returncode:
        missing("setpriv is not installed (Debian: util-linux)")
    yield machine
    machine.etc.chmod(0o700)


def test_commands_that_read_no_configuration_say_nothing(machine: Machine) -> None:
    for words in (["--help"], ["config", "schema"]):
        done = machine.run(*words)
        assert (done.returncode, done.stderr) == (0, "")


def test_commands_work_for_the_users_own_server(machine: Machine) -> None:
    """Each says once that it does without the configuration of the machine."""
    own = machine.home / ".config" / "rpcserver"
    own.mkdir(parents=True)
    (own / "rpcserver.toml").write_text("grace_s = 7\n[roles.r]\npermissions = ['database.query']\n")
    for words, answer in (
        (["config", "show", "--changed"], "grace_s = 7"),
        (["config", "check"], str(own / "rpcserver.toml")),
        (["permissions", "--role", "r"], "database.query"),
        (["token", "create", "ada", "--role", "r"], ""),
        (["token", "list"], "ada"),
    ):
        done = machine.run(*words)
        assert (done.returncode, done.stderr.count(NOTICE)) == (0, 1), done
        assert answer in done.stdout and "/var/lib/nowhere" not in done.stdout
        assert str(machine.etc) in done.stderr


def test_status_says_how_to_reach_the_machines_server(machine: Machine) -> None:
    done = machine.run("status")
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first.endswith("For the machine's server use sudo")
    assert "no server answers here" in second


def test_serve_and_status_of_the_user(machine: Machine) -> None:
    command = machine.command("serve", "--port", "0")
    with subprocess.Popen(
        command, env=machine.environment, cwd=machine.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdout is not None and server.stderr is not None
        try:
            assert server.stdout.readline().startswith("rpcserver: listening on ws://127.0.0.1:")
            status = machine.run("status", "--json")
            assert json.loads(status.stdout)["connected"] == []
        finally:
            server.terminate()
            log = server.stderr.read()
        assert server.wait(60) == 0
    assert log.count(NOTICE) == 1 and "WARNING rpcserver:" in log.splitlines()[0]


def test_who_names_the_folder_wants_it_read(machine: Machine) -> None:
    """systemd names it to the machine's server, which must not go without its roles."""
    done = machine.run("config", "check", CONFIGURATION_DIRECTORY=str(machine.etc))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"rpcserver: {machine.etc}/rpcserver.toml: Permission denied: let this user read it")


def test_a_closed_file_in_an_open_folder_is_a_fault(machine: Machine) -> None:
    """Half of a configuration would be another one."""
    closed = machine.etc / "conf.d" / "50-roles.toml"
    closed.write_text("[roles.y]\npermissions = []\n")
    closed.chmod(0)
    if os.geteuid() == 0:
        os.chown(closed, 4711, 4711)
        os.chown(machine.etc, 0, 0)
    machine.etc.chmod(0o755)
    done = machine.run("config", "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"rpcserver: {closed}: Permission denied: let this user read it")


def test_a_reload_leaves_nothing_out_that_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes the folder while the server runs does not take its roles away."""
    monkeypatch.delenv("CONFIGURATION_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(files, "_SYSTEM_FOLDER", str(tmp_path))
    (tmp_path / "rpcserver.toml").write_text("grace_s = 3\n")
    (tmp_path / "rpcserver.toml").chmod(0o600)
    configuration = load()
    read = _make_reader(configuration, None, {})
    assert read().config.grace_s == 3

    stat = Path.stat

    def refuse(path: Path, **options: Any) -> os.stat_result:
        if path.parent == tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    assert load().closed_folder == tmp_path
    with pytest.raises(ConfigError, match=r"rpcserver\.toml: Permission denied: let this user read it"):
        read()
