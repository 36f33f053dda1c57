"""A token leaves only over TLS that verifies the server, or to a listener of this user or of root."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from rpcclient import AsyncClient, Client, Service, listeners, method
from rpcclient.errors import ConnectFailed
from rpcclient.listeners import check_listener, tcp_owner, unix_owner
from rpcclient.targets import find_target, without_secrets
from rpcwire import locations
from tests.client.relays import by_connect, relay

SOMEBODY = 54321
"""A user who is neither root nor the one who runs the tests."""
TOKEN = "canary-" + "0123456789abcdef" * 2
OTHERS_LISTENER = """
import os, socket, sys
family, address, accepts = sys.argv[1], sys.argv[2], sys.argv[3] == "accepts"
os.setuid(int(sys.argv[4]))
if family == "unix":
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(address)
else:
    sock = socket.socket(socket.AF_INET6 if family == "6" else socket.AF_INET)
    sock.bind((address, 0))
sock.listen(1)
print(sock.getsockname()[1] if family != "unix" else 0, flush=True)
got = b""
if accepts:
    peer, _ = sock.accept()
    while data := peer.recv(65536):
        got += data
else:
    sys.stdin.read()
print(got.decode("latin-1"), flush=True)
"""


class Other:
    """A listener of another user, in a process of its own.

    Attributes:
        port: its port; 0 for a Unix socket.
    """

    def __init__(self, family: str, address: str, *, accepts: bool, uid: int) -> None:
        how = "accepts" if accepts else "waits"
        self._process = subprocess.Popen(
            [sys.executable, "-c", OTHERS_LISTENER, family, address, how, str(uid)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def received(self) -> str:
        """What it has received, once its client has hung up."""
        return self._process.communicate(timeout=60)[0]

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def other() -> Iterator[Callable[..., Other]]:
    """Starts listeners of another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    others: list[Other] = []

    def start(family: str, address: str, *, accepts: bool = True, uid: int = SOMEBODY) -> Other:
        others.append(Other(family, address, accepts=accepts, uid=uid))
        return others[-1]

    yield start
    for each in others:
        each.stop()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder in which everybody can make files, as in /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="rpc-public-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def listening(family: socket.AddressFamily, address: str) -> Iterator[int]:
    with socket.socket(family) as sock:
        sock.bind((address, 0))
        sock.listen()
        yield int(sock.getsockname()[1])


# --- other users of this machine ---------------------------------------------------------------------------------


@pytest.mark.parametrize("token_by", ["header", "call"])
@pytest.mark.parametrize(("family", "host"), [("4", "127.0.0.1"), ("6", "[::1]")])
def test_somebody_listens_on_the_port(call: Any, other: Any, family: str, host: str, token_by: str) -> None:
    """The own server has stopped, and somebody else has taken its port."""
    listener = other(family, host.strip("[]"))
    with pytest.raises(ConnectFailed, match=rf"user {SOMEBODY} listens there, and would get the token") as caught:
        call(f"ws://{host}:{listener.port}", token=TOKEN, token_by=token_by)
    assert "wss://" in str(caught.value)
    assert "allow_token_in_clear=True" in str(caught.value)
    assert not caught.value.retryable
    assert caught.value.executed == "no"
    assert listener.received() == "\n"


class Bell(Service):
    """Rings for whoever may call it."""

    @method()
    def ring(self) -> str:
        """Ring."""
        return "ding"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_whoever_may_call_services_is_looked_at_as_well(
    other: Any, running: Any, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    """A client without a token gives nothing away, but lets the server call it."""
    monkeypatch.setattr("rpcclient.targets._local_token", lambda: None)

    def connect(url: str, *services: Service[Any], late: bool = False, **options: Any) -> None:
        async def run() -> None:
            async with AsyncClient(url, services=[] if late else services, **options) as client:
                await client.connect()
                for service in services if late else ():
                    client.offer(service)

        if asynchronous:
            asyncio.run(run())
            return
        with Client(url, services=[] if late else services, **options) as client:
            client.connect()
            for service in services if late else ():
                client.offer(service)

    listener = other("4", "127.0.0.1")
    url = f"ws://127.0.0.1:{listener.port}"
    with pytest.raises(ConnectFailed, match=f"user {SOMEBODY} listens there, and would get the services") as caught:
        connect(url, Bell())
    assert "allow_token_in_clear=True" in str(caught.value)
    assert listener.received() == "\n"
    connect(running.tcp)
    connect(running.tcp, Bell())
    connect(running.tcp, Bell(), late=True, allow_token_in_clear=True)
    with pytest.raises(ConnectFailed, match="offer it before connecting"):
        connect(running.tcp, Bell(), late=True)
    connect(running.unix, Bell(), late=True)


@pytest.mark.parametrize("accepts", [True, False])
@pytest.mark.parametrize(
    ("family", "address", "host"),
    [
        ("4", "0.0.0.0", "127.0.0.1"),
        ("6", "::", "127.0.0.1"),
        ("6", "::", "[::1]"),
        ("4", "127.0.0.1", "[::ffff:127.0.0.1]"),
    ],
)
@pytest.mark.parametrize("source", ["kernel", "table"])
def test_the_owner_of_a_connection(
    other: Any, until: Any, monkeypatch: pytest.MonkeyPatch, family: str, address: str, host: str, accepts: bool,
    source: str,
) -> None:  # fmt: skip
    """Whether it is accepted yet or not, and where a sandbox has no sock_diag."""
    if source == "table":
        monkeypatch.setattr(listeners, "_ask_kernel", lambda *_: None)
    listener = other(family, address, accepts=accepts)
    with socket.create_connection((host.strip("[]"), listener.port)) as sock:
        assert tcp_owner(sock) == SOMEBODY
        if accepts:
            find = listeners._read_table if source == "table" else listeners._ask_kernel
            near, far = sock.getsockname()[:2], sock.getpeername()[:2]
            until(lambda: (find(sock.family, far, near, 0) or (0, 0))[1])
            assert tcp_owner(sock) == SOMEBODY


@pytest.mark.parametrize("source", ["kernel", "table"])
def test_who_has_accepted_counts_and_not_who_listens_now(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Somebody accepts, and stops listening, so that the own server can start on the port."""
    if os.geteuid() != 0:
        pytest.skip("only root can give sockets away")
    if source == "table":
        monkeypatch.setattr(listeners, "_ask_kernel", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as sock:
            accepted, _ = own.accept()
            os.fchown(accepted.fileno(), SOMEBODY, -1)  # As if that user had accepted it.
            with accepted:
                assert tcp_owner(sock) == SOMEBODY


def test_root_and_oneself_are_trusted(other: Any) -> None:
    for uid in (0, os.geteuid()):
        listener = other("4", "127.0.0.1", uid=uid)
        with socket.create_connection(("127.0.0.1", listener.port)) as sock:
            check_listener(sock, find_target(f"ws://127.0.0.1:{listener.port}", token=TOKEN, environ={}))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_listener_that_is_closed_again(address: str) -> None:
    """A relay for one connection closes its listener as soon as it has that."""
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        sock = socket.create_connection((address, listener.getsockname()[1]))
        accepted, _ = listener.accept()
    with sock, accepted:
        assert tcp_owner(sock) == os.geteuid()


def test_a_port_that_is_translated_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container's: the kernel knows no such socket in this network namespace."""
    monkeypatch.setattr(listeners, "_ask_kernel", lambda *_: None)
    monkeypatch.setattr(listeners, "_read_table", lambda *_: None)
    with listening(socket.AF_INET, "127.0.0.1") as port, socket.create_connection(("127.0.0.1", port)) as sock:
        target = find_target(f"ws://127.0.0.1:{port}", token=TOKEN, environ={})
        with pytest.raises(ConnectFailed, match="the system does not tell who listens there "):
            check_listener(sock, target)
        monkeypatch.setattr(sys, "platform", "darwin")
        assert tcp_owner(sock) is None


def test_nobody_of_another_user_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """All users whom this namespace does not have look like the user nobody."""
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert listeners._is_trusted(65534)
    monkeypatch.setattr(listeners, "_sees_all_users", lambda: False)
    assert not listeners._is_trusted(65534)


def test_somebody_has_made_the_unix_socket(call: Any, other: Any, public_folder: Path) -> None:
    path = public_folder / "s.sock"
    listener = other("unix", str(path))
    with pytest.raises(ConnectFailed, match=f"user {SOMEBODY} listens on this socket, and would get the token"):
        call(f"unix://{path}", token=TOKEN)
    assert listener.received() == "\n"


def test_the_owner_of_a_unix_socket_where_the_kernel_does_not_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as listener:
        path = str(tmp_path / "s.sock")
        listener.bind(path)
        assert unix_owner(sock, path) == os.geteuid()
        if os.geteuid() == 0:
            os.chown(path, SOMEBODY, -1)
            assert unix_owner(sock, path) == SOMEBODY


def test_a_unix_socket_in_an_open_folder(call: Any, running: Any, token: str, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    path = tmp_path / "open" / "s.sock"
    path.symlink_to(running.unix.removeprefix("unix://"))
    with pytest.raises(ConnectFailed, match=f"others could put a socket .* run: chmod go-w {path.parent}"):
        call(f"unix://{path}", token=token)
    assert call(f"unix://{path}") == 11
    assert call(f"unix://{path}", token=token, allow_token_in_clear=True) == 11


def test_the_place_of_the_own_server_is_somebodys(
    call: Any, other: Any, public_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a token, too: the calls themselves are meant for the own server."""
    path = public_folder / "s.sock"
    other("unix", str(path))
    monkeypatch.setattr(locations, "socket_file", lambda: path)
    with pytest.raises(ConnectFailed, match=f"user {SOMEBODY} listens on this socket, and would get the calls"):
        call()


# --- the network -------------------------------------------------------------------------------------------------


def test_in_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of the other end decides, and not the name."""
    with listening(socket.AF_INET, "127.0.0.1") as port, socket.create_connection(("127.0.0.1", port)) as sock:
        monkeypatch.setattr(listeners, "_is_here", lambda *_: False)
        clear = f"ws://desk.example:{port}"
        ways: list[tuple[dict[str, Any], str]] = [
            ({"token": TOKEN}, "the token"),
            ({"headers": {"X-Tenant": "blue", "x-api-key": TOKEN}}, "the header x-api-key"),
            ({"headers": {"Cookie": TOKEN}}, "the header Cookie"),
            ({"headers": lambda: {"Authorization": TOKEN}}, "what the function for headers makes"),
        ]
        for options, secret in ways:
            with pytest.raises(
                ConnectFailed, match=f"{secret} would cross the network in clear: write wss://"
            ) as caught:
                check_listener(sock, find_target(clear, environ={}, **options))
            assert TOKEN not in str(caught.value)
            check_listener(sock, find_target(clear, environ={}, allow_token_in_clear=True, **options))
            check_listener(sock, find_target(clear, environ={"RPC_ALLOW_TOKEN_IN_CLEAR": "1"}, **options))
            check_listener(sock, find_target("wss://desk.example", environ={}, **options))
        check_listener(sock, find_target(clear, environ={}, headers={"X-Tenant": "blue"}))
    with pytest.raises(ConnectFailed, match="RPC_ALLOW_TOKEN_IN_CLEAR: 'maybe': write true or false"):
        find_target(environ={"RPC_ALLOW_TOKEN_IN_CLEAR": "maybe"})


@pytest.mark.parametrize(
    ("near", "far", "here"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.1.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("10.0.0.5", "10.0.0.5", True),
        ("fe80::1%lo", "fe80::1%lo", True),
        ("10.0.0.5", "10.0.0.6", False),
        ("::ffff:10.0.0.5", "::ffff:10.0.0.6", False),
    ],
)
def test_what_is_on_this_machine(near: str, far: str, here: bool) -> None:
    assert listeners._is_here(near, far) == here


def test_tls_that_verifies_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    without_name = ssl.create_default_context()
    without_name.check_hostname = False
    without_anything = ssl.create_default_context()
    without_anything.check_hostname, without_anything.verify_mode = False, ssl.CERT_NONE
    with listening(socket.AF_INET, "127.0.0.1") as port, socket.create_connection(("127.0.0.1", port)) as sock:
        for context in (without_name, without_anything):
            target = find_target("wss://desk.example", token=TOKEN, ssl_context=context, environ={})
            check_listener(sock, target)  # It is this user's own listener.
            with monkeypatch.context() as patch:
                patch.setattr(listeners, "_is_here", lambda *_: False)
                with pytest.raises(ConnectFailed, match="ssl_context does not verify the server"):
                    check_listener(sock, target)


def test_a_pinned_certificate(call: Any, start: Any, token: str, tmp_path: Path) -> None:
    """A server's own certificate as the only authority pins its key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=desk", "-addext",
         "subjectAltName=DNS:desk", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = start(tls={"certificate_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")})
    assert call(server.tcp, token=token, ca_file=tmp_path / "cert.pem", server_hostname="desk") == 11
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with pytest.raises(ConnectFailed, match="certificate verify failed"):
        call(server.tcp, token=token, ca_file=tmp_path / "other.pem", server_hostname="desk")


def test_through_a_proxy_in_clear(call: Any, running: Any) -> None:
    """The proxy gets no connection, even."""
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    with relay(by_connect) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        for url, options, remedy in [
            (running.tcp, {}, "write wss://"),
            ("wss://desk.example", {"ssl_context": unverified}, "let ssl_context verify it"),
        ]:
            with pytest.raises(ConnectFailed, match=f"the proxy {address} .* could read the token: {remedy}") as caught:
                call(url, token=TOKEN, proxy=address, **options)
            assert not caught.value.retryable
        assert proxy.seen == []


def test_a_forward_of_ones_own(call: Any, running: Any, token: str) -> None:
    """Such as ssh -L: its listener is this user's."""
    server = ("127.0.0.1", int(running.tcp.rpartition(":")[2]))

    async def straight(_reader: Any, _writer: Any) -> tuple[str, int]:
        return server

    with relay(straight) as forward:
        assert call(f"ws://127.0.0.1:{forward.port}", token=token) == 11


def test_the_kernel_is_asked_once_or_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no table of all connections is read, however many there are."""
    asked: list[Any] = []
    ask = listeners._ask_kernel

    def count(*arguments: Any) -> tuple[int, int] | None:
        asked.append(arguments)
        return ask(*arguments)

    monkeypatch.setattr(listeners, "_ask_kernel", count)
    monkeypatch.setattr(listeners, "_read_table", None)
    with listening(socket.AF_INET, "127.0.0.1") as port, socket.create_connection(("127.0.0.1", port)) as sock:
        check_listener(sock, find_target(f"ws://127.0.0.1:{port}", token=TOKEN, environ={}))
        assert len(asked) == 2
        check_listener(sock, find_target(f"ws://127.0.0.1:{port}", environ={}, headers={}))
    assert len(asked) == 2


# --- where a token must not show ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"ws://user:{TOKEN}@desk.example:99999",
        f"ws://user:{TOKEN}@[::1",
        f"ws://user:{TOKEN}@desk.example",
        f"ws://user:a/{TOKEN}@desk.example",
        f"ws://user:a?{TOKEN}@desk.example:1",
        f"ws://desk.example/?token={TOKEN}",
        f"ws://desk.example/#{TOKEN}",
        f"wss://desk.example/?{TOKEN}",
        f"unix:///run/s.sock?token={TOKEN}",
        f"http://desk.example/?token={TOKEN}",
        f"nosuch://{TOKEN}@desk.example",
    ],
)
def test_no_error_repeats_what_a_url_must_not_have(url: str) -> None:
    for make in (Client, AsyncClient):
        with pytest.raises(ConnectFailed, match="url: ") as caught:
            make(url)
        cause: BaseException | None = caught.value
        while cause is not None:
            assert TOKEN not in str(cause)
            cause = cause.__cause__
    assert TOKEN not in without_secrets(url)


def test_no_log_has_it(call: Any, running: Any, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is logged at all."""
    caplog.set_level(logging.DEBUG)
    for name in ("rpcclient", "rpcwire", "rpcwire.websocket", "websockets", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    assert call(running.tcp, token=token, headers={"X-Api-Key": TOKEN}) == 11
    assert call(running.tcp, token=token, token_by="call") == 11
    assert token not in caplog.text
    assert TOKEN not in caplog.text


def test_no_repr_has_it() -> None:
    client = Client("wss://desk.example", token=TOKEN, headers={"Cookie": TOKEN}, key_password=TOKEN)
    target = client._connector.options
    assert TOKEN not in repr(target) + repr(client) + str(vars(client))
    client.close()


def test_a_token_file_that_others_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    for find in (
        lambda: find_target("wss://desk.example", token_file=file, environ={}),
        lambda: find_target("wss://desk.example", environ={"RPC_TOKEN_FILE": str(file)}),
    ):
        with pytest.raises(ConnectFailed, match=f"token_file: {file}: others may read .* run: chmod 600 {file}"):
            find()
    file.chmod(0o600)
    tmp_path.chmod(0o777)
    with pytest.raises(ConnectFailed, match=f"{tmp_path}: others may write to it: run: chmod go-w {tmp_path}"):
        find_target("wss://desk.example", token_file=file, environ={})
    tmp_path.chmod(0o700)
    assert find_target("wss://desk.example", token_file=file, environ={}).token == TOKEN


def test_the_local_token_file_that_others_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "token_file", lambda: tmp_path / "token")
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o604)
    with pytest.raises(ConnectFailed, match="chmod 600"):
        find_target("ws://127.0.0.1", environ={})


def test_closed_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as sock, pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
        check_listener(sock, find_target("ws://127.0.0.1:1", token=TOKEN, environ={}))


def test_many_threads(running: Any, token: str) -> None:
    """Each asks the kernel over a socket of its own."""
    owners: list[int | None] = []

    def ask() -> None:
        with socket.create_connection(("127.0.0.1", int(running.tcp.rpartition(":")[2]))) as sock:
            owners.append(tcp_owner(sock))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert owners == [os.geteuid()] * 16
