"""PostgreSQL: what a query on its own leaves behind is cleaned in the query's own trip, and nobody waits for it."""

from __future__ import annotations

import asyncio

import pytest

from rpcservices.database.backends.postgresql import link as postgresql
from rpcservices.database.errors import DatabaseProgrammingError

PID = "SELECT pg_backend_pid()"


def test_a_link_is_free_as_soon_as_its_query_is_answered(run_with, pg_uri):
    async def work(bench):
        pool = bench.service._targets["pg"].reading
        first = (await bench.db.query("pg", PID)).scalar()
        for sql in ("PREPARE left_behind AS SELECT 1", "SELECT pg_advisory_lock(7)", "SET search_path = evil"):
            await bench.db.query("pg", sql)
            assert pool.lent_count == 0 and not pool._background
        for sql in ("EXECUTE left_behind", "SELECT 1 / 0"):
            with pytest.raises(Exception, match=r"left_behind|zero"):
                await bench.db.query("pg", sql)
            assert pool.lent_count == 0 and not pool._background
        held = "SELECT count(*), current_setting('search_path') FROM pg_locks WHERE locktype = 'advisory'"
        assert tuple((await bench.db.query("pg", held)).one()) == (0, '"$user", public')
        assert (await bench.db.query("pg", PID)).scalar() == first

    run_with(work, pg={"url": pg_uri, "read_pool_size": 1})


@pytest.mark.parametrize("broken", [(b"ROLLBACK", b"SELECT 1/0"), (b"SELECT 1/0", b"DISCARD ALL"), (b"SELECT 1/0",)])
def test_a_cleaning_that_failed_is_done_anew(run_with, pg_uri, monkeypatch, broken):
    async def work(bench):
        first = (await bench.db.query("pg", PID)).scalar()
        with monkeypatch.context() as patched:
            patched.setattr(postgresql, "CLEANING", broken)
            await bench.db.query("pg", "SELECT pg_advisory_lock(7), set_config('search_path', 'evil', false)")
        held = "SELECT count(*), current_setting('search_path') FROM pg_locks WHERE locktype = 'advisory'"
        assert tuple((await bench.db.query("pg", held)).one()) == (0, '"$user", public')
        assert (await bench.db.query("pg", PID)).scalar() == first

    run_with(work, pg={"url": pg_uri, "read_pool_size": 1})


def test_whoever_waits_gets_the_link_before_the_cleaning_is_answered(run_with, pg_uri):
    async def work(bench):
        queries = (bench.db.query("pg", "SELECT pg_advisory_lock(:n), :n + 0", {"n": n}) for n in range(200))
        answers = await asyncio.gather(*queries)
        assert [answer.one()[1] for answer in answers] == list(range(200))
        assert (await bench.db.query("pg", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar() == 0

    run_with(work, pg={"url": pg_uri, "read_pool_size": 2})


def test_a_connection_that_dies_in_its_cleaning_is_replaced(run_with, pg_uri, monkeypatch):
    async def work(bench):
        first = (await bench.db.query("pg", PID)).scalar()
        with monkeypatch.context() as patched:
            patched.setattr(postgresql, "CLEANING", (b"ROLLBACK", b"SELECT pg_terminate_backend(pg_backend_pid())"))
            assert (await bench.db.query("pg", PID)).scalar() == first
        answers = await asyncio.gather(*(bench.db.query("pg", PID) for _ in range(5)))
        assert len({answer.scalar() for answer in answers}) == 1 and answers[0].scalar() != first
        with pytest.raises(DatabaseProgrammingError):
            await bench.db.query("pg", "SELECT nothing")

    run_with(work, pg={"url": pg_uri, "read_pool_size": 1})
