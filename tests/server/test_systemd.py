"""The server under a service manager: readiness, status, watchdog, sockets that outlive it, and the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, unix_connect

from rpcclient import Client
from rpcwire.errors import ConnectionLost
from tests.server.manager import LIMIT_S, Unit

PLUGIN = """
import asyncio, os, time
from rpcserver import Health, Service, method

class Moods(Service):
    "Has moods."

    async def start(self):
        self.mood = "well"

    async def health(self):
        if self.mood == "silent":
            await asyncio.Event().wait()
        if self.mood == "broken":
            raise RuntimeError("broken")
        return Health(ok=self.mood == "well", reason="" if self.mood == "well" else self.mood)

    @method()
    async def become(self, mood: str) -> None:
        "Change the mood."
        self.mood = mood

    @method()
    async def block(self) -> None:
        "Block the event loop for ever."
        while True:
            time.sleep(1)

    @method()
    async def variables(self) -> list[str]:
        "The names of the environment's variables, as programs would get them."
        return sorted(os.environ)

    @method()
    async def wait(self, s: float) -> str:
        "Wait."
        await asyncio.sleep(s)
        return "waited"
"""


@pytest.fixture
def run(tmp_path: Path, short_folder: Path) -> Iterator[Callable[..., Unit]]:
    (tmp_path / "moods.py").write_text(PLUGIN)
    (tmp_path / "moods.py").chmod(0o600)
    units: list[Unit] = []

    def start(*arguments: str, **options: Any) -> Unit:
        environment = {
            "RPCSERVER_STATE_DIR": str(tmp_path / "state"),
            "RPCSERVER_PLUGINS__DISABLED": '["programs", "database", "hardware"]',
        }
        words = ["serve", "--plugin", str(tmp_path / "moods.py"), "--token-file", str(tmp_path / "token")]
        if "sockets" not in options:
            words += ["--port", "0", "--unix", str(short_folder / "s")]
        unit = Unit(short_folder, [*words, *arguments], environment=environment, **options)
        units.append(unit)
        return unit

    yield start
    for unit in units:
        if unit.process.poll() is None:
            unit.stop(signal.SIGKILL)


@pytest.fixture
def open_sockets() -> Iterator[Callable[[socket.socket], socket.socket]]:
    """Closes sockets at the end."""
    sockets: list[socket.socket] = []

    def keep(sock: socket.socket) -> socket.socket:
        sockets.append(sock)
        return sock

    yield keep
    for sock in sockets:
        sock.close()


def call(connection: ClientConnection, method: str, *params: Any) -> Any:
    connection.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}))
    return json.loads(connection.recv(LIMIT_S))["result"]


def owner(short_folder: Path) -> ClientConnection:
    return unix_connect(str(short_folder / "s"), uri="ws://localhost/")


def test_it_is_ready_when_it_takes_calls_and_tells_how_it_is(run, short_folder) -> None:
    unit = run()
    unit.wait_for("READY", "1")
    assert all("READY" not in message for message in unit.history[:-1])
    with owner(short_folder) as connection:  # At once: nothing is tried again.
        assert "moods" in str(call(connection, "rpc.services"))
        names = call(connection, "moods.variables")
        assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID"} & set(names)
        unit.wait_for("STATUS", "1 connection, 0 calls running; all services are well")
        call(connection, "moods.become", "sad\x1b[1m\nREADY=0")
        message = unit.wait_for("STATUS")
        while "unwell" not in message["STATUS"]:
            message = unit.wait_for("STATUS")
        assert "unwell: moods (sad" in message["STATUS"] and "\x1b" not in message["STATUS"] and len(message) == 1
        call(connection, "moods.become", "broken")
        while "health check failed" not in message["STATUS"]:
            message = unit.wait_for("STATUS")
    status, output = unit.stop()
    assert status == 0, output
    assert int(unit.history[-1]["EXTEND_TIMEOUT_USEC"]) > 10e6 and unit.history[-1]["STOPPING"] == "1"


def test_one_that_cannot_start_is_never_ready(run, short_folder, tmp_path) -> None:
    (tmp_path / "token").mkdir()
    unit = run()
    unit.process.wait(LIMIT_S)
    status, output = unit.stop()
    assert status == 2 and "token" in output
    assert not any("READY" in message for message in unit.history)


@pytest.mark.parametrize("fault", ["silent", "block"])
def test_the_watchdog_starves_when_a_service_hangs_or_the_loop_is_blocked(run, short_folder, fault) -> None:
    unit = run(watchdog_s=6.0)
    unit.wait_for("READY")
    for _ in range(3):
        unit.wait_for("WATCHDOG")
    with owner(short_folder) as connection:
        call(connection, "moods.become", "sad")
        unit.wait_for("WATCHDOG")  # Being unwell is no reason to be killed.
        if fault == "block":
            connection.send(json.dumps({"jsonrpc": "2.0", "method": "moods.block"}))
        else:
            call(connection, "moods.become", "silent")
        assert unit.starved.wait(LIMIT_S)
    assert unit.process.wait(LIMIT_S) == -signal.SIGABRT


def test_a_restart_with_activated_sockets_loses_no_attempt_to_connect(
    run, tmp_path, short_folder, open_sockets
) -> None:
    tcp = open_sockets(socket.create_server(("127.0.0.1", 0)))
    unix = open_sockets(socket.socket(socket.AF_UNIX))
    unix.bind(str(short_folder / "s"))
    unix.listen(128)
    sockets = {"rpcserver-tcp": tcp, "rpcserver-unix": unix}
    url = f"ws://127.0.0.1:{tcp.getsockname()[1]}"
    unit = run(sockets=sockets)
    unit.wait_for("READY")
    stop, failures, done = threading.Event(), [], [0]

    def connect_again_and_again() -> None:
        while not stop.is_set():
            try:
                with Client(url, token_file=str(tmp_path / "token"), connect_timeout_s=LIMIT_S) as client:
                    assert client.call("moods.wait", [0.0], returns=str) == "waited"
                done[0] += 1
            except ConnectionLost:
                pass  # It was connected; its call came when the server had just said that it stops.
            except Exception as exc:
                failures.append(exc)

    threads = [threading.Thread(target=connect_again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = done[0]
        while done[0] < before + 8 and not failures:
            threads[0].join(0.02)
        status, output = unit.stop()
        assert status == 0, output
        assert (short_folder / "s").exists(), "the socket is systemd's"
        unit = run(sockets=sockets)
        unit.wait_for("READY")
    stop.set()
    for thread in threads:
        thread.join(LIMIT_S)
    assert failures == [] and done[0] > 24
    with owner(short_folder) as connection:
        assert "moods" in str(call(connection, "rpc.services"))
    assert f"listening on ws://127.0.0.1:{tcp.getsockname()[1]}" in unit.stop()[1]


def test_activated_sockets_that_cannot_be_used_stop_the_start(run, open_sockets) -> None:
    datagrams = open_sockets(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    datagrams.bind(("127.0.0.1", 0))
    silent = open_sockets(socket.socket())
    silent.bind(("127.0.0.1", 0))
    public = open_sockets(socket.create_server(("0.0.0.0", 0)))
    for sock, remedy in ((datagrams, "ListenStream="), (silent, "Accept=no"), (public, "tls.certificate_file")):
        unit = run(sockets={"web": sock})
        unit.process.wait(LIMIT_S)
        status, output = unit.stop()
        assert status == 2 and "web" in output and remedy in output, output


@pytest.mark.parametrize("count", ["2", "1000000000", "9" * 5000])
def test_a_number_of_sockets_that_are_not_there(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rpcserver.config import ConfigError
    from rpcserver.door import activation

    monkeypatch.setattr(activation, "_FIRST", 900)  # Nothing is open there.
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}
    with pytest.raises(ConfigError, match="LISTEN_FDS: "):
        activation.take_sockets(environ)
    assert environ == {}


@pytest.mark.parametrize("usec", ["0", "9" * 400, "9" * 5000, "-1", "1.5", "\u0664"])
def test_a_watchdog_without_a_time_is_none(usec: str) -> None:
    from rpcserver.daemon.notify import Notifier

    notifier = Notifier({"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": usec})
    assert notifier.watchdog_s is None or notifier.watchdog_s > 0
    assert (notifier.watchdog_s is None) == (usec != "\u0664")
    notifier.close()


def test_a_manager_that_reads_nothing_holds_nobody_up(short_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its queue is full after some messages. That is logged once, and again only after one was heard."""
    from rpcserver.daemon.notify import Notifier

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(short_folder / "n"))
        notifier = Notifier({"NOTIFY_SOCKET": str(short_folder / "n")})
        for _ in range(3000):
            notifier.feed_watchdog()
        notifier.ready()
        notifier.wait_until_heard(1.0)
        assert caplog.text.count("systemd cannot be told WATCHDOG") == 1
        while True:
            try:
                listener.recv(100, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
        notifier.status("well")
        notifier.status("still well")
        assert listener.recv(100, socket.MSG_DONTWAIT) == b"READY=1\nSTATUS=well", "this must be heard"
        assert listener.recv(100, socket.MSG_DONTWAIT) == b"STATUS=still well"
        notifier.close()


def test_variables_of_another_process_mean_nothing(run, short_folder) -> None:
    """They may be left over from a parent (sd_listen_fds(3), sd_watchdog_enabled(3))."""
    unit = Unit(
        short_folder,
        ["serve", "--port", "0", "--unix", "none"],
        environment={"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "7", "WATCHDOG_PID": "1", "WATCHDOG_USEC": "1000",
                     "RPCSERVER_STATE_DIR": str(short_folder / "state")},
    )  # fmt: skip
    unit.wait_for("READY")
    unit.wait_for("STATUS")
    assert unit.stop()[0] == 0


def test_without_systemd_nobody_is_told() -> None:
    from rpcserver.daemon.notify import Notifier

    environ = {"WATCHDOG_USEC": "5000000"}
    notifier = Notifier(environ)
    assert not notifier.is_active and notifier.watchdog_s is None and environ == {}
    notifier.ready()
    notifier.wait_until_heard(1.0)
    notifier.close()
    assert not Notifier({"NOTIFY_SOCKET": "vsock:2:1234"}).is_active


def test_the_loop_connects(run, short_folder) -> None:
    """An abstract socket for notifications, as in user services."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"rpcserver-test-{os.getpid()}"
    listener.bind(f"\0{name}")
    from rpcserver.daemon.notify import Notifier

    notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
    notifier.reloading()
    assert listener.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    listener.close()
    notifier.ready()  # Nobody hears it any more: that is logged, and no more.
    notifier.close()


def test_the_end_waits_until_everything_is_heard(short_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A barrier brings the end of a pipe, which systemd closes when it has read all before it (sd_notify_barrier(3))."""
    from rpcserver.daemon.notify import Notifier

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(short_folder / "n"))
    heard: list[bytes] = []

    def listen() -> None:
        while not heard or heard[-1] != b"BARRIER=1":
            data, descriptors, _, _ = socket.recv_fds(listener, 1000, 1)
            heard.append(data)
        (descriptor,) = descriptors
        os.close(descriptor)

    notifier = Notifier({"NOTIFY_SOCKET": str(short_folder / "n")})
    thread = threading.Thread(target=listen)
    thread.start()
    notifier.status("the last words")
    notifier.wait_until_heard(LIMIT_S)
    assert heard == [b"STATUS=the last words", b"BARRIER=1"] and not caplog.records
    thread.join(LIMIT_S)
    listener.close()
    notifier.close()
