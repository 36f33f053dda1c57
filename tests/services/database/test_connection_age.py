"""What is changed for new connections reaches those of the pool, once they are older than the configured age."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from .conftest import my_sql

LIMIT_S = 60.0


async def becomes(call, sql, wanted):
    """Wait until a statement gives a value."""
    async with asyncio.timeout(LIMIT_S):
        while (await call("main", sql)).scalar() != wanted:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["query", "execute"])
def test_settings_of_a_role(run_with, pg_superuser, pg_uri, how):
    sql = "SELECT current_setting('work_mem')"

    async def work(bench):
        call = getattr(bench.db, how)
        session = (await bench.db.connect("main")).id
        before = (await call("main", sql)).scalar()
        with psycopg.connect(pg_superuser, autocommit=True) as connection:
            connection.execute("ALTER ROLE app SET work_mem = '7777kB'")
            try:
                await becomes(call, sql, "7777kB")
                kept = await bench.db.query("main", sql, transaction=session)
                assert kept.scalar() == before  # A session keeps its connection, however old.
            finally:
                connection.execute("ALTER ROLE app RESET work_mem")
        await becomes(call, sql, before)

    run_with(work, main={"url": pg_uri, "connection_max_age_s": 0.2})


def test_variables_and_roles_of_mariadb(run_with, my_superuser, my_uri):
    for line in (
        "CREATE ROLE IF NOT EXISTS aged; CREATE USER IF NOT EXISTS ager@localhost IDENTIFIED BY 'a'",
        "GRANT aged TO ager@localhost; GRANT ALL ON app.* TO ager@localhost",
    ):
        my_sql(my_superuser, line)
    before = int(my_sql(my_superuser, "SELECT @@GLOBAL.sort_buffer_size"))

    async def work(bench):
        assert (await bench.db.query("main", "SELECT CURRENT_ROLE()")).scalar() is None
        my_sql(my_superuser, "SET DEFAULT ROLE aged FOR ager@localhost; SET GLOBAL sort_buffer_size = 1048576")
        try:
            for call in (bench.db.query, bench.db.execute):
                await becomes(call, "SELECT CURRENT_ROLE()", "aged")
                await becomes(call, "SELECT @@sort_buffer_size", 1048576)
        finally:
            my_sql(my_superuser, f"SET GLOBAL sort_buffer_size = {before}")

    url = my_uri.replace("app:app-secret@", "ager:a@")
    run_with(work, main={"url": url, "connection_max_age_s": 0.2})


def test_younger_ones_are_used_again_and_old_ones_give_their_place(run_with, pg_uri):
    pid, alive = "SELECT pg_backend_pid()", "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(?)"

    async def work(bench):
        for name, others in (("young", False), ("old", True)):
            found = set()
            async with asyncio.timeout(LIMIT_S):
                while len(found) < 2 and (others or len(found) == 0):
                    found |= {(await bench.db.execute(name, pid)).scalar()}
            assert others or found == {(await bench.db.execute(name, pid)).scalar()}
        for place in await asyncio.gather(*(bench.db.execute("old", pid) for _ in range(20))):
            found.add(place.scalar())
        async with asyncio.timeout(LIMIT_S):
            while (await bench.db.query("young", alive, [list(found)])).scalar() > 1:
                pass

    run_with(
        work,
        young={"url": pg_uri, "pool_size": 1},
        old={"url": pg_uri, "pool_size": 1, "connection_max_age_s": 0.1},
    )
