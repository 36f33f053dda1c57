"""Other people's tools in an environment of their own, beside native drivers and against a server of ours."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.client_dbapi.live import Live
from tests.services.database.conftest import my_sql, my_superuser, pg_superuser

__all__ = ["my_superuser", "pg_superuser"]

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
LOCK = FOLDER / "lock.txt"
LIMIT_S = 300


@pytest.fixture(scope="session")
def tools() -> Path:
    """The ``bin`` of an environment with the tools and, editable, this project. It is kept for the next run."""
    place = Path(sys.prefix) / "other-tools"
    stamp = place / "stamp"
    wanted = hashlib.sha256(LOCK.read_bytes() + str(ROOT).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(place, clear=True, with_pip=True)
        install = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--requirement", LOCK], check=True, timeout=LIMIT_S)
        subprocess.run([*install, "--no-deps", "--editable", ROOT], check=True, timeout=LIMIT_S)
        stamp.write_text(wanted)
    return place / "bin"


@dataclass(frozen=True)
class Databases:
    """Two empty databases of one kind: URLs of SQLAlchemy for the native driver, and for ours."""

    kind: str
    native: str
    native_async: str
    ours: str

    @property
    def environments(self) -> dict[str, dict[str, str]]:
        """What a script is told, for each of the two."""
        # Celery stores times with a zone, which PyMySQL cuts off, and ours refuses unless told what becomes of them.
        celery = f"{self.ours}?aware_datetimes=utc" if self.kind == "mariadb" else self.ours
        return {
            "native": {"KIND": self.kind, "URL": self.native, "ASYNC_URL": self.native_async},
            "ours": {"KIND": self.kind, "URL": self.ours, "ASYNC_URL": self.ours, "CELERY_URL": celery},
        }


_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """Two databases of each kind, one of them behind a server."""
    number = next(_numbers)
    names = [f"tools_{side}_{number}" for side in ("native", "ours")]
    config: dict[str, Any] = {}
    if request.param == "sqlite":
        native, native_async = f"sqlite:///{tmp_path}/native.db", f"sqlite+aiosqlite:///{tmp_path}/native.db"
    elif request.param == "postgresql":
        uri = request.getfixturevalue("pg_superuser")
        path, _, query = uri.partition("?")
        base = path.rpartition("/")[0]
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE tools_{number} LOGIN PASSWORD 'tools-secret'")
            for name in names:
                connection.execute(f"CREATE DATABASE {name} OWNER tools_{number}")
        urls = [f"{base}/{name}?{query}".replace("postgres:@", f"tools_{number}:tools-secret@") for name in names]
        native = native_async = urls[0].replace("postgresql://", "postgresql+psycopg://")
        config = {"url": urls[1]}
    else:
        socket = request.getfixturevalue("my_superuser")
        sql = [f"CREATE USER tools_{number}@localhost IDENTIFIED BY 'tools-secret'"]
        for name in names:
            sql += [f"CREATE DATABASE {name}", f"GRANT ALL ON {name}.* TO tools_{number}@localhost"]
        my_sql(socket, "; ".join(sql))
        place = f"tools_{number}:tools-secret@localhost"
        native, native_async = (
            f"mysql+{driver}://{place}/{names[0]}?unix_socket={socket}" for driver in ("pymysql", "asyncmy")
        )
        config = {"url": f"mariadb://{place}/{names[1]}?unix_socket={socket}"}
    folder = tmp_path / "server"
    folder.mkdir()
    live = Live(folder, {"main": config})
    dialect = "mysql" if request.param == "mariadb" else request.param
    try:
        yield Databases(request.param, native, native_async, live.sqlalchemy(dialect))
    finally:
        live.stop()


def run_in(folder: Path, python: Path, name: str, **environment: str) -> Any:
    """Run a script of this folder; returns what it printed last, read as JSON.

    Parameters:
        folder: where it works; it is made.
        python: the interpreter.
        name: of the script.
        environment: variables to set.
    """
    folder.mkdir()
    done = subprocess.run(
        [python, "-W", "error::ResourceWarning", FOLDER / "scripts" / f"{name}.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        cwd=folder,
        env={**os.environ, **environment, "PATH": f"{python.parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, f"{name} {folder.name}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def run_script(tools: Path, tmp_path: Path) -> Callable[..., Any]:
    """Run a script of this folder in the environment of the tools."""

    def run(name: str, side: str, **environment: str) -> Any:
        return run_in(tmp_path / side, tools / "python", name, **environment)

    return run
