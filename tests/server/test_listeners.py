"""Where the server listens: TCP, TLS, Unix socket; and where it refuses to."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import stat
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import InvalidMessage

from rpcserver.config import ConfigError, TlsConfig
from rpcserver.door import listeners
from rpcserver.door.link import ServerLink
from rpcserver.door.tls import tls_context

# --- Unix socket -------------------------------------------------------------------------------------------------------


def test_the_owner_needs_no_token(tools: Any, short_folder: Path) -> None:
    path = short_folder / "run" / "s.sock"

    async def main() -> None:
        async with tools.serve(listen={"unix": str(path), "tcp": False}) as server:
            assert server.addresses == [f"unix://{path}"]
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            async with unix_connect(str(path), uri="ws://localhost/") as connection:
                hello = (await tools.call(connection, "rpc.hello"))["result"]
                assert hello["principal"] == {"name": "owner", "method": "peer", "role": "owner"}
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
        assert not path.exists()

    tools.run(main())


def test_another_user_is_nobody_without_a_token(
    tools: Any, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = short_folder / "s.sock"

    async def main() -> None:
        async with tools.serve(listen={"unix": str(path)}) as server:
            server.authentication.owner_uid = os.geteuid() + 1  # As if the server ran as somebody else.
            async with unix_connect(str(path), uri="ws://localhost/") as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["error"]["code"] == -32001
                assert (await tools.call(connection, "rpc.authenticate", [tools.TOKEN]))["result"]["method"] == "token"
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3

    tools.run(main())


def test_no_peer_credentials_no_identity(tools: Any, short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    path = short_folder / "s.sock"

    async def main() -> None:
        async with (
            tools.serve(listen={"unix": str(path)}),
            unix_connect(str(path), uri="ws://localhost/") as connection,
        ):
            assert (await tools.call(connection, "calc.add", [1, 2]))["error"]["code"] == -32001

    tools.run(main())


def test_what_a_dead_server_left_is_replaced(tools: Any, short_folder: Path) -> None:
    path = short_folder / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()

    async def main() -> None:
        async with (
            tools.serve(listen={"unix": str(path)}),
            unix_connect(str(path), uri="ws://localhost/") as connection,
        ):
            assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3

    tools.run(main())


def test_a_second_server_is_refused_and_the_first_stays(tools: Any, short_folder: Path) -> None:
    path = short_folder / "s.sock"

    async def main() -> None:
        async with tools.serve(listen={"unix": str(path)}):
            with pytest.raises(ConfigError, match=r"another server listens.*--unix"):
                async with tools.serve(listen={"unix": str(path)}, state_dir=str(short_folder / "own")):
                    pass
            async with unix_connect(str(path), uri="ws://localhost/") as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3

    tools.run(main())


def test_unix_paths_that_cannot_be_used(tools: Any, short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short_folder / "file").write_text("precious")
    with pytest.raises(ConfigError, match="no socket"):
        listeners.bind_unix(short_folder / "file")
    assert (short_folder / "file").read_text() == "precious"
    with pytest.raises(ConfigError, match="--unix"):
        listeners.bind_unix(short_folder / ("long" * 50))
    with pytest.raises(ConfigError, match="--unix"):
        listeners.bind_unix(short_folder / "file" / "s.sock")
    (short_folder / "open").mkdir()
    (short_folder / "open").chmod(0o777)
    with pytest.raises(ConfigError, match=f"others could replace the socket: .*: run: chmod go-w {short_folder}/open"):
        listeners.bind_unix(short_folder / "open" / "s.sock")


# --- TCP -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "0", "::ffff:10.1.2.3", "0xa010203"])
def test_a_public_address_without_tls_is_refused_with_the_remedy(tools: Any, host: str) -> None:
    async def main() -> None:
        with pytest.raises(ConfigError) as caught:
            async with tools.serve(listen={"host": host}):
                pass
        for word in ("listen.host", host, "tls.certificate_file", "127.0.0.1"):
            assert word in str(caught.value)

    tools.run(main())


def test_what_a_name_stands_for_decides_and_not_its_spelling(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"127.lan": "0.0.0.0", "127.example": "192.0.2.1", "alias.example": "127.0.1.1", "localhost": "192.0.2.2"}
    looked_up = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **options: Any) -> Any:
        return looked_up(known.get(host, host), *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    listeners.check_exposure("alias.example", listeners.resolve("alias.example", 0), has_tls=False)
    for host in ("127.example", "localhost", "LOCALHOST.", "x.localhost"):
        with pytest.raises(ConfigError, match=r"tls\.certificate_file"):
            listeners.check_exposure(host, listeners.resolve(host, 0), has_tls=False)

    async def main() -> None:
        with pytest.raises(ConfigError, match=r"listen\.host: 127\.lan can be reached from other machines"):
            async with tools.serve(listen={"host": "127.lan"}):
                pass

    tools.run(main())


@pytest.mark.parametrize(
    "host",
    ["LOCALHOST", "localhost.", "my.localhost", "127.1", "127.0.0.9", "::ffff:127.0.0.1", "0x7f.1", "2130706433"],
)
def test_other_spellings_of_loopback(tools: Any, host: str) -> None:
    async def main() -> None:
        async with tools.serve(listen={"host": host}) as server, tools.connect(server) as connection:
            assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3

    tools.run(main())


def test_addresses_that_cannot_be_used(tools: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            with pytest.raises(ConfigError, match="--port 0"):
                async with tools.serve(listen={"port": tools.port(server)}, state_dir=str(tmp_path / "own")):
                    pass
        with pytest.raises(ConfigError, match=r"listen\.host"):
            listeners.resolve("nowhere.invalid", 0)
        with pytest.raises(ConfigError, match=r"listen.tcp or listen.unix"):
            async with tools.serve(listen={"tcp": False, "unix": "none"}):
                pass

    tools.run(main())


@pytest.mark.parametrize("host", ["::1", "[::1]", "0:0:0:0:0:0:0:1", "::1%lo"])
def test_ipv6(tools: Any, missing: Any, host: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        missing("the machine has no IPv6")

    async def main() -> None:
        async with tools.serve(listen={"host": host}) as server:
            assert server.addresses[0].startswith("ws://[::1]:")
            async with tools.connect(server) as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3

    tools.run(main())


# --- TLS -----------------------------------------------------------------------------------------------------------------


def test_tls(tools: Any, tls: dict[str, str], authority: trustme.CA) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def main() -> None:
        async with tools.serve(listen={"host": "0.0.0.0", "allowed_hosts": ["localhost"]}, tls=tls) as server:
            (address,) = server.addresses
            assert address.startswith("wss://0.0.0.0:")
            url = address.replace("0.0.0.0", "localhost")
            headers = {"Authorization": f"Bearer {tools.TOKEN}"}
            async with connect(url, ssl=trusting, additional_headers=headers, proxy=None) as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
                big = await tools.call(connection, "calc.echo", ["x" * 900_000])
                assert len(big["result"]) == 900_000
                begun = time.monotonic()
                await connection.close()
                assert time.monotonic() - begun < 1.0, "closing takes no time-out"
            with pytest.raises(ssl.SSLCertVerificationError):
                async with connect(url, additional_headers=headers, proxy=None):
                    pass
            with pytest.raises((InvalidMessage, ConnectionError)):
                async with connect(url.replace("wss:", "ws:"), proxy=None):
                    pass
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", tools.port(server), ssl=trusting, server_hostname="localhost"
            )
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.read()).endswith(b"ok\n")
            writer.close()

    tools.run(main())


def test_tls_has_no_old_versions(tls: dict[str, str]) -> None:
    context = tls_context(TlsConfig(**tls))
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls_context(TlsConfig()) is None


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_certificates_of_clients(
    tools: Any, tls: dict[str, str], authority: trustme.CA, tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    issuer, stranger = trustme.CA(), trustme.CA()
    issuer.cert_pem.write_to_path(tmp_path / "clients.pem")

    def trusting(of: trustme.CA | None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if of is not None:
            of.issue_cert("client@box.example").configure_cert(context)
        return context

    async def main() -> None:
        settings = {**tls, "client_ca_file": str(tmp_path / "clients.pem"), "client_certificates": mode}
        async with tools.serve(tls=settings) as server:

            async def works(of: trustme.CA | None) -> bool:
                try:
                    async with tools.connect(server, ssl=trusting(of)) as connection:
                        return (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3  # type: ignore[no-any-return]
                except (OSError, InvalidMessage):
                    return False

            assert await works(issuer)
            assert await works(None) is (mode == "optional")
            assert not await works(stranger)
            async with tools.connect(server, ssl=trusting(issuer), token=None) as connection:
                answer = await tools.call(connection, "calc.add", [1, 2])
                assert answer["error"]["code"] == -32001, "a certificate is no token"
            await tools.until(lambda: len(server.door.entrance.waiting) == 0)

    with caplog.at_level(logging.INFO, "rpcserver"):
        tools.run(main())
    assert "certificate verify failed" in caplog.text
    assert ("peer did not return a certificate" in caplog.text) is (mode == "required")


def test_authorities_of_clients_that_cannot_be_used(tls: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    for wrong in (
        {"client_ca_file": str(tmp_path / "junk.pem")},
        {**tls, "client_ca_file": str(tmp_path / "junk.pem")},
        {**tls, "client_ca_file": "/nowhere"},
    ):
        with pytest.raises(ConfigError, match=r"tls\.client_ca_file"):
            tls_context(TlsConfig(**wrong))


def test_tls_files_that_cannot_be_used(tls: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    for wrong in (
        {"certificate_file": tls["certificate_file"]},
        {"key_file": tls["key_file"]},
        {**tls, "key_file": "/nowhere"},
        {**tls, "certificate_file": str(tmp_path / "junk.pem")},
    ):
        with pytest.raises(ConfigError, match="tls"):
            tls_context(TlsConfig(**wrong))


def test_a_link_is_the_servers(tools: Any) -> None:
    assert issubclass(ServerLink, asyncio.Protocol)
