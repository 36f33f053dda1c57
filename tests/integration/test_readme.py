"""Whatever the README shows is run, in its order, as a reader would."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples.group_pictures import RUN

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
CONSOLE = "".join(text for kind, text in BLOCKS if kind == "console")


def run(code: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_group(folder: Path) -> Path:
    """Write the configuration of a group of one, whose only node all examples of groups mean."""
    file = folder / "group.toml"
    file.write_text('[group]\nname = "db-1"\nlabels = { role = "web" }\n')
    return file


def test_python_examples(start_server: Callable[..., Any], tmp_path: Path) -> None:
    sync_example, async_example, plugin, plugin_call, group_example = PYTHON
    name = plugin.splitlines()[0].removeprefix("# ")
    (tmp_path / name).write_text(plugin)
    server = start_server("--plugin", str(tmp_path / name), "--config", str(write_group(tmp_path)))
    lines = run(sync_example, server.environment).split()
    assert lines[:4] == ["Linux", "0", "4", "north"]
    assert int(lines[4]) > 0
    year, memory = run(async_example, server.environment).split()
    assert int(year) >= 2026
    assert int(memory) > 0
    assert run(plugin_call, server.environment) == "Hello, Ada!\n"
    outcome, used_bytes = run(group_example, server.environment).splitlines()
    assert outcome.startswith("db-1 ok CompletedProgram(") and int(used_bytes) > 0


def test_shell_examples(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server("--config", str(write_group(tmp_path)))
    folder = str(Path(sys.executable).parent)
    commands = [line.removeprefix("$ ") for line in CONSOLE.splitlines() if line.startswith("$ rpcclient")]
    commands.remove("rpcclient shell")  # It needs a terminal: tests/client_cli/test_shell.py
    commands.append(f"rpcclient {RUN}")  # It stands in a picture.
    assert len(commands) == 4
    for command in commands:
        done = subprocess.run(
            command,
            shell=True,
            env={**server.environment, "PATH": f"{folder}:{server.environment['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout.strip(), command


def test_make_targets_exist() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert shutil.which("make") is not None
