"""The client in TypeScript: its own tests, by vitest, alone and against real servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcserver import Service, event, method
from rpcserver.config import PluginsConfig, ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.plugins.typescript import generate_typescript
from rpcserver.server import Server
from tests.contract.conftest import TOKEN, Behind, Running
from web.building import WEB

from .conftest import CLIENT, LIMIT_S, RunNode

VITEST = WEB / "node_modules" / "vitest" / "vitest.mjs"
TSC = WEB / "node_modules" / "typescript" / "bin" / "tsc"
pytestmark = pytest.mark.timeout(LIMIT_S + 60)


class Bell(Service):
    """Tells when it is rung."""

    @event()
    def rung(self, times: int) -> None:
        """Somebody has rung."""

    @method()
    def ring(self, times: int) -> None:
        """Ring."""
        self.rung(times)


def count_passed(output: str) -> int:
    found = re.search(r"Tests +(\d+) passed \(\d+\)", output)
    assert found, output
    return int(found[1])


@pytest.fixture(scope="module")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the built-in services, and one with an event."""
    folder = tmp_path_factory.mktemp("builtin")
    config = ServerConfig.model_validate(
        {
            "state_dir": str(folder / "state"),
            "listen": {"port": 0, "unix": "none"},
            "services": {"database": {"databases": {"main": {"url": f"sqlite:///{folder}/main.db"}}}},
        }
    )
    classes = find_services(PluginsConfig(enabled=("database", "hardware", "programs")))
    running = Running(lambda: Server(config, [*create_services(classes, config.services), Bell()], token=TOKEN))
    yield running
    running.stop()


def test_units(run_node: RunNode) -> None:
    assert count_passed(run_node(VITEST, "run", "tests/unit")) > 30


def test_against_a_server(run_node: RunNode, running: Any, builtin: Running, behind: Callable[[], Behind]) -> None:
    variables = {
        "TEST_SERVER_URL": running.server.addresses[0],
        "TEST_BUILTIN_URL": builtin.server.addresses[0],
        "TEST_GATEWAY_URL": behind().gateway.addresses[0],
        "TEST_SERVER_TOKEN": TOKEN,
    }
    assert count_passed(run_node(VITEST, "run", "tests/server", variables=variables)) > 40


def test_stubs_of_any_type_are_strict(run_node: RunNode, modules: Any, tmp_path: Path) -> None:
    """Models, enumerations, tuples, unions, streams both ways and declared errors, as the contract suite has them."""
    services = (modules["contract_service"].Contract, modules["kinds_service"].Kinds)
    for service in services:
        text = generate_typescript(service, str(CLIENT / "src" / "index.js"))
        (tmp_path / f"{service.name}.ts").write_text(text, encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    options = '{"extends": "%s", "compilerOptions": {"noEmit": true}, "include": ["*.ts"]}'
    (tmp_path / "tsconfig.json").write_text(options % (WEB / "tsconfig.base.json"), encoding="utf-8")
    run_node(TSC, "-p", str(tmp_path / "tsconfig.json"))
