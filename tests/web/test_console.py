"""The console: its own tests, its build, and journeys through it in Debian's Chromium, against a real server."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcserver.config import PluginsConfig, ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.security.named_tokens import TokenSet
from rpcserver.security.token_file import TokenFile
from rpcserver.server import Server
from tests.contract.conftest import TOKEN, Running
from web.building import WEB

from .browser import CHROMIUM
from .conftest import LIMIT_S, RunNode
from .test_client import VITEST, count_passed

CONSOLE = WEB / "console"
VITE = WEB / "node_modules" / "vite" / "bin" / "vite.js"
pytestmark = pytest.mark.timeout(LIMIT_S + 60)


@pytest.fixture(scope="module")
def built(run_node: RunNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built console."""
    folder = tmp_path_factory.mktemp("console")
    variables = {"CONSOLE_FOLDER": str(folder)}
    run_node(VITE, "build", "--logLevel", "warn", folder=CONSOLE, variables=variables)
    assert "are allowed" in run_node(CONSOLE / "scripts" / "finish.mjs", folder=CONSOLE, variables=variables)
    return folder


class Control:
    """A server with the console, which a journey stops and starts by HTTP.

    Parameters:
        console: the built console.
        folder: for its state.
        modules: those of the contract suite.
    """

    def __init__(self, console: Path, folder: Path, modules: Mapping[str, Any]) -> None:
        self._console = console
        self._folder = folder
        self._modules = modules
        self._port = 0
        self._running: Running | None = None
        self.visitor = ""
        (folder / "state").mkdir(mode=0o700)

        def make_token(tokens: TokenSet) -> TokenSet:
            new, self.visitor = tokens.create("visitor", "visitor", 1.0)
            return new

        TokenFile(folder / "state").update(make_token)
        self.start()
        control = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                {"/stop": control.stop, "/start": control.start}[self.path]()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def origin(self) -> str:
        """The address of the console."""
        return f"http://127.0.0.1:{self._port}"

    def _make(self) -> Server:
        config = ServerConfig.model_validate(
            {
                "state_dir": str(self._folder / "state"),
                "listen": {"port": self._port, "unix": "none"},
                "services": {"database": {"databases": {"main": {"url": f"sqlite:///{self._folder}/main.db"}}}},
                "roles": {"visitor": {"permissions": ["hardware.read"]}},
            }
        )
        classes = find_services(PluginsConfig(enabled=("database", "hardware", "programs")))
        services = [*create_services(classes, config.services), self._modules["contract_service"].Contract()]
        return Server(config, services, token=TOKEN, console=self._console)

    def start(self) -> None:
        """Start the server, at the port that it had before."""
        assert self._running is None
        self._running = Running(self._make)
        self._port = int(self._running.server.addresses[0].rpartition(":")[2].strip("/"))

    def stop(self) -> None:
        """Stop it."""
        assert self._running is not None
        self._running.stop()
        self._running = None

    def close(self) -> None:
        """End all of it."""
        self._server.shutdown()
        self._thread.join(LIMIT_S)
        self._server.server_close()
        if self._running is not None:
            self.stop()


@pytest.fixture(scope="module")
def control(
    built: Path, modules: Any, tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[Control]:
    if not CHROMIUM.exists():
        missing("Chromium is not installed")
    made = Control(built, tmp_path_factory.mktemp("served"), modules)
    yield made
    made.close()


def test_units(run_node: RunNode) -> None:
    assert count_passed(run_node(VITEST, "run", "tests/unit", folder=CONSOLE)) > 10


def test_every_file_is_compressed_beside_itself(built: Path) -> None:
    files = [path for path in built.rglob("*") if path.is_file()]
    plain = [path for path in files if path.suffix in (".js", ".css", ".html", ".svg")]
    assert len(plain) > 4 and built / "docs.html" in plain
    for path in plain:
        assert path.with_name(f"{path.name}.gz") in files and path.with_name(f"{path.name}.br") in files
    assert "<script>" not in (built / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("journey", sorted(path.name for path in (CONSOLE / "tests" / "journeys").glob("*.test.ts")))
def test_journey(run_node: RunNode, control: Control, tmp_path: Path, journey: str) -> None:
    """Pictures of the pages are left in the folder that the variable CONSOLE_PICTURES names."""
    variables = {
        "TEST_CONSOLE_URL": control.origin,
        "TEST_CONTROL_URL": control.address,
        "TEST_SERVER_TOKEN": TOKEN,
        "TEST_VISITOR_TOKEN": control.visitor,
        "TEST_PICTURES": os.environ.get("CONSOLE_PICTURES", str(tmp_path)),
    }
    assert count_passed(run_node(VITEST, "run", f"tests/journeys/{journey}", folder=CONSOLE, variables=variables)) > 0
