"""Connections that nobody holds any more, and nobody has closed: their clients end, with a ResourceWarning."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
import uvloop

from rpcclient import dbapi
from rpcclient.dbapi import aio
from tests.client_dbapi.live import TOKEN, Live
from tests.leftovers import state

UNCLOSED = "unclosed client of ws"


def is_as(before: tuple[int, set[str]], live: Live) -> bool:
    gc.collect()
    threads, files = state()
    return not live._server.connections and threads <= before[0] and files <= before[1]


@pytest.fixture
def live(serve: Callable[..., Live]) -> Live:
    live = serve()
    with dbapi.connect(live.url, token=TOKEN) as connection:  # The database opens some files, which stay.
        connection.execute("CREATE TABLE t (x INTEGER)")
    gc.collect()
    return live


def test_a_connection(live: Live) -> None:
    """In the middle of a transaction, and of rows, of which nothing is left either."""
    before = state()
    connection = dbapi.connect(live.url, token=TOKEN)
    connection.execute("INSERT INTO t VALUES (1)")
    cursor = connection.cursor(server_side=True).execute("SELECT 1 UNION ALL SELECT 2")
    assert cursor.fetchone() == (1,)
    until = time.monotonic() + 60
    with pytest.warns(ResourceWarning, match=UNCLOSED):
        del connection, cursor
        while not is_as(before, live):
            assert time.monotonic() < until
            threading.Event().wait(0.005)
    with dbapi.connect(live.url, token=TOKEN) as other:
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_an_asynchronous_connection(live: Live, factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    async def drop() -> None:
        connection = await aio.connect(live.url, token=TOKEN)
        await connection.execute("INSERT INTO t VALUES (1)")
        cursor = await connection.cursor(server_side=True).execute("SELECT 1 UNION ALL SELECT 2")
        assert await cursor.fetchone() == (1,)

    async def use() -> int:
        async with await aio.connect(live.url, token=TOKEN) as connection:
            row = await (await connection.execute("SELECT count(*) FROM t")).fetchone()
            assert row is not None
            return int(row[0])

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(use())  # The loop opens some files of its own, which stay.
        before, until = state(), time.monotonic() + 60
        with pytest.warns(ResourceWarning, match=UNCLOSED):
            runner.run(drop())
            while not is_as(before, live):
                assert time.monotonic() < until
                runner.run(asyncio.sleep(0.005))
        assert runner.run(use()) == 0


AT_THE_END = """
import sys
from rpcclient import Client, dbapi

def left_within():
    with Client(sys.argv[1], token=sys.argv[2]) as client, client.database.transaction("main") as transaction:
        transaction.query("INSERT INTO t VALUES (1)")
        with dbapi.connect(sys.argv[1], token=sys.argv[2]) as connection:
            yield connection.cursor(server_side=True).execute("SELECT 1 UNION ALL SELECT 2")

blocks = left_within()
cursor = next(blocks)
print(cursor.fetchone())
sys.modules["kept"], sys.modules["cursor"] = blocks, cursor
"""


def test_blocks_that_are_left_as_the_interpreter_ends(live: Live) -> None:
    command = [sys.executable, "-W", "error", "-c", AT_THE_END, live.url, TOKEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(1,)\n", "")
    with dbapi.connect(live.url, token=TOKEN) as other:
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
