"""PEP 249 over a live server, on three databases."""

from __future__ import annotations

import builtins
import datetime as dt
import inspect
from decimal import Decimal

import pytest

from rpcclient import Client, dbapi
from rpcclient.dbapi import aio
from rpcclient.portions import portions
from rpcserver import Context
from rpcservices.database import Database
from rpcwire.codec import codec_for
from rpcwire.contracts import Contract
from tests.client_dbapi.live import TOKEN


def test_the_module():
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 1, "qmark")
    assert issubclass(dbapi.Warning, builtins.Warning) and issubclass(dbapi.InterfaceError, dbapi.Error)
    for name in (
        "DataError",
        "OperationalError",
        "IntegrityError",
        "InternalError",
        "ProgrammingError",
        "NotSupportedError",
    ):
        assert issubclass(getattr(dbapi, name), dbapi.DatabaseError)
        assert getattr(dbapi.Connection, name) is getattr(dbapi, name) is getattr(aio, name)
    assert dbapi.Date(2026, 11, 23) == dt.date(2026, 11, 23) and dbapi.Binary(b"x") == b"x"
    assert dbapi.TimestampFromTicks(0) == dt.datetime.combine(dbapi.DateFromTicks(0), dbapi.TimeFromTicks(0))
    assert dbapi.NUMBER == "decimal" and "text" == dbapi.STRING and dbapi.BINARY != "text" and dbapi.DATETIME == "date"
    assert len({dbapi.STRING, dbapi.NUMBER}) == 2


def test_the_twins_agree():
    twins = ((dbapi.Connection, aio.AsyncConnection), (dbapi.Copy, aio.AsyncCopy), (dbapi.Cursor, aio.AsyncCursor))
    for ours, theirs in twins:
        mine = {name for name in dir(ours) if not name.startswith("_")}
        assert mine == {name for name in dir(theirs) if not name.startswith("_")}
        for name in mine:
            one, other = getattr(ours, name), getattr(theirs, name)
            if inspect.isfunction(one):
                assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters)
    assert list(inspect.signature(dbapi.connect).parameters) == list(inspect.signature(aio.connect).parameters)
    mine, others = ({one.__name__ for one in side} for side in zip(*twins, strict=True))
    assert set(dbapi.__all__) - mine == set(aio.__all__) - others


def test_ending_a_connection_at_once(connect, table):
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    connection.terminate()
    assert connection.closed and not connection.in_transaction
    for use in (connection.cursor, connection.commit):
        with pytest.raises(dbapi.InterfaceError, match="the connection is closed"):
            use()
    connection.close()
    assert connect().cursor().execute("SELECT 1").fetchall() == [(1,)]


def test_a_round(connect, table, kind):
    connection = connect()
    assert connection.dialect == ("mariadb" if kind == "mariadb" else kind) and connection.database == "main"
    cursor = connection.cursor()
    assert cursor.description is None and cursor.rowcount == -1
    cursor.execute("INSERT INTO t VALUES (?, ?)", (1, "one"))
    assert cursor.rowcount == 1 and cursor.description is None
    cursor.executemany("INSERT INTO t VALUES (:id, :x)", [{"id": 2, "x": "two"}, {"id": 3, "x": None}])
    assert cursor.rowcount == 2
    cursor.execute("SELECT id, x FROM t ORDER BY id")
    assert [column[0] for column in cursor.description] == ["id", "x"]
    assert cursor.description[0][1] == dbapi.NUMBER and cursor.rowcount == 3
    assert cursor.fetchone() == (1, "one")
    assert cursor.fetchmany() == [(2, "two")]
    assert cursor.fetchall() == [(3, None)]
    assert cursor.fetchone() is None and cursor.fetchmany(5) == [] and cursor.fetchall() == []
    assert type(cursor.execute("SELECT id FROM t ORDER BY id").fetchone()) is tuple
    assert [row[0] for row in cursor.execute("SELECT id FROM t ORDER BY id")] == [1, 2, 3]
    connection.commit()
    with connect() as other:
        assert other.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_transactions(connect, table, kind):
    one, other = connect(), connect()
    one.execute("INSERT INTO t VALUES (1, 'a')")
    assert one.in_transaction
    assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert other.in_transaction == (kind != "sqlite")
    other.rollback()
    one.rollback()
    assert not one.in_transaction
    one.rollback()
    one.commit()
    with connect() as third:
        third.execute("INSERT INTO t VALUES (2, 'b')")
    assert third.closed
    with pytest.raises(ZeroDivisionError), connect() as fourth:
        fourth.execute("INSERT INTO t VALUES (3, 'c')")
        raise ZeroDivisionError
    assert other.execute("SELECT id FROM t").fetchall() == [(2,)]


def test_autocommit(connect, table):
    one, other = connect(autocommit=True), connect()
    one.execute("INSERT INTO t VALUES (1, 'a')")
    assert not one.in_transaction
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)
    one.autocommit = False
    one.execute("DELETE FROM t")
    assert one.in_transaction
    one.close()
    other.rollback()
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_transaction_begun_in_sql_is_known(connect, table, kind):
    connection = connect(autocommit=True)
    connection.execute("BEGIN" if kind != "mariadb" else "START TRANSACTION")
    assert connection.in_transaction
    connection.execute("INSERT INTO t VALUES (1, 'a')")
    connection.rollback()
    assert not connection.in_transaction
    connection.execute("BEGIN" if kind != "mariadb" else "START TRANSACTION")
    connection.execute("COMMIT")
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_session_keeps_what_it_sets(connect, kind):
    connection = connect()
    word = "TEMPORARY" if kind == "mariadb" else "TEMP"
    connection.execute(f"CREATE {word} TABLE mine (x INTEGER)")
    connection.commit()
    connection.execute("INSERT INTO mine VALUES (7)")
    connection.commit()
    assert connection.execute("SELECT x FROM mine").fetchall() == [(7,)]


def test_readonly(connect, table, kind):
    connection = connect(readonly=True)
    assert connection.readonly
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    with pytest.raises(dbapi.DatabaseError):
        connection.execute("INSERT INTO t VALUES (1, 'a')")
    connection.rollback()
    with connect() as other:
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
        other.rollback()
        other.readonly = True
        if kind != "sqlite":  # There a transaction begins with what changes something, and only its mode is known.
            with pytest.raises(dbapi.DatabaseError):
                other.execute("INSERT INTO t VALUES (1, 'a')")
            other.rollback()


def test_isolation(connect, kind):
    connection = connect(isolation="serializable")
    if kind == "postgresql":
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
        connection.rollback()
        connection.isolation = "REPEATABLE_READ"
        connection.deferrable = True
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
        assert connection.execute("SHOW transaction_deferrable").fetchone() == ("on",)
        connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.rollback()
    with pytest.raises(dbapi.ProgrammingError, match="read committed"):
        connection.isolation = "none at all"
    if kind == "sqlite":
        connection.isolation = "read committed"
        with pytest.raises(dbapi.NotSupportedError):
            connection.execute("INSERT INTO never VALUES (1)")


def test_a_commit_after_an_error_says_which(connect, table, kind):
    """As pandas commits after an error, too."""
    if kind != "postgresql":
        return  # Elsewhere a transaction goes on after an error.
    connection = connect()
    for wrong, error in (("INSERT INTO t VALUES (1, 'a')", dbapi.IntegrityError), ("SELEC 1", dbapi.ProgrammingError)):
        connection.execute("INSERT INTO t VALUES (1, 'a')")
        with pytest.raises(error) as first:
            connection.execute(wrong)
        with pytest.raises(dbapi.DatabaseError):
            connection.execute("SELECT 1")
        with pytest.raises(error, match=r"^the transaction had failed, and has been rolled back: ") as told:
            connection.commit()
        assert (told.value.sqlstate, told.value.tx_state) == (first.value.sqlstate, "none")
        assert not told.value.disconnected and not connection.in_transaction
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        connection.commit()
    connection.execute("SAVEPOINT s")
    with pytest.raises(dbapi.ProgrammingError):
        connection.execute("SELEC 1")
    connection.execute("ROLLBACK TO s")
    connection.execute("INSERT INTO t VALUES (2, 'b')")
    connection.commit()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_errors(connect, table, kind):
    connection = connect()
    connection.execute("INSERT INTO t VALUES (1, 'a')")
    with pytest.raises(dbapi.IntegrityError) as caught:
        connection.execute("INSERT INTO t VALUES (1, 'a')")
    error = caught.value
    assert not error.disconnected and not error.retryable
    if kind == "postgresql":
        assert error.sqlstate == "23505" and error.tx_state == "failed"
        with pytest.raises(dbapi.DatabaseError):
            connection.execute("SELECT 1")
    elif kind == "mariadb":
        assert error.sqlstate == "23000" and error.args[0] == 1062
    else:
        assert error.driver_code == "SQLITE_CONSTRAINT_PRIMARYKEY"
    connection.rollback()
    for wrong in ("SELEC 1", "SELECT * FROM no_such_table"):
        with pytest.raises((dbapi.ProgrammingError, dbapi.OperationalError)):
            connection.execute(wrong)
        connection.rollback()
    with pytest.raises(dbapi.ProgrammingError, match="2 values"):
        connection.execute("SELECT ?", (1, 2))
    with pytest.raises(dbapi.Error, match=r"surrogate|cannot be sent"):
        connection.execute("SELECT ?", ("\ud800",))
    with pytest.raises(dbapi.Error, match="object"):
        connection.execute("SELECT ?", (object(),))
    cursor = connection.execute("SELECT 1")
    cursor.close()
    for use in (cursor.fetchone, lambda: cursor.execute("SELECT 1")):
        with pytest.raises(dbapi.InterfaceError, match="closed"):
            use()
    with pytest.raises(dbapi.ProgrammingError, match="no rows"):
        connection.cursor().fetchall()
    connection.close()
    connection.close()
    for use in (connection.cursor, connection.commit, connection.rollback):
        with pytest.raises(dbapi.InterfaceError, match="closed"):
            use()


def test_connecting(live, serve):
    with pytest.raises(dbapi.OperationalError, match="no database is named 'nowhere'"):
        dbapi.connect(live.url, token=TOKEN, database="nowhere")
    with pytest.raises(dbapi.OperationalError):
        dbapi.connect(live.url, token="wrong")
    with pytest.raises(dbapi.OperationalError) as caught:
        dbapi.connect("ws://127.0.0.1:1", token=TOKEN)
    assert caught.value.disconnected
    with Client(live.url, token=TOKEN) as client:
        with dbapi.connect(client=client) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert connection.client.url == client.url
        assert client.connected


def test_a_lost_connection_stays_lost(connect, table, live):
    connection = connect()
    connection.execute("INSERT INTO t VALUES (1, 'a')")
    live.run(_drop_all(live))
    with pytest.raises(dbapi.OperationalError) as caught:
        connection.execute("INSERT INTO t VALUES (2, 'b')")
    assert caught.value.disconnected and connection.closed
    with pytest.raises(dbapi.InterfaceError, match="connect anew"):
        connection.execute("INSERT INTO t VALUES (3, 'c')")
    with pytest.raises(dbapi.InterfaceError, match="connect anew"):
        connection.commit()
    connection.close()
    with connect() as other:
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)


@pytest.mark.parametrize("form", ["jsonrpc", "rpc.v1.msgpack"])
def test_sets_of_parameters_are_sent_in_messages_that_a_server_takes(form):
    """A server takes messages of 1 MiB in JSON, and of 20,480 values and names."""
    codec, day = codec_for(form), dt.datetime(2026, 11, 23)
    contract = Contract(Database.executemany, context_type=Context)
    for row in (
        list(range(100)),
        ["x"] * 100,
        {f"name {n}": n for n in range(100)},
        ["x" * 4000] * 10,
        ["é" * 4000, b"x" * 4000],
        [b"x"] * 100,
        [day, day.date(), day.time(), Decimal("1.5"), None, 2.5] * 20,
        [[1, 2, 3]] * 40,
    ):
        parts = list(portions([row] * 3000))
        assert sum(map(len, parts)) == 3000
        for part in parts[:1]:
            params = contract.dump_params({"database": "main", "sql": "x" * 1000, "params": part}, codec)
            assert len(params) < 2**20
            assert not codec.has_more_nodes(params, 32_700)


async def _drop_all(live):
    """End every session, as a server does that has had enough."""
    transactions = live.service._transactions
    for tx in list(transactions._open.values()):
        transactions._expire(tx, "the test wants it")
    await transactions.close()


def test_many_rows(connect, table):
    connection = connect()
    rows = [(number, "x" * (number % 200)) for number in range(5_000)]
    cursor = connection.cursor()
    assert cursor.executemany("INSERT INTO t VALUES (?, ?)", iter(rows)).rowcount == 5_000
    connection.commit()
    assert connection.execute("SELECT id, x FROM t ORDER BY id").fetchall() == rows
    assert cursor.executemany("INSERT INTO t VALUES (?, ?)", []).rowcount == 0
    connection.rollback()
    connection.autocommit = True
    twice = [(10_000 + number % 4_000, "y") for number in range(4_100)]
    with pytest.raises(dbapi.IntegrityError):
        cursor.executemany("INSERT INTO t VALUES (?, ?)", twice)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (5_000,)
    assert not connection.in_transaction


def test_server_side_cursors(connect, table, kind):
    connection = connect()
    rows = [(number, f"row {number}") for number in range(3_000)]
    connection.cursor().executemany("INSERT INTO t VALUES (?, ?)", rows)
    connection.commit()
    select = "SELECT id, x FROM t WHERE id >= ? ORDER BY id"
    cursor = connection.cursor(server_side=True)
    cursor.execute(select, (0,))
    assert cursor.fetchmany(10) == rows[:10] and cursor.fetchone() == rows[10]
    # Other statements run meanwhile, and another such cursor.
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3_000,)
    second = connection.cursor(server_side=True).execute(select, (2_990,))
    assert [row[0] for row in second] == list(range(2_990, 3_000))
    assert cursor.fetchall() == rows[11:] and cursor.fetchone() is None
    # Closing early leaves the transaction as it is.
    cursor.execute(select, (0,))
    assert cursor.fetchone() == rows[0]
    cursor.close()
    connection.execute("INSERT INTO t VALUES (-1, 'after')")
    connection.commit()
    assert connection.execute("SELECT x FROM t WHERE id = -1").fetchall() == [("after",)]
    left = connection.cursor(server_side=True).execute(select, (0,))
    left.fetchone()
    connection.rollback()
    if kind == "postgresql":
        with pytest.raises(dbapi.ProgrammingError, match="ended"):
            left.fetchall()
        with pytest.raises(dbapi.Error):
            connection.cursor(server_side=True).execute("SELECT 1/0").fetchall()
        connection.rollback()
    else:
        assert len(left.fetchall()) == 2_999
    left.close()
    assert connection.cursor(server_side=True).execute("INSERT INTO t VALUES (-2, '')").rowcount == 1
    connection.autocommit = True


def test_values(connect, kind):
    connection = connect()
    values = [1, -(2**63), 2**63 - 1, 0.1, "żółw", b"\x00\xff" * 100, None]
    if kind == "postgresql":
        values += [Decimal("1.50"), dt.datetime(2026, 11, 23, tzinfo=dt.UTC), dt.timedelta(days=1), True, [1, 2]]
    assert connection.execute(f"SELECT {', '.join('?' for _ in values)}", values).fetchone() == tuple(values)


def test_sql_that_is_no_text(connect):
    cursor = connect().cursor()
    for run in (cursor.execute, cursor.executemany):
        with pytest.raises(dbapi.ProgrammingError, match=r"^operation: SQL is text, not bytes"):
            run(b"SELECT ?", [[1]])


def test_native_placeholders(connect, kind):
    connection = connect()
    if kind == "postgresql":
        found = connection.execute("SELECT $2::int, $1::int, '{\"a\": 1}'::jsonb ? 'a'", (1, 2)).fetchone()
        assert found == (2, 1, True)
        assert connection.execute("SELECT '{\"a\": 1}'::jsonb ? 'a'").fetchone() == (True,)
    assert connection.execute("SELECT '?'").fetchone() == ("?",)


def test_lastrowid(connect, kind):
    if kind == "postgresql":
        return
    connection = connect()
    word = "INTEGER PRIMARY KEY" + (" AUTO_INCREMENT" if kind == "mariadb" else "")
    connection.execute("DROP TABLE IF EXISTS numbered")
    connection.execute(f"CREATE TABLE numbered (id {word}, x INTEGER)")
    assert connection.execute("INSERT INTO numbered (x) VALUES (5)").lastrowid == 1
    connection.execute("DROP TABLE numbered")
    connection.commit()


def test_what_a_cursor_refuses(connect, table):
    connection = connect()
    for server_side in (False, True):
        cursor = connection.cursor(server_side=server_side)
        cursor.execute("SELECT 1 AS n UNION ALL SELECT 2")
        for size in (-1, "1"):
            with pytest.raises(dbapi.ProgrammingError, match="size: the rows to fetch, from 0"):
                cursor.fetchmany(size)
        assert cursor.fetchmany(0) == [] and cursor.fetchmany(5) == [(1,), (2,)]
        cursor.arraysize = -1
        with pytest.raises(dbapi.ProgrammingError, match="arraysize"):
            cursor.fetchmany()
    for parameters in ("a", b"a", {1}, 1):
        with pytest.raises(dbapi.ProgrammingError, match="parameters: a sequence or a mapping of values, not"):
            connection.execute("SELECT ?", parameters)
        with pytest.raises(dbapi.ProgrammingError, match="parameters: a sequence or a mapping"):
            connection.cursor().executemany("INSERT INTO t (id) VALUES (?)", [parameters])
    assert connection.execute("SELECT x FROM t").fetchall() == []
