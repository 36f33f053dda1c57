"""TLS, with certificates of a test's own authority."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

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


def test_plain_client_at_a_tls_port(secure: Any, token: str) -> None:
    with pytest.raises(ConnectFailed), Client(secure.tcp.replace("wss", "ws"), token=token):
        pass


def test_the_server_goes(secure: Any, token: str, until: Any) -> None:
    with Client(secure.tcp, token=token, ca_file=secure.ca_file) as client:
        client.call("desk.add", [1])
        secure.stop()
        until(lambda: not client.connected)
        with pytest.raises(ConnectFailed):
            client._connector._was_connected = False  # So that one attempt is enough.
            client.call("desk.add", [1])
