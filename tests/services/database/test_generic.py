"""Other dialects by their URL: here asyncpg, which the service knows nothing about."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from urllib.parse import quote

import psycopg
import pytest

from rpcservices.database import DatabaseConfig
from rpcservices.database.backends.generic import GenericCursor
from rpcservices.database.errors import DatabaseError, DatabaseNotSupportedError, DatabaseOperationalError
from rpcservices.database.pool import Target


@pytest.fixture
def asyncpg_url(pg_uri, missing):
    try:
        import asyncpg  # noqa: F401
    except ImportError:
        missing("asyncpg is not installed")
    return pg_uri.replace("postgresql:", "postgresql+asyncpg:")


def test_statements_transactions_and_streams(run_with, asyncpg_url):
    async def work(bench):
        db = bench.db
        await db.execute("main", "DROP TABLE IF EXISTS g")
        await db.execute("main", "CREATE TABLE g (id INTEGER PRIMARY KEY, x TEXT)")
        done = await db.executemany("main", "INSERT INTO g VALUES (?, ?)", [[n, str(n)] for n in range(5)])
        assert done.rowcount == 5
        found = await db.query("main", "SELECT id, x FROM g WHERE id > :low ORDER BY id", {"low": 2})
        assert found.rows == [(3, "3"), (4, "4")] and found[0].x == "3"
        tx = await db.begin("main")
        await db.execute("main", "DELETE FROM g", transaction=tx.id)
        await db.rollback(tx.id)
        stream = await db.stream("main", "SELECT generate_series(1, 5000)")
        assert sum([len(page) async for page in stream]) == 5000
        with pytest.raises(DatabaseError) as caught:
            await db.execute("main", "INSERT INTO g VALUES (1, '')")
        assert caught.value.sqlstate == "23505"
        assert (await db.query("main", "SELECT count(*) FROM g")).scalar() == 5
        with pytest.raises(DatabaseNotSupportedError):
            await db.begin("main", readonly=True)
        assert "g" in [table.name for table in await db.tables("main")]

    run_with(work, main={"url": asyncpg_url, "allow_unguarded_reads": True})


def at_work(pg_superuser):
    """How many statements sleep in the database."""
    with psycopg.connect(pg_superuser, autocommit=True) as connection:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(61)'"
        row = connection.execute(sql).fetchone()
    return row[0]


async def until(condition, limit_s):
    async with asyncio.timeout(limit_s):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["cancelled", "too long"])
def test_a_stopped_statement_works_no_more_and_takes_its_connection_with_it(run_with, asyncpg_url, pg_superuser, how):
    async def work(bench):
        running = asyncio.ensure_future(bench.db.query("main", "SELECT pg_sleep(61)"))
        if how == "cancelled":
            await until(lambda: at_work(pg_superuser) == 1, 10)
            running.cancel()
        with pytest.raises(asyncio.CancelledError if how == "cancelled" else DatabaseOperationalError) as caught:
            await running
        assert how == "cancelled" or caught.value.sqlstate == "57014"
        await until(lambda: at_work(pg_superuser) == 0, 1)
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    timeout_s = 60 if how == "cancelled" else 0.5
    options = {"allow_unguarded_reads": True, "read_pool_size": 1, "statement_timeout_s": timeout_s}
    run_with(work, main={"url": asyncpg_url, **options})


def test_a_statement_that_is_cancelled_as_it_ends_is_not_committed(run_with, asyncpg_url):
    async def work(bench):
        db = bench.db
        await db.execute("main", "DROP TABLE IF EXISTS late")
        await db.execute("main", "CREATE TABLE late (id INTEGER)")
        pool = bench.service._targets["main"].writing

        async def run():
            async with pool.link("test") as link:
                await link.run(insert(link))

        async def insert(link):
            await link.execute("INSERT INTO late VALUES (1)", None, 1)
            running.cancel()  # The caller has not heard yet that it is done.

        running = asyncio.ensure_future(run())
        with pytest.raises(asyncio.CancelledError):
            await running
        await pool.wait_idle()
        assert (await db.query("main", "SELECT count(*) FROM late")).scalar() == 0

    run_with(work, main={"url": asyncpg_url, "allow_unguarded_reads": True})


def test_executemany_tells_an_unknown_count_and_closes_its_cursors(run_with, asyncpg_url, monkeypatch):
    cursors = []
    make, close = GenericCursor.__init__, GenericCursor.close

    def made(self, *args):
        make(self, *args)
        cursors.append(self)

    async def closed(self):
        await close(self)
        cursors.remove(self)

    monkeypatch.setattr(GenericCursor, "__init__", made)
    monkeypatch.setattr(GenericCursor, "close", closed)

    async def work(bench):
        done = await bench.db.executemany("main", "CREATE TEMP TABLE IF NOT EXISTS many (id INTEGER)", [[], []])
        assert (done.rowcount, done.statements) == (-1, 2)
        assert cursors == []

    run_with(work, main={"url": asyncpg_url, "allow_unguarded_reads": True})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"url": "postgresql+asyncpg://x/y"}, "allow_unguarded_reads"),
        ({"url": "postgresql+asyncpg://x/y", "readonly": True}, "nothing enforces it"),
        ({"url": "postgresql+psycopg2://x/y"}, "not installed|not asynchronous"),
        ({"url": "oracle://x/y"}, "not installed|not asynchronous"),
        ({"url": "nothing://x/y"}, "url"),
        ({"url": "sqlite://"}, "needs a file"),
        ({"password_file": "/nowhere/x"}, "password_file"),
        ({"password_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(tmp_path, config, reason):
    with pytest.raises(ValueError, match=reason):
        Target("main", DatabaseConfig.model_validate(config), tmp_path)


@pytest.mark.parametrize(
    "password", ["s3c@retPW", "s3c@ret:PW", "s3c@ret/PW", "s3c@ret?PW", "s3c?r@etPW", "s3c@r@etPW"]
)
@pytest.mark.parametrize("port", ["", ":1"])
def test_a_password_with_an_at_is_refused_without_showing_it(password, port):
    with pytest.raises(ValueError, match="%40") as caught:
        DatabaseConfig.model_validate({"url": f"postgresql://u:{password}@127.0.0.1{port}/db"})
    assert "s3c" not in str(caught.value) and "PW" not in str(caught.value)
    DatabaseConfig.model_validate({"url": f"postgresql://u:{quote(password, safe='')}@127.0.0.1{port}/db"})
    DatabaseConfig.model_validate({"url": "postgresql://u:s3c?ret@127.0.0.1/db?options=-c%20a=b@c"})


@pytest.mark.parametrize("url", ["postgresql://u:pw@h:port/db", "no url", "postgresql://u:p:w@h:x/db"])
def test_a_wrong_url_is_not_shown(url):
    with pytest.raises(ValueError, match="not a database URL") as caught:
        DatabaseConfig.model_validate({"url": url})
    assert url not in str(caught.value) and "port'" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["nothing://u:s3cret@x/y", "postgresql+psycopg2://u:s3cret@x/y", "postgresql+asyncpg://u:s3cret@x/y"]
)
def test_a_fault_of_the_configuration_is_one_line(tmp_path, url):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RPC_", "RPCSERVER_"))},
        "RPCSERVER_STATE_DIR": str(tmp_path / "state"),
        "RPCSERVER_SERVICES": json.dumps({"database": {"databases": {"main": {"url": url}}}}),
    }
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    place = "rpcserver: environment variable RPCSERVER_SERVICES: services.database.databases.main.url: "
    assert line.startswith(place) and "s3cret" not in line


def test_an_url_that_is_none_is_refused():
    with pytest.raises(ValueError, match="not a database URL"):
        DatabaseConfig.model_validate({"url": "no url"})
