"""Connections and engines that were made before a fork: they stay the parent's, whatever a child does with them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.client_dbapi.live import TOKEN

ROOT = Path(__file__).parents[2]
BEGIN = """
import asyncio, gc, multiprocessing, os, sys
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from rpcclient import Client, dbapi
from rpcclient.dbapi import aio
from tests.client.forked import Child

url, token, engine_url = sys.argv[1:4]

def tell(child):
    print(Child(child).answer(), flush=True)

def refused(use):
    "What an error says."
    try:
        use()
    except dbapi.Error as error:
        return [type(error).__name__, error.disconnected, getattr(error.__cause__, "executed", None), str(error)[:57]]
    return "it went well"
"""
OF_PARENT = "['OperationalError', True, 'no', 'the connection belongs to the process that this one was f']"


@pytest.fixture
def kind() -> str:
    """What is tried here is the same with every database."""
    return "sqlite"


@pytest.fixture
def script(live, table):
    """Runs a script in a process of its own."""

    def run(text):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", BEGIN + textwrap.dedent(text),
             live.url, TOKEN, live.sqlalchemy("sqlite")],
            capture_output=True, text=True, timeout=110, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert (done.stderr, done.returncode) == ("", 0)
        return done.stdout.splitlines()

    return run


def test_a_connection(script):
    text = """
    connection = dbapi.connect(url, token=token)
    cursor = connection.execute("INSERT INTO t VALUES (1, 'one')")
    rows = connection.cursor(server_side=True)
    rows.execute("SELECT 1 UNION SELECT 2")
    assert rows.fetchone() == (1,)
    for use in (
        lambda: connection.execute("SELECT 1"), connection.commit, connection.rollback, connection.cursor,
        lambda: cursor.execute("SELECT 1"), lambda: cursor.executemany("INSERT INTO t VALUES (?, ?)", [(2, "two")]),
    ):
        tell(lambda: refused(use))
    def ends(how):
        how()
        return connection.closed, connection.in_transaction, connection.client.connected
    for how in (connection.close, rows.close, cursor.close, lambda: connection.__exit__(ValueError, None, None)):
        tell(lambda: ends(how))
    def garbage():
        global connection, cursor, rows
        connection = cursor = rows = None
        gc.collect()
    tell(garbage)
    def anew():
        with dbapi.connect(client=connection.client, autocommit=True) as other:
            return other.execute("SELECT count(*) FROM t").fetchone()
    tell(anew)
    process = multiprocessing.get_context("fork").Process(target=connection.close)
    process.start()
    process.join(40)
    print(process.exitcode, connection.in_transaction, rows.fetchall())
    connection.commit()
    print(connection.execute("SELECT * FROM t").fetchall())
    connection.close()
    """
    lines = script(text)
    assert lines[:6] == [f"['returned', {OF_PARENT}]"] * 6
    assert lines[6:] == [
        "['returned', [True, False, False]]",
        "['returned', [False, True, False]]",
        "['returned', [False, True, False]]",
        "['returned', [True, False, False]]",
        "['returned', None]",
        "['returned', [0]]",
        "0 True [(2,)]",
        "[(1, 'one')]",
    ]


def test_an_asynchronous_connection(script):
    text = """
    async def main():
        connection = await aio.connect(url, token=token)
        cursor = await connection.execute("INSERT INTO t VALUES (1, 'one')")
        for use in (lambda: connection.execute("SELECT 1"), connection.commit, lambda: cursor.execute("SELECT 1")):
            async def used():
                return await use()
            tell(lambda: refused(lambda: asyncio.run(used())))
        tell(lambda: [asyncio.run(connection.close()), connection.closed, connection.client.connected])
        tell(lambda: [asyncio.run(cursor.close()), connection.closed])
        def terminated():
            connection.terminate()
            return connection.closed
        tell(terminated)
        await connection.commit()
        print(await (await connection.execute("SELECT * FROM t")).fetchall())
        await connection.close()
    asyncio.run(main())
    """
    lines = script(text)
    assert lines == [
        *[f"['returned', {OF_PARENT}]"] * 3,
        "['returned', [None, True, False]]",
        "['returned', [None, False]]",
        "['returned', True]",
        "[(1, 'one')]",
    ]


def test_an_engine(script):
    """Whatever its user does about the fork: nothing, what SQLAlchemy's guide says, or the wrong thing."""
    text = """
    def seven(engine):
        with engine.connect() as connection:
            return connection.execute(text("SELECT 7")).scalar()
    def told(engine):
        try:
            return seven(engine)
        except DBAPIError as error:
            return [error.connection_invalidated, type(error.orig).__name__, error.orig.disconnected, seven(engine)]
    for pre_ping in (False, True):
        engine = create_engine(engine_url, pool_pre_ping=pre_ping)
        with engine.begin() as inside:
            inside.execute(text("INSERT INTO t (x) VALUES ('one')"))
            seven(engine)
            tell(lambda: told(engine))
            tell(lambda: [engine.dispose(), seven(engine), engine.dispose()])
            tell(lambda: [engine.dispose(close=False), seven(engine), engine.dispose()])
            def garbage():
                global inside, engine
                inside = engine = None
                gc.collect()
            tell(garbage)
            fork = multiprocessing.get_context("fork")
            with fork.Pool(2, initializer=engine.dispose, initargs=(False,)) as pool:
                print(pool.apply(os.getpid) != os.getpid())
        print(seven(engine))
        with engine.connect() as connection:
            print(connection.execute(text("SELECT count(*) FROM t")).scalar())
        engine.dispose()
    """
    lines = script(text)
    assert lines[:7] == [
        "['returned', [True, 'OperationalError', True, 7]]",
        "['returned', [None, 7, None]]",
        "['returned', [None, 7, None]]",
        "['returned', None]",
        "True",
        "7",
        "1",
    ]
    assert lines[7:] == ["['returned', 7]", *lines[1:6], "2"]


def test_an_asynchronous_engine(script):
    text = """
    async def seven(engine):
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT 7"))).scalar()
    async def told(engine):
        try:
            return await seven(engine)
        except DBAPIError as error:
            return [error.connection_invalidated, type(error.orig).__name__, await seven(engine)]
    async def after(engine, **how):
        await engine.dispose(**how)
        found = await seven(engine)
        await engine.dispose()
        return found
    async def main(pre_ping):
        engine = create_async_engine(engine_url, pool_pre_ping=pre_ping)
        async with engine.begin() as inside:
            await inside.execute(text("INSERT INTO t (x) VALUES ('one')"))
            await seven(engine)
            tell(lambda: asyncio.run(told(engine)))
            tell(lambda: asyncio.run(after(engine)))
            tell(lambda: asyncio.run(after(engine, close=False)))
        print(await seven(engine))
        async with engine.connect() as connection:
            print((await connection.execute(text("SELECT count(*) FROM t"))).scalar())
        await engine.dispose()
    for pre_ping in (False, True):
        asyncio.run(main(pre_ping))
    """
    assert script(text) == [
        "['returned', [True, 'OperationalError', 7]]", "['returned', 7]", "['returned', 7]", "7", "1",
        "['returned', 7]", "['returned', 7]", "['returned', 7]", "7", "2",
    ]  # fmt: skip


def test_a_transaction_of_the_client(script):
    text = """
    client = Client(url, token=token)
    with client.database.transaction("main") as tx:
        tx.execute("INSERT INTO t VALUES (1, 'one')")
        def lost(use):
            try:
                use()
            except Exception as error:
                return type(error).__name__, error.executed
            return "it went well"
        for use in (tx.commit, tx.rollback, lambda: tx.query("SELECT 1"), lambda: tx.__exit__(ValueError, ValueError(), None)):
            tell(lambda: lost(use))
    print(client.database.query("main", "SELECT x FROM t").rows[0][0])
    client.close()
    """
    *lost, left, rows = script(text)
    assert lost == ["['returned', ['TransactionLost', 'no']]"] * 3
    assert (left, rows) == ("['returned', 'it went well']", "one")
