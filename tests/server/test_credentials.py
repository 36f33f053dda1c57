"""Settings from the credentials of systemd, and secrets in settings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr, ValidationError

from rpcserver import Service, ServiceConfig
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.daemon.logs import LineFormatter
from rpcserver.layers.loading import load_config
from rpcserver.plugins.finding import create_services
from rpcwire.secret import hide, secrets_in

CANARY = "tweety-7f3a"


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def put(folder: Path, name: str, text: str = CANARY) -> Path:
    file = folder / name
    file.touch(mode=0o600)
    file.write_text(text)
    return file


def test_keys_from_credentials(credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tls.key", "tls.certificate", "tls.client_ca", "tls.client_crl", "auth.token", "shop", "other.thing"):
        put(credentials, name)
    put(credentials, "tls.key_password", f"{CANARY}\n")
    put(credentials, "services.database.databases.shop.url", "postgresql://app:x@db.example/shop")
    put(credentials, "auth.ways.basic.password")
    put(credentials, "log.level", "ERROR")
    file = put(
        tmp_path,
        "server.toml",
        '[tls]\nkey_file = ""\nkey_password = "x"\n[services.database.databases.shop]\nmax_rows = 7',
    )
    monkeypatch.setenv("RPCSERVER_LOG__LEVEL", "DEBUG")
    config = load_config(file)
    for key in ("key", "certificate", "client_ca", "client_crl"):
        assert getattr(config.tls, f"{key}_file") == str(credentials / f"tls.{key}")
    assert config.tls.key_password.get_secret_value() == CANARY, "credentials go before the file"
    assert config.log.level == "DEBUG", "the environment goes before credentials"
    assert config.token_path == credentials / "auth.token"
    shop = {"max_rows": 7, "url": "postgresql://app:x@db.example/shop"}
    assert config.services == {"database": {"databases": {"shop": shop}}}
    assert config.auth.ways == {"basic": {"password": CANARY}}
    assert CANARY not in f"{config!r} {config}"


def test_credentials_that_cannot_be_used(credentials: Path) -> None:
    file = put(credentials, "tls.kye")
    with pytest.raises(
        ConfigError, match=r"CREDENTIALS_DIRECTORY: tls\.kye: there is no such key; there are: .*tls\.key,"
    ):
        load_config()
    file.rename(credentials / "tls.key_password")
    (credentials / "tls.key_password").chmod(0o644)
    with pytest.raises(ConfigError, match=r"CREDENTIALS_DIRECTORY: .*tls\.key_password: others may read"):
        load_config()
    (credentials / "tls.key_password").chmod(0o600)
    (credentials / "tls.key_password").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="it is no text in UTF-8"):
        load_config()
    (credentials / "tls.key_password").unlink()
    credentials.rmdir()
    with pytest.raises(ConfigError, match=r"CREDENTIALS_DIRECTORY: .*: No such file"):
        load_config()


# --- secrets ----------------------------------------------------------------------------------------------------------


class Inner(BaseModel):
    key: SecretBytes = SecretBytes(b"key-of-bytes")
    plain: str = "plain"


class Settings(ServiceConfig):
    password: SecretStr
    inner: dict[str, list[Inner]] = Field(default={"a": [Inner()]})
    port: int = 0


class Vault(Service[Settings]):
    """It repeats its password when it fails."""

    name = "vault"
    config_model = Settings

    def __init__(self, config: Settings) -> None:
        raise RuntimeError(f"{config.password.get_secret_value()} does not open it")


def test_the_secrets_of_settings() -> None:
    settings = Settings(password=SecretStr("db://app:p%40ss-word@host/x"))
    assert set(secrets_in([settings, {"x": settings}])) == {
        "db://app:p%40ss-word@host/x", "p%40ss-word", "p@ss-word", "key-of-bytes",
    }  # fmt: skip
    assert hide("is p@ss-word, or a", ["p@ss-word", "a"]) == "is ***, or a"
    formatter = LineFormatter()
    formatter.secrets = ("p@ss-word",)
    record = logging.LogRecord("x", logging.ERROR, "", 1, "failed for %s", ("p@ss-word\n",), None)
    assert "p@ss" not in formatter.format(record)


def test_no_error_of_settings_repeats_them() -> None:
    for wrong in ({"password": CANARY, "port": CANARY}, {"passwort": CANARY}, {"password": [CANARY]}):
        with pytest.raises(ConfigError) as caught:
            create_services([Vault], {"vault": wrong})
        assert CANARY not in f"{caught.value} {caught.value.__cause__}"
    with pytest.raises(ConfigError, match=r"services\.vault: cannot be made: RuntimeError: \*\*\* does not open it"):
        create_services([Vault], {"vault": {"password": CANARY}})
    sections: list[dict[str, Any]] = [
        {"tls": {"key_password": [CANARY]}},
        {"tls": {"keyword": CANARY}},
        {"roles": CANARY},
    ]
    for section in sections:
        with pytest.raises(ValidationError) as invalid:
            ServerConfig.model_validate(section)
        assert CANARY not in str(invalid.value)
