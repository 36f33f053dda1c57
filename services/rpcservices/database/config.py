"""The configuration of the database service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, SecretStr, field_validator

from rpcserver import ServiceConfig
from rpcserver.plugins.old_roles import ConfigWithOldRoles, OldRoles

from .models import Isolation
from .old_roles import read_old_roles
from .passwords import find_password

if TYPE_CHECKING:
    from sqlalchemy import URL

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mariadb+asyncmy",
}
"""The asynchronous driver of each kind of database, for URLs that name none."""


def _has_bare_at(url: str) -> bool:
    """Whether there is an @ besides the one before the host."""
    dialect, _, rest = url.partition("://")
    server, _, query = rest.partition("@")[2].partition("?")
    # Behind a question mark in a password there is no name of an option.
    return not dialect.startswith("sqlite") and ("@" in server or "@" in query.partition("=")[0])


class DatabaseConfig(ServiceConfig):
    """One database, by the name that clients use for it."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: SecretStr = Field(
        default=SecretStr(""),
        description="URL of SQLAlchemy, such as `postgresql://app@db.example/shop`; empty for an SQLite file with the "
        "database's name in the service's state folder",
    )
    password_file: Path | None = Field(
        default=None, description="a file that holds the password, and nothing else; only the server's user may read it"
    )
    password_env: str | None = Field(default=None, description="the environment variable that holds the password")
    attached: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w{0,62}$")], Path] = Field(
        default={}, description="SQLite: further files; the key is the schema in which the tables of a file appear"
    )
    readonly: bool = Field(default=False, description="refuse every change; the database itself enforces it")
    isolation: Isolation | None = Field(default=None, description="isolation of transactions that name none")
    allow_privileged_role: bool = Field(
        default=False,
        description="accept a database user who may read files or run programs on the database's machine, or is "
        "superuser, or may become such a user",
    )
    allow_unguarded_reads: bool = Field(
        default=False,
        description="for dialects other than SQLite, PostgreSQL (psycopg) and MariaDB/MySQL (asyncmy): accept that "
        "only the rights of the database user keep `query` from writing",
    )
    pool_size: int = Field(
        default=20, ge=1, le=1000, description="connections for statements that may write, transactions and sessions"
    )
    read_pool_size: int = Field(default=5, ge=1, le=1000, description="connections for statements that only read")
    pool_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="the part of these connections that one principal may hold at a time, so that some are left for "
        "others; one or two connections are not divided",
    )
    connection_max_age_s: float = Field(
        default=300.0,
        gt=0,
        description="age at which an idle connection is closed, so that settings for new connections (ALTER ROLE … "
        "SET, SET GLOBAL, SET DEFAULT ROLE) apply to all after this time",
    )
    pool_timeout_s: float = Field(default=10.0, gt=0, description="how long a statement waits for a connection")
    connect_timeout_s: float = Field(default=10.0, gt=0, description="how long connecting may take")
    busy_timeout_s: float = Field(default=5.0, ge=0, description="how long a statement waits for a lock (SQLite)")
    statement_timeout_s: float = Field(default=600.0, gt=0, description="how long one statement may work")
    transaction_idle_s: float = Field(
        default=30.0, gt=0, description="how long a transaction may be unused before it is rolled back"
    )
    transaction_total_s: float = Field(
        default=600.0, gt=0, description="how long a transaction may be open before it is rolled back"
    )
    session_idle_s: float = Field(
        default=600.0, gt=0, description="how long a session may be unused before it is closed"
    )
    stream_idle_s: float = Field(
        default=60.0, gt=0, description="how long a stream may be unread before it ends and frees its connection"
    )
    transactions_per_connection: int = Field(
        default=32, ge=1, description="open transactions and sessions of one client"
    )
    max_rows: int = Field(default=100_000, ge=1, description="rows in one result; a stream has no such limit")
    max_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, description="bytes of rows in one result; a stream has no such limit"
    )
    page_rows: int = Field(default=5_000, ge=1, description="rows in one page of a stream")
    page_bytes: int = Field(default=256 * 1024, ge=1024, description="bytes in one page of a stream, or one row")
    max_row_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, description="bytes in one row; a larger row is an error"
    )

    @field_validator("url")
    @classmethod
    def _valid_url(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value():
            text = url.get_secret_value()
            if _has_bare_at(text):  # We would take a part of the password for the host, and show it.
                raise ValueError("a user or password has an @ of its own: write %40 for it, or give password_file")
            from sqlalchemy import make_url
            from sqlalchemy.exc import ArgumentError

            try:
                make_url(text)
            except (ArgumentError, ValueError):
                raise ValueError("not a database URL: write DIALECT://USER@HOST:PORT/DATABASE") from None
        return url


class DatabaseServiceConfig(ConfigWithOldRoles):
    """The database service."""

    databases: dict[str, DatabaseConfig] = Field(
        default={"main": DatabaseConfig()}, description="the databases, by the names that clients use"
    )
    secrets_dir: Path | None = Field(
        default=None,
        description="a folder of passwords, each in a file with its database's name that only the server's user may "
        "read; else systemd's $CREDENTIALS_DIRECTORY",
    )

    @classmethod
    def read_old_roles(cls, section: Mapping[str, Any]) -> OldRoles:
        """Translate ``unlisted`` and ``roles``, which the section and its databases had once."""
        return read_old_roles(section)


def embedded_file(name: str, state_dir: Path) -> Path:
    """Return the file of an embedded database.

    Parameters:
        name: the database's name.
        state_dir: where embedded files live.

    Raises:
        ValueError: no file can have the database's name.
    """
    if Path(name).name != name:  # It would lie in another folder.
        raise ValueError(f"databases.{name}: no file can be named so: give a url, or another name")
    return state_dir / f"{name}.sqlite3"


def database_url(name: str, config: DatabaseConfig, state_dir: Path, secrets_dir: Path | None = None) -> URL:
    """The URL to connect to, with an asynchronous driver and the password filled in.

    Parameters:
        name: the database's name, which is also the name of an embedded file.
        config: its configuration.
        state_dir: where embedded files live.
        secrets_dir: where passwords lie, each in a file of its database's name.

    Raises:
        ValueError: the password's file or variable does not exist, others may read the file, or no file can have the
            database's name. The message names it.
    """
    from sqlalchemy import URL, make_url

    text = config.url.get_secret_value()
    url = make_url(text) if text else URL.create("sqlite", database=str(embedded_file(name, state_dir)))
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.drivername.startswith("sqlite") and config.password_file is None and config.password_env is None:
        return url
    password = find_password(name, config.password_file, config.password_env, secrets_dir)
    return url if password is None else url.set(password=password)
