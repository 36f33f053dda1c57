"""A real server as a real process, found by clients as a user's own is: by its default places."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class RunningServer:
    """A server process. ``environment`` lets clients find it with no arguments."""

    process: subprocess.Popen[str]
    url: str
    token_file: str
    environment: dict[str, str]


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[RunningServer]:
    runtime = folder / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "XDG_RUNTIME_DIR": str(runtime)}
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", *arguments]
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("rpcserver: listening on ws://"), (folder / "server.log").read_text()
        assert process.stdout.readline().startswith("rpcserver: listening on unix://")
        token_file = str(folder / "state" / "remote-services" / "token")
        try:
            yield RunningServer(process, line.rpartition(" ")[2].strip(), token_file, environment)
        finally:
            process.terminate()
            assert process.wait(20) == 0, (folder / "server.log").read_text()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start a server with arguments of one's own; it is stopped, and must end well, after the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(running(tmp_path, *arguments))


@pytest.fixture
def server(start_server: Callable[..., RunningServer]) -> RunningServer:
    return start_server()
