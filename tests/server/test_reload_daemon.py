"""Reloads of a server that runs as a process: by SIGHUP, as systemd asks for them, and by the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rpcclient import Client
from tests.server.manager import LIMIT_S, Unit

PLUGIN = """
from rpcserver import Service, method

class Early(Service):
    @method()
    async def ask(self) -> int:
        return 1
"""


class Daemon:
    """A server with a file of its own, under a stand-in for systemd."""

    def __init__(self, folder: Path, short_folder: Path) -> None:
        self.file = folder / "rpcserver.toml"
        self.socket = short_folder / "s"
        self._head = (
            f'state_dir = "{folder / "state"}"\ngrace_s = 0.5\n[auth]\ntoken_file = "{folder / "token"}"\n'
            f'[plugins]\nenabled = ["hardware"]\n[listen]\nport = 0\nunix = "{self.socket}"\n'
        )
        self.write()
        self.unit = Unit(short_folder, ["serve", "--config", str(self.file)])
        self.unit.wait_for("READY", "1")

    def write(self, text: str = "") -> None:
        draft = self.file.with_suffix(".draft")
        draft.write_text(self._head + text)
        draft.chmod(0o600)
        draft.replace(self.file)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run ``rpcserver reload``. Returns its exit status and what it has printed."""
        command = [sys.executable, "-m", "rpcserver", "reload", "--config", str(self.file), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def start(tmp_path: Path, short_folder: Path) -> Iterator[Callable[[], Daemon]]:
    daemons: list[Daemon] = []

    def begin() -> Daemon:
        daemons.append(Daemon(tmp_path, short_folder))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        daemon.unit.stop(signal.SIGKILL)


def test_sighup_reloads_as_systemd_wants_it(start: Callable[[], Daemon]) -> None:
    """RELOADING=1 with a time of the monotonic clock after the signal, and READY=1 at the end, with a fault, too
    (systemd.service(5), ``Type=notify-reload``)."""
    daemon = start()
    before_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.write("[limits]\nstreams = 9\n")
    daemon.unit.process.send_signal(signal.SIGHUP)
    message = daemon.unit.wait_for("RELOADING", "1")
    assert before_usec <= int(message["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.unit.wait_for("READY", "1")
    with Client(f"unix://{daemon.socket}") as client:
        assert client.call("rpc.hello")["limits"]["streams"] == 9
        daemon.write("[limits]\nstreams = 0\n")
        daemon.unit.process.send_signal(signal.SIGHUP)
        daemon.unit.wait_for("RELOADING", "1")
        message = daemon.unit.wait_for("STATUS")
        while "not reloaded" not in message["STATUS"]:
            message = daemon.unit.wait_for("STATUS")
        assert f"{daemon.file}:11: limits.streams" in message["STATUS"]
        daemon.unit.wait_for("READY", "1")
        message = daemon.unit.wait_for("STATUS")  # It stays there until the next reload.
        assert "all services are well; not reloaded: " in message["STATUS"]
        assert client.call("rpc.hello")["limits"]["streams"] == 9
    status, output = daemon.unit.stop()
    assert status == 0
    assert (
        f"ERROR rpcserver.reload: the configuration is not reloaded, and nothing has changed: {daemon.file}:" in output
    )
    assert "INFO rpcserver.reload: reloaded: limits.streams: 256 -> 9" in output


def test_sighup_before_the_server_has_started(tmp_path: Path, short_folder: Path) -> None:
    """Without a handler it ends the process. Here a plugin sends it while it is imported."""
    plugin = tmp_path / "early.py"
    plugin.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\n" + PLUGIN)
    unit = Unit(
        short_folder,
        ["serve", "--port", "0", "--unix", str(short_folder / "s"), "--plugin", str(plugin)],
        environment={
            "RPCSERVER_STATE_DIR": str(tmp_path / "state"),
            "RPCSERVER_PLUGINS__DISABLED": '["database", "hardware", "programs"]',
        },
    )
    try:
        unit.wait_for("READY", "1")
        unit.wait_for("RELOADING", "1")
        unit.wait_for("READY", "1")
    finally:
        unit.stop(signal.SIGKILL)


def test_the_command(start: Callable[[], Daemon]) -> None:
    daemon = start()
    daemon.write('[log]\nlevel = "DEBUG"\n[services.hardware]\nhistory = false\n')
    status, output = daemon.run()
    assert status == 0, output
    assert 'log.level: "INFO" -> "DEBUG"' in output.splitlines()
    assert "services.hardware.history: true -> false: needs a restart, and stays as it was: " in output
    status, output = daemon.run("--json")
    assert [change["key"] for change in json.loads(output)["changes"]] == ["services.hardware.history"]
    daemon.write('[roles.a]\npermissions = ["hardware.red"]\n')
    status, output = daemon.run()  # Only the server knows which permissions there are.
    assert status == 2
    assert f"nothing has changed: {daemon.file}:11: roles.a.permissions.0: there is no permission" in output
    daemon.write("[limits]\nstream = 1\n")
    status, output = daemon.run()
    fault = "limits.stream: there is no such key: did you mean streams?"
    assert (status, output) == (2, f"rpcserver: {daemon.file}:11: {fault}\n")
    moved = daemon.file.read_text().replace(str(daemon.socket), f"{daemon.socket}2").partition("[limits]")[0]
    daemon.file.write_text(moved)
    status, output = daemon.run()
    assert status == 2 and "no server answers here" in output
    status, output = daemon.run("--unix", str(daemon.socket))
    assert status == 0
    assert f'listen.unix: "{daemon.socket}" -> "{daemon.socket}2": needs a restart' in output
    status, output = daemon.unit.stop()
    assert status == 0, output
    assert daemon.run("--unix", str(daemon.socket))[0] == 2


def test_a_stop_during_reloads(start: Callable[[], Daemon]) -> None:
    daemon = start()
    for _ in range(20):
        daemon.unit.process.send_signal(signal.SIGHUP)
    status, output = daemon.unit.stop()
    assert status == 0, output
    assert "Traceback" not in output
