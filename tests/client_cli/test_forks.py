"""Most of these tests run their commands in forks of a process that has loaded the command (`ready.py`). A fork must not
differ from a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client_cli.conftest import LAUNCHER


def run(command: list[str], shell: Any, **options: Any) -> tuple[int, bytes | None, bytes]:
    options = {"input": b"", "env": shell.environment, "stdout": subprocess.PIPE, **options}
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=30, **options)
    return done.returncode, done.stdout, done.stderr


def in_fork(shell: Any, *words: str, **options: Any) -> tuple[int, bytes | None, bytes]:
    return run([sys.executable, "-I", "-S", str(LAUNCHER), shell.ready, *words], shell, **options)


@pytest.mark.parametrize(
    "words",
    [
        ["call", "library.lend", "title=none"],
        ["call", "library.lend", "title=Zürich"],
        ["--help"],
        ["sql", "--nothing"],
    ],
    ids=" ".join,
)
def test_results_are_the_same(shell: Any, words: list[str]) -> None:
    assert in_fork(shell, *words) == run(shell.command(*words), shell)


def test_the_installed_command(shell: Any) -> None:
    words = ["call", "library.nothing"]
    assert in_fork(shell, *words) == run([str(Path(sys.executable).parent / "rpcclient"), *words], shell)


def test_input_and_folder_are_its_own(shell: Any, tmp_path: Path) -> None:
    words = ["call", "library.size"]
    assert in_fork(shell, *words, "content=-", input=os.urandom(200_000)) == (0, b"200000\n", b"")
    (tmp_path / "book").write_bytes(b"abc")
    assert in_fork(shell, *words, "content=@book", cwd=tmp_path) == (0, b"3\n", b"")


def test_environment_is_its_own(shell: Any) -> None:
    environment = {**shell.environment, "RPC_URL": "ws://127.0.0.1:1", "COLUMNS": "30"}
    del environment["RPC_TOKEN_FILE"]
    words = ["call", "library.shelves"]
    fork = in_fork(shell, *words, env=environment)
    assert fork == run(shell.command(*words), shell, env=environment)
    assert b"127.0.0.1:1" in fork[2]


def test_an_output_that_nobody_reads_ends_it_in_the_same_way(shell: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = ["call", "library.pages", "count=3"]
    try:
        assert in_fork(shell, *words, stdout=writing) == run(shell.command(*words), shell, stdout=writing)
    finally:
        os.close(writing)


@pytest.mark.parametrize("status", [0, 3, 130, -signal.SIGTERM, -signal.SIGKILL])
def test_the_launcher_ends_as_the_command_ends(tmp_path: Path, status: int) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        launcher = subprocess.Popen([sys.executable, "-I", "-S", str(LAUNCHER), str(tmp_path / "s"), "call"])
        with launcher, listener.accept()[0] as asking:
            while asking.recv(65536):
                pass
            asking.sendall(b"%d" % status)
    assert launcher.returncode == status
