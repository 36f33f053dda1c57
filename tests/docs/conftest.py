"""A real server for the examples of the documents."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Served:
    """A server: its URL, its token, and an environment in which clients find both."""

    url: str
    token: str
    environment: dict[str, str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start a server with these plugin files (name to text) and, if need be, a longer module path."""
    with ExitStack() as stack:

        def start(plugins: dict[str, str], *arguments: str, **environment: str) -> Served:
            words = list(arguments)
            for name, text in plugins.items():
                (tmp_path / name).write_text(text)
                words += ["--plugin", str(tmp_path / name)]
            runtime = tmp_path / "run"
            runtime.mkdir(mode=0o700, exist_ok=True)
            around = {
                **{k: v for k, v in os.environ.items() if not k.startswith(("RPC_", "RPCSERVER_"))},
                "XDG_STATE_HOME": str(tmp_path / "state"),
                "XDG_RUNTIME_DIR": str(runtime),
                "XDG_CONFIG_HOME": str(tmp_path / "config"),
                "CONFIGURATION_DIRECTORY": str(tmp_path / "config"),
                **environment,
            }
            command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", *words]
            log = stack.enter_context((tmp_path / "log").open("w"))
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=around, cwd=tmp_path)
            )
            stack.callback(process.terminate)
            assert process.stdout is not None
            url = process.stdout.readline().rpartition(" ")[2].strip()
            assert url, (tmp_path / "log").read_text()
            assert process.stdout.readline()
            token = (tmp_path / "state" / "remote-services" / "token").read_text().strip()
            return Served(url, token, around)

        yield start


@pytest.fixture
def document() -> Callable[[str], str]:
    return lambda name: (DOCS / name).read_text(encoding="utf-8")
