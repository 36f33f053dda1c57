"""Rows without columns, as PostgreSQL's ``SELECT FROM t`` gives them, are counted everywhere."""

from __future__ import annotations

import asyncio
from io import StringIO

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from rpcclient import Client
from rpcclient.cli import rowtext
from tests.client_dbapi.live import TOKEN

SQL = "SELECT FROM generate_series(1, 3)"
NONE = "SELECT FROM generate_series(1, 0)"


@pytest.fixture
def kind() -> str:
    """The only database that has such rows."""
    return "postgresql"


def test_through_the_client(live):
    pytest.importorskip("pyarrow")
    with Client(live.url, token=TOKEN) as client:
        db = client.database
        for result in (db.query("main", SQL), db.execute("main", SQL)):
            assert result.gives_rows and result.rowcount == 3 and result.rows == [(), (), ()]
            assert "changed" not in str(result)
            assert result.to_dicts() == [{}, {}, {}]
            with pytest.raises(IndexError, match="no column 0: there are none"):
                result.column(0)
            with pytest.raises(KeyError, match="no column 'a': there are none"):
                result.column("a")
            assert result.to_arrow().shape == (3, 0) and result.to_pandas().shape == (3, 0)
        for alone in ("SELECT", "SELECT FROM generate_series(1, 1)"):
            with pytest.raises(LookupError, match="the row has no columns"):
                db.query("main", alone).scalar()
        with pytest.raises(LookupError, match="expected one row, found 3"):
            db.query("main", SQL).scalar()
        with db.transaction("main") as tx, tx.stream(SQL) as pages:
            assert sum(len(page) for page in pages) == 3
        with db.stream("main", SQL) as pages:
            assert sum(len(page) for page in pages) == 3
        empty = db.query("main", NONE)
        assert empty.gives_rows and (len(empty), empty.rowcount) == (0, 0)
        assert not db.execute("main", "SET search_path TO public").gives_rows


@pytest.mark.parametrize("server_side", [False, True])
def test_through_the_driver(connect, server_side):
    connection = connect()
    cursor = connection.cursor(server_side=server_side)
    assert cursor.execute(SQL).description == [] and cursor.fetchone() == ()
    assert cursor.fetchall() == [(), ()]
    assert cursor.execute(NONE).description == [] and cursor.fetchall() == []
    assert cursor.execute("SET search_path TO public").description is None


def test_through_engines(live, kind):
    engine = sa.create_engine(live.sqlalchemy(kind))
    with engine.connect() as connection:
        assert len(connection.execute(sa.text(SQL)).all()) == 3
    engine.dispose()

    async def main() -> None:
        other = create_async_engine(live.sqlalchemy(kind))
        async with other.connect() as connection:
            assert len((await connection.execute(sa.text(SQL))).all()) == 3
        await other.dispose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("form", "said"), [("table", "(3 rows)\n"), ("json", "[\n {},\n {},\n {}\n]\n"), ("csv", "\n\n\n")]
)
def test_as_text(form, said):
    out = StringIO()
    writer = rowtext.writer(form, out)
    writer.begin([], gives_rows=True)
    writer.rows([(), (), ()])
    writer.end(3, None)
    assert out.getvalue() == said
