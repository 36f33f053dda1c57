"""Leases: a transaction lives as long as it is used or renewed, and not longer than that with a client that is frozen or
killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rpcservices.database.errors import TransactionLost
from tests.services.database.conftest import Bench, serving

RunWith = Callable[..., Any]

HOLDER = """
import sys
from rpcclient import Client
from rpcclient.stubs.database import TransactionLost

with Client(sys.argv[1], token=sys.argv[2]) as client:
    tx = client.database.transaction("main")
    tx.begin()
    tx.execute("INSERT INTO held VALUES (1)")
    print("holds", flush=True)
    sys.stdin.readline()
    try:
        tx.commit()
    except TransactionLost as exc:
        print("lost", exc.reason, flush=True)
"""


@pytest.mark.parametrize("way", ["use", "renew"])
def test_a_transaction_outlives_its_idle_time(run_with: RunWith, any_database: dict[str, Any], way: str) -> None:
    async def work(bench: Bench) -> None:
        db, loop = bench.db, asyncio.get_running_loop()
        tx = await db.begin("main")
        opened = bench.service._transactions._open[tx.id]
        assert opened.idle is not None
        first_end = opened.idle.when()

        def again() -> Awaitable[Any]:
            return db.renew(tx.id) if way == "renew" else db.query("main", "SELECT 1", transaction=tx.id)

        while loop.time() <= first_end + 0.2:
            await again()
            await asyncio.sleep(0)  # To renew never waits by itself.
        assert opened.idle is not None and opened.idle.when() > first_end
        await again()
        async with asyncio.timeout(10):
            while len(bench.service._transactions):
                await asyncio.sleep(0.01)
        with pytest.raises(TransactionLost, match="unused for"):
            await again()

    run_with(work, main={**any_database, "transaction_idle_s": 1.0})


def test_renewing_does_not_prolong_the_total_time(run_with: RunWith) -> None:
    async def work(bench: Bench) -> None:
        tx = await bench.db.begin("main")
        with pytest.raises(TransactionLost, match="open for"):
            async with asyncio.timeout(10):
                while True:
                    await bench.db.renew(tx.id)
                    await asyncio.sleep(0)  # It never waits by itself.

    run_with(work, main={"transaction_total_s": 0.3})


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize(("how", "lease_s", "wait_s"), [(signal.SIGSTOP, 1.0, 10.0), (signal.SIGKILL, 5.0, 5.0)])
def test_a_client_that_is_frozen_or_killed_in_a_transaction(
    database_urls: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    kind: str,
    how: signal.Signals,
    lease_s: float,
    wait_s: float,
) -> None:
    """The only connection is free again: of a frozen client by the end of its lease, of a killed one before."""
    config = {**database_urls(kind), "pool_size": 1, "transaction_idle_s": lease_s, "pool_timeout_s": wait_s}
    with serving(tmp_path, kind, config) as daemon, daemon.connect() as client:
        db = client.database
        db.execute("main", "DROP TABLE IF EXISTS held")
        db.execute("main", "CREATE TABLE held (x INTEGER)")
        words = [sys.executable, "-c", HOLDER, daemon.url, daemon.token]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdin is not None and holder.stdout is not None
            try:
                assert holder.stdout.readline() == "holds\n"
                os.kill(holder.pid, how)
                db.execute("main", "INSERT INTO held VALUES (2)")  # It waits for the connection, and for no longer.
                assert db.query("main", "SELECT x FROM held").rows == [(2,)]
                if how is signal.SIGSTOP:
                    os.kill(holder.pid, signal.SIGCONT)
                    holder.stdin.write("\n")
                    holder.stdin.flush()
                    assert holder.stdout.readline().startswith("lost it was rolled back: unused for 1 s")
            finally:
                holder.kill()
        assert db.query("main", "SELECT x FROM held").rows == [(2,)]
