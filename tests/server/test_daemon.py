"""`rpcserver serve` as a process of its own: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect, unix_connect
from websockets.typing import Subprotocol

PLUGIN = """
import asyncio, ctypes, gc, os, pathlib, resource, time
from rpcserver import Service, ServiceConfig, method

class WorkConfig(ServiceConfig):
    note: str = ""

class Work(Service[WorkConfig]):
    "Works."

    def __init__(self, config=None):
        super().__init__(config)
        self.release = asyncio.Event()

    async def start(self):
        self.mark("start " + self.config.note)
        if self.config.note == "fails":
            raise RuntimeError("cannot start")
        if self.config.note == "hangs":
            await asyncio.Event().wait()

    async def stop(self):
        self.mark("stop")

    def mark(self, text: str) -> None:
        with (pathlib.Path(__file__).parent / "marks").open("a") as file:
            file.write(text + "\\n")

    @method()
    async def wait(self, s: float) -> str:
        "Sleep."
        self.mark("waiting")
        try:
            await asyncio.sleep(s)
        except asyncio.CancelledError:
            self.mark("cancelled")
            raise
        return "waited"

    @method()
    def block(self, s: float) -> str:
        "Sleep in a thread."
        self.mark("blocking")
        time.sleep(s)
        return "blocked"

    @method()
    async def cling(self) -> None:
        "Begin a task that cannot be cancelled, such as one that waits for a library."
        async def hold():
            while True:
                try:
                    await asyncio.sleep(600)
                except asyncio.CancelledError:
                    pass
        self.task = asyncio.ensure_future(hold())

    @method()
    async def pid(self) -> int:
        "Who runs this."
        return os.getpid()

    @method()
    async def memory(self) -> list[int]:
        "Who may read this process."
        return [ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE)]

    @method()
    async def frozen(self) -> int:
        "How many objects the garbage collector leaves alone."
        return gc.get_freeze_count()
"""
QUIET = ["programs", "database", "hardware"]


@dataclass
class Daemon:
    process: subprocess.Popen[str]
    lines: list[str]
    folder: Path

    @property
    def url(self) -> str:
        (line,) = [line for line in self.lines if "ws://" in line]
        return line.removeprefix("rpcserver: listening on ").strip()

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text().strip()

    def connect(self, **more: Any) -> ClientConnection:
        headers = {"Authorization": f"Bearer {self.token}"}
        return connect(self.url, additional_headers=headers, proxy=None, legacy=True, **more)

    def marks(self) -> list[str]:
        path = self.folder / "marks"
        return path.read_text().splitlines() if path.exists() else []

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RPCSERVER_", "XDG_"))}
    return {**kept, "XDG_STATE_HOME": str(folder / "state"), "XDG_RUNTIME_DIR": str(folder), **more}


def configure(folder: Path, **sections: Any) -> Path:
    """A configuration file with our plugin and nothing else."""
    (folder / "work.py").write_text(PLUGIN)
    top = {"state_dir": str(folder), "grace_s": 5.0} | {k: v for k, v in sections.items() if not isinstance(v, dict)}
    tables = {
        "plugins": {"disabled": QUIET, "files": [str(folder / "work.py")]},
        "listen": {"port": 0, "unix": "none"},
    } | {k: v for k, v in sections.items() if isinstance(v, dict)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for name, table in tables.items():
        lines += [f"[{name.replace('__', '.')}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path = folder / "server.toml"
    path.write_text("\n".join(lines))
    return path


Start = Callable[..., Daemon]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, listeners: int = 1, **more: str) -> Daemon:
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "rpcserver", "serve", *arguments],
                stdout=subprocess.PIPE, stderr=log, text=True, env=environment(tmp_path, **more), cwd=tmp_path,
            )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(listeners)]
        daemon = Daemon(process, lines, tmp_path)
        assert all(lines), daemon.log
        return daemon

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(daemon: Daemon, status: int = 0) -> str:
    """Wait for the end; what it still printed on standard output."""
    out, _ = daemon.process.communicate(timeout=20)
    assert daemon.process.returncode == status, daemon.log
    return out


def call(connection: ClientConnection, method: str, params: Any = None, call_id: Any = 1) -> Any:
    connection.send(json.dumps({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params or []}))
    return json.loads(connection.recv(20))


# --- starting ------------------------------------------------------------------------------------------------------------


def test_it_prints_a_line_for_each_listener_and_nothing_else(start: Start, tmp_path: Path) -> None:
    socket = tmp_path / "s.sock"
    daemon = start("--config", str(configure(tmp_path)), "--unix", str(socket), listeners=2)
    assert re.fullmatch(r"rpcserver: listening on ws://127\.0\.0\.1:[1-9]\d*\n", daemon.lines[0])
    assert daemon.lines[1] == f"rpcserver: listening on unix://{socket}\n"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    with daemon.connect() as connection:
        assert call(connection, "work.pid")["result"] == daemon.process.pid
    with unix_connect(str(socket), uri="ws://localhost/", legacy=True) as connection:
        assert call(connection, "work.pid")["result"] == daemon.process.pid
    daemon.process.terminate()
    assert ended(daemon) == ""
    assert not socket.exists()
    assert daemon.marks() == ["start ", "stop"]
    assert "Traceback" not in daemon.log


def test_a_state_folder_has_one_server(start: Start, tmp_path: Path) -> None:
    """The second is refused before it touches anything; once the first has ended, however that was, another may come."""
    config = str(configure(tmp_path))
    first = start("--config", config)
    done = subprocess.run(
        [sys.executable, "-m", "rpcserver", "serve", "--config", config],
        capture_output=True, text=True, timeout=20, env=environment(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"state_dir: another server uses {tmp_path}: stop it, or name another" in done.stderr
    assert "Traceback" not in done.stderr
    assert first.marks() == ["start "]
    with first.connect() as connection:
        assert call(connection, "work.pid")["result"] == first.process.pid
    first.process.kill()
    first.process.wait(20)
    second = start("--config", config)
    second.process.terminate()
    ended(second)


def test_a_state_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "rpcserver", "serve", "--config", str(configure(tmp_path, state_dir=f"{tmp_path}/file/x")),
         "--token-file", str(tmp_path / "token")],
        capture_output=True, text=True, timeout=20, env=environment(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"state_dir: {tmp_path}/file/x: Not a directory: name another folder" in done.stderr


def test_no_token_in_the_output_or_the_arguments(start: Start, tmp_path: Path) -> None:
    daemon = start("--config", str(configure(tmp_path)), "--log-level", "DEBUG")
    with daemon.connect() as connection:
        call(connection, "rpc.authenticate", [daemon.token])
    with connect(daemon.url, proxy=None, legacy=True) as connection:
        assert "error" in call(connection, "rpc.authenticate", ["a-wrong-token-that-is-secret"])
    assert daemon.token not in Path(f"/proc/{daemon.process.pid}/cmdline").read_text()
    daemon.process.terminate()
    out = ended(daemon)
    assert daemon.token not in daemon.log + out
    assert "a-wrong-token-that-is-secret" not in daemon.log


def test_the_garbage_collector_leaves_alone_what_is_loaded_at_the_start(start: Start, tmp_path: Path) -> None:
    daemon = start("--config", str(configure(tmp_path)))
    with daemon.connect() as connection:
        call(connection, "rpc.authenticate", [daemon.token])
        until = time.monotonic() + 30
        while call(connection, "work.frozen")["result"] < 10_000:  # That is when all is loaded, soon after the start.
            assert time.monotonic() < until
    daemon.process.terminate()
    ended(daemon)


def test_options_of_the_command_line_win(start: Start, tmp_path: Path) -> None:
    config = configure(tmp_path, listen={"port": 1, "host": "192.0.2.1", "unix": "none"}, log={"level": "DEBUG"})
    token = tmp_path / "own" / "token"
    daemon = start(
        "--config",
        str(config),
        "--port",
        "0",
        "--host",
        "localhost",
        "--token-file",
        str(token),
        "--log-level",
        "ERROR",
    )
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert not (tmp_path / "token").exists()
    headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
    with connect(daemon.url, additional_headers=headers, proxy=None, legacy=True) as connection:
        assert call(connection, "work.pid")["result"] == daemon.process.pid
    daemon.process.terminate()
    ended(daemon)
    assert daemon.log == ""


def test_a_plugin_by_the_command_line_and_settings_by_the_environment(start: Start, tmp_path: Path) -> None:
    config = configure(tmp_path, plugins={"disabled": QUIET}, services__work={"note": "by the file"})
    arguments = ("--plugin", str(tmp_path / "work.py"))
    daemon = start(*arguments, RPCSERVER_CONFIG=str(config), RPCSERVER_GRACE_S="1.5", RPCSERVER_LISTEN__PORT="0")
    daemon.process.terminate()
    ended(daemon)
    assert daemon.marks()[0] == "start by the file"
    assert "running calls have 1.5 s" in daemon.log


# --- what it refuses -------------------------------------------------------------------------------------------------------


def refuse(folder: Path, *arguments: str, **more: str) -> str:
    """Run it with something wrong: status 2, one line on standard error, nothing on standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "rpcserver", "serve", *arguments],
        capture_output=True, text=True, env=environment(folder, **more), cwd=folder, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_configuration_it_cannot_use(tmp_path: Path) -> None:
    """One process for each kind; the rest are tested without processes, in test_plugins."""
    config = str(configure(tmp_path, limits={"streams": 0}))
    assert "limits.streams" in refuse(tmp_path, "--config", config)
    config = str(configure(tmp_path, services__work={"noet": "x"}))
    error = refuse(tmp_path, "--config", config)
    assert "services.work.noet: there is no such key: did you mean note?" in error
    assert error.count("\n") == 1
    config = str(configure(tmp_path))
    error = refuse(tmp_path, "--config", config, "--host", "0.0.0.0")
    assert "listen.host: 0.0.0.0" in error
    assert "tls.certificate_file" in error
    (tmp_path / "short").write_text("short")
    (tmp_path / "short").chmod(0o600)
    assert "shorter than 16" in refuse(tmp_path, "--config", config, "--token-file", str(tmp_path / "short"))
    (tmp_path / "vague.py").write_text(
        "from rpcserver import Service, method\nclass Vague(Service):\n    @method()\n    def guess(self, a): ...\n"
    )
    error = refuse(tmp_path, "--config", config, "--plugin", str(tmp_path / "vague.py"))
    assert "Vague.guess" in error
    assert "'a'" in error
    error = refuse(tmp_path, "--config", config, "--port", "70000")
    assert "--port" in error


def test_an_essential_service_that_cannot_start(tmp_path: Path) -> None:
    plugins = {"disabled": QUIET, "files": [str(tmp_path / "work.py")], "essential": ["work"]}
    config = str(configure(tmp_path, plugins=plugins, services__work={"note": "fails"}))
    done = subprocess.run(
        [sys.executable, "-m", "rpcserver", "serve", "--config", config],
        capture_output=True, text=True, env=environment(tmp_path), timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the server cannot start: RuntimeError: cannot start" in done.stderr


# --- ending ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_running_calls_get_the_grace_period(start: Start, tmp_path: Path, signum: signal.Signals) -> None:
    daemon = start("--config", str(configure(tmp_path)))
    with daemon.connect(subprotocols=["rpc.v1.json"]) as connection:
        connection.send('{"jsonrpc": "2.0", "id": "w", "method": "work.wait", "params": [1.0]}')
        daemon.until(lambda: "waiting" in daemon.marks())
        daemon.process.send_signal(signum)
        daemon.until(lambda: "stopping" in daemon.log)
        refused = call(connection, "work.pid")
        assert refused["id"] == 1
        assert (refused["error"]["code"], refused["error"]["data"]["executed"]) == (-32006, "no")
        with pytest.raises((InvalidStatus, OSError)):
            daemon.connect()
        assert json.loads(connection.recv(20)) == {"jsonrpc": "2.0", "id": "w", "result": "waited"}
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(20)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
    ended(daemon)
    assert signum.name in daemon.log
    assert daemon.marks()[-1] == "stop"


def test_what_outlasts_the_grace_period_is_cancelled(start: Start, tmp_path: Path) -> None:
    daemon = start("--config", str(configure(tmp_path, grace_s=0.2)))
    with daemon.connect(subprotocols=["rpc.v1.json"]) as connection:
        connection.send('{"jsonrpc": "2.0", "id": "w", "method": "work.wait", "params": [600]}')
        daemon.until(lambda: "waiting" in daemon.marks())
        daemon.process.terminate()
        assert json.loads(connection.recv(20))["error"]["code"] == -32800
    ended(daemon)
    assert daemon.marks()[-2:] == ["cancelled", "stop"]


def test_a_second_signal_stops_at_once_also_with_a_stuck_thread(start: Start, tmp_path: Path) -> None:
    daemon = start("--config", str(configure(tmp_path, grace_s=600)))
    with daemon.connect(subprotocols=["rpc.v1.json"]) as connection:
        connection.send('{"jsonrpc": "2.0", "id": "w", "method": "work.wait", "params": [600]}')
        connection.send('{"jsonrpc": "2.0", "id": "b", "method": "work.block", "params": [600]}')
        daemon.until(lambda: {"waiting", "blocking"} <= set(daemon.marks()))
        daemon.process.terminate()
        daemon.until(lambda: "stopping" in daemon.log)
        begun = time.monotonic()
        daemon.process.send_signal(signal.SIGINT)
        ended(daemon)
        assert time.monotonic() - begun < 8
    assert "asked again: stopping at once" in daemon.log
    assert "work.block" in daemon.log
    assert daemon.marks()[-1] == "stop"


def test_it_ends_although_a_task_does_not(start: Start, tmp_path: Path) -> None:
    daemon = start("--config", str(configure(tmp_path)))
    with daemon.connect(subprotocols=["rpc.v1.json"]) as connection:
        call(connection, "work.cling")
    daemon.process.terminate()
    ended(daemon)
    assert "exiting although tasks that were cancelled do not end" in daemon.log


def test_a_signal_before_it_has_started(start: Start, tmp_path: Path) -> None:
    daemon = start("--config", str(configure(tmp_path, services__work={"note": "hangs"})), listeners=0)
    daemon.until(lambda: daemon.marks() == ["start hangs"])
    daemon.process.terminate()
    assert ended(daemon) == ""
    assert "before the server had started" in daemon.log


def test_a_killed_server_leaves_nothing_in_the_way(start: Start, tmp_path: Path) -> None:
    socket = tmp_path / "s.sock"
    config = str(configure(tmp_path))
    first = start("--config", config, "--unix", str(socket), listeners=2)
    token = first.token
    first.process.kill()
    first.process.wait()
    assert socket.exists()
    second = start("--config", config, "--unix", str(socket), listeners=2)
    assert second.token == token
    with unix_connect(str(socket), uri="ws://localhost/", legacy=True) as connection:
        assert call(connection, "work.pid")["result"] == second.process.pid
    second.process.terminate()
    ended(second)


# --- one line for each bad frame ---------------------------------------------------------------------------------------------


def test_sockets_that_use_up_the_files_give_way(start: Start, tmp_path: Path) -> None:
    daemon = start("--config", str(configure(tmp_path)))
    pid = daemon.process.pid
    room = len(list(Path(f"/proc/{pid}/fd").iterdir())) + 20
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (room, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    port = int(daemon.url.rpartition(":")[2])
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    with daemon.connect() as connection:
        assert call(connection, "work.wait", [0])["result"] == "waited"
    for sock in silent:
        sock.close()
    assert "connections that have not authenticated give way" in daemon.log
    assert "ulimit -n" in daemon.log
    daemon.process.send_signal(signal.SIGTERM)
    ended(daemon)


def test_bad_frames_make_one_line_each(start: Start, tmp_path: Path) -> None:
    daemon = start("--config", str(configure(tmp_path)))
    bad = [
        "{",
        "1",
        '{"jsonrpc":"2.0","id":1}',
        '{"jsonrpc":"2.0","method":"no\\u001b[31m\\nsuch"}',
        '{"jsonrpc":"2.0","id":1,"method":"\\r\\nFAKE"}',
    ]
    with daemon.connect(subprotocols=["rpc.v1.json"]) as connection:
        assert call(connection, "work.pid")["result"]
        before = daemon.log.count("\n")
        for frame in bad:
            connection.send(frame)
        seen = 0
        while seen < 4:
            seen += "error" in json.loads(connection.recv(20))
        assert call(connection, "work.pid")["result"]
        daemon.until(lambda: daemon.log.count("\n") >= before + len(bad))
        assert daemon.log.count("\n") == before + len(bad)
    daemon.process.terminate()
    ended(daemon)
    for line in daemon.log.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) rpc", line), line
    assert "\x1b" not in daemon.log


# --- the other commands ----------------------------------------------------------------------------------------------------


def test_listing_plugins() -> None:
    from click.testing import CliRunner

    from rpcserver.daemon.cli import main

    done = CliRunner().invoke(main, ["plugins"])
    assert done.exit_code == 0
    assert "programs\trpcservices.programs:Programs\tremote-services" in done.output.splitlines()
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0


def test_stubs(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from rpcserver.daemon.cli import main

    configure(tmp_path)
    plugin = str(tmp_path / "work.py")
    done = CliRunner().invoke(main, ["stubs", "work", "--plugin", plugin])
    assert done.exit_code == 0, done.output
    assert "class" in done.output
    compile(done.output, "stub", "exec")
    target = tmp_path / "stub.py"
    assert CliRunner().invoke(main, ["stubs", "work", "--plugin", plugin, "--output", str(target)]).exit_code == 0
    assert target.read_text() == done.output
    done = CliRunner().invoke(main, ["stubs", "work", "--plugin", plugin, "--language", "typescript"])
    assert done.exit_code == 0, done.output
    assert "export const work: ServiceStub<" in done.output
    done = CliRunner().invoke(main, ["stubs", "nothing"])
    assert done.exit_code == 2
    assert "nothing" in done.output


def test_stubs_of_several_services(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from rpcserver.daemon.cli import main

    folder = tmp_path / "stubs"
    options = ["--language", "typescript", "--output", str(folder)]
    assert CliRunner().invoke(main, ["stubs", "programs", "database", *options]).exit_code == 0
    assert {path.name for path in folder.iterdir()} == {"programs.ts", "database.ts"}
    assert CliRunner().invoke(main, ["stubs", *options]).exit_code == 0
    assert {"programs.ts", "database.ts", "hardware.ts"} <= {path.name for path in folder.iterdir()}
    assert '"@remote-services/client"' in (folder / "hardware.ts").read_text(encoding="utf-8")
    done = CliRunner().invoke(main, ["stubs", "programs", "database"])
    assert done.exit_code == 2
    assert "--output" in done.output


def test_asyncio_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uvloop the server runs on asyncio's own loop, here in this process."""
    from rpcserver.daemon import cli
    from rpcserver.daemon.logs import LimitedHandler
    from rpcserver.layers.loading import load

    monkeypatch.setitem(sys.modules, "uvloop", None)
    used: list[str] = []

    async def serve(server: Any, log: Any, *_: Any) -> int:
        used.append(type(asyncio.get_running_loop()).__module__)
        return 7

    monkeypatch.setattr(cli, "_serve", serve)
    # A handler of another server in this process is none of ours: it used to end the whole process.
    go_on = threading.Event()
    threading.Thread(target=go_on.wait, name="rpc-handler_0", daemon=True).start()
    file = configure(tmp_path)
    assert cli.run(load(file).config, LimitedHandler(sys.stderr), lambda: load(file)) == 7
    go_on.set()
    assert used[0].startswith("asyncio.")


def test_strangers_cannot_fill_the_log(start: Start, tmp_path: Path) -> None:
    """It used to get 24.6 MB in 4 s from one socket."""
    daemon = start("--config", str(configure(tmp_path)))
    host, port = daemon.url.removeprefix("ws://").split(":")
    for _ in range(300):
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: " + b"e" * 200 + b"\r\n\r\n")
            while sock.recv(65536):
                pass
    for message in ("{x", '{"jsonrpc": "2.0", "id": 1, "method": "work.pid"}'):
        for _ in range(30):
            with connect(daemon.url, subprotocols=[Subprotocol("rpc.v1.json")], proxy=None, legacy=True) as stranger:
                stranger.send("\n".join([message] * 100))
                with pytest.raises(ConnectionClosed, match="too many messages that break the rules"):
                    while True:
                        stranger.recv(20)
    with daemon.connect() as connection:
        assert call(connection, "work.pid")["result"] == daemon.process.pid
    daemon.process.terminate()
    ended(daemon)
    assert len(daemon.log) < 100_000
    assert "is owner by token" in daemon.log
    (line,) = [line for line in daemon.log.splitlines() if "left out" in line and "does not go by the name" in line]
    assert 150 < int(line.split("rpcserver.log: ")[1].split()[0]) <= 280


def test_nobody_can_read_its_memory_and_a_crash_leaves_none(start: Start, tmp_path: Path) -> None:
    """prctl(2): PR_GET_DUMPABLE. What the server starts may still raise the limit of cores to what the server has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        daemon = start("--config", str(configure(tmp_path, plugins={"files": [str(tmp_path / "work.py")]})))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    with daemon.connect() as connection:
        assert call(connection, "work.memory")["result"] == [0, 0, hard]
        script = "import resource as r; r.setrlimit(r.RLIMIT_CORE, [r.getrlimit(r.RLIMIT_CORE)[1]] * 2)"
        script += "; print(r.getrlimit(r.RLIMIT_CORE)[0]); import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
        done = call(connection, "programs.run", {"argv": [sys.executable, "-c", script]})["result"]
        assert done["stdout"] == base64.b64encode(f"{hard}\n1\n".encode()).decode()
        for path in ("environ", "maps", "mem", "fd"):
            assert Path(f"/proc/{daemon.process.pid}/{path}").stat().st_uid == 0
    daemon.process.terminate()
    ended(daemon)


def test_a_stop_that_fails_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The exit status shows it, and the log says what went wrong."""
    from rpcserver.daemon import cli
    from rpcserver.daemon.logs import LimitedHandler
    from rpcserver.daemon.notify import Notifier
    from rpcserver.daemon.reloads import Reloads
    from rpcserver.layers.loading import Configuration, load_config
    from rpcserver.server import Server

    def read() -> Configuration:
        raise AssertionError("nobody asks for a reload")

    async def main() -> int:
        stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        class Failing(Server):
            async def start(self, **options: Any) -> None:
                await super().start(**options)
                stop.set_result("SIGTERM")

            async def stop(self, grace_s: float | None = None, patience_s: float = 1.0) -> None:
                await super().stop(grace_s, patience_s)
                raise RuntimeError("the last part")

        server = Failing(load_config(configure(tmp_path)), [], token="x" * 32)
        notifier = Notifier({})
        reloads = Reloads(server, read, LimitedHandler(logging.NullHandler()), notifier)
        return await cli._live(server, reloads, stop, asyncio.Event(), notifier, ())

    try:
        assert asyncio.run(main()) == 1
    finally:
        gc.unfreeze()
    assert "the server has not stopped as it should" in caplog.text
    assert "the last part" in caplog.text
