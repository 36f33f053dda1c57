"""Whatever docs/database.md shows is run, in its order, against a real server."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rpcservices.database import DatabaseServiceConfig


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def test_the_examples(serve: Callable[..., Any], document: Callable[[str], str]) -> None:
    page = document("database.md")
    served = serve({})
    code = "\n".join(blocks(page, "python"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**served.environment, "RPC_URL": served.url, "RPC_TOKEN": served.token},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert blocks(page, "text")[0] in done.stdout
    folder = str(Path(sys.executable).parent)
    environment = {**served.environment, "RPC_URL": served.url, "RPC_TOKEN": served.token}
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    commands = [line.removeprefix("$ ") for line in "".join(blocks(page, "console")).splitlines()]
    assert len(commands) == 5
    for command in commands:
        shell = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=60)
        assert (shell.returncode, shell.stderr) == (0, ""), command
        assert shell.stdout.strip()


def test_the_configuration(document: Callable[[str], str]) -> None:
    configs = [
        DatabaseServiceConfig.model_validate(tomllib.loads(text)["services"]["database"])
        for text in blocks(document("database.md"), "toml")
    ]
    assert set(configs[0].databases) == {"main", "shop", "wiki"}
    assert set(configs[1].databases["shop"].roles) == {"reports", "shopkeepers"}
