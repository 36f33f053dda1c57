"""Secrets stay where they are: no log, answer, page, command line or child's environment has one of them."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

CANARIES = {
    name: f"canary-{name}-7f3a9c"
    for name in (
        "token", "url", "variable", "file", "key", "way", "service", "environment",  # The server's.
        "wrong-token", "basic", "query", "parameter", "input",  # Those that clients show.
    )
}  # fmt: skip

PLUGIN = """
from typing import Annotated
from pydantic import AfterValidator, SecretStr
from rpcserver import Page, Secret, Service, ServiceConfig, method

class Settings(ServiceConfig):
    password: SecretStr

def refuse(text):
    raise ValueError(f"{text} is wrong")

class Vault(Service[Settings]):
    \"\"\"It repeats its secrets whenever it fails.\"\"\"
    name = "vault"
    config_model = Settings

    @method()
    async def open(self) -> None:
        \"\"\"Fail.\"\"\"
        self.runtime.logger.debug("opening with %s", self.config.password.get_secret_value())
        raise RuntimeError(self.config.password.get_secret_value())

    @method()
    async def put(self, code: Annotated[str, AfterValidator(refuse), Secret()]) -> None:
        \"\"\"Refuse.\"\"\"

    def http_pages(self):
        async def render():
            raise RuntimeError(self.config.password.get_secret_value())
        return {"/vault": Page(render, "text/plain", permission=None)}
"""
WAY = """
from pydantic import SecretStr
from rpcserver import Principal, ServiceConfig, Way

class Settings(ServiceConfig):
    password: SecretStr

class Password(Way[Settings]):
    scheme, form, config_model = "Basic", "Basic BASE64", Settings

    def principal(self, credentials):
        raise RuntimeError(f"{credentials} is not {self.config.password.get_secret_value()}")
"""


class Running:
    """A server with secrets everywhere, and what came of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: list[str] = []
        self.process: Any = None
        self.url = ""
        self.context = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    def connect(self, headers: list[tuple[str, str]], path: str = "/") -> Any:
        return connect(
            self.url + path, ssl=self.context, server_hostname="localhost", additional_headers=headers, proxy=None
        )

    def call(self, connection: Any, method: str, params: Any = None) -> Any:
        connection.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}))
        while True:
            for line in str(connection.recv(30)).splitlines():
                self.answers.append(line)
                answer = json.loads(line)
                if answer.get("id") == 1 and "method" not in answer:
                    return answer

    def page(self, path: str, headers: dict[str, str]) -> None:
        connection = http.client.HTTPSConnection("localhost", int(self.url.rpartition(":")[2]), context=self.context)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        self.answers.append(f"{answer.status} {answer.headers} {answer.read().decode()}")
        connection.close()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("canaries")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf = authority.issue_cert("localhost")
    leaf.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(CANARIES["key"].encode()),
    )
    package = folder / "site" / "canary_way-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: canary-way\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[rpcserver.ways]\ncanary = canary_way:Password\n")
    files = {
        "token": CANARIES["token"].encode(), "password": CANARIES["file"].encode(), "key.pem": locked,
        "vault.py": PLUGIN.encode(), "site/canary_way.py": WAY.encode(),
        "server.toml": f"""
            state_dir = "{folder}/state"
            [listen]
            port = 0
            unix = "none"
            [tls]
            certificate_file = "{folder}/cert.pem"
            key_file = "{folder}/key.pem"
            [auth]
            token_file = "{folder}/token"
            free_attempts = 1000
            [auth.ways.canary]
            password = "{CANARIES["way"]}"
            [plugins]
            files = ["{folder}/vault.py"]
            [services.hardware]
            metrics_page = true
            [services.vault]
            password = "{CANARIES["service"]}"
            [services.database.databases.url]
            url = "postgresql://app:{CANARIES["url"]}@127.0.0.1:1/x"
            [services.database.databases.variable]
            url = "mysql://app@127.0.0.1:1/x"
            password_env = "CANARY"
            [services.database.databases.file]
            url = "postgresql://app@127.0.0.1:1/x"
            password_file = "{folder}/password"
        """.encode(),
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(data)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RPC_", "RPCSERVER_"))}
    environment |= {"PYTHONPATH": str(folder / "site"), "RPCSERVER_TLS__KEY_PASSWORD": CANARIES["key"]}
    environment |= {"CANARY": CANARIES["variable"], "OTHER_CANARY": CANARIES["environment"]}
    command = [sys.executable, "-m", "rpcserver", "serve", "--config", str(folder / "server.toml")]
    running = Running(folder)
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*command, "--log-level", "DEBUG"], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        ) as running.process,
    ):
        running.url = running.process.stdout.readline().rpartition(" ")[2].strip().replace("127.0.0.1", "localhost")
        assert running.url.startswith("wss://"), running.log
        yield running
        running.process.kill()


def found(text: str) -> set[str]:
    return {name for name, canary in CANARIES.items() if canary in text}


def of_processes(name: str) -> dict[int, str]:
    """What proc_pid_cmdline(5) or proc_pid_environ(5) shows of each process, if it may be read."""
    texts: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            texts[int(folder.name)] = (folder / name).read_bytes().decode(errors="replace")
    return texts


@pytest.mark.skipif(sys.platform != "linux", reason="command lines and environments are read from /proc")
def test_no_secret_is_told(running: Running) -> None:
    right = ("Authorization", f"Bearer {CANARIES['token']}")
    # What strangers show.
    wrong = ("Authorization", f"Bearer {CANARIES['wrong-token']}")
    for headers, path in [
        ([wrong], "/"),
        ([wrong, wrong], "/"),
        ([("Authorization", CANARIES["wrong-token"])], "/"),
        ([("Authorization", f"Digest {CANARIES['wrong-token']}")], "/"),
        ([("Authorization", f"Basic {CANARIES['basic']}")], "/"),
        ([("Sec-WebSocket-Protocol", CANARIES["wrong-token"])], "/"),
        ([("Cookie", CANARIES["wrong-token"])], f"/x?token={CANARIES['query']}"),
    ]:
        with pytest.raises(InvalidStatus) as caught, running.connect(headers, path):
            pass
        running.answers.append(f"{caught.value.response.headers} {caught.value.response.body!r}")
    with running.connect([], f"/?token={CANARIES['query']}") as connection:
        token = CANARIES["wrong-token"]
        for params in (
            {"token": token},
            {"token": [token]},
            [token, token],
            {"token": 1, "more": token},
            {"token": {token: 1}},
        ):
            running.call(connection, "rpc.authenticate", params)
        connection.send(f'{{"jsonrpc": "2.0", "id": 2, "method": "rpc.authenticate", "params": ["{token}"')
        running.answers.append(str(connection.recv(30)))
    # What the owner asks for.
    with running.connect([right]) as connection:
        methods = {m["name"]: m for m in running.call(connection, "rpc.discover")["result"]["methods"]}
        for name, described in methods.items():
            if name.startswith("rpc.") and not any(param["required"] for param in described["params"]):
                running.call(connection, name)
        assert "error" in running.call(connection, "vault.open")
        assert "this is not valid" in str(running.call(connection, "vault.put", {"code": CANARIES["parameter"]}))
        for database in ("url", "variable", "file"):
            assert "error" in running.call(connection, "database.query", {"database": database, "sql": "SELECT 1"})
        running.call(connection, "database.databases")
        secret = {"env": {"PASSWORD": CANARIES["parameter"]}, "input": CANARIES["input"]}
        for argv in (["/nowhere"], ["sh", "-c", "tr '\\0' '\\n' < /proc/$PPID/environ; env | grep -v ^PASSWORD="]):
            answer = running.call(connection, "programs.run", {"argv": argv, **secret, "input": "AAAA"})
            running.answers.append(base64.b64decode(answer.get("result", {}).get("stdout", "")).decode())
        assert "PATH=" in running.answers[-1]
        running.call(connection, "programs.run", {"argv": 1, **secret})
        kept = {"argv": ["sleep", "60"], "env": secret["env"], "on_disconnect": "keep"}
        program = running.call(connection, "programs.start", kept)["result"]["id"]
        running.call(connection, "programs.list")
        running.call(connection, "hardware.processes")
        for path in ("/healthz", "/readyz", "/metrics", "/vault", f"/?token={CANARIES['query']}", "/nothing"):
            for headers in ({}, dict([right]), dict([wrong])):
                running.page(path, headers)
        lines, environments = of_processes("cmdline"), of_processes("environ")
        environments.pop(running.process.pid, None)
        assert running.process.pid in lines
        states = [file.read_bytes() for file in (running.folder / "state").rglob("*") if file.is_file()]
        assert "error" not in running.call(connection, "programs.kill", {"id": program})
    running.process.terminate()
    assert running.process.wait(30) == 0, running.log
    assert not found("".join(running.answers)), [answer for answer in running.answers if found(answer)]
    assert not found(running.log), [line for line in running.log.splitlines() if found(line)]
    assert running.log.count("RuntimeError: ***") >= 2, "what a plugin writes is hidden"
    assert not found("".join(lines.values()))
    told = {lines.get(pid): names for pid, text in environments.items() if (names := found(text))}
    assert told == {"sleep\x0060\0": {"parameter"}}, "only the program itself has the variable that was given to it"
    assert not found(b"".join(states).decode(errors="replace"))
