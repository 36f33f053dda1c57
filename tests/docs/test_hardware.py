"""The examples of docs/hardware.md are run against a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rpcserver import Principal
from rpcserver.config import ServerConfig
from rpcserver.security.roles import Roles
from rpcserver.system import System
from rpcservices.hardware import Hardware
from rpcservices.hardware.roles import HardwareRole

from .conftest import Served

GUIDE = (Path(__file__).parents[2] / "docs" / "hardware.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = re.findall(r"^\$ rpcclient (.+)$", GUIDE, re.MULTILINE)


def test_the_roles() -> None:
    (text,) = (block for block in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL) if "[roles." in block)
    roles = Roles(ServerConfig.model_validate(tomllib.loads(text)).roles, [Hardware()], os.geteuid(), System)
    of = roles.finder("hardware")
    ada, bob = (of(Principal(name, "token")) for name in ("ada", "bob"))
    assert ada is not None
    assert bob is not None
    assert ada.permissions == set(Hardware.permissions)
    assert {name.strip("`") for name in re.findall(r"^\| (`hardware\.\w+`) \|", GUIDE, re.MULTILINE)} == ada.permissions
    assert bob.conditions == HardwareRole(devices=("/dev/serial/by-id/usb-FTDI_*",), processes="own")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("guide")
    (folder / "config.toml").write_text(
        '[services.hardware]\nserial_paths = ["/dev/pts/*"]\nhistory_interval_s = 0.2\n', encoding="utf-8"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RPC_", "RPCSERVER_"))}
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none"]
    command += ["--config", str(folder / "config.toml")]
    own = {**kept, "RPCSERVER_STATE_DIR": str(folder), "RPCSERVER_PLUGINS__ENABLED": '["hardware"]'}
    log = (folder / "log").open("w")
    with log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=own) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        assert url, (folder / "log").read_text()
        yield {**kept, "RPC_URL": url, "RPC_TOKEN_FILE": str(folder / "token")}
        process.terminate()


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples(environment: dict[str, str], number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXAMPLES[number]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_commands_exist(environment: dict[str, str]) -> None:
    assert [command.split()[0] for command in COMMANDS] == ["hw", "top", "devices"]
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "rpcclient", command.split()[0], "--help"],
            env=environment,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0


def test_the_examples_of_serial_ports_find_the_server_on_this_machine(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    """As a reader has it: no URL and no token in the environment, and the setting that the guide names."""
    (setting,) = re.findall(r"^\[services.hardware\]\nserial_paths = .*\n", GUIDE, re.MULTILINE)
    (tmp_path / "config.toml").write_text(setting, encoding="utf-8")
    served = serve({}, "--config", str(tmp_path / "config.toml"))
    serial = [example for example in EXAMPLES if "pty.openpty" in example]
    assert len(serial) == 2
    for example in serial:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            env=served.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
