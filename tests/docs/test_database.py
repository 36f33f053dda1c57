"""Whatever the pages about databases show is run, in its order, against a real server."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from rpcclient.targets import ACCESS_FLAGS, ACCESS_SECONDS, ACCESS_TEXTS
from rpcserver import Principal
from rpcserver.config import ServerConfig
from rpcserver.security.roles import Roles
from rpcserver.system import System
from rpcservices.database import Database, DatabaseServiceConfig
from rpcservices.database.roles import find_rule, sees
from tests.docs.test_guides import pattern, said
from tests.services.database.conftest import pg_superuser, pg_uri

__all__ = ["pg_superuser", "pg_uri"]


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
    assert len(commands) == 7
    for command in commands:
        shell = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=60)
        assert (shell.returncode, shell.stderr) == (0, ""), command
        assert shell.stdout.strip()


def test_the_configuration(document: Callable[[str], str]) -> None:
    databases, roles = (tomllib.loads(text) for text in blocks(document("database.md"), "toml"))
    config = DatabaseServiceConfig.model_validate(databases["services"]["database"])
    assert set(config.databases) == {"main", "shop", "wiki"}
    config = DatabaseServiceConfig.model_validate({"databases": {"main": {}, "shop": {}, "archive-2025": {}}})
    of = Roles(ServerConfig.model_validate(roles).roles, [Database(config)], os.geteuid(), System).finder("database")
    ada, eve = (of(Principal(name, "token")) for name in ("ada", "eve"))
    assert ada is not None
    assert eve is not None
    assert [name for name in config.databases if sees(ada, name)] == ["shop", "archive-2025"]
    assert [name for name in config.databases if sees(eve, name)] == ["main", "shop", "archive-2025"]
    assert [find_rule(eve.conditions, name) for name in config.databases] == ["*", "shop", "*"]


def test_the_table_of_permissions(document: Callable[[str], str]) -> None:
    """Each method of the service stands behind its permission."""
    rows = re.findall(r"^\| `database\.(\w+)` \| (.*) \|$", document("database.md"), re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", text)) for name, text in rows}
    told["transaction"] -= {"execute", "script"}
    told["transaction"] |= {"commit", "rollback", "disconnect", "renew", "savepoint", "rollback_to", "release"}
    real: dict[str, set[str]] = {}
    for method in Database.methods():
        real.setdefault(method.permission.removeprefix("database."), set()).add(method.name)
    assert told == real


@pytest.fixture
def shop(pg_superuser: str, pg_uri: str) -> Iterator[str]:
    """The URI of an empty database of PostgreSQL."""
    with psycopg.connect(pg_superuser, autocommit=True) as connection:
        connection.execute("CREATE DATABASE shop OWNER app")
        yield pg_uri.replace("/app?", "/shop?")
        connection.execute("DROP DATABASE shop WITH (FORCE)")


def run_on_two_databases(serve: Callable[..., Any], shop: str, code: str) -> str:
    """Run a program against a server with the databases main and shop; returns what it prints."""
    databases = {"databases": {"main": {}, "shop": {"url": shop}}}
    served = serve({}, RPCSERVER_SERVICES=json.dumps({"database": databases}))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**served.environment, "RPC_URL": served.url, "RPC_TOKEN": served.token, "COLUMNS": "120"},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook(serve: Callable[..., Any], document: Callable[[str], str], shop: str) -> None:
    """Each cell of docs/pandas.md prints exactly what follows it."""
    cells = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", document("pandas.md"), re.DOTALL)
    mark = "-- cell --"
    printed = run_on_two_databases(serve, shop, "".join(f"{cell}\nprint({mark!r})\n" for cell, _ in cells))
    assert len(cells) > 10
    for (cell, wanted), found in zip(cells, printed.split(mark + "\n"), strict=False):
        assert "\n".join(line.rstrip() for line in found.splitlines()) == wanted.rstrip(), cell


def test_sqlalchemy_and_the_dbapi(serve: Callable[..., Any], document: Callable[[str], str], shop: str) -> None:
    page = document("database-python.md")
    source = "\n".join(blocks(page, "python"))
    lines = iter(run_on_two_databases(serve, shop, source).splitlines())
    for wanted in said(source):
        assert fnmatch.fnmatchcase(next(lines), pattern(wanted)), wanted
    assert list(lines) == []


def test_the_urls(document: Callable[[str], str]) -> None:
    page = document("database-python.md")
    urls = [sa.make_url(url) for url in re.findall(r"^\| `(\w+\+rpc:[^`]+)` \|", page, re.MULTILINE)]
    found = [url.get_dialect()().create_connect_args(url)[1] for url in urls]
    assert {url.get_backend_name() for url in urls} == {"sqlite", "postgresql", "mysql", "mariadb"}
    known = {"database", "url", "token", "token_file", "ca_file", "timeout_s", "readonly", "headers"}
    known |= {*ACCESS_TEXTS, *ACCESS_SECONDS, *ACCESS_FLAGS}
    assert set().union(*found) == known - {"server_hostname"}
    assert {arguments["url"].partition(":")[0] for arguments in found if "url" in arguments} == {"ws", "wss", "unix"}
