"""TLS, with certificates of a test's own authority."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from rpcclient import AsyncClient, Client
from rpcclient.errors import ConnectFailed


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA, start: Any, tmp_path: Path) -> Iterator[Any]:
    """A server with a certificate for 127.0.0.1; `ca_file` names its authority."""
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    running = start(tls={"certificate_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")})
    running.ca_file = tmp_path / "ca.pem"
    yield running


def test_calls(secure: Any, token: str) -> None:
    assert secure.tcp.startswith("wss://")
    with Client(secure.tcp, token=token, ca_file=secure.ca_file) as client:
        assert client.call("desk.add", [1]) == 11
        assert client.call("desk.blob", [3_000_000], returns=bytes) == bytes(3_000_000)
        assert client.call("desk.swallow", [bytes(3_000_000)]) == 3_000_000
        assert list(client.stream("desk.count", [300])) == list(range(300))
        wrong: list[Any] = []

        def work(number: int) -> None:
            wrong.extend(i for i in range(50) if client.call("desk.add", [number, i]) != number + i)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert wrong == []


def test_async_calls(secure: Any, token: str) -> None:
    async def main() -> None:
        async with AsyncClient(secure.tcp, token=token, ca_file=secure.ca_file) as client:
            assert await client.call("desk.add", [1]) == 11
            assert await client.call("desk.blob", [3_000_000], returns=bytes) == bytes(3_000_000)

    asyncio.run(main())


def test_certificates_that_prove_nothing(secure: Any, token: str, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    port = secure.tcp.rpartition(":")[2]
    cases = [
        (secure.tcp, None),
        (secure.tcp, tmp_path / "other.pem"),
        (f"wss://localhost:{port}", secure.ca_file),
    ]

    async def connect(url: str, ca_file: Path | None) -> None:
        async with AsyncClient(url, token=token, ca_file=ca_file):
            pass

    for url, ca_file in cases:
        with pytest.raises(ConnectFailed, match="TLS") as caught, Client(url, token=token, ca_file=ca_file):
            pass
        assert caught.value.retryable is False
        with pytest.raises(ConnectFailed, match="TLS"):
            asyncio.run(connect(url, ca_file))


def by_sync(url: str, **options: Any) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as caught, Client(url, **options):
        pass
    return caught.value


def _by_async(url: str, new_loop: Any, **options: Any) -> ConnectFailed:
    async def connect() -> None:
        async with AsyncClient(url, **options):
            pass

    with asyncio.Runner(loop_factory=new_loop) as runner, pytest.raises(ConnectFailed) as caught:
        runner.run(connect())
    return caught.value


def by_asyncio(url: str, **options: Any) -> ConnectFailed:
    return _by_async(url, asyncio.new_event_loop, **options)


def by_uvloop(url: str, **options: Any) -> ConnectFailed:
    return _by_async(url, uvloop.new_event_loop, **options)


@contextlib.contextmanager
def tls_server(context: ssl.SSLContext | None, first: bytes = b"") -> Iterator[str]:
    """Something that takes one connection, speaks TLS or not, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                sock, _ = listener.accept()
                with sock:
                    sock.settimeout(20)
                    if context is None:
                        sock.recv(65536)
                        sock.sendall(first)
                    else:
                        with context.wrap_socket(sock, server_side=True) as secured:
                            secured.recv(65536)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"wss://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(20)


@pytest.mark.parametrize("attempt", [by_sync, by_asyncio, by_uvloop])
def test_the_reason_is_told(attempt: Any, authority: trustme.CA, tmp_path: Path) -> None:
    """In the same words, whichever client and loop."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)

    def context(*names: str, **options: Any) -> ssl.SSLContext:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names, **options).configure_cert(found)
        return found

    old = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    expired = context("127.0.0.1", not_before=old, not_after=old + dt.timedelta(days=1))
    ancient = context("127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ancient.minimum_version, ancient.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    ancient.set_ciphers("ALL:@SECLEVEL=0")
    with tls_server(context("other.example")) as url:
        error = attempt(url, token="x", ca_file=ca_file)
    assert "TLS: certificate verify failed: IP address mismatch" in str(error)
    assert not error.retryable
    with tls_server(context("other.example")) as url:
        error = attempt(url.replace("127.0.0.1", "localhost"), token="x", ca_file=ca_file)
    assert "TLS: certificate verify failed: Hostname mismatch" in str(error)
    with tls_server(expired) as url:
        assert "TLS: certificate verify failed: certificate has expired" in str(
            attempt(url, token="x", ca_file=ca_file)
        )
    with tls_server(context("127.0.0.1")) as url:
        said = str(attempt(url, token="x"))
        assert "TLS: certificate verify failed: unable to get local issuer certificate" in said
    with tls_server(ancient) as url:
        assert re.search("TLS: .*(protocol|version)", str(attempt(url, token="x", ca_file=ca_file)))
    with tls_server(None, b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        assert "the other side does not seem to use TLS" in str(attempt(url, token="x", ca_file=ca_file))
    with tls_server(None) as url:
        error = attempt(url, token="x", ca_file=ca_file)
        assert "the connection broke during the handshake" in str(error)
        assert error.retryable


@pytest.mark.parametrize("attempt", [by_sync, by_asyncio, by_uvloop])
@pytest.mark.parametrize("is_tls_ready", [False, True])
def test_a_reset_says_that_somebody_listens(
    attempt: Any, authority: trustme.CA, tmp_path: Path, is_tls_ready: bool
) -> None:
    """A server of TLS 1.3 refuses a certificate when the client holds the handshake to be done; a reset may overtake
    its alert. Nobody is to be told that no server is running."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            sock.settimeout(20)
            if is_tls_ready:
                sock = context.wrap_socket(sock, server_side=True)
            sock.recv(1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

        thread = threading.Thread(target=serve)
        thread.start()
        error = attempt(f"wss://127.0.0.1:{listener.getsockname()[1]}", token="x", ca_file=ca_file)
        thread.join(20)
    assert "the connection broke during the handshake" in str(error)
    assert "is rpcserver running" not in str(error)
    assert error.retryable


@pytest.mark.parametrize("attempt", [by_sync, by_asyncio, by_uvloop])
@pytest.mark.parametrize(("alert", "passes"), [(80, True), (90, True), (40, False), (48, False), (70, False)])
def test_alerts_of_a_proxy(attempt: Any, authority: trustme.CA, tmp_path: Path, alert: int, passes: bool) -> None:
    """One that starts or stops says so (RFC 8446, section 6.2); what it says of this side stays as it is."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    with tls_server(None, bytes((0x15, 3, 3, 0, 2, 2, alert))) as url:
        assert attempt(url, token="x", ca_file=ca_file).retryable is passes


def test_plain_client_at_a_tls_port(secure: Any, token: str) -> None:
    with pytest.raises(ConnectFailed), Client(secure.tcp.replace("wss", "ws"), token=token):
        pass


def test_the_server_goes(secure: Any, token: str, until: Any) -> None:
    with Client(secure.tcp, token=token, ca_file=secure.ca_file) as client:
        client.call("desk.add", [1])
        secure.stop()
        until(lambda: not client.connected)
        with pytest.raises(ConnectFailed):
            client._connector.was_connected = False  # So that one attempt is enough.
            client.call("desk.add", [1])
