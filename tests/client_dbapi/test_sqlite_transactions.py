"""SQLite: transactions begin where those of Python's own driver do, and what was not committed is as it is there."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa

from rpcclient import dbapi
from tests.client_dbapi.live import TOKEN

SEQUENCES = [
    ["CREATE TABLE made (x INTEGER)"],
    ["CREATE TABLE made (x INTEGER)", "INSERT INTO made VALUES (1)"],
    ["INSERT INTO t VALUES (1, 'a')", "CREATE TABLE made (x INTEGER)"],
    ["CREATE TABLE made AS SELECT 1 AS x", "ALTER TABLE made ADD COLUMN y", "CREATE INDEX made_x ON made (x)"],
    ["/* INSERT */ CREATE VIEW made AS SELECT 1", "DROP VIEW made", "-- c\nCREATE TEMP TABLE mine (x)"],
    ["UPDATE t SET x = 'b'", "DROP TABLE t"],
    ["REPLACE INTO t VALUES (1, 'a')", "COMMIT", "CREATE TABLE made (x INTEGER)"],
    ["BEGIN", "CREATE TABLE made (x INTEGER)"],
    ["BEGIN", "CREATE TABLE made (x INTEGER)", "COMMIT"],
    ["SELECT 1", "PRAGMA user_version", "EXPLAIN SELECT 1", "ANALYZE", "REINDEX"],
    ["DELETE FROM t", "ROLLBACK", "CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM t; END"],
]


def state(cursor: Any) -> list[tuple[Any, ...]]:
    """What is in a database."""
    objects = cursor.execute("SELECT type, name FROM sqlite_master ORDER BY name").fetchall()
    rows = cursor.execute("SELECT * FROM t").fetchall() if ("table", "t") in objects else []
    return [*objects, *rows]


def fails(connection: Any, sql: str) -> bool:
    """Whether a statement fails, as COMMIT does where nothing is open."""
    try:
        connection.execute(sql)
    except (sqlite3.OperationalError, dbapi.OperationalError):
        return True
    return False


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: "; ".join(sequence)[:60])
@pytest.mark.parametrize("end", ["close", "commit", "rollback"])
@pytest.mark.parametrize("autocommit", [False, True])
def test_as_with_the_native_driver(serve, tmp_path, sequence, end, autocommit):
    live = serve(main={})
    with dbapi.connect(live.url, token=TOKEN, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
    with sqlite3.connect(tmp_path / "native") as native:
        native.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
    native.close()

    native = sqlite3.connect(tmp_path / "native", isolation_level=None if autocommit else "DEFERRED")
    connection = dbapi.connect(live.url, token=TOKEN, autocommit=autocommit)
    for sql in sequence:
        assert fails(connection, sql) == fails(native, sql)
        assert connection.in_transaction == native.in_transaction, sql
    for one in (native, connection):
        getattr(one, end)()
        one.close()

    native = sqlite3.connect(tmp_path / "native")
    with dbapi.connect(live.url, token=TOKEN) as connection:
        assert state(connection) == state(native)
    native.close()


def test_a_savepoint_begins_a_transaction(serve):
    live = serve(main={})
    with dbapi.connect(live.url, token=TOKEN) as connection:
        connection.execute("CREATE TABLE t (id INTEGER)")
        connection.execute("SAVEPOINT s")
        assert connection.in_transaction
        connection.execute("WITH n(i) AS (SELECT 1) INSERT INTO t SELECT i FROM n")
        connection.execute("RELEASE s")
        assert connection.in_transaction
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_table_made_through_an_engine(serve):
    engine = sa.create_engine(serve(main={}).sqlalchemy("sqlite"))
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE made (x INTEGER)"))
    assert sa.inspect(engine).get_table_names() == ["made"]
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.execute(sa.text("CREATE TABLE other (x INTEGER)"))
        raise ZeroDivisionError
    assert sa.inspect(engine).get_table_names() == ["made"]
    engine.dispose()
