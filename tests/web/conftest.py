"""Node and its tools, and the server of the contract suite for what is written in TypeScript."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.contract.conftest import modules as modules
from tests.contract.conftest import running as running
from web.building import NODE, WEB, install, make_environment

CLIENT = WEB / "client"
LIMIT_S = 240

RunNode = Callable[..., str]
"""Runs a module of JavaScript, with arguments, and returns what it has written."""


@pytest.fixture(scope="session")
def run_node() -> RunNode:
    """Runs a tool of `web/node_modules` in the client's folder or another one, and fails with its output if it fails."""
    install()

    def run(
        module: Path, *arguments: str, folder: Path = CLIENT, variables: Mapping[str, str] | None = None
    ) -> str:
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
