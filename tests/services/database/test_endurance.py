"""Long proofs over real connections, each with a short form in the ordinary suite: memory, cancellation, killed clients."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import psycopg
import pytest

from rpcclient.errors import DeadlineExceeded
from tests.services.database.memory import MIB, growth, quiet, stream_rows, until

LEASE_S = 30.0
"""How long a transaction may be unused: the configuration's default."""
FREE_S = 1.0 if os.environ.get("SOAK") else 10.0
"""How long the database may work on. A busy machine may take longer without any fault of ours, so only the long proofs
insist."""


def check_memory(daemon, count):
    started = time.monotonic()
    more = "'some text of the row, about forty letters' AS x, 1.5 AS y"
    narrow = daemon.sql.numbers(min(count, 100_000), more)
    client, server = stream_rows(daemon, narrow, daemon.sql.numbers(count, more), count)
    taken = time.monotonic() - started
    print(
        f"\n{daemon.kind}: {count:,} rows, client +{client / MIB:.1f} MiB, server +{server / MIB:.1f} MiB, {taken:.0f} s"
    )
    assert client < 50 * MIB
    assert server < 50 * MIB


def test_streaming_takes_no_memory(daemon):
    check_memory(daemon, 200_000)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_streaming_five_million_rows_takes_no_memory(daemon):
    check_memory(daemon, 5_000_000)


def working(daemon, request):
    """How many statements of ours the database works on, by its own account; of SQLite, by the server's processor time."""
    if daemon.kind == "postgresql":
        uri = request.getfixturevalue("pg_superuser")
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'active'"

        def active():
            with psycopg.connect(uri) as connection:
                return connection.execute(query).fetchone()[0]

        return active
    if daemon.kind == "mariadb":
        socket = request.getfixturevalue("my_superuser")
        query = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'app' AND COMMAND = 'Query'"
        command = ["mariadb", "--no-defaults", "-S", socket, "-u", "root", "-N", "-e", query]
        return lambda: int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    process = psutil.Process(daemon.pid)

    def busy():
        before = sum(process.cpu_times()[:2])
        time.sleep(0.1)  # What is measured is the time that passes.
        return int(sum(process.cpu_times()[:2]) - before > 0.03)

    return busy


def test_a_reader_that_stops_holds_no_more_than_its_window(daemon):
    window = 16
    with (
        daemon.connect() as client,
        client.options(window=window).database.stream("main", daemon.sql.endless("i")) as pages,
    ):
        first = next(pages)
        server = []
        with growth(daemon.pid, server):
            inbox = pages._reader._inbox
            until(lambda: len(inbox._items) >= window - 1)
            until(lambda: quiet(psutil.Process(daemon.pid)))
        assert len(inbox._items) <= window
        size = max(len(bytes(item)) for item in inbox._items)
        assert size < 300 * 1024
        assert server[0] < 2 * window * size + 4 * MIB
        again = [next(pages) for _ in range(3 * window)]
        assert [page.offset for page in again] == [len(first) + sum(map(len, again[:n])) for n in range(3 * window)]


def close_early(daemon, request):
    at_work = working(daemon, request)
    with daemon.connect() as client:
        for pages_read in (0, 1, 20):
            with client.database.stream("main", daemon.sql.endless("i")) as pages:
                for _ in range(pages_read):
                    next(pages)
            taken = until(lambda: at_work() == 0, FREE_S)
            print(f"\n{daemon.kind}: closed after {pages_read} pages, the cursor is free after {taken * 1000:.0f} ms")
        assert client.database.query("main", "SELECT 1").scalar() == 1


def test_closing_early_frees_the_cursor(daemon, request):
    close_early(daemon, request)


@pytest.mark.soak
def test_closing_early_frees_the_cursor_within_a_second(daemon, request):
    close_early(daemon, request)


def sleeping(daemon):
    if daemon.kind == "sqlite":
        return daemon.sql.endless("count(*)")
    return "SELECT pg_sleep(60)" if daemon.kind == "postgresql" else "SELECT sleep(60)"


def stop_work(daemon, request, way):
    at_work = working(daemon, request)

    async def main():
        async with daemon.connect_async() as client:
            other = daemon.connect_async()
            timeout_s = 0.5 if way == "deadline" else 120
            running = asyncio.ensure_future(other.options(timeout_s=timeout_s).database.query("main", sleeping(daemon)))
            if way != "deadline":
                await asyncio.to_thread(until, lambda: at_work() == 1)
            if way == "cancel":
                running.cancel()
            elif way == "disconnect":
                await other.close()
            with pytest.raises(DeadlineExceeded if way == "deadline" else BaseException):
                await running
            taken = await asyncio.to_thread(until, lambda: at_work() == 0, FREE_S)
            print(f"\n{daemon.kind}: after a {way} the work is gone in {taken * 1000:.0f} ms")
            await other.close()
            assert (await client.database.query("main", "SELECT 1")).scalar() == 1

    asyncio.run(main())


@pytest.mark.parametrize("way", ["cancel", "deadline", "disconnect"])
def test_the_work_stops(daemon, request, way):
    stop_work(daemon, request, way)


@pytest.mark.soak
@pytest.mark.parametrize("way", ["cancel", "deadline", "disconnect"])
def test_the_work_is_gone_within_a_second(daemon, request, way):
    stop_work(daemon, request, way)


def cancel_often(daemon, request, times):
    """Cancel long queries at all stages, over a real connection; the pool works as before."""
    at_work = working(daemon, request)

    async def main():
        async with daemon.connect_async() as client:
            db = client.database
            for number in range(times):
                running = asyncio.ensure_future(db.query("main", sleeping(daemon)))
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                if number % 3:
                    await asyncio.sleep(number % 10 / 1000)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                if number % 50 == 0:
                    assert (await db.query("main", "SELECT :n + 0", {"n": number})).scalar() == number
            answers = await asyncio.gather(*(db.query("main", "SELECT :n + 0", {"n": n}) for n in range(20)))
            assert [answer.scalar() for answer in answers] == list(range(20))

    asyncio.run(main())
    until(lambda: at_work() == 0, FREE_S)


def test_the_pool_is_healthy_after_cancels(daemon, request):
    cancel_often(daemon, request, 60)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_pool_is_healthy_after_a_thousand_cancels(daemon, request):
    started = time.monotonic()
    cancel_often(daemon, request, 1000)
    print(f"\n{daemon.kind}: 1,000 cancels in {time.monotonic() - started:.0f} s")


WRITER = """
import sys
from rpcclient import Client

with Client(sys.argv[1], token=sys.argv[2]) as client:
    number = int(sys.argv[3])
    print("ready", flush=True)
    while True:
        number += 1
        with client.database.transaction("main") as tx:
            for half in (1, 2):
                tx.execute("INSERT INTO pair VALUES (:number, :half)", {"number": number, "half": half})
"""


def kill_often(daemon, times):
    """Kill a client that writes pairs, each in a transaction: there are only whole pairs, and nothing is locked."""
    with daemon.connect() as client:
        db = client.database
        db.execute("main", "DROP TABLE IF EXISTS pair")
        db.execute("main", "CREATE TABLE pair (number INTEGER, half INTEGER)")
        whole = 0
        for repetition in range(times):
            words = [daemon.url, daemon.token, str(repetition * 1_000_000)]
            with subprocess.Popen([sys.executable, "-c", WRITER, *words], stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout.readline() == "ready\n"
                until(lambda at=repetition * 1_000_000: db.query(
                    "main", "SELECT count(*) FROM pair WHERE number > :at", {"at": at}
                ).scalar() > 0)  # fmt: skip
                time.sleep(repetition % 13 / 1000)  # Not to wait for something, but to hit another moment.
                os.kill(writer.pid, signal.SIGKILL)
            leased = client.options(timeout_s=LEASE_S).database
            with leased.transaction("main") as tx:  # It waits for the locks of the one that was killed.
                tx.execute("INSERT INTO pair VALUES (-1, 1)")
                tx.execute("INSERT INTO pair VALUES (-1, 2)")
                halves = tx.query("SELECT number FROM pair GROUP BY number HAVING count(*) % 2 <> 0").rows
                assert list(halves) == []
            found = db.query("main", "SELECT count(*) FROM pair").scalar()
            assert found % 2 == 0
            whole = found // 2
    return whole


def test_a_killed_client_leaves_nothing_half_written(daemon):
    assert kill_often(daemon, 3) > 3


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_hundred_killed_clients_leave_nothing_half_written(daemon):
    started = time.monotonic()
    whole = kill_often(daemon, 200)
    print(f"\n{daemon.kind}: 200 clients killed, {whole} whole pairs, none halved, {time.monotonic() - started:.0f} s")
