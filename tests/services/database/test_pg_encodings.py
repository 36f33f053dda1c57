"""PostgreSQL: text is the same whatever the encoding of the database, of the role and of the session."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from rpcservices.database.errors import DatabaseDataError, DatabaseNotSupportedError, DatabaseProgrammingError
from rpcservices.database.models import Step

from .conftest import Bench

WORDS = {"LATIN1": "Zürich ß é", "EUC_JP": "日本語 表示", "SQL_ASCII": "Zürich 日本 🙂", "UTF8": "Zürich 日本 🙂"}


def on(uri: str, database: str) -> str:
    """The URI of another database of the same server."""
    path, _, query = uri.partition("?")
    return f"{path.rpartition('/')[0]}/{database}?{query}"


@pytest.fixture(scope="module", params=WORDS)
def encoded(request: pytest.FixtureRequest, pg_superuser: str, pg_uri: str) -> tuple[str, str]:
    """An encoding, and the URI of a database that has it."""
    encoding = str(request.param)
    name = f"in_{encoding.lower()}"
    with psycopg.connect(pg_superuser, autocommit=True) as connection:
        sql = f"CREATE DATABASE {name} OWNER app ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        connection.execute(sql.encode())
    return encoding, on(pg_uri, name)


@pytest.fixture
def role(pg_superuser: str) -> Iterator[Callable[..., None]]:
    """Sets what the role ``app`` begins its sessions with."""

    def run(sql: str) -> None:
        with psycopg.connect(pg_superuser, autocommit=True) as connection:
            connection.execute(sql.encode())

    yield lambda setting: run(f"ALTER ROLE app SET {setting}")
    run("ALTER ROLE app RESET ALL")


async def check_text(bench: Bench, word: str, tx: str | None = None) -> None:
    """Text is what it is in statements, parameters, names, errors and descriptions."""
    db = bench.db
    table = word.split()[0]
    assert (await db.query("main", f"SELECT '{word}' = ?", [word], transaction=tx)).scalar() is True
    assert (await db.query("main", f"SELECT '{word}'", transaction=tx)).scalar() == word
    await db.execute("main", f'CREATE TABLE "{table}" (id INT, "{word}" TEXT, CHECK (id > 0))', transaction=tx)
    await db.execute("main", f"INSERT INTO \"{table}\" VALUES (1, '{word}'), (2, ?)", [word], transaction=tx)
    await db.executemany("main", f'INSERT INTO "{table}" VALUES (?, ?)', [[3, word], [4, word]], transaction=tx)
    await db.script("main", f"INSERT INTO \"{table}\" VALUES (5, '{word}'); SELECT 1", transaction=tx)
    steps = [Step(f"INSERT INTO \"{table}\" VALUES (6, '{word}')")]
    await db.batch("main", steps, atomic=tx is None, transaction=tx)
    found = await db.query("main", f'SELECT DISTINCT "{word}", octet_length("{word}") FROM "{table}"', transaction=tx)
    assert found.columns[0].name == word
    assert found.rows.column(0) == [word]
    pages = [page async for page in await db.stream("main", f'SELECT "{word}" FROM "{table}"', transaction=tx)]
    assert [row[0] for page in pages for row in page] == [word] * 6
    assert (await db.query("main", f"SELECT ARRAY['{word}'], ('{word}', 1)", transaction=tx)).rows[0][0] == [word]
    params = [{word: [word]}, {"a": word}, [{word: 1}]]
    jsons = await db.query("main", "SELECT ?, ?->>'a', ?::jsonb[]", params, transaction=tx)
    assert [json.loads(jsons.rows[0][0]), jsons.rows[0][1], *map(json.loads, jsons.rows[0][2])] == [
        {word: [word]}, word, {word: 1},
    ]  # fmt: skip
    if tx is None:
        assert [column.name for column in (await db.describe("main", f'SELECT * FROM "{table}"')).columns] == [
            "id",
            word,
        ]
        assert table in [known.name for known in await db.tables("main")]
        assert [column.name for column in (await db.table("main", table)).columns] == ["id", word]
        with pytest.raises(DatabaseProgrammingError, match=word.split()[0]):
            await db.query("main", f'SELECT * FROM "no {word}"')
    await db.execute("main", f'DROP TABLE "{table}"', transaction=tx)


def test_text_in_a_database_of_any_encoding(run_with, encoded):
    encoding, uri = encoded

    async def work(bench: Bench) -> None:
        await check_text(bench, WORDS[encoding])
        session = (await bench.db.connect("main")).id
        await check_text(bench, WORDS[encoding], session)

    run_with(work, main={"url": uri})


@pytest.mark.parametrize("own", ["SQL_ASCII", "LATIN1", "SJIS", "UTF8"])
def test_text_for_a_role_with_an_encoding_of_its_own(run_with, encoded, role, own):
    encoding, uri = encoded
    role(f"client_encoding TO '{own}'")

    async def work(bench: Bench) -> None:
        for _ in range(2):
            await check_text(bench, WORDS[encoding])

    run_with(work, main={"url": uri, "pool_size": 1, "read_pool_size": 1})


def test_text_where_the_url_names_an_encoding(run_with, encoded):
    encoding, uri = encoded

    async def work(bench: Bench) -> None:
        await check_text(bench, WORDS[encoding])

    run_with(work, main={"url": f"{uri}&client_encoding=latin1"})


SETTINGS = [
    "SET client_encoding TO 'LATIN1'",
    "SET NAMES 'SJIS'",
    "SET SESSION client_encoding TO 'SQL_ASCII'",
    "DO $$ BEGIN PERFORM set_config('client_encoding', 'WIN1252', false); END $$",
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_text_in_a_session_that_sets_another_encoding(run_with, encoded, setting):
    encoding, uri = encoded
    if encoding == "LATIN1":  # PostgreSQL cannot convert everything into everything.
        setting = setting.replace("SJIS", "UTF8").replace("WIN1252", "SQL_ASCII")
    elif encoding == "EUC_JP":
        setting = setting.replace("LATIN1", "SJIS").replace("WIN1252", "SJIS")

    async def work(bench: Bench) -> None:
        db = bench.db
        session = (await db.connect("main")).id
        await db.execute("main", setting, transaction=session)
        await check_text(bench, WORDS[encoding], session)
        await db.script("main", f"{setting}; SELECT 1", transaction=session)
        await check_text(bench, WORDS[encoding], session)
        await db.begin("main", session=session)
        await db.execute("main", setting.replace(" SESSION", "").replace("SET ", "SET LOCAL ", 1), transaction=session)
        await check_text(bench, WORDS[encoding], session)
        await db.rollback(session)
        await check_text(bench, WORDS[encoding], session)
        # A rollback brings back what was set before the transaction.
        await db.begin("main", session=session)
        await db.execute("main", setting, transaction=session)
        await db.commit(session)
        await db.begin("main", session=session)
        await check_text(bench, WORDS[encoding], session)
        await db.rollback(session)
        await check_text(bench, WORDS[encoding], session)
        await db.disconnect(session)
        await check_text(bench, WORDS[encoding])

    run_with(work, main={"url": uri, "pool_size": 1})


def test_rows_of_a_statement_that_sets_another_encoding(run_with, pg_uri):
    async def work(bench: Bench) -> None:
        session = (await bench.db.connect("main")).id
        sql = "SELECT set_config('client_encoding', 'LATIN1', false), 'Ã¼' FROM generate_series(1, 100)"
        for open_ in (False, True):
            if open_:
                await bench.db.begin("main", session=session)
            with pytest.raises(DatabaseNotSupportedError, match="client_encoding"):
                await bench.db.query("main", sql, transaction=session)
            with pytest.raises(DatabaseNotSupportedError, match="client_encoding"):
                [_ async for _ in await bench.db.stream("main", sql, transaction=session)]
            assert (await bench.db.query("main", "SELECT 'Ã¼'", transaction=session)).scalar() == "Ã¼"

    run_with(work, main={"url": pg_uri})


def test_bytes_that_are_no_text_in_a_database_without_an_encoding(run_with, encoded):
    encoding, uri = encoded
    if encoding != "SQL_ASCII":
        return

    async def work(bench: Bench) -> None:
        db = bench.db
        await db.execute("main", "CREATE TABLE old (id INT, name TEXT)")
        await db.execute("main", "INSERT INTO old VALUES (1, 'plain'), (2, E'Z\\xFCrich'), (3, NULL)")
        names, raw = "SELECT id, name FROM old", "SELECT convert_to(name, 'SQL_ASCII') FROM old ORDER BY id"
        for within in (False, True):
            tx = (await db.begin("main")).id if within else None
            with pytest.raises(DatabaseDataError, match=r"no UTF-8.*convert_to\(x, 'SQL_ASCII'\)"):
                await db.query("main", names, transaction=tx)
            tx = (await db.begin("main")).id if within else None
            with pytest.raises(DatabaseDataError, match="convert_to"):
                [_ async for _ in await db.stream("main", names, transaction=tx)]
            tx = (await db.begin("main")).id if within else None
            assert (await db.query("main", raw, transaction=tx)).rows.column(0) == [b"plain", b"Z\xfcrich", None]
        with pytest.raises(DatabaseDataError, match="convert_to"):
            await db.script("main", "SELECT 1; SELECT name FROM old")

    run_with(work, main={"url": uri})


def test_letters_that_the_database_does_not_have(run_with, encoded):
    encoding, uri = encoded
    if encoding not in ("LATIN1", "EUC_JP"):
        return

    async def work(bench: Bench) -> None:
        for params in (None, ["🙂"]):
            with pytest.raises(DatabaseDataError, match="UTF8") as raised:
                await bench.db.query("main", "SELECT ?" if params else "SELECT '🙂'", params)
            assert raised.value.sqlstate == "22P05"
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main={"url": uri})


def test_values_for_a_role_with_styles_of_its_own(run_with, pg_uri, role):
    for setting in (
        "datestyle TO 'German, DMY'", "intervalstyle TO 'iso_8601'", "bytea_output TO 'escape'",
        "extra_float_digits TO '-5'", "timezone TO 'Asia/Tokyo'", "standard_conforming_strings TO off",
        "backslash_quote TO off", "lc_monetary TO 'C'",
    ):  # fmt: skip
        role(setting)
    moment = dt.datetime(2026, 2, 1, 3, 4, 5, 6, dt.UTC)
    expected = (
        dt.date(2026, 2, 1),
        moment,
        dt.datetime(2026, 2, 1, 4, 5),
        dt.timedelta(3, 5),
        b"\x00\\'\xff",
        0.1 + 0.2,
    )
    columns = (
        "'01.02.2026'::date, '2026-02-01 03:04:05.000006+00'::timestamptz, '2026-02-01 04:05'::timestamp, "
        "'3 days 5 seconds'::interval, ?::bytea, ?::float8"
    )
    params = [expected[-2], expected[-1]]

    async def work(bench: Bench) -> None:
        db = bench.db
        for place in (None, "begin", "connect") * 2:
            tx = None if place is None else (await getattr(db, place)("main")).id
            for _ in range(2):
                found = await db.query("main", f"SELECT {columns}, '\\\\?' || ?", [*params, "x"], transaction=tx)
                assert found.rows == [(*expected, "\\?x")]
                # The order of days and months is the role's.
                order = await db.query("main", "SHOW datestyle", transaction=tx)
                assert order.scalar() == "ISO, DMY"
            if place == "begin":
                await db.rollback(tx)
            elif tx:
                await db.execute("main", "SET datestyle TO 'SQL, MDY'", transaction=tx)
                await db.disconnect(tx)

    run_with(work, main={"url": pg_uri, "pool_size": 1, "read_pool_size": 1})


@pytest.mark.parametrize("style", ["German", "SQL", "Postgres", "ISO"])
def test_values_in_a_session_with_styles_of_its_own(run_with, pg_uri, style):
    async def work(bench: Bench) -> None:
        session = (await bench.db.connect("main")).id
        await bench.db.execute("main", f"SET datestyle TO '{style}, DMY'", transaction=session)
        sql = "SELECT '2026-02-01'::date, '2026-02-01 04:05:06.7'::timestamp, ?::date, ?::timestamptz = ?"
        moment = dt.datetime(2026, 2, 1, 3, 4, 5, 6, dt.UTC)
        params = [dt.date(2026, 2, 1), moment, moment]
        found = await bench.db.query("main", sql, params, transaction=session)
        assert found.rows == [
            (dt.date(2026, 2, 1), dt.datetime(2026, 2, 1, 4, 5, 6, 700_000), dt.date(2026, 2, 1), True)
        ]

    run_with(work, main={"url": pg_uri})


@pytest.mark.parametrize("off", [False, True])
def test_placeholders_follow_standard_conforming_strings(run_with, pg_uri, off):
    async def work(bench: Bench) -> None:
        db = bench.db
        session = (await db.connect("main")).id
        await db.execute("main", f"SET standard_conforming_strings TO {'off' if off else 'on'}", transaction=session)
        sql = r"SELECT 'a\'?', ?::int" if off else r"SELECT 'a\', ?::int, '?'"
        expected = ("a'?", 1) if off else ("a\\", 1, "?")
        assert (await db.query("main", sql, [1], transaction=session)).rows == [expected]
        named = sql.replace("?::int", ":x::int")
        assert (await db.query("main", named, {"x": 1}, transaction=session)).rows == [expected]
        await db.executemany("main", sql, [[1], [2]], transaction=session)
        pages = [page async for page in await db.stream("main", sql, [1], transaction=session)]
        assert pages[0].rows == [expected]
        texts = ["\\", "'", "\\'", '"', "\n"]
        marks = ", ".join("?" for _ in texts)
        assert list((await db.query("main", f"SELECT {marks}", texts, transaction=session)).rows[0]) == texts

    run_with(work, main={"url": pg_uri})


def test_sqlite_in_utf_16(run_with, tmp_path):
    async def work(bench: Bench) -> None:
        await bench.db.script("main", "PRAGMA user_version = 1; CREATE TABLE t (x TEXT)")
        word = WORDS["UTF8"]
        await bench.db.execute("main", f"INSERT INTO t VALUES ('{word}'), (?)", [word])
        assert (await bench.db.query("main", "SELECT x FROM t")).rows.column(0) == [word, word]
        assert (await bench.db.query("main", "PRAGMA encoding")).scalar() == "UTF-16le"

    import sqlite3

    path: Any = tmp_path / "wide.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16'")
        connection.execute("CREATE TABLE made (x TEXT)")
    connection.close()
    run_with(work, main={"url": f"sqlite:///{path}"})
