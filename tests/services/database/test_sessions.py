"""Sessions: one connection to the database, kept for a client."""

from __future__ import annotations

import asyncio

import pytest

from rpcservices.database.errors import DatabaseNotSupportedError, DatabaseProgrammingError, TransactionLost
from rpcservices.database.models import TxState
from tests.services.database.conftest import my_sql


def test_what_is_set_stays(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        session = (await db.connect("main")).id
        temporary = "TEMP" if sql.name != "mariadb" else "TEMPORARY"
        made = await db.execute("main", f"CREATE {temporary} TABLE mine (x INTEGER)", transaction=session)
        assert made.tx_state is TxState.NONE
        await db.execute("main", "INSERT INTO mine VALUES (1)", transaction=session)
        tx = await db.begin("main", session=session)
        assert tx.id == session
        with pytest.raises(DatabaseProgrammingError):
            await db.begin("main", session=session)
        done = await db.execute("main", "INSERT INTO mine VALUES (2)", transaction=session)
        assert done.tx_state is TxState.ACTIVE
        await db.rollback(session)
        assert (await db.query("main", "SELECT count(*) FROM mine", transaction=session)).scalar() == 1
        await db.begin("main", session=session)
        await db.execute("main", "INSERT INTO mine VALUES (3)", transaction=session)
        await db.commit(session)
        stream = await db.stream("main", "SELECT x FROM mine ORDER BY x", transaction=session)
        pages = [page async for page in stream]
        assert [row.x for page in pages for row in page] == [1, 3] and pages[-1].rowcount == 2
        await db.disconnect(session)
        with pytest.raises(TransactionLost, match="closed"):
            await db.query("main", "SELECT 1", transaction=session)
        again = (await db.connect("main")).id
        with pytest.raises(Exception, match="mine"):
            await db.query("main", "SELECT count(*) FROM mine", transaction=again)

    run_with(work, main={**any_database, "pool_size": 1})


def test_a_copy_in_a_session_that_only_reads(run_with, pg_uri):
    """The client can neither feed nor read it: the connection is in the midst of it, and is given up."""

    async def work(bench):
        db = bench.db
        session = (await db.connect("main", readonly=True)).id
        with pytest.raises(DatabaseNotSupportedError, match="COPY"):
            await db.query("main", "COPY (SELECT 1) TO STDOUT", transaction=session)
        with pytest.raises(TransactionLost):
            await db.query("main", "SELECT 1", transaction=session)

    run_with(work, main={"url": pg_uri})


def test_a_refusal_says_what_to_do(run_with, any_database, sql, tmp_path):
    """The databases' own words name no way out: "not authorized"."""

    async def work(bench):
        db = bench.db
        changes = ["CREATE TABLE never (x INTEGER)", "DELETE FROM told"]
        await db.execute("main", "DROP TABLE IF EXISTS told")
        await db.execute("main", "CREATE TABLE told (x INTEGER)")
        session = (await db.connect("main", readonly=True)).id
        for change in changes:
            tx = (await db.begin("main", readonly=True)).id
            for call in (db.query, db.stream):
                with pytest.raises(DatabaseProgrammingError, match=r"; query and stream only read: use execute$"):
                    await call("main", change)
            with pytest.raises(DatabaseProgrammingError, match=r"; this session only reads$"):
                await db.query("main", change, transaction=session)
            with pytest.raises(DatabaseProgrammingError, match=r"; this transaction only reads$"):
                await db.execute("main", change, transaction=tx)
            await db.rollback(tx)
            with pytest.raises(DatabaseProgrammingError, match="configuration makes this database read-only"):
                await db.execute("still", change)
        await db.disconnect(session)
        if sql.name == "sqlite":
            with pytest.raises(DatabaseProgrammingError, match="configuration"):
                await db.execute("main", "ATTACH 'more.sqlite3' AS more")

    url = any_database.get("url", f"sqlite:///{tmp_path}/main.sqlite3")
    run_with(work, main=any_database, still={"url": url, "readonly": True})


def test_a_session_that_only_reads(run_with, any_database, tmp_path):
    async def work(bench):
        db = bench.db
        await db.execute("main", "DROP TABLE IF EXISTS r")
        await db.execute("main", "CREATE TABLE r (x INTEGER)")
        session = (await db.connect("main", readonly=True)).id
        for _ in range(2):
            with pytest.raises(Exception, match=r"read-only|READ ONLY|not authorized"):
                await db.execute("main", "INSERT INTO r VALUES (1)", transaction=session)
            assert (await db.query("main", "SELECT count(*) FROM r", transaction=session)).scalar() == 0
        await db.disconnect(session)

    run_with(work, main=any_database)


def test_a_transaction_that_only_reads_in_a_session_that_writes(run_with, any_database):
    async def work(bench):
        db = bench.db
        await db.execute("main", "DROP TABLE IF EXISTS r")
        await db.execute("main", "CREATE TABLE r (x INTEGER)")
        session = (await db.connect("main")).id
        for _ in range(2):
            assert (await db.begin("main", session=session, readonly=True)).readonly
            for call in (db.execute, db.query):
                with pytest.raises(Exception, match=r"read-only|READ ONLY|not authorized|aborted"):
                    await call("main", "INSERT INTO r VALUES (1)", transaction=session)
            await db.rollback(session)
            await db.begin("main", session=session)
            await db.execute("main", "INSERT INTO r VALUES (2)", transaction=session)
            await db.commit(session)
        assert (await db.query("main", "SELECT sum(x) FROM r", transaction=session)).scalar() == 4
        await db.disconnect(session)

    run_with(work, main=any_database)


def test_a_transaction_that_a_statement_begins_is_known(run_with, any_database, sql):
    begin = "START TRANSACTION" if sql.name == "mariadb" else "BEGIN"

    async def work(bench):
        db = bench.db
        opened = await db.connect("main")
        assert opened.dialect == sql.name
        session = opened.id
        assert (await db.execute("main", begin, transaction=session)).tx_state is TxState.ACTIVE
        assert bench.service._transactions._open[session].total is not None
        pages = [page async for page in await db.stream("main", "SELECT 1", transaction=session)]
        assert pages[-1].tx_state is TxState.ACTIVE
        pages = [page async for page in await db.stream("main", "COMMIT", transaction=session)]
        assert pages[-1].tx_state is TxState.ENDED
        assert bench.service._transactions._open[session].total is None
        pages = [page async for page in await db.stream("main", begin, transaction=session)]
        assert pages[-1].tx_state is TxState.ACTIVE
        async with asyncio.timeout(10):
            while len(bench.service._transactions):
                await asyncio.sleep(0.01)
        with pytest.raises(TransactionLost, match="open for"):
            await db.query("main", "SELECT 1", transaction=session)

    run_with(work, main={**any_database, "transaction_total_s": 0.5})


def test_a_session_outlives_a_cancelled_statement(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        session = (await db.connect("main")).id
        for within in (False, True):
            if within:
                await db.begin("main", session=session)
            for call in (db.query, db.stream):
                task = asyncio.ensure_future(call("main", sql.endless("count(*)"), transaction=session))
                await asyncio.sleep(0.2)  # Until it works in the database; earlier must do no harm either.
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                if within and sql.name == "postgresql":
                    await db.rollback(session)
                    await db.begin("main", session=session)
                assert (await db.query("main", "SELECT 7", transaction=session)).scalar() == 7
        await db.rollback(session)
        await db.disconnect(session)

    run_with(work, main=any_database)


def test_settings_of_a_session_end_with_it(run_with):
    async def work(bench):
        db = bench.db
        for _ in range(2):
            session = (await db.connect("main")).id
            for name, value, other in (
                ("foreign_keys", 1, 0),
                ("recursive_triggers", 0, 1),
                ("read_uncommitted", 0, 1),
            ):
                assert (await db.query("main", f"PRAGMA {name}", transaction=session)).scalar() == value
                await db.execute("main", f"PRAGMA {name}={other}", transaction=session)
                assert (await db.query("main", f"PRAGMA {name}", transaction=session)).scalar() == other
            await db.disconnect(session)
            assert "a session (connect) keeps" in (await db.query("main", "PRAGMA foreign_keys=0")).notices[0]
            assert (await db.query("main", "PRAGMA foreign_keys")).scalar() == 1

    run_with(work, main={"pool_size": 1})


@pytest.mark.parametrize("where", ["app", ""])
@pytest.mark.parametrize("how", ["session", "call", "script", "query"])
def test_the_database_and_the_role_in_use_end_with_it(run_with, my_uri, my_superuser, where, how):
    for line in (
        "CREATE DATABASE IF NOT EXISTS elsewhere; CREATE ROLE IF NOT EXISTS reader",
        "CREATE USER IF NOT EXISTS mover@localhost IDENTIFIED BY 'm'; GRANT reader TO mover@localhost",
        "GRANT ALL ON app.* TO mover@localhost; GRANT ALL ON elsewhere.* TO mover@localhost",
    ):
        my_sql(my_superuser, line)

    async def work(bench):
        db = bench.db
        told = "SELECT DATABASE(), CURRENT_ROLE()"
        if how == "query":
            body = "BEGIN SET ROLE reader; RETURN 1; END"
            await db.execute("main", f"CREATE OR REPLACE FUNCTION app.roles() RETURNS INT {body}")
            await db.query("main", "SELECT app.roles()")
        elif how == "script":
            await db.script("main", "USE elsewhere; SET ROLE reader", atomic=False)
        else:
            session = (await db.connect("main")).id if how == "session" else None
            for statement in ("USE elsewhere", "SET ROLE reader"):
                await db.execute("main", statement, transaction=session)
            if session:
                assert (await db.query("main", told, transaction=session))[0] == ("elsewhere", "reader")
                await db.disconnect(session)
        expected = (where or None, None)
        assert (await db.query("main", told))[0] == expected
        assert (await db.execute("main", told))[0] == expected

    url = my_uri.replace("/app?", f"/{where}?").replace("app:app-secret", "mover:m")
    run_with(work, main={"url": url, "pool_size": 1, "read_pool_size": 1})


def test_an_idle_session_is_closed(run_with, any_database):
    async def work(bench):
        session = (await bench.db.connect("main")).id
        async with asyncio.timeout(10):
            while len(bench.service._transactions):
                await asyncio.sleep(0.01)
        closed = r"the session was closed: unused for 0.05 s; its settings and temporary tables are gone; begin anew"
        with pytest.raises(TransactionLost, match=closed):
            await bench.db.query("main", "SELECT 1", transaction=session)

    run_with(work, main={**any_database, "session_idle_s": 0.05})


def test_a_vanished_client_ends_its_session(run_with, any_database):
    async def work(bench):
        peer = bench.peer("gone")
        session = (await peer.connect("main")).id
        await peer.begin("main", session=session)
        peer.connection.close()
        assert (await bench.db.execute("main", "SELECT 1")).scalar() == 1

    run_with(work, main={**any_database, "pool_size": 1})
