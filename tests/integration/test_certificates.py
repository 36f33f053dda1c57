"""Certificates of clients, which the server asks for: both clients, with and without."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from rpcclient import AsyncClient, Client
from rpcclient.errors import ConnectFailed

Call = Callable[..., Any]


def name_of(principal: Any) -> str:
    assert principal is not None
    return str(principal.name)


def by_client(url: str, **options: Any) -> str:
    with Client(url, **options) as client:
        return name_of(client.hello().principal)


def by_async_client(url: str, **options: Any) -> str:
    async def main() -> str:
        async with AsyncClient(url, **options) as client:
            return name_of((await client.hello()).principal)

    return asyncio.run(main())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of the server and of clients, right and wrong ones."""
    folder, own, clients, stranger = tmp_path_factory.mktemp("certificates"), trustme.CA(), trustme.CA(), trustme.CA()
    own.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "server.pem").chmod(0o600)
    own.cert_pem.write_to_path(folder / "ca.pem")
    clients.cert_pem.write_to_path(folder / "clients.pem")
    clients.issue_cert("ada@box.example").private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    (folder / "client.pem").chmod(0o600)
    stranger.issue_cert("eve@box.example").private_key_and_cert_chain_pem.write_to_path(folder / "stranger.pem")
    (folder / "stranger.pem").chmod(0o600)
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    old = clients.issue_cert("ada@box.example", not_before=past - dt.timedelta(days=1), not_after=past)
    old.private_key_and_cert_chain_pem.write_to_path(folder / "old.pem")
    (folder / "old.pem").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """Of a server that asks clients for certificates, run as users run it."""
    (folder / "server.toml").write_text(f"""
        state_dir = "{folder}"
        [listen]
        port = 0
        unix = "none"
        [tls]
        certificate_file = "{folder}/server.pem"
        key_file = "{folder}/server.pem"
        client_ca_file = "{folder}/clients.pem"
        [auth.certificates.ada]
        san = "email:ada@box.example"
        [plugins]
        enabled = ["hardware"]
    """)
    around = {k: v for k, v in os.environ.items() if not k.startswith(("RPC_", "RPCSERVER_"))}
    command = [sys.executable, "-m", "rpcserver", "serve", "--config", str(folder / "server.toml")]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=around) as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().rpartition(" ")[2].strip()
        assert address.startswith("wss://"), (folder / "log").read_text()
        yield address.replace("127.0.0.1", "localhost")
        process.terminate()
        assert process.wait(20) == 0, (folder / "log").read_text()


def by_command(url: str, **options: Any) -> str:
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    around = {k: v for k, v in os.environ.items() if not k.startswith(("RPC_", "RPCSERVER_"))}
    done = subprocess.run(
        [sys.executable, "-m", "rpcclient", "--url", url, *words, "--json", "hello"],
        capture_output=True, text=True, env=around, timeout=60,
    )  # fmt: skip
    if done.returncode:
        raise ConnectFailed(done.stderr, retryable=False)
    return str(json.loads(done.stdout)["principal"]["name"])


@pytest.mark.parametrize("call", [by_client, by_async_client, by_command])
def test_certificates_of_clients(call: Call, url: str, folder: Path) -> None:
    known = {"ca_file": folder / "ca.pem", "token_file": folder / "token"}
    assert call(url, cert_file=folder / "client.pem", **known) == "owner"
    # The certificate is enough.
    assert call(url, cert_file=folder / "client.pem", ca_file=folder / "ca.pem") == "ada"
    with pytest.raises(ConnectFailed, match="certificate required: give cert_file") as caught:
        call(url, **known)
    assert (caught.value.executed, caught.value.retryable) == ("no", False)
    with pytest.raises(ConnectFailed, match=r"certificate expired: give a new certificate as cert_file"):
        call(url, cert_file=folder / "old.pem", **known)
    with pytest.raises(ConnectFailed, match="alert unknown ca: the server does not know the authority") as caught:
        call(url, cert_file=folder / "stranger.pem", **known)
    assert (caught.value.executed, caught.value.retryable) == ("no", False)
    # The client knows of the alert before the server has written its line.
    waiting, deadline = {"peer did not return a certificate", "certificate verify failed"}, time.monotonic() + 30
    while waiting := {words for words in waiting if words not in (folder / "log").read_text()}:
        assert time.monotonic() < deadline, (waiting, (folder / "log").read_text())
        time.sleep(0.01)
