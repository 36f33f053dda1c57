"""What users of the native drivers expect, and what they are told where that is not possible."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from rpcclient import dbapi
from tests.client_dbapi.live import TOKEN, Live

MOMENT = dt.datetime(2026, 7, 1, 12, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
NAIVE = dt.datetime(2026, 7, 1, 10, 30)


class Place:
    """As geoalchemy2's WKTElement is: its dialects for MariaDB leave it to the driver to take its text."""

    def __str__(self) -> str:
        return "POINT(1 2)"


class Mute:
    """An object without a text of its own."""


@pytest.mark.parametrize("kind", ["mariadb"])
def test_times_with_a_zone_in_mariadb(live: Live, kind: str) -> None:
    select, many = sa.text("SELECT :x AS x"), sa.text("INSERT INTO moments VALUES (:x)")
    url = live.sqlalchemy("mariadb")
    plain, engine = sa.create_engine(url), sa.create_engine(f"{url}?aware_datetimes=utc&charset=utf8mb4")
    with plain.connect() as connection, pytest.raises(sa.exc.DataError, match="aware_datetimes=utc in the URL"):
        connection.execute(select, {"x": MOMENT})
    with engine.begin() as connection:
        assert connection.execute(select, {"x": MOMENT}).scalar() == "2026-07-01 10:30:00"
        connection.execute(sa.text("CREATE TEMPORARY TABLE moments (x DATETIME)"))
        connection.execute(many, [{"x": MOMENT}, {"x": NAIVE}, {"x": None}])
        assert connection.execute(sa.text("SELECT x FROM moments")).scalars().all() == [NAIVE, NAIVE, None]
    with pytest.raises(sa.exc.ArgumentError, match="aware_datetimes: 'local': one of refuse, utc"):
        sa.create_engine(f"{url}?aware_datetimes=local").connect()
    plain.dispose()
    engine.dispose()


@pytest.mark.parametrize("kind", ["mariadb"])
def test_objects_that_have_a_text_in_mariadb(live: Live, kind: str) -> None:
    engine = sa.create_engine(live.sqlalchemy("mariadb"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TEMPORARY TABLE places (id INT, x POINT)"))
        insert = sa.text("INSERT INTO places VALUES (:id, ST_GeomFromText(:x))")
        connection.execute(insert, {"id": 1, "x": Place()})
        connection.execute(insert, [{"id": 2, "x": Place()}, {"id": 3, "x": "POINT(3 4)"}])
        found = connection.execute(sa.text("SELECT ST_AsText(x) FROM places ORDER BY id")).scalars().all()
        assert found == ["POINT(1 2)", "POINT(1 2)", "POINT(3 4)"]
        with pytest.raises(sa.exc.ProgrammingError, match="a value of type Mute cannot be sent"):
            connection.execute(insert, {"id": 4, "x": Mute()})
    engine.dispose()


@pytest.mark.parametrize("name", ["create_function", "create_aggregate", "create_collation"])
def test_functions_of_this_process(serve: Callable[..., Live], name: str) -> None:
    live = serve()
    said = f"{name}: the database runs on the server.*do it in SQL, or in Python after reading"
    with dbapi.connect(live.url, token=TOKEN) as remote, pytest.raises(dbapi.NotSupportedError, match=said):
        getattr(remote, name)("f", 1, lambda x: x, deterministic=True)

    async def work() -> None:
        engine = create_async_engine(live.sqlalchemy("sqlite"))

        @sa.event.listens_for(engine.sync_engine, "connect")
        def connected(driver: object, _record: object) -> None:
            with pytest.raises(dbapi.NotSupportedError, match=said):
                getattr(driver, name)("f", 1, lambda x: x)

        async with engine.connect() as connection:
            assert await connection.scalar(sa.text("SELECT 1")) == 1
        await engine.dispose()

    asyncio.run(work())
