"""Wide rows: neither side holds more than a few of them, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from rpcservices.database.errors import DatabaseDataError
from tests.services.database.conftest import Bench, Daemon, serving
from tests.services.database.memory import MIB, growth, quiet, stream_rows, until

ROWS = 200
RunWith = Callable[..., Any]


def wide(daemon: Daemon, count: int) -> str:
    text = f"printf('%.*c', {MIB}, 'x')" if daemon.kind == "sqlite" else f"repeat('x', {MIB})"
    return daemon.sql.numbers(count, f"{text} AS x")


@pytest.fixture(scope="module")
def serving_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A server with an SQLite database."""
    with serving(tmp_path_factory.mktemp("daemon"), "sqlite", {}) as running:
        yield running


def test_streaming_wide_rows_takes_no_memory(daemon: Daemon) -> None:
    client, server = stream_rows(daemon, daemon.sql.numbers(1000), wide(daemon, ROWS), ROWS)
    print(f"\n{daemon.kind}: {ROWS} rows of 1 MiB, client +{client / MIB:.1f} MiB, server +{server / MIB:.1f} MiB")
    assert client < 50 * MIB
    assert server < 50 * MIB


def test_a_result_that_is_cut_takes_little_more_than_it_holds(daemon: Daemon) -> None:
    with daemon.connect() as client:
        client.database.query("main", daemon.sql.numbers(1000))
        server: list[int] = []
        with growth(daemon.pid, server):
            found = client.database.query("main", wide(daemon, ROWS))
    assert found.truncated and 5 < len(found) < 8
    print(f"\n{daemon.kind}: {ROWS} rows of 1 MiB, cut, server +{server[0] / MIB:.1f} MiB")
    assert server[0] < 100 * MIB


def test_a_reader_that_stops_holds_few_pages(daemon: Daemon) -> None:
    with daemon.connect() as client, client.database.stream("main", wide(daemon, ROWS)) as pages:
        next(pages)
        inbox = pages._reader._inbox  # type: ignore[union-attr]
        until(lambda: quiet(psutil.Process(daemon.pid)))
        assert len(inbox._items) <= 16
        assert sum(map(len, pages)) == ROWS - 1


def test_a_huge_cell_is_refused_before_it_is_made(serving_sqlite: Daemon) -> None:
    with serving_sqlite.connect() as client:
        client.database.query("main", "SELECT 1")
        server: list[int] = []
        for call in (client.database.query, client.database.execute):
            with growth(serving_sqlite.pid, server), pytest.raises(Exception, match="max_row_bytes"):
                call("main", "SELECT zeroblob(300000000)")
    assert max(server) < 20 * MIB


def test_a_value_beyond_the_limit_is_refused(run_with: RunWith) -> None:
    async def work(bench: Bench) -> None:
        db = bench.db
        await db.execute("main", "CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)")
        for value in (b"x" * 2000, "x" * 2000):
            with pytest.raises(DatabaseDataError, match="max_row_bytes"):
                await db.execute("main", "INSERT INTO t VALUES (1, ?)", [value])
        await db.execute("main", "INSERT INTO t VALUES (1, ?)", [b"x" * 1000])
        assert (await db.query("main", "SELECT length(b) FROM t")).scalar() == 1000

    run_with(work, main={"max_row_bytes": 1500})
