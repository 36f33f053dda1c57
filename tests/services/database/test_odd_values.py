"""Cells that Python's types cannot hold: they come as the database's text, nothing is changed, and the connection goes on."""

from __future__ import annotations

import datetime as dt

import pytest

from rpcservices.database.models import TxState

ODD = [
    ("'infinity'::date", "infinity"),
    ("'-infinity'::timestamp", "-infinity"),
    ("'infinity'::timestamptz", "infinity"),
    ("'0044-03-15 BC'::date", "0044-03-15 BC"),
    ("'12345-01-01'::date", "12345-01-01"),
    ("'12345-01-01 10:00'::timestamp", "12345-01-01 10:00:00"),
    ("'24:00'::time", "24:00:00"),
    ("'24:00+02'::timetz", "24:00:00+02"),
    ("'1 mon'::interval", "1 mon"),
    ("'1 year 2 mons 3 days 04:05:06'::interval", "1 year 2 mons 3 days 04:05:06"),
    ("'-1 mons'::interval", "-1 mons"),
    ("'3 days 04:05:06'::interval", dt.timedelta(3, 14706)),
    ("'infinity'::interval", "infinity"),
    ("ARRAY['1 mon'::interval, '1 day']", ["1 mon", dt.timedelta(1)]),
    ("ARRAY['infinity'::date, '2026-01-02']", ["infinity", dt.date(2026, 1, 2)]),
    ("ARRAY[ARRAY['24:00'::time]]", [["24:00:00"]]),
]


@pytest.mark.parametrize("own", [None, "transaction", "session"])
def test_odd_values_come_as_text(run_with, pg_uri, own):
    async def work(bench):
        db = bench.db
        place = {None: None, "transaction": db.begin, "session": db.connect}[own]
        tx = (await place("main")).id if place else None
        for sql, expected in ODD:
            found = await db.query("main", f"SELECT 1, {sql}", transaction=tx)
            assert found.rows == [(1, expected)], sql
            pages = [page async for page in await db.stream("main", f"SELECT {sql}", transaction=tx)]
            assert pages[0].rows == [(expected,)]
        if own == "transaction":
            assert await db.renew(tx) is TxState.ACTIVE
            await db.rollback(tx)

    run_with(work, main={"url": pg_uri, "read_pool_size": 1})


def test_an_odd_value_in_a_later_chunk(run_with, pg_uri):
    sql = (
        "SELECT i, CASE WHEN i = 2000 THEN 'infinity' ELSE '2026-01-01' END::date AS d FROM generate_series(1, 3000) i"
    )

    async def work(bench):
        db = bench.db
        tx = (await db.begin("main")).id
        for transaction in (None, tx):
            days = (await db.query("main", sql, transaction=transaction)).column("d")
            assert days[1999] == "infinity" and days.count(dt.date(2026, 1, 1)) == 2999
            stream = await db.stream("main", sql, transaction=transaction, page_rows=300)
            assert [row.d async for page in stream for row in page] == days
        await db.commit(tx)

    run_with(work, main={"url": pg_uri})


def test_an_interval_in_another_style_comes_as_text(run_with, pg_uri):
    async def work(bench):
        session = (await bench.db.connect("main")).id
        await bench.db.execute("main", "SET intervalstyle = 'iso_8601'", transaction=session)
        found = await bench.db.query("main", "SELECT '1 day'::interval", transaction=session)
        assert found.scalar() == "P1D"
        assert (await bench.db.query("main", "SELECT 1", transaction=session)).scalar() == 1

    run_with(work, main={"url": pg_uri})


def test_what_cannot_be_sent_leaves_the_connection(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        tx = (await db.begin("main")).id
        found = await db.query("main", "SELECT row(1, 'a'), '(1,2)'::point", transaction=tx)
        assert found.rows[0][1] == "(1,2)"
        assert (await db.query("main", "SELECT 1", transaction=tx)).scalar() == 1
        await db.commit(tx)

    run_with(work, main={"url": pg_uri})
