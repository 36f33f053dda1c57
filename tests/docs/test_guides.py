"""The guides: every Python example is run, in its order, and prints what it says; and nothing public is left out."""

from __future__ import annotations

import fnmatch
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient, Client, errors
from rpcclient.cli.main import COMMANDS
from rpcclient.cli.outcome import MEANINGS
from rpcserver.config import ServerConfig
from rpcservices.programs.config import ProgramsConfig
from rpcwire import locations
from rpcwire.context import Context
from rpcwire.service import MethodOptions, SlowPolicy
from tests.documented import is_plugin

ROOT = Path(__file__).parents[2]
GUIDES = ["client.md", "plugins.md", "programs.md", "server.md"]


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def plugins(text: str) -> dict[str, str]:
    return {block.split()[1]: block for block in blocks(text, "python") if is_plugin(block)}


def program(text: str) -> str:
    return "\n".join(block for block in blocks(text, "python") if not is_plugin(block))


def said(source: str) -> list[str]:
    """What the comments say that the example prints; ``…`` stands for anything."""
    return [line.partition("# → ")[2] for line in source.splitlines() if "# → " in line]


def pattern(text: str) -> str:
    return text.replace("[", "[[]").replace("?", "[?]").replace("*", "[*]").replace("…", "*")


def test_where_the_token_is(document: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    place = str(locations.token_file().relative_to(tmp_path))
    assert f"`~/{place}`" in document("server.md")
    assert f"scp box.example:{place} " in document("server.md")


@pytest.mark.parametrize("name", ["client.md", "plugins.md", "programs.md"])
def test_examples(name: str, serve: Callable[..., Any], document: Callable[[str], str], tmp_path: Path) -> None:
    text = document(name)
    source = program(text)
    served = serve(plugins(text))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        env={**served.environment, "PAGER": "cat"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines: Iterator[str] = iter(done.stdout.splitlines())
    for expected in said(source):
        assert any(fnmatch.fnmatchcase(line, pattern(expected)) for line in lines), (expected, done.stdout)
    assert source.count("print(") == len(said(source)), "a print without its '# → '"


@pytest.mark.parametrize("name", GUIDES)
def test_commands(name: str, serve: Callable[..., Any], document: Callable[[str], str], tmp_path: Path) -> None:
    """Every ``rpcclient`` and ``rpcserver`` line of a console example works."""
    text = document(name)
    lines = [line.removeprefix("$ ") for block in blocks(text, "console") for line in block.splitlines()]
    commands = [line for line in lines if re.match(r"(echo .*\| )?rpc(client|server) ", line)]
    assert commands
    served = serve(plugins(text))
    folder = str(Path(sys.executable).parent)
    for command in commands:
        if command.startswith("rpcserver serve"):
            continue
        environment = {**served.environment, "PATH": f"{folder}:{served.environment['PATH']}"}
        done = subprocess.run(
            command, shell=True, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, (command, done.stderr)
        wrote = "--output" in shlex.split(command)
        assert done.stdout.strip() or wrote, command


def test_configuration_examples(document: Callable[[str], str]) -> None:
    for block in blocks(
        "".join(map(document, ("server.md", "programs.md", "group.md", "group-operations.md"))), "toml"
    ):
        config = tomllib.loads(block)
        ServerConfig.model_validate(config)
        ProgramsConfig.model_validate(config.get("services", {}).get("programs", {}))


def test_nothing_is_left_out(document: Callable[[str], str]) -> None:
    client, server, plugin = (document(name) for name in ("client.md", "server.md", "plugins.md"))
    for name in [name for name in vars(Client) if not name.startswith("_")]:
        assert re.search(rf"\b{name}\b", client), name
    assert {n for n in vars(Client) if n[0] != "_"} == {n for n in vars(AsyncClient) if n[0] != "_"}
    for name, error in vars(errors).items():
        if (
            isinstance(error, type)
            and issubclass(error, errors.RpcError)
            and name not in ("ProtocolError", "TransportError")
        ):
            assert f"`{name}`" in client, name
    for status, meaning in MEANINGS.items():
        assert f"| {status} | {meaning} |" in client
    for command in COMMANDS:
        assert any(
            f"$ rpcclient {command}" in page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")
        ), command
    for section in ServerConfig.model_fields:
        assert any(f"{mark}{section}" in server for mark in "[`"), section
    for option in MethodOptions.__dataclass_fields__:
        assert f"`{option}`" in plugin, option
    for policy in SlowPolicy:
        assert policy.name in plugin
    for name in Context.__slots__:
        if not name.startswith("_"):
            assert name in plugin, name
