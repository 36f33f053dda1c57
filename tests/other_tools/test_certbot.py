"""certbot gets and renews the certificate of a server that runs, from an ACME server on loopback."""

from __future__ import annotations

import os
import shlex
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcclient import Client

FOLDER = Path(__file__).parent
LIMIT_S = 120


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose paths fit into a socket address."""
    with tempfile.TemporaryDirectory(prefix="rpc") as folder:
        yield Path(folder)


@pytest.fixture
def acme(tools: Path, tmp_path: Path) -> Iterator[str]:
    """The URL of an ACME server, whose authority is in ``acme/ca.pem``."""
    folder = tmp_path / "acme"
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [tools / "python", FOLDER / "scripts" / "acme_server.py", folder],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url, (folder / "log").read_text()
        yield url
    finally:
        process.kill()
        process.wait(LIMIT_S)
        process.stdout.close()


class Visitor(threading.Thread):
    """Connects again and again, and notes which certificates it has seen, by their serial numbers."""

    def __init__(self, port: int, authority: str) -> None:
        super().__init__(daemon=True)
        self._port, self._context = port, ssl.create_default_context(cafile=authority)
        self.serials: list[str] = []
        self.failures: list[Exception] = []
        self._is_over = threading.Event()

    def look(self) -> str:
        """Connect once; returns the serial number of the certificate."""
        with (
            socket.create_connection(("127.0.0.1", self._port), LIMIT_S) as sock,
            self._context.wrap_socket(sock, server_hostname="127.0.0.1") as secure,
        ):
            certificate: Any = secure.getpeercert()
            return str(certificate["serialNumber"])

    def run(self) -> None:
        while not self._is_over.wait(0.01):
            try:
                serial = self.look()
            except Exception as exc:
                self.failures.append(exc)
            else:
                if serial not in self.serials[-1:]:
                    self.serials.append(serial)

    def end(self) -> None:
        self._is_over.set()
        self.join(LIMIT_S)


@pytest.mark.soak
def test_a_live_server_takes_what_certbot_renews(
    tools: Path, acme: str, tmp_path: Path, short_folder: Path, missing: Callable[[str], NoReturn]
) -> None:
    """By its own files, with a hook that has the server reload: each handshake meanwhile succeeds."""
    try:
        with socket.create_server(("127.0.0.1", 80)):
            pass
    except OSError as exc:
        missing(f"port 80, where ACME asks its question, cannot be opened: {exc}")
    folder, sock = tmp_path / "letsencrypt", short_folder / "s"
    own: list[str | Path] = [tools / "certbot", "--non-interactive", "--config-dir", folder, "--work-dir", tmp_path / "work",
           "--logs-dir", tmp_path / "logs", "--no-verify-ssl"]  # fmt: skip

    def certbot(*words: object) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*own, *map(str, words)], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    certbot("certonly", "--standalone", "--http-01-address", "127.0.0.1", "--agree-tos", "--ip-address", "127.0.0.1",
            "--register-unsafely-without-email", "--server", acme, "--cert-name", "box.example")  # fmt: skip
    live = folder / "live" / "box.example"
    config = tmp_path / "rpcserver.toml"
    config.write_text(
        f'state_dir = "{tmp_path / "state"}"\n[listen]\nport = 0\nunix = "{sock}"\n[plugins]\ndisabled = ["database"]\n'
        f'[tls]\ncertificate_file = "{live / "fullchain.pem"}"\nkey_file = "{live / "privkey.pem"}"\n'
    )
    config.chmod(0o600)
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "rpcserver", "serve", "--config", config], stdout=subprocess.PIPE, stderr=log,
            text=True, env={**os.environ, "RPCSERVER_LOG__LEVEL": "INFO"},
        )  # fmt: skip
    assert server.stdout is not None
    try:
        url = server.stdout.readline().split()[-1]
        assert url.startswith("wss://"), (tmp_path / "log").read_text()
        authority = str(tmp_path / "acme" / "ca.pem")
        visitor = Visitor(int(url.rpartition(":")[2]), authority)
        before = visitor.look()
        python = shlex.quote(sys.executable)
        hook = f"{python} -m rpcserver reload --config {config}"
        with Client(url, token_file=str(tmp_path / "state" / "token"), ca_file=authority) as client:
            visitor.start()
            for _ in range(2):
                certbot("renew", "--force-renewal", "--no-random-sleep-on-renew", "--deploy-hook", hook)
            after = visitor.look()
            client.call("rpc.ping")
        visitor.end()
        assert visitor.failures == []
        assert len(visitor.serials) == 3, (tmp_path / "log").read_text()
        assert (visitor.serials[0], visitor.serials[-1]) == (before, after)
        assert sorted(path.name for path in (folder / "archive" / "box.example").glob("privkey*")) == [
            "privkey1.pem", "privkey2.pem", "privkey3.pem",
        ]  # fmt: skip
    finally:
        server.terminate()
        server.wait(LIMIT_S)
        server.stdout.close()
