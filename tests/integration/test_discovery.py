"""Servers announce themselves on the local network, here that of the loopback interface, and clients find them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trustme
import uvloop
from pydantic import ValidationError

import rpcclient
from rpcclient.errors import ConnectFailed
from rpcclient.nearby import SERVICE_TYPE, Candidate, listen, read_announcement
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.discovery.record import NotAnnounceable, Record, make_record
from rpcserver.server import Server
from rpcwire import locations

LIMIT_S = 60.0
LOOK_S = 6.0
"""How long clients look at the network, in seconds: on a busy machine answers come late."""
LOOPBACK = ("127.0.0.1",)
TOKEN = "t" * 32
ID = "0123456789abcdef"


@pytest.fixture
def network(missing: Callable[[str], NoReturn]) -> None:
    """A network on which servers can announce themselves, if this machine has one."""
    if importlib.util.find_spec("zeroconf") is None:
        missing("the package zeroconf is not installed")
    from zeroconf import Zeroconf

    try:
        Zeroconf(interfaces=list(LOOPBACK)).close()
    except OSError as exc:
        missing(f"there is no multicast here: {exc}")


def configure(folder: Path, **more: Any) -> ServerConfig:
    settings: dict[str, Any] = {
        "state_dir": str(folder / "state"),
        "listen": {"port": 0, "unix": "none"},
        "group": {"name": "db-1"},
        "discovery": {"enabled": True, "interfaces": LOOPBACK},
    }
    return ServerConfig.model_validate({**settings, **more})


@asynccontextmanager
async def announced(config: ServerConfig) -> AsyncIterator[Server]:
    server = Server(config, [], token=TOKEN)
    await server.start()
    try:
        async with asyncio.timeout(LIMIT_S):
            while config.discovery.enabled and not server.announcer.is_announced:
                await asyncio.sleep(0.05)
        yield server
    finally:
        await server.stop(grace_s=0)


async def find(name: str = "db-1") -> Candidate:
    """What is announced under a name."""
    while True:
        for each in await asyncio.to_thread(listen, 5.0, LOOPBACK, lambda candidate: candidate.name == name):
            if each.name == name:
                return each


def run(work: Any, *, uses_uvloop: bool = False) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uses_uvloop else None) as runner:
        runner.run(asyncio.wait_for(work, LIMIT_S))


# --- what is announced ----------------------------------------------------------------------------------------------


def record_of(**more: Any) -> Record:
    arguments: dict[str, Any] = {
        "node_id": ID,
        "name": "db-1",
        "version": "1.2",
        "urls": ["ws://0.0.0.0:8765"],
        "public_urls": [],
        "interfaces": ["127.0.0.1", "192.0.2.7", "2001:db8::7", "fe80::1", "::1"],
        "only": (),
    }
    return make_record(**{**arguments, **more})


def test_what_others_can_reach_is_announced() -> None:
    record = record_of()
    assert record.instance == f"{ID}.{SERVICE_TYPE}" and record.addresses == ("192.0.2.7",) and record.port == 8765
    assert record.text == {"txtvers": "1", "name": "db-1", "id": ID, "tls": "0", "path": "/", "version": "1.2"}
    record = record_of(
        urls=["unix:///run/x", "ws://0.0.0.0:1", "wss://[::]:2/rpc/"], public_urls=["wss://db.example:2"]
    )
    assert (record.addresses, record.port) == (("2001:db8::7",), 2)
    assert (record.text["tls"], record.text["path"], record.text["host"]) == ("1", "/rpc/", "db.example")
    assert record_of(urls=["ws://192.0.2.7:1"]).addresses == ("192.0.2.7",)
    assert record_of(urls=["ws://127.0.0.1:1"], only=["127.0.0.1"]).addresses == ("127.0.0.1",)
    for urls in (["ws://127.0.0.1:1"], ["ws://[::1]:1", "unix:///run/x"], ["ws://192.0.2.8:1"], []):
        with pytest.raises(NotAnnounceable, match=r"nothing to announce.*listen\.host"):
            record_of(urls=urls)


def test_lengths_are_checked_here() -> None:
    assert record_of(urls=[f"ws://0.0.0.0:1/{'a' * 249}"]).text["path"]
    with pytest.raises(NotAnnounceable, match=r"listen\.path_prefix is too long.*256 bytes, and 255"):
        record_of(urls=[f"ws://0.0.0.0:1/{'a' * 250}"])
    with pytest.raises(NotAnnounceable, match=r"group\.name is too long"):
        record_of(name="é" * 126)
    with pytest.raises(ValidationError, match=r"discovery\.interfaces[\s\S]*eth0"):
        ServerConfig.model_validate({"discovery": {"interfaces": ["eth0"]}})


def test_what_is_no_announcement_of_ours_is_left_out() -> None:
    right = {
        b"id": ID.encode(),
        b"name": b"db-1",
        b"tls": b"1",
        b"path": b"/rpc/",
        b"version": b"1.2",
        b"host": b"db.example",
    }
    instance = f"{ID}.{SERVICE_TYPE}"
    candidate = read_announcement(instance, right, ["fe80::1%2", "2001:db8::7", "192.0.2.7"], 8765)
    assert candidate is not None
    assert list(candidate.urls)[:2] == ["wss://192.0.2.7:8765/rpc/", "wss://[2001:db8::7]:8765/rpc/"]
    for wrong in (
        {b"id": b"fedcba9876543210"},
        {b"id": None},
        {b"name": b"\x1b[31mdb"},
        {b"name": b"a b"},
        {b"tls": b"yes"},
        {b"path": b"/?token=x"},
        {b"path": b"x"},
        {b"host": b"db.example/x"},
        {b"version": b"\xff"},
    ):
        assert read_announcement(instance, {**right, **wrong}, ["192.0.2.7"], 8765) is None, wrong
    assert read_announcement(instance, right, [], 8765) is None
    assert read_announcement(instance, right, ["192.0.2.7"], None) is None
    assert read_announcement(f"other.{SERVICE_TYPE}", right, ["192.0.2.7"], 8765) is None


# --- finding --------------------------------------------------------------------------------------------------------


def test_a_server_is_found_until_it_stops(tmp_path: Path, network: None) -> None:
    async def use() -> None:
        async with announced(configure(tmp_path)) as server:
            (found,) = await rpcclient.discover_async(interfaces=LOOPBACK, timeout_s=LOOK_S)
            assert (found.name, found.url, found.is_verified) == ("db-1", server.addresses[0], False)
            assert await asyncio.to_thread(rpcclient.discover, interfaces=LOOPBACK, timeout_s=LOOK_S) == [found]
            async with rpcclient.AsyncClient(found.url, token=TOKEN) as client:
                (node,) = await client.nodes()
                assert (node.id, node.version) == (found.id, found.version)
            command = [sys.executable, "-m", "rpcclient", "--timeout", "6"]
            command += ["nodes", "--discover", "--interface", "127.0.0.1"]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
            assert [each["url"] for each in json.loads(done.stdout)] == [found.url]
        assert await asyncio.to_thread(listen, 1.0, LOOPBACK) == []

    run(use(), uses_uvloop=True)


SERVE = [sys.executable, "-m", "rpcserver", "serve", "--config"]


def test_a_killed_server_is_still_announced_but_not_shown(tmp_path: Path, network: None) -> None:
    settings = tmp_path / "rpcserver.toml"
    settings.write_text(
        f'state_dir = "{tmp_path}/state"\n[listen]\nport = 0\nunix = "none"\n[plugins]\ndisabled = ["programs", '
        '"database", "hardware"]\n[group]\nname = "db-1"\n[discovery]\nenabled = true\ninterfaces = ["127.0.0.1"]\n'
    )

    async def use() -> None:
        from zeroconf import ServiceInfo, Zeroconf

        with subprocess.Popen([*SERVE, str(settings)], stderr=subprocess.DEVNULL) as process:  # noqa: ASYNC220 - quick
            candidate = await find()
            (shown,) = await rpcclient.discover_async(interfaces=LOOPBACK, timeout_s=LOOK_S)
            assert shown.name == "db-1"
            process.send_signal(signal.SIGKILL)
        # What others remember of it. They tell it to whoever asks.
        memory = Zeroconf(interfaces=list(LOOPBACK))
        text = {"id": candidate.id, "name": "db-1", "tls": "0", "version": candidate.version}
        info = ServiceInfo(
            SERVICE_TYPE, f"{candidate.id}.{SERVICE_TYPE}", port=candidate.port, properties=text,
            addresses=[socket.inet_aton("127.0.0.1")], server="gone.local.",
        )  # fmt: skip
        try:
            await asyncio.to_thread(memory.register_service, info, cooperating_responders=True)
            assert (await find()).id == candidate.id
            assert await rpcclient.discover_async(interfaces=LOOPBACK, timeout_s=LOOK_S) == []
        finally:
            await asyncio.to_thread(memory.close)

    run(use())


def test_a_server_with_nothing_to_announce_says_so_and_starts(
    tmp_path: Path, network: None, caplog: pytest.LogCaptureFixture
) -> None:
    async def use() -> None:
        server = Server(configure(tmp_path, discovery={"enabled": True}), [], token=TOKEN)
        await server.start()
        try:
            async with asyncio.timeout(LIMIT_S):
                while "nothing to announce" not in caplog.text:
                    await asyncio.sleep(0.05)
        finally:
            await server.stop(grace_s=0)

    run(use())


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "zeroconf" else find_spec(name))
    with pytest.raises(ConnectFailed, match=r"remote-services\[discovery\]"):
        rpcclient.discover()
    with pytest.raises(ConfigError, match=r"remote-services\[discovery\]"):
        Server(configure(tmp_path), [], token=TOKEN).check()


# --- who it is ------------------------------------------------------------------------------------------------------


def test_only_a_named_authority_verifies_a_server(tmp_path: Path, network: None) -> None:
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    issued = authority.issue_cert("db-1.example")
    (tmp_path / "cert.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    config = configure(
        tmp_path,
        tls={"certificate_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")},
        group={"name": "db-1", "addresses": ["wss://db-1.example:8765"]},
    )

    async def use() -> None:
        async with announced(config) as server:
            (found,) = await rpcclient.discover_async(
                ca_file=tmp_path / "ca.pem", interfaces=LOOPBACK, timeout_s=LOOK_S
            )
            assert found.is_verified and found.server_hostname == "db-1.example" and found.url == server.addresses[0]
            assert (
                await rpcclient.discover_async(ca_file=tmp_path / "other.pem", interfaces=LOOPBACK, timeout_s=LOOK_S)
                == []
            )
            (unknown,) = await rpcclient.discover_async(interfaces=LOOPBACK, timeout_s=LOOK_S)
            assert unknown.url == found.url and not unknown.is_verified
            async with rpcclient.AsyncClient(
                found.url, token=TOKEN, ca_file=tmp_path / "ca.pem", server_hostname="db-1.example"
            ) as client:
                assert (await client.hello()).principal is not None

    run(use())


@pytest.fixture
def no_local_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """No server is where clients look for one. The URL of a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setattr(locations, "DEFAULT_PORT", port)
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("RPC_URL", raising=False)
    return f"ws://127.0.0.1:{port}"


def test_a_client_finds_a_node_by_name_where_there_is_no_server(
    tmp_path: Path, network: None, no_local_server: str
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    (tmp_path / "cert.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    tls = {"certificate_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}

    def use_blocking(server: Server) -> None:
        with rpcclient.Client(node="db-1", token=TOKEN, ca_file=tmp_path / "ca.pem") as client:
            assert [node.name for node in client.nodes()] == ["db-1"]
        with pytest.raises(ConnectFailed, match=r"refused.*anybody could say so: name the authority"):
            rpcclient.Client(node="db-1", token=TOKEN).connect()
        with pytest.raises(ConnectFailed, match="no node db-2 has announced itself"):
            rpcclient.Client(node="db-2", token=TOKEN, ca_file=tmp_path / "ca.pem").connect()

    async def use() -> None:
        async with announced(configure(tmp_path, tls=tls)) as server:
            async with rpcclient.AsyncClient(node="db-1", token=TOKEN, ca_file=tmp_path / "ca.pem") as client:
                assert [node.name for node in await client.nodes()] == ["db-1"]
            with pytest.raises(ConnectFailed, match="anybody could say so"):
                await rpcclient.AsyncClient(node="db-1", token=TOKEN).connect()
            await asyncio.to_thread(use_blocking, server)

    run(use())


def test_of_several_servers_one_will_do(tmp_path: Path, no_local_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def use_blocking(urls: list[str]) -> None:
        with rpcclient.Client(urls, token=TOKEN) as client:
            assert client.hello().principal and client.url == urls[1]
            client.abort()  # It comes back, to the one that was reached last.
            assert client.hello().principal and client.url == urls[1]
        with pytest.raises(ConnectFailed, match=r"no server can be reached: .*refused.*; .*refused"):
            rpcclient.Client([urls[0], urls[0]], token=TOKEN).connect()

    async def use() -> None:
        async with announced(configure(tmp_path, discovery={})) as server:
            urls = [no_local_server, server.addresses[0]]
            async with rpcclient.AsyncClient(urls, token=TOKEN) as client:
                assert (await client.hello()).principal and client.url == urls[1]
                client.abort()
                assert (await client.hello()).principal and client.url == urls[1]
            with pytest.raises(ConnectFailed, match=r"no server can be reached: .*; "):
                await rpcclient.AsyncClient([urls[0], urls[0]], token=TOKEN).connect()
            await asyncio.to_thread(use_blocking, urls)
            monkeypatch.setenv("RPC_URL", ", ".join(urls))
            async with rpcclient.AsyncClient(token=TOKEN, node="db-1") as client:
                assert (await client.hello()).principal
            for wrong in ([], ["x", 5], [""]):
                with pytest.raises(ConnectFailed, match="url"):
                    rpcclient.Client(wrong)  # type: ignore[arg-type]

    run(use())


@contextmanager
def impostor() -> Iterator[tuple[int, list[bytes]]]:
    """Whoever announces a server and notes what clients send there."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(LIMIT_S)
                    heard.append(connection.recv(65536))

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_an_impostor_gets_no_secret_and_is_not_shown(network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from zeroconf import ServiceInfo, Zeroconf

    monkeypatch.setenv("RPC_TOKEN", "secret-token")
    monkeypatch.setenv("RPC_HEADERS", "X-Api-Key: secret-key")
    monkeypatch.setenv("RPC_ALLOW_TOKEN_IN_CLEAR", "1")
    with impostor() as (port, heard):
        network_of_it = Zeroconf(interfaces=list(LOOPBACK))
        text = {"id": ID, "name": "db-1", "tls": "0", "version": "1"}
        addresses = [socket.inet_aton("127.0.0.1")]
        info = ServiceInfo(SERVICE_TYPE, f"{ID}.{SERVICE_TYPE}", port=port, properties=text, addresses=addresses)
        try:
            network_of_it.register_service(info)
            assert rpcclient.discover(interfaces=LOOPBACK, timeout_s=LOOK_S) == []
        finally:
            network_of_it.close()
    assert heard and all(b"GET / HTTP/1.1" in each and b"secret" not in each for each in heard)
