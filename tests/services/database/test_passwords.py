"""Passwords come from a file, the environment or a folder of secrets, and nobody else may be able to read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rpcservices.database import DatabaseConfig
from rpcservices.database.config import database_url
from rpcservices.database.passwords import find_password
from tests.services.database.conftest import Bench

RunWith = Callable[..., Any]
SECRET = "app-secret"


def secret(path: Path, text: str = f"{SECRET}\n", mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


async def select_one(bench: Bench) -> None:
    assert (await bench.db.query("main", "SELECT 1")).scalar() == 1


@pytest.fixture
def bare(my_uri: str) -> str:
    """The URL of a real database, without the password that it asks for."""
    return my_uri.replace(f":{SECRET}@", "@")


def test_without_the_password_the_database_refuses(run_with: RunWith, bare: str) -> None:
    with pytest.raises(Exception, match="denied"):
        run_with(select_one, main={"url": bare})


def test_a_file(run_with: RunWith, bare: str, tmp_path: Path) -> None:
    run_with(select_one, main={"url": bare, "password_file": secret(tmp_path / "word")})


def test_the_environment(run_with: RunWith, bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIN_PASSWORD", SECRET)
    run_with(select_one, main={"url": bare, "password_env": "MAIN_PASSWORD"})


def test_a_folder_of_secrets(run_with: RunWith, bare: str, tmp_path: Path) -> None:
    secret(tmp_path / "secrets" / "main")
    run_with(select_one, secrets_dir=tmp_path / "secrets", main={"url": bare}, other={})


@pytest.mark.parametrize("mode", [0o400, 0o440])
def test_credentials_of_systemd(
    run_with: RunWith, bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    secret(tmp_path / "credentials" / "main", mode=mode)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    run_with(select_one, main={"url": bare})


def test_what_goes_before_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret(tmp_path / "credentials" / "main", "credential")
    secret(tmp_path / "secrets" / "main", "folder")
    file = secret(tmp_path / "file", "file")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    monkeypatch.setenv("MAIN_PASSWORD", "environment")

    def password(secrets_dir: Path | None, name: str = "main", **config: Any) -> Any:
        known = DatabaseConfig.model_validate({"url": "postgresql://app:url@nowhere/app", **config})
        return database_url(name, known, tmp_path, secrets_dir).password

    folder = tmp_path / "secrets"
    assert password(folder, password_file=file, password_env="MAIN_PASSWORD") == "file"
    assert password(folder, password_env="MAIN_PASSWORD") == "environment"
    assert password(folder) == "folder"
    assert password(None) == "credential"
    assert password(folder, "other") == password(None, "other") == "url"
    assert password(folder, "../credentials/main") == "url"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int, run_with: RunWith) -> None:
    config = {"url": "postgresql://app@nowhere/app"}
    file = secret(tmp_path / "secrets" / "main", mode=mode)
    with pytest.raises(ValueError, match=rf"databases.main.password_file: {file}: others may .* chmod 600 {file}"):
        run_with(select_one, main={**config, "password_file": file})
    with pytest.raises(ValueError, match=f"secrets_dir: {file}: others may"):
        run_with(select_one, secrets_dir=tmp_path / "secrets", main=config)


def test_credentials_that_all_may_read_are_refused(
    tmp_path: Path, run_with: RunWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret(tmp_path / "credentials" / "main", mode=0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    with pytest.raises(ValueError, match=r"CREDENTIALS_DIRECTORY: \S+: others may"):
        run_with(select_one, main={"url": "postgresql://app@nowhere/app"})


def test_what_is_missing_is_named(tmp_path: Path, run_with: RunWith) -> None:
    config = {"url": "postgresql://app@nowhere/app"}
    with pytest.raises(ValueError, match="password_file: No such file"):
        run_with(select_one, main={**config, "password_file": tmp_path / "none"})
    with pytest.raises(ValueError, match="password_env: the variable NOT_SET_HERE"):
        run_with(select_one, main={**config, "password_env": "NOT_SET_HERE"})
    with pytest.raises(ValueError, match="secrets_dir: no such folder"):
        run_with(select_one, secrets_dir=tmp_path / "none", main=config)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    with pytest.raises(ValueError, match="UTF-8"):
        run_with(select_one, main={**config, "password_file": binary})


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("a/b", "../up", "/etc/x"):
        with pytest.raises(ValueError, match="give a url"):
            database_url(name, DatabaseConfig(), tmp_path)
        assert database_url(name, DatabaseConfig.model_validate({"url": "sqlite:////x"}), tmp_path).database == "/x"


def test_a_file_that_is_no_password(tmp_path: Path) -> None:
    """Half of it would be a wrong password, and nobody would see why."""
    file = tmp_path / "password"
    file.touch(0o600)
    for data, text in ((b"x" * 70_000, "it has more than 65536 bytes"), (b"\xff", "it is no text in UTF-8")):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=rf"databases\.main\.password_file: .*: {text}"):
            find_password("main", file, None, None)
