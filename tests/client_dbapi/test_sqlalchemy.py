"""The dialects through SQLAlchemy: URLs, types, the ORM, both kinds of engines, and pandas."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import uuid
from decimal import Decimal

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from rpcclient import dbapi
from rpcclient.dbapi import aio
from rpcclient.dialects.ranges import parse_multirange, parse_range
from rpcclient.dialects.urls import connect_arguments
from tests.client.relays import by_connect, relay
from tests.client_dbapi.live import TOKEN


@pytest.fixture
def url(live, kind):
    return live.sqlalchemy(kind)


@pytest.fixture
def engine(url):
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def metadata(engine):
    """Tables made through it are dropped in the end."""
    metadata = sa.MetaData()
    yield metadata
    metadata.drop_all(engine)


# --- URLs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("sqlite+rpc://", {"database": "main"}),
        ("sqlite+rpc:///shop", {"database": "shop"}),
        ("mysql+rpc://tok@h/shop", {"database": "shop", "token": "tok", "url": "ws://h:8765"}),
        ("mysql+rpc://:tok@h:1/shop", {"database": "shop", "token": "tok", "url": "ws://h:1"}),
        ("sqlite+rpc://tok@[::1]:1/x?tls=true&ca_file=/ca", {
            "database": "x", "token": "tok", "url": "wss://[::1]:1", "ca_file": "/ca"
        }),
        ("sqlite+rpc:///x?unix=/run/s&token_file=/t&timeout_s=5&readonly=yes&tls=no", {
            "database": "x", "url": "unix:///run/s", "token_file": "/t", "timeout_s": 5.0, "readonly": True
        }),
        ("mysql+rpc://h/x?tls=on&path=/rpc/&cert_file=/c&key_file=/k&server_hostname=s&token_by=call", {
            "database": "x", "url": "wss://h:8765/rpc/", "cert_file": "/c", "key_file": "/k", "server_hostname": "s",
            "token_by": "call",
        }),
        ("mysql+rpc://h/x?proxy=socks5h%3A%2F%2Fp%3A1&header=X-A:%20b&header=X-C:d", {
            "database": "x", "url": "ws://h:8765", "proxy": "socks5h://p:1", "headers": {"X-A": "b", "X-C": "d"}
        }),
    ],
)  # fmt: skip
def test_urls(url, found):
    assert connect_arguments(sa.make_url(url)) == found


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite+rpc:///x?nonsense=1", "nonsense"),
        ("sqlite+rpc://h/x?tls=perhaps", "tls"),
        ("sqlite+rpc://h/x?ca_file=/ca", "ca_file: .* give tls=true"),
        ("sqlite+rpc://h/x?cert_file=/c", "cert_file: .* give tls=true"),
        ("sqlite+rpc://h/x?path=rpc", "path: 'rpc' does not begin with a slash"),
        ("sqlite+rpc://h/x?header=Authorization:+x", "headers: 'Authorization…': URLs end up in logs"),
        ("sqlite+rpc://h/x?allow_token_in_clear=maybe", "'maybe' is neither true nor false"),
        ("sqlite+rpc://h/x?header=X-A", "headers: write one `Name: value` per line"),
        ("sqlite+rpc://h/x?key_password=secret", "unknown in the URL's query: key_password"),
        ("sqlite+rpc://h/x?unix=/s", "unix"),
        ("sqlite+rpc:///x?timeout_s=soon", "timeout_s"),
        ("sqlite+rpc:///x?unix=/a&unix=/b", "more than once"),
    ],
)
def test_wrong_urls(url, said):
    with pytest.raises(ArgumentError, match=said):
        connect_arguments(sa.make_url(url))


def test_ways_to_the_server(serve):
    """A token by a call, headers and a proxy: by a URL, and by the driver itself, in both colours."""
    live = serve()
    with relay(by_connect) as proxy:
        through = f"http://127.0.0.1:{proxy.port}"
        query = {"token_by": "call", "header": "X-Tenant: blue", "proxy": through}
        query["allow_token_in_clear"] = "true"
        engine = sa.create_engine(sa.make_url(live.sqlalchemy("sqlite")).update_query_dict(query))
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1
        engine.dispose()
        options = {"token": TOKEN, "token_by": "call", "headers": {"X-Tenant": "blue"}, "proxy": through}
        with pytest.raises(dbapi.OperationalError, match="could read the token: write wss://; allow_token_in_clear"):
            dbapi.connect(live.url, **options)
        options["allow_token_in_clear"] = True
        with dbapi.connect(live.url, **options) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

        async def main():
            async with await aio.connect(live.url, **options) as connection:
                assert await (await connection.execute("SELECT 1")).fetchone() == (1,)

        asyncio.run(main())
        with pytest.raises(dbapi.OperationalError, match="headers: Host: the client sets it itself"):
            dbapi.connect(live.url, headers={"Host": "x"})
        with pytest.raises(TypeError, match="colour"):
            dbapi.connect(live.url, colour="red")
        assert len(proxy.seen) == 3


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_the_charset_that_frameworks_add(dialect):
    # Flask-SQLAlchemy writes it into each URL of MySQL.
    url = sa.make_url(f"{dialect}+rpc://host/main")
    plain = url.get_dialect()().create_connect_args(url)
    assert url.get_dialect()().create_connect_args(url.update_query_dict({"charset": "utf8mb4"})) == plain
    with pytest.raises(ArgumentError, match="charset: 'latin1': text travels as utf8mb4"):
        url.get_dialect()().create_connect_args(url.update_query_dict({"charset": "latin1"}))


def test_the_engine_hides_its_token(engine):
    assert TOKEN not in repr(engine) and TOKEN not in str(engine.url)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    again = sa.create_engine(engine.url)
    with again.connect() as connection:
        assert connection.scalar(sa.text("SELECT 2")) == 2
    again.dispose()


def test_a_database_of_another_kind_is_refused(live, kind):
    other = "mysql" if kind == "postgresql" else "postgresql"
    engine = sa.create_engine(live.sqlalchemy(other))
    with pytest.raises(ArgumentError, match=f"write {kind}\\+rpc"):
        engine.connect()
    with pytest.raises(DBAPIError, match="no database is named 'nowhere'"):
        sa.create_engine(live.sqlalchemy(kind, "nowhere")).connect()


def test_over_a_unix_socket(live, kind):
    engine = sa.create_engine(f"{kind}+rpc:///main?unix={live.unix}")
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()


# --- work ---------------------------------------------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


class Zone(Base):
    __tablename__ = "orm_zone"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50), unique=True)
    places: Mapped[list[Place]] = relationship(back_populates="zone")


class Place(Base):
    __tablename__ = "orm_place"
    id: Mapped[int] = mapped_column(primary_key=True)
    zone_id: Mapped[int] = mapped_column(sa.ForeignKey("orm_zone.id"))
    zone: Mapped[Zone] = relationship(back_populates="places")
    area: Mapped[Decimal] = mapped_column(sa.Numeric(12, 3))


def test_the_orm(engine):
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    try:
        with Session(engine) as session:
            session.add(Zone(name="north", places=[Place(area=Decimal("1.500")), Place(area=Decimal(2))]))
            session.commit()
            zone = session.scalars(sa.select(Zone)).one()
            assert [place.area for place in zone.places] == [Decimal("1.500"), Decimal("2.000")]
            zone.name = "south"
            session.flush()
            with session.begin_nested() as nested:
                session.add(Zone(name="east"))
                session.flush()
                nested.rollback()
            session.commit()
            session.add(Zone(name="south"))
            with pytest.raises(IntegrityError):
                session.commit()
            session.rollback()
            assert session.scalars(sa.select(Zone.name)).all() == ["south"]
            session.execute(sa.update(Zone).values(name="south"))  # Found, though not changed.
            session.rollback()
        assert {key["referred_table"] for key in sa.inspect(engine).get_foreign_keys("orm_place")} == {"orm_zone"}
    finally:
        Base.metadata.drop_all(engine)


def test_asynchronous_engines(url, kind):
    async def main():
        engine = create_async_engine(url)
        assert engine.dialect.is_async and TOKEN not in repr(engine)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            session.add_all([Zone(name=str(number)) for number in range(300)])
            await session.commit()
        async with engine.connect() as connection:
            stream = await connection.stream(sa.select(Zone.id).order_by(Zone.id))
            assert [row.id async for row in stream] == list(range(1, 301))
            names = await asyncio.gather(*(one_name(engine, number) for number in range(1, 6)))
            assert names == ["0", "1", "2", "3", "4"]
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
        async with engine.connect() as connection:
            assert (await connection.get_raw_connection()).driver_connection.dialect == kind
        await engine.dispose()

    async def one_name(engine, number):
        async with engine.connect() as connection:
            return await connection.scalar(sa.select(Zone.name).where(Zone.id == number))

    asyncio.run(main())


def test_a_cancelled_query_leaves_the_engine_usable(url, kind):
    slow = {"postgresql": "SELECT pg_sleep(60)", "mariadb": "SELECT sleep(60)"}.get(
        kind, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    )

    async def query(engine):
        async with engine.connect() as connection:
            await connection.execute(sa.text(slow))

    async def main():
        engine = create_async_engine(url, pool_size=1, max_overflow=0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(query(engine), 0.5)
        async with asyncio.timeout(10), engine.connect() as connection:
            assert await connection.scalar(sa.text("SELECT 7")) == 7
        await engine.dispose()

    asyncio.run(main())


def test_streamed_results(engine, metadata, kind):
    table = sa.Table("streamed", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", sa.String(20)))
    metadata.drop_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": number, "x": f"x{number}"} for number in range(1, 5_001)])
    with engine.begin() as connection:
        streamed = {"yield_per": 100}
        rows = connection.execute(sa.select(table.c.id).order_by(table.c.id), execution_options=streamed)
        assert [row.id for row in rows.fetchmany(3)] == [1, 2, 3]
        connection.execute(table.insert(), {"id": -1, "x": "beside"})
        assert sum(1 for _ in rows) == 4_997
        early = connection.execute(sa.select(table.c.id), execution_options=streamed)
        assert early.first() is not None
        connection.execute(table.delete().where(table.c.id == -1))
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 5_000


def test_a_lost_connection_is_replaced(engine, live):
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        live.run(_end_all(live))
        with pytest.raises(DBAPIError) as caught:
            connection.execute(sa.text("SELECT 2"))
        assert caught.value.connection_invalidated and isinstance(caught.value.orig, dbapi.OperationalError)
        connection.rollback()
        assert connection.scalar(sa.text("SELECT 3")) == 3


async def _end_all(live):
    transactions = live.service._transactions
    for tx in list(transactions._open.values()):
        transactions._expire(tx, "the test wants it")
    await transactions.close()


def test_isolation_and_autocommit(engine, kind):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SELECT 1"))
        assert not connection.connection.dbapi_connection.in_transaction
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        connection.execute(sa.text("SELECT 1"))
        assert connection.get_isolation_level() == "SERIALIZABLE"
    if kind == "postgresql":
        with engine.connect().execution_options(postgresql_readonly=True, postgresql_deferrable=True) as connection:
            assert connection.scalar(sa.text("SHOW transaction_read_only")) == "on"
            assert connection.scalar(sa.text("SHOW transaction_deferrable")) == "on"
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SHOW transaction_read_only")) == "off"


# --- types --------------------------------------------------------------------------------------------------------


def test_common_types(engine, metadata, kind):
    moment = dt.datetime(2026, 11, 23, 7, 47, 32, 123456)
    values = {
        "small": (sa.SmallInteger(), -(2**15)),
        "big": (sa.BigInteger(), 2**63 - 1),
        "number": (
            sa.Numeric(30, 10),
            Decimal("12345678901234567890.1234567890") if kind != "sqlite" else Decimal("1.5"),
        ),
        "ratio": (sa.Float(53), 0.1),
        "flag": (sa.Boolean(), True),
        "text": (sa.Text(), "żółw ' \" % : ? \\ 🐢"),
        "bytes": (sa.LargeBinary(), b"\x00\xff" * 1000),
        "day": (sa.Date(), dt.date(1, 1, 1) if kind != "mariadb" else dt.date(1000, 1, 1)),
        "hour": (sa.Time(), dt.time(7, 47, 32)),
        "moment": (sa.DateTime(), moment if kind != "mariadb" else moment.replace(microsecond=0)),
        "json": (sa.JSON(), {"a": [1, None, "x"], "b": {"c": 1.5}}),
        "uuid": (sa.Uuid(), uuid.UUID(int=7)),
        "pick": (sa.Enum("one", "two", name="pick_enum"), "two"),
        "span": (sa.Interval(), dt.timedelta(days=3, seconds=5)),
    }
    table = sa.Table(
        "typed",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(n, t) for n, (t, _) in values.items()),
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
    )
    metadata.drop_all(engine)
    metadata.create_all(engine)
    row = {"id": 1, **{name: value for name, (_, value) in values.items()}}
    nothing = {"id": 2, **dict.fromkeys(values, sa.null())}
    with engine.begin() as connection:
        connection.execute(table.insert(), row)
        connection.execute(table.insert().values(nothing))
        assert dict(connection.execute(sa.select(table).where(table.c.id == 1)).mappings().one()) == row
        assert set(connection.execute(sa.select(table).where(table.c.id == 2)).one()) == {2, None}
        for name, (_, value) in values.items():
            if name not in ("json", "ratio"):
                assert connection.scalar(sa.select(table.c.id).where(table.c[name] == value)) == 1, name
    reflected = sa.Table("typed", sa.MetaData(), autoload_with=engine)
    assert set(reflected.columns.keys()) == set(table.columns.keys())


@pytest.mark.parametrize("kind", ["postgresql"])
def test_types_of_postgresql(engine, metadata):
    aware = dt.datetime(2026, 11, 23, 7, 47, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    values = {
        "numbers": (pg.ARRAY(sa.Integer), [[1, 2], [3, None]]),
        "decimals": (pg.ARRAY(sa.Numeric(10, 2)), [Decimal("1.50")]),
        "floats": (pg.ARRAY(sa.Float), [0.5, float("inf")]),
        "jsons": (pg.ARRAY(pg.JSONB), [{"a": 1}, None]),
        "jsonb": (pg.JSONB(), {"a": [1]}),
        "aware": (sa.DateTime(timezone=True), aware),
        "ints": (pg.INT4RANGE(), pg.Range(1, 5)),
        "decs": (pg.NUMRANGE(), pg.Range(Decimal("1.5"), None, bounds="()")),
        "days": (pg.DATERANGE(), pg.Range(dt.date(2026, 1, 1), dt.date(2026, 2, 1))),
        "times": (pg.TSTZRANGE(), pg.Range(aware, aware + dt.timedelta(days=1))),
        "none": (pg.INT8RANGE(), pg.Range(empty=True)),
        "several": (pg.INT4MULTIRANGE(), pg.MultiRange([pg.Range(1, 3), pg.Range(5, 9)])),
        "ranges": (pg.ARRAY(pg.INT4RANGE), [pg.Range(1, 2), None]),
        "host": (pg.INET(), ipaddress.ip_address("10.1.2.3")),
        "iface": (pg.INET(), ipaddress.ip_interface("10.1.2.3/8")),
        "net": (pg.CIDR(), ipaddress.ip_network("10.0.0.0/8")),
        "mac": (pg.MACADDR(), "08:00:2b:01:02:03"),
        "bits": (pg.BIT(4), pg.BitString("1010")),
        "span": (pg.INTERVAL(), dt.timedelta(days=400, microseconds=1)),
        "words": (pg.TSVECTOR(), "'fat' 'rat'"),
        "enum": (pg.ENUM("a", "b", name="one_enum"), "b"),
        "enums": (pg.ARRAY(pg.ENUM("a", "b", name="one_enum")), ["b", "a"]),
        "uuids": (pg.ARRAY(pg.UUID), [uuid.UUID(int=7)]),
        "ident": (pg.OID(), 5),
    }
    table = sa.Table(
        "pg_typed",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(n, t) for n, (t, _) in values.items()),
    )
    metadata.drop_all(engine)
    metadata.create_all(engine)
    row = {"id": 1, **{name: value for name, (_, value) in values.items()}}
    with engine.begin() as connection:
        connection.execute(table.insert(), row)
        connection.execute(table.insert(), {"id": 2, **dict.fromkeys(values)})
        found = dict(connection.execute(sa.select(table).where(table.c.id == 1)).mappings().one())
        for name, value in row.items():
            assert found[name] == value and type(found[name]) is type(value), name
        assert connection.scalar(sa.select(table.c.id).where(table.c.ints.contains(3))) == 1
        assert connection.scalar(sa.select(table.c.id).where(sa.literal(2) == sa.any_(table.c.numbers))) == 1
        assert connection.scalar(sa.select(table.c.jsonb["a"][0].as_integer()).where(table.c.id == 1)) == 1
        assert connection.scalar(sa.text("SELECT '{\"a\": 1}'::jsonb ? 'a'")) is True
    reflected = sa.Table("pg_typed", sa.MetaData(), autoload_with=engine)
    assert isinstance(reflected.c.ints.type, pg.INT4RANGE) and isinstance(reflected.c.jsonb.type, pg.JSONB)


@pytest.mark.parametrize("kind", ["postgresql"])
def test_two_phases(engine):
    with engine.connect() as connection:
        if connection.scalar(sa.text("SHOW max_prepared_transactions")) == "0":
            with pytest.raises(DBAPIError, match="prepared transactions are disabled"):
                two_phases(connection)
            return
        connection.rollback()
        two_phases(connection)


def two_phases(connection):
    connection.rollback()
    transaction = connection.begin_twophase()
    connection.execute(sa.text("CREATE TABLE two_phases (x int)"))
    transaction.prepare()
    transaction.commit()
    connection.execute(sa.text("DROP TABLE two_phases"))
    connection.commit()


def test_ranges_from_text():
    assert parse_range("empty", int) == pg.Range(empty=True)
    assert parse_range("(,5]", int) == pg.Range(None, 5, bounds="(]")
    assert parse_range('["a ""b"" \\\\",c)', str) == pg.Range('a "b" \\', "c")
    assert parse_multirange("{}", int) == pg.MultiRange()
    assert parse_multirange("{[1,2),[3,)}", int) == pg.MultiRange([pg.Range(1, 2), pg.Range(3, None)])
    with pytest.raises(ValueError, match="not a range"):
        parse_range("1..5", int)


# --- pandas -------------------------------------------------------------------------------------------------------


def test_pandas(engine):
    count = 3_000
    frame = pd.DataFrame(
        {
            "id": range(count),
            "ratio": [number / 7 for number in range(count)],
            "text": [f"row {number}" if number % 3 else None for number in range(count)],
            "flag": [number % 2 == 0 for number in range(count)],
            "moment": pd.date_range("2026-01-01", periods=count, freq="h").as_unit("us"),
        }
    )
    assert frame.to_sql("frame", engine, index=False, if_exists="replace") in (count, -1, None)
    try:
        found = pd.read_sql("SELECT * FROM frame ORDER BY id", engine, parse_dates=["moment"])
        found["moment"] = found["moment"].dt.as_unit("us")
        found["flag"] = found["flag"].astype(bool)
        pd.testing.assert_frame_equal(found, frame, check_dtype=False)
        few = pd.read_sql(sa.text("SELECT id, ratio FROM frame WHERE id < :n ORDER BY id"), engine, params={"n": 3})
        assert list(few.columns) == ["id", "ratio"] and len(few) == 3
        assert sum(len(part) for part in pd.read_sql("SELECT id FROM frame", engine, chunksize=500)) == count
        whole = pd.read_sql_table("frame", engine, columns=["id", "moment"])
        assert str(whole["moment"].dtype).startswith("datetime64")
        assert frame.head(10).to_sql("frame", engine, index=False, if_exists="append", method="multi") in (10, -1, None)
        assert pd.read_sql("SELECT count(*) AS n FROM frame", engine)["n"][0] == count + 10
        assert sa.inspect(engine).has_table("frame")
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE frame"))
