"""PostgreSQL says that it ends a connection before its process closes the socket: meanwhile nothing goes over it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from rpcservices.database.backends.postgresql.connection import goodbye
from rpcservices.database.errors import DatabaseOperationalError

from .conftest import Bench

LIMIT_S = 30
SOCKET = ".s.PGSQL.5432"


class Keeper:
    """Stands between the service and PostgreSQL, and keeps sockets open that PostgreSQL has closed, until the service
    says something more.

    Parameters:
        folder: where it listens, as PostgreSQL does.
        server: PostgreSQL's own folder.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self._server = f"{server}/{SOCKET}"
        self._listener = socket.create_server(str(folder / SOCKET), family=socket.AF_UNIX)
        self._open: list[socket.socket] = [self._listener]
        self._live = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._open += [client, server]
                with self._changed:
                    self._live += 1
                for carry in (self._upwards, self._downwards):
                    threading.Thread(target=carry, args=(client, server), daemon=True).start()

    def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        for one in (client, server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _downwards(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        with self._changed:
            self._live -= 1
            self._changed.notify_all()

    def wait_ended(self) -> None:
        """Wait until PostgreSQL has closed all connections, and what it said before has been passed on."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._live == 0, LIMIT_S)

    def close(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def kept(pg_uri: str, tmp_path: Path) -> Iterator[tuple[Keeper, str]]:
    """What keeps sockets open, and the URI of the database by way of it."""
    (server,) = parse_qs(urlsplit(pg_uri).query)["host"]
    folder = tmp_path / "s"
    folder.mkdir()
    keeper = Keeper(folder, server)
    yield keeper, f"{pg_uri.partition('?')[0]}?host={folder}"
    keeper.close()


async def end_all(superuser: str, keeper: Keeper) -> None:
    def end() -> None:
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        keeper.wait_ended()

    await asyncio.to_thread(end)


@pytest.mark.parametrize("method", ["query", "execute", "executemany", "script", "stream", "begin", "connect"])
def test_idle_connections_that_are_about_to_end_are_not_lent(run_with, kept, pg_superuser, method):
    keeper, uri = kept

    async def work(bench: Bench) -> None:
        db = bench.db
        for _ in range(3):
            await db.query("main", "SELECT 1")
            await db.execute("main", "SELECT 1")
            target = bench.service._targets["main"]
            await target.reading.wait_idle()
            await target.writing.wait_idle()
            await end_all(pg_superuser, keeper)
            if method == "executemany":
                await db.executemany("main", "SELECT ?", [[1]])
            elif method == "stream":
                assert [page.rows async for page in await db.stream("main", "SELECT 1")] == [[(1,)]]
            elif method in ("begin", "connect"):
                tx = (await getattr(db, method)("main")).id
                assert (await db.query("main", "SELECT 1", transaction=tx)).scalar() == 1
                await (db.rollback if method == "begin" else db.disconnect)(tx)
            else:
                await getattr(db, method)("main", "SELECT 1")

    run_with(work, main={"url": uri, "pool_size": 1, "read_pool_size": 1})


USES: dict[str, Callable[[Bench, str], Awaitable[Any]]] = {
    "query": lambda bench, tx: bench.db.query("main", "SELECT 1", transaction=tx),
    "execute": lambda bench, tx: bench.db.execute("main", "SELECT ?::int", [1], transaction=tx),
    "executemany": lambda bench, tx: bench.db.executemany("main", "SELECT ?", [[1], [2]], transaction=tx),
    "stream": lambda bench, tx: bench.db.stream("main", "SELECT 1", transaction=tx),
    "script": lambda bench, tx: bench.db.script("main", "SELECT 1", atomic=False, transaction=tx),
    "describe": lambda bench, tx: bench.db.describe("main", "SELECT 1", transaction=tx),
}


@pytest.mark.parametrize("use", USES)
def test_a_session_says_why_and_that_nothing_was_executed(run_with, kept, pg_superuser, use):
    keeper, uri = kept

    async def work(bench: Bench) -> None:
        for open_ in ("begin", "connect"):
            tx = (await getattr(bench.db, open_)("main")).id
            await bench.db.execute("main", "LISTEN news", transaction=tx)
            await end_all(pg_superuser, keeper)
            with pytest.raises(DatabaseOperationalError, match="administrator") as raised:
                await USES[use](bench, tx)
            error = raised.value
            assert (error.sqlstate, error.executed, error.connection_lost) == ("57P01", "no", True)

    run_with(work, main={"url": uri})


NOTICE = b"N\0\0\0\x18SNOTICE\0VNOTICE\0\0\0\0\0"
FATAL = b"E\0\0\0\x14SFATAL\0VFATAL\0\0\0"


@pytest.mark.parametrize(
    ("arrived", "said"),
    [
        (b"", False), (b"E\0\0", False), (NOTICE, False), (FATAL, True), (NOTICE + FATAL, True), (FATAL[:-1], True),
        (FATAL[:8], False), (FATAL.replace(b"VFATAL", b"VERROR"), False), (b"Z\0\0\0\x05I" + FATAL, True),
        (b"D\0\0\0\x18" + FATAL[:20] + b"Z\0\0\0\x05I", False),
    ],
)  # fmt: skip
def test_what_a_server_says_before_it_goes(arrived, said):
    assert (goodbye(arrived) is not None) is said
