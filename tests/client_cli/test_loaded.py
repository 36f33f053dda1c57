"""What commands load before they are done: no module that they do not need, and not many modules at all. Modules are
counted because a time would differ from machine to machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = {
    "asyncio", "concurrent.futures.thread", "csv", "difflib", "email.message", "importlib.metadata", "multiprocessing",
    "pydantic", "pydantic_core", "rich", "shutil", "ssl", "subprocess", "tempfile", "zipfile",
    "rpcclient.describe", "rpcclient.nearby", "rpcclient.proxy", "rpcclient.stubs.programs", "rpcwire.contracts",
    "rpcwire.dispatch",
}  # fmt: skip
"""What no command loads that runs programs on many nodes over a connection without TLS."""
OF_A_CONNECTION = {"msgspec", "rpcclient.targets", "rpcwire.session", "websockets"}
"""What only a command with a connection loads."""


def modules_of(command: list[str], environment: dict[str, str]) -> set[str]:
    """The modules that a command has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert done.returncode == 0, done.stderr[-2000:]
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def count_own(command: list[str], environment: dict[str, str], absent: set[str]) -> int:
    """How many modules a command loads that an empty program does not. None of these may be among them."""
    own = modules_of(command, environment) - modules_of(["-c", ""], environment)
    assert sorted(own & absent) == []
    return len(own)


@pytest.mark.parametrize(
    ("command", "most"),
    [
        (["-c", "import rpcclient"], 40),
        (["-m", "rpcclient", "--help"], 115),
        (["-m", "rpcclient", "run", "--help"], 120),
        (["-m", "rpcclient", "completion", "bash"], 110),
    ],
    ids=["import", "help", "run-help", "completion"],
)
def test_a_command_without_a_connection_loads_little(command: list[str], most: int) -> None:
    absent = (HEAVY - {"shutil"}) | OF_A_CONNECTION  # click's help looks how wide the terminal is.
    assert count_own(command, dict(os.environ), absent) <= most


def test_a_program_with_the_client_loads_nothing_that_only_some_clients_need() -> None:
    websockets_imports = {"csv", "email.message", "importlib.metadata", "shutil", "tempfile", "zipfile"}
    absent = HEAVY - websockets_imports
    assert count_own(["-c", "from rpcclient import Client; Client()"], dict(os.environ), absent) <= 290
