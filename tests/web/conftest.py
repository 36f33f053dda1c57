"""Node and its tools, a browser, and the server of the contract suite for what is written in TypeScript."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.contract.conftest import Running, make_server
from tests.contract.conftest import behind as behind
from tests.contract.conftest import modules as modules
from tests.contract.conftest import running as running
from web.building import NODE, WEB, install, make_environment

from .browser import CHROMIUM, Browser, PageServer

CLIENT = WEB / "client"
CONSOLE = WEB / "console"
VITE = WEB / "node_modules" / "vite" / "bin" / "vite.js"
LIMIT_S = 240

RunNode = Callable[..., str]
"""Runs a module of JavaScript, with arguments, and returns what it has written."""


@pytest.fixture(scope="session")
def run_node() -> RunNode:
    """Runs a tool of `web/node_modules` in the client's folder or another one, and fails with its output if it fails."""
    install()

    def run(module: Path, *arguments: str, folder: Path = CLIENT, variables: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            [str(NODE), str(module), *arguments],
            cwd=folder,
            env=make_environment({"NO_COLOR": "1", **(variables or {})}),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def built(run_node: RunNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built console."""
    folder = tmp_path_factory.mktemp("console")
    variables = {"CONSOLE_FOLDER": str(folder)}
    run_node(VITE, "build", "--logLevel", "warn", folder=CONSOLE, variables=variables)
    assert "are allowed" in run_node(CONSOLE / "scripts" / "finish.mjs", folder=CONSOLE, variables=variables)
    return folder


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A server of pages, whose folder is empty at first."""
    server = PageServer(tmp_path_factory.mktemp("pages"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def browser(
    tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[Callable[[], Browser]]:
    """Returns the browser, which is started when it is asked for."""
    made: list[Browser] = []

    def make() -> Browser:
        if not made:
            if not CHROMIUM.exists():
                missing("Chromium is not installed")
            made.append(Browser(tmp_path_factory.mktemp("profile")))
        return made[0]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def open_server(modules: Any, pages: PageServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of the contract suite that pages of the other one may reach."""
    folder = tmp_path_factory.mktemp("open")
    listen = {"port": 0, "unix": "none", "allowed_origins": [pages.origin]}
    running = Running(lambda: make_server(modules, state_dir=str(folder), listen=listen))
    yield running
    running.stop()
