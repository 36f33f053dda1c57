"""config/rpcserver.toml says what the models say: every key, with its default."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from rpcserver.config import PluginsConfig, RoleConfig, ServerConfig
from rpcserver.layers.loading import load_config
from rpcserver.plugins.finding import create_services, find_services

FILE = Path(__file__).parents[2] / "config" / "rpcserver.toml"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("RPCSERVER_")]:
        monkeypatch.delenv(name)


def test_the_file_is_the_defaults() -> None:
    read, built_in = load_config(FILE), load_config()
    assert read.model_dump(exclude={"services"}) == built_in.model_dump(exclude={"services"})
    classes = find_services(read.plugins)
    for configured, default in zip(create_services(classes, read.services), create_services(classes, {}), strict=True):
        assert configured.config == default.config, configured.name


def keys(model: type[BaseModel]) -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        found.add(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= keys(field.annotation)
    return found


def test_every_key_is_there_with_a_comment() -> None:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    places = {line.lstrip("# ").partition(" =")[0]: number for number, line in enumerate(lines) if " =" in line}
    sections = {line.strip("[]") for line in lines if line.startswith("[")}
    wanted = keys(ServerConfig) | keys(RoleConfig)
    for service in find_services(PluginsConfig()):
        wanted |= keys(service.config_model) | keys(service.role_model)
        assert f"# [roles.NAME.{service.name}]" in lines
    assert "# [auth.ways.NAME]" in lines
    assert "# [roles.NAME]" in lines
    for key in wanted - {"services", "databases", "roles", "ways"}:
        if key in sections or any(re.match(rf"(# )?\[[\w.]+\.{key}[].]", line) for line in lines):
            continue
        assert key in places, key
        assert lines[places[key] - 1].startswith("# "), key


def test_the_command_prints_it() -> None:
    done = subprocess.run([sys.executable, "-m", "rpcserver", "config"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "[services.programs]" in done.stdout
    assert "# [roles.NAME.programs]" in done.stdout
    assert FILE.read_text(encoding="utf-8").startswith(done.stdout.partition("[services.")[0])
