"""What applications set when they connect to SQLite: the DB-API and SQLAlchemy go on, and tell what is ignored."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ProgrammingError

from rpcclient import dbapi
from rpcclient.dbapi import aio
from tests.client_dbapi.live import TOKEN

ON_CONNECT = ["PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON",
              "PRAGMA busy_timeout=5000", "PRAGMA cache_size=-64000", "PRAGMA temp_store=MEMORY",
              "PRAGMA mmap_size=268435456", "PRAGMA case_sensitive_like=ON", "PRAGMA optimize"]  # fmt: skip
TOLD = "PRAGMA synchronous=NORMAL is ignored: it is 2, for the server to set"


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("autocommit", [False, True])
def test_messages_of_a_cursor(serve, readonly, autocommit):
    live = serve(main={})
    with dbapi.connect(live.url, token=TOKEN, readonly=readonly, autocommit=autocommit) as connection:
        for sql in ON_CONNECT:
            connection.execute(sql)
        assert connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        assert connection.execute("SELECT 'a' LIKE 'A'").fetchone() == (0,)
        for server_side in (False, True):
            cursor = connection.cursor(server_side=server_side)
            assert cursor.messages == []
            assert cursor.execute("PRAGMA synchronous=NORMAL").messages == [(dbapi.Warning, TOLD)]
            assert cursor.execute("SELECT 1").messages == []
        if readonly:
            with pytest.raises(dbapi.ProgrammingError):
                connection.execute("CREATE TABLE t (x)")

    async def work() -> None:
        async with await aio.connect(live.url, token=TOKEN) as connection:
            cursor = await connection.execute("PRAGMA synchronous=NORMAL")
            assert cursor.messages == [(dbapi.Warning, TOLD)]

    asyncio.run(work())


@pytest.mark.parametrize("readonly", [False, True])
def test_engines_that_set_on_connect(serve, readonly):
    live = serve(main={"url": _made(serve), "readonly": True} if readonly else {})
    engine = sa.create_engine(live.sqlalchemy("sqlite"))

    @event.listens_for(engine, "connect")
    def set_up(driver_connection: Any, record: object) -> None:
        cursor = driver_connection.cursor()
        for sql in ON_CONNECT:
            cursor.execute(sql)
        cursor.close()

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 'a' LIKE 'A'").scalar() == 0
        assert connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar() == "wal"
        if readonly:
            with pytest.raises(ProgrammingError):
                connection.exec_driver_sql("CREATE TABLE u (x)")
    engine.dispose()
    other = sa.create_engine(live.sqlalchemy("sqlite"))
    with other.connect() as connection:
        assert connection.exec_driver_sql("SELECT 'a' LIKE 'A'").scalar() == 1
    other.dispose()


def _made(serve: Any) -> str:
    """The URL of a file that there is."""
    live = serve(main={})
    with dbapi.connect(live.url, token=TOKEN) as connection:
        (file,) = connection.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchall()[0]
    return f"sqlite:///{file}"


@pytest.mark.parametrize("write", [[], ["--write"]])
def test_the_shell_says_it_on_standard_error(serve, write):
    live = serve(main={})
    command = [Path(sys.executable).parent / "rpcclient", "--url", live.url, "sql", "main", "PRAGMA synchronous=NORMAL"]
    done = subprocess.run(
        [*command, *write],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "RPC_TOKEN": TOKEN},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"rpcclient: {TOLD}\n"
