"""COPY of PostgreSQL as psycopg2 and psycopg have it, and as pandas' own recipe uses it."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import io
import tempfile
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from rpcclient import dbapi
from rpcclient.dbapi import aio
from tests.client_dbapi.live import TOKEN, Live

ROWS = [(1, "plain"), (2, 'tab\t "quote" \\ back\r\nnew\vé\b\f'), (3, None), (4, r"\N"), (5, "")]


@pytest.fixture
def kind() -> str:
    return "postgresql"


def test_files_of_text_and_of_bytes(connect: Callable[..., dbapi.Connection], table: str) -> None:
    with connect() as remote, remote.cursor() as cursor:
        cursor.copy_expert("COPY t (id, x) FROM STDIN WITH CSV", io.StringIO('1,"a\nb"\n2,ä\n'))
        assert cursor.rowcount == 2
        cursor.copy_expert(sql="copy t from stdin", file=io.BytesIO("3\tü\n".encode()), size=2)
        assert cursor.execute("SELECT * FROM t ORDER BY id").fetchall() == [(1, "a\nb"), (2, "ä"), (3, "ü")]
        text, raw = io.StringIO(), io.BytesIO()
        cursor.copy_expert("COPY (SELECT x FROM t ORDER BY id) TO STDOUT", text)
        cursor.copy_expert("COPY t /* FROM STDIN */ TO STDOUT (FORMAT csv)", raw)
        assert text.getvalue() == "a\\nb\nä\nü\n"
        assert list(csv.reader(io.StringIO(raw.getvalue().decode()))) == [["1", "a\nb"], ["2", "ä"], ["3", "ü"]]
        remote.rollback()
        assert cursor.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_rows_that_are_written_one_by_one(connect: Callable[..., dbapi.Connection], table: str) -> None:
    with connect() as remote, remote.cursor() as cursor:
        with cursor.copy("COPY t (id, x) FROM STDIN") as copy:
            for row in ROWS:
                copy.write_row(row)
            copy.write("6\tas text\n")
            copy.write(b"7\tas bytes\n")
        assert cursor.rowcount == 7
        assert cursor.execute("SELECT id, x FROM t ORDER BY id").fetchall() == [
            *ROWS, (6, "as text"), (7, "as bytes"),
        ]  # fmt: skip
        with cursor.copy("COPY t TO STDOUT") as copy:
            assert b"".join(copy).count(b"\n") == 7 and copy.read() == b""


def test_values_of_all_types(connect: Callable[..., dbapi.Connection]) -> None:
    values = {
        "int": 7, "float8": float("-inf"), "numeric": Decimal("1.500"), "bool": True, "bytea": b"\x00\\\xff",
        "date": dt.date(2026, 1, 2), "timestamptz": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        "interval": dt.timedelta(-1, 2, 3), "uuid": uuid.UUID(int=7), "text[]": ["a,b", None, '"\\', "NULL", ""],
        "int[]": [[1, 2], [3, None]], "jsonb": {"a": [1, "é\n"]}, "time": dt.time(1, 2, 3),
    }  # fmt: skip
    with connect() as remote, remote.cursor() as cursor:
        names = [f"c{place}" for place in range(len(values))]
        cursor.execute(f"CREATE TEMP TABLE v ({', '.join(map(' '.join, zip(names, values, strict=True)))})")
        with cursor.copy("COPY v FROM STDIN") as copy:
            copy.write_row([*values.values()])
            with pytest.raises(dbapi.DataError, match="COPY takes no object here"):
                copy.write_row([object()])
        found = dict(zip(values, cursor.execute("SELECT * FROM v").fetchone() or (), strict=True))
        assert found.pop("jsonb") == '{"a": [1, "é\\n"]}'
        assert found == {name: value for name, value in values.items() if name != "jsonb"}


def test_what_does_not_go_well(connect: Callable[..., dbapi.Connection], table: str) -> None:
    remote = connect(autocommit=True)
    cursor = remote.cursor()
    with pytest.raises(dbapi.DataError, match="invalid input syntax for type integer"):
        cursor.copy_expert("COPY t FROM STDIN", io.StringIO("1\ta\n" * 5 + "x\tb\n" + "2\tc\n" * 100_000))
    with pytest.raises(dbapi.ProgrammingError, match="nowhere"):
        cursor.copy_expert("COPY nowhere FROM STDIN", io.StringIO("1\n"))
    with pytest.raises(dbapi.ProgrammingError, match=r"write COPY … FROM STDIN, or COPY … TO STDOUT"):
        cursor.copy_expert("SELECT 1", io.StringIO())
    with pytest.raises(dbapi.DataError, match="no text"):
        cursor.copy_expert("COPY t (x) FROM STDIN", io.StringIO("\udc80"))
    with pytest.raises(ZeroDivisionError), cursor.copy("COPY t FROM STDIN") as copy:
        copy.write("9\tnever\n")
        copy.write_row([1 // 0, ""])
    with pytest.raises(dbapi.InterfaceError, match="written, and not read"), cursor.copy("COPY t FROM STDIN") as copy:
        copy.read()
    with cursor.copy("COPY t TO STDOUT") as copy, pytest.raises(dbapi.InterfaceError, match="read, and not written"):
        copy.write("")
    with pytest.raises(dbapi.InterfaceError, match="enter it"):
        cursor.copy("COPY t FROM STDIN").write("")
    with cursor.copy("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT") as copy:
        assert copy.read()
    assert cursor.execute("SELECT count(*) FROM t").fetchone() == (0,)
    broken = connect()
    with pytest.raises(dbapi.ProgrammingError, match="syntax"):
        broken.cursor().copy_expert("COPY t FROM STDIN nonsense", io.StringIO())
    assert broken.in_transaction
    broken.rollback()
    assert broken.execute("SELECT 1").fetchone() == (1,)


def test_in_another_kind_of_database(serve: Callable[..., Live]) -> None:
    with dbapi.connect(serve().url, token=TOKEN) as remote, remote.cursor() as cursor:
        with pytest.raises(dbapi.NotSupportedError, match="this database is sqlite: use executemany"):
            cursor.copy_expert("COPY t FROM STDIN", io.StringIO())
        with pytest.raises(dbapi.NotSupportedError, match="use executemany"):
            cursor.copy("COPY t FROM STDIN")


def psql_insert_copy(table: Any, conn: Any, keys: Any, data_iter: Any) -> None:
    """As pandas has it (https://pandas.pydata.org/docs/user_guide/io.html#insertion-method)."""
    dbapi_conn = conn.connection
    with dbapi_conn.cursor() as cur:
        s_buf = io.StringIO()
        writer = csv.writer(s_buf)
        writer.writerows(data_iter)
        s_buf.seek(0)
        columns = ", ".join([f'"{k}"' for k in keys])
        table_name = f"{table.schema}.{table.name}" if table.schema else table.name
        sql = f"COPY {table_name} ({columns}) FROM STDIN WITH CSV"
        cur.copy_expert(sql=sql, file=s_buf)


def test_the_recipe_of_pandas(live: Live) -> None:
    engine = sa.create_engine(live.sqlalchemy("postgresql"))
    frame = pd.DataFrame({"n": range(5000), "s": ["é, \n", None, '"', "\\", "x"] * 1000, "f": [0.5, None] * 2500})
    frame.to_sql("copied", engine, index=False, method=psql_insert_copy, if_exists="replace", chunksize=2000)
    back = pd.read_sql_table("copied", engine).sort_values("n", ignore_index=True)
    pd.testing.assert_frame_equal(back, frame)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE copied"))
    engine.dispose()


def test_the_asynchronous_twin(live: Live, table: str) -> None:
    async def work() -> None:
        async with await aio.connect(live.url, token=TOKEN) as remote, remote.cursor() as cursor:
            async with cursor.copy("COPY t FROM STDIN") as copy:
                await copy.write_row(ROWS[0])
                await copy.write("2\ttwo\n")
            await cursor.copy_expert("COPY t FROM STDIN CSV", io.StringIO("3,three\n"))
            assert cursor.rowcount == 1
            async with cursor.copy("COPY t TO STDOUT CSV") as copy:
                assert b"".join([piece async for piece in copy]) == b"1,plain\n2,two\n3,three\n"
            with tempfile.TemporaryFile() as file:
                await cursor.copy_expert("COPY t TO STDOUT CSV", file)
                file.seek(0)
                assert file.read() == b"1,plain\n2,two\n3,three\n"
        engine = create_async_engine(live.sqlalchemy("postgresql"))

        def through(connection: sa.Connection) -> None:
            pd.DataFrame({"id": [4], "x": ["four"]}).to_sql(
                "t", connection, index=False, method=psql_insert_copy, if_exists="append"
            )

        async with engine.begin() as connection:
            await connection.run_sync(through)
            assert await connection.scalar(sa.text("SELECT x FROM t WHERE id = 4")) == "four"
        await engine.dispose()

    asyncio.run(work())
