"""MariaDB: values and placeholders are what they are in every sql_mode and character set, whoever sets it and whenever."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from asyncmy.cursors import RE_INSERT_VALUES
from hypothesis import example, given
from hypothesis import strategies as st

from rpcservices.database.backends.mysql.literals import fill_in, join_rows, split_insert
from rpcservices.database.errors import DatabaseNotSupportedError
from rpcservices.database.models import Step
from rpcservices.database.placeholders import translate

from .conftest import Bench, my_sql

MODES = [
    "",
    "NO_BACKSLASH_ESCAPES",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES,ANSI_QUOTES",
    "ANSI",
    "ORACLE",
    "MSSQL",
    "TRADITIONAL",
    "PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT,IGNORE_SPACE,HIGH_NOT_PRECEDENCE,NO_UNSIGNED_SUBTRACTION,NO_ZERO_DATE",
    "NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,REAL_AS_FLOAT,TIME_ROUND_FRACTIONAL,SIMULTANEOUS_ASSIGNMENT",
]
CLIENT = "character_set_client"
CHARSETS = ["latin1", "utf8mb3", "sjis", "gbk", "big5", "cp932", "eucjpms", "ascii"]

TEXTS = [
    "\\", "\\\\", "'", "''", '"', '""', "a\\", "\\'", '\\"', "%s", "%%", "\0", "\n\r\t\x1a\b", "Zürich", "日本語表示", "🙂",
    "\\0\\n\\%\\_", "?", ":a", "`", "--", "/* */", "#", "é\\", "表\\'", "".join(map(chr, range(256))),
]  # fmt: skip
BLOBS = [
    b"\x00\xff\\", b"'", b'"', b"\\'", b"\xbf\\", b"\xbf\\'", b"\x95\\", bytes(range(256)), bytes(range(255, -1, -1)),
    b"\\" * 5, b"",
]  # fmt: skip
OTHERS = [
    None, True, -5, 2**64 - 1, 1.5e-300, -0.5, Decimal("-12345678901234567890.123456789"), dt.date(2026, 2, 3),
    dt.datetime(2026, 2, 3, 4, 5, 6, 789), dt.timedelta(days=-3, seconds=5, microseconds=7),
]  # fmt: skip


async def check_values(bench: Bench, tx: str | None = None) -> None:
    """All values come back as they were sent, by each way of sending them."""
    values: list[Any] = [*TEXTS, *BLOBS]
    marks = ", ".join("?" for _ in values)
    assert list((await bench.db.query("main", f"SELECT {marks}", values, transaction=tx)).rows[0]) == values
    named = {f"v{index}": value for index, value in enumerate(values)}
    found = await bench.db.query("main", f"SELECT {', '.join(f':{name}' for name in named)}", named, transaction=tx)
    assert list(found.rows[0]) == values
    kept = await bench.db.query("main", "SELECT ?, ?, ?, ?, ?, ?, ?, CAST(? AS DATE), CAST(? AS DATETIME(6)), CAST(? AS TIME(6))", OTHERS, transaction=tx)  # fmt: skip
    assert list(kept.rows[0]) == OTHERS
    pages = [page async for page in await bench.db.stream("main", f"SELECT {marks}", values, transaction=tx)]
    assert list(pages[0].rows[0]) == values


async def check_tables(bench: Bench, tx: str | None = None) -> None:
    """What is stored is what was sent."""
    db = bench.db
    await db.execute("main", "DELETE FROM kept", transaction=tx)
    rows = [[index, text, BLOBS[index % len(BLOBS)]] for index, text in enumerate(TEXTS)]
    await db.executemany("main", "INSERT INTO kept VALUES (?, ?, ?)", rows[:9], transaction=tx)
    await db.executemany("main", "INSERT INTO kept SELECT ?, ?, ?", rows[9:12], transaction=tx)
    for row in rows[12:]:
        await db.execute("main", "INSERT INTO kept (id, t, b) VALUES (?, ?, ?)", row, transaction=tx)
    found = await db.query("main", "SELECT id, t, b FROM kept ORDER BY id", transaction=tx)
    assert [list(row) for row in found.rows] == rows
    hexes = await db.query("main", "SELECT HEX(t), HEX(b) FROM kept ORDER BY id", transaction=tx)
    assert [bytes.fromhex(row[0]).decode() for row in hexes.rows] == [row[1] for row in rows]
    for index, text, _ in rows:
        ids = (await db.query("main", "SELECT id FROM kept WHERE t = ?", [text], transaction=tx)).rows.column(0)
        assert index in ids


TABLE = "CREATE OR REPLACE TABLE kept (id INT, t VARCHAR(300) COLLATE utf8mb4_bin, b VARBINARY(300))"


@pytest.fixture
def run_my(run_with: Callable[..., Any], my_uri: str) -> Callable[..., None]:
    def run(work: Callable[[Bench], Any], **config: Any) -> None:
        async def with_table(bench: Bench) -> None:
            await bench.db.execute("main", TABLE)
            await work(bench)
            await bench.db.execute("main", "DROP TABLE kept")

        run_with(with_table, main={"url": my_uri, "pool_size": 2, "read_pool_size": 1, **config})

    return run


@pytest.mark.parametrize("mode", MODES)
def test_values_in_a_session_of_any_mode(run_my, mode):
    async def work(bench: Bench) -> None:
        session = (await bench.db.connect("main")).id
        await bench.db.execute("main", f"SET sql_mode = '{mode}'", transaction=session)
        await check_values(bench, session)
        await check_tables(bench, session)
        await bench.db.begin("main", session=session)
        await check_tables(bench, session)
        await bench.db.execute("main", "SET sql_mode = ''", transaction=session)
        await check_tables(bench, session)
        await bench.db.commit(session)
        await bench.db.disconnect(session)

    run_my(work)


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES"])
def test_values_in_a_session_of_any_character_set(run_my, charset, mode):
    async def work(bench: Bench) -> None:
        db = bench.db
        session = (await db.connect("main")).id
        await db.execute("main", f"SET sql_mode = '{mode}'", transaction=session)
        for sql in (
            f"SET NAMES {charset}",
            f"SET character_set_client = {charset}",
            f"SET character_set_results = {charset}",
            f"SET CHARACTER SET {charset}",
            f"/*!40101 SET NAMES {charset} */",
            f"EXECUTE IMMEDIATE 'SET NAMES {charset}'",
        ):
            await db.execute("main", sql, transaction=session)
            found = await db.query("main", "SELECT 'Zürich 日本 🙂' AS `Größe`", transaction=session)
            assert (found.columns[0].name, found.scalar()) == ("Größe", "Zürich 日本 🙂")
        await db.execute("main", f"SET NAMES {charset}", transaction=session)
        await check_values(bench, session)
        await db.script("main", f"SET NAMES {charset}; SET @x = 1", transaction=session)
        await check_tables(bench, session)

    run_my(work)


@pytest.mark.parametrize("what", ["character_set_results = latin1", "NAMES latin1"])
def test_a_function_that_sets_the_character_set(run_my, my_superuser, what):
    create = f"CREATE OR REPLACE FUNCTION app.straying() RETURNS INT BEGIN SET {what}; RETURN 1; END"
    my_sql(my_superuser, f"DELIMITER //\n{create}//")

    async def work(bench: Bench) -> None:
        session = (await bench.db.connect("main")).id
        assert (await bench.db.query("main", "SELECT straying()", transaction=session)).scalar() == 1
        await check_values(bench, session)
        [_ async for _ in await bench.db.stream("main", "SELECT straying()", transaction=session)]
        await check_tables(bench, session)

    run_my(work)


def test_a_collation_that_a_session_chooses_stays(run_my):
    async def work(bench: Bench) -> None:
        session = (await bench.db.connect("main")).id
        asked = "SELECT @@collation_connection"
        await bench.db.execute("main", "SET NAMES utf8mb4 COLLATE utf8mb4_bin", transaction=session)
        assert (await bench.db.query("main", asked, transaction=session)).scalar() == "utf8mb4_bin"
        assert (await bench.db.query("main", "SELECT 'a\\\\' = ?", ["A\\"], transaction=session)).scalar() == 0
        await bench.db.execute("main", "SET collation_connection = utf8mb4_unicode_ci", transaction=session)
        assert (await bench.db.query("main", asked, transaction=session)).scalar() == "utf8mb4_unicode_ci"
        assert (await bench.db.query("main", "SELECT 'a\\\\' = ?", ["A\\"], transaction=session)).scalar() == 1

    run_my(work)


@pytest.mark.parametrize("mode", MODES)
def test_values_in_a_server_of_any_mode(run_my, my_superuser, mode):
    before = my_sql(my_superuser, "SELECT @@GLOBAL.sql_mode").strip()
    my_sql(my_superuser, f"SET GLOBAL sql_mode = '{mode}'")
    try:

        async def work(bench: Bench) -> None:
            for _ in range(2):
                await check_values(bench)
                await check_tables(bench)
            assert await bench.db.tables("main")
            assert [column.name for column in (await bench.db.table("main", "kept")).columns] == ["id", "t", "b"]
            # Pooled connections follow the server.
            my_sql(my_superuser, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'")
            for _ in range(3):
                await check_tables(bench)

        run_my(work)
    finally:
        my_sql(my_superuser, f"SET GLOBAL sql_mode = '{before}'")


@pytest.mark.parametrize(
    "settings",
    [
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
        "SET NAMES latin1; SET sql_mode = 'ANSI_QUOTES'",
        "SET NAMES gbk",
        "SET autocommit = 0",
    ],
)
def test_values_where_the_server_greets_connections_with_settings(run_my, my_superuser, settings):
    my_sql(my_superuser, f'SET GLOBAL init_connect = "{settings}"')
    try:

        async def work(bench: Bench) -> None:
            asked = "SELECT @@sql_mode"
            first = (await bench.db.query("main", asked)).scalar()
            for _ in range(3):
                await check_values(bench)
                await check_tables(bench)
                # What resetting a connection forgets is there again.
                assert (await bench.db.query("main", asked)).scalar() == first
                assert (await bench.db.execute("main", asked)).scalar() == first
            assert ("NO_BACKSLASH_ESCAPES" in first) == ("BACKSLASH" in settings)

        run_my(work)
    finally:
        my_sql(my_superuser, "SET GLOBAL init_connect = ''")


@pytest.mark.parametrize(
    "query",
    [
        "&charset=latin1",
        "&charset=gbk&use_unicode=0",
        "&init_command=SET+sql_mode%3D%27NO_BACKSLASH_ESCAPES%27",
        "&sql_mode=%27ANSI_QUOTES%27",
        "&stmt_cache_size=10",
    ],
)
def test_values_where_the_url_has_settings(run_my, my_uri, query):
    async def work(bench: Bench) -> None:
        first = (await bench.db.query("main", "SELECT @@sql_mode")).scalar()
        for _ in range(2):
            await check_values(bench)
            await check_tables(bench)
            assert (await bench.db.query("main", "SELECT @@sql_mode")).scalar() == first

    run_my(work, url=my_uri + query)


def test_a_global_autocommit_of_0_reaches_no_link(run_my, my_superuser):
    my_sql(my_superuser, "SET GLOBAL autocommit = 0")
    try:

        async def work(bench: Bench) -> None:
            for number in range(3):
                await bench.db.execute("main", "INSERT INTO kept VALUES (?, '', '')", [number])
            assert (await bench.db.query("main", "SELECT count(*) FROM kept")).scalar() == 3

        run_my(work)
    finally:
        my_sql(my_superuser, "SET GLOBAL autocommit = 1")


def test_modes_set_by_a_procedure_a_batch_and_a_script(run_my, my_superuser):
    create = "CREATE OR REPLACE PROCEDURE app.plain() BEGIN SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT 1; END"
    my_sql(my_superuser, f"DELIMITER //\n{create}//")

    async def work(bench: Bench) -> None:
        db = bench.db
        session = (await db.connect("main")).id
        # The server's own flag says afterwards that a backslash is a character, which it is not.
        await db.execute("main", "CALL plain()", transaction=session)
        await check_values(bench, session)
        await check_tables(bench, session)
        await db.script("main", "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT '\\'; SELECT 1", transaction=session)
        await check_tables(bench, session)
        await db.execute("main", "SET sql_mode = ''", transaction=session)
        await check_tables(bench, session)
        done = await db.batch(
            "main",
            [
                Step("SELECT ?, '\\\\', ?", ["\\", b"\\"]),
                Step("SET sql_mode = 'NO_BACKSLASH_ESCAPES'"),
                Step("SELECT ?, '\\', ?", ["\\", b"\\"]),
                Step("EXECUTE IMMEDIATE 'SET sql_mode = ANSI_QUOTES'"),
                Step("SELECT ?, '\\\\', ? AS \"a\\\"", ["\\", b"\\"]),
            ],
            atomic=False,
            transaction=session,
        )
        found = [step.result.rows[0] for step in done[::2] if step.result is not None]
        assert found == [("\\", "\\", b"\\")] * 3

    run_my(work)


@pytest.mark.parametrize(
    ("script", "step"),
    [
        ("SET NAMES latin1; INSERT INTO kept VALUES (1, 'Zürich', '')", 1),
        ("SELECT 1; /*!40101 SET NAMES 'gbk' */; SELECT 2; SELECT 'Zürich'", 3),
        ("SET character_set_client = latin1; SELECT ';ü'", 1),
        ("SET NAMES utf8mb4; INSERT INTO kept VALUES (1, 'Zürich', '')", None),
        (
            f"SET @a = @@{CLIENT}; SET {CLIENT} = gbk; SET {CLIENT} = @a; INSERT INTO kept VALUES (1, 'Zürich', '')",
            None,
        ),
        ("SET NAMES latin1; INSERT INTO kept VALUES (1, 'Zurich', '')", None),
    ],
)
def test_scripts_that_say_that_their_text_is_in_another_character_set(run_my, script, step):
    async def work(bench: Bench) -> None:
        if step is None:
            await bench.db.script("main", script)
            name = (await bench.db.query("main", "SELECT t FROM kept")).scalar()
            assert name == ("Zurich" if script.isascii() else "Zürich")
        else:
            with pytest.raises(DatabaseNotSupportedError, match="text is sent as UTF-8: leave out") as raised:
                await bench.db.script("main", script)
            assert (raised.value.step, raised.value.executed) == (step, "no")

    run_my(work)


@pytest.mark.parametrize(
    ("mode", "sql", "values", "expected"),
    [
        ("", r"SELECT 'a\'?', ?", [1], ("a'?", 1)),
        ("NO_BACKSLASH_ESCAPES", r"SELECT 'a\', ?, '?'", [1], ("a\\", 1, "?")),
        ("NO_BACKSLASH_ESCAPES", r"SELECT 'a\', :b, ':c'", {"b": 1}, ("a\\", 1, ":c")),
        ("NO_BACKSLASH_ESCAPES", r'SELECT "a\", ?', ["\\"], ("a\\", "\\")),
        ("ANSI_QUOTES", r'SELECT t."?\", ? FROM (SELECT 2 AS "?\") t', ["\\"], (2, "\\")),
        ("", r'SELECT "?\"", ?', [1], ('?"', 1)),
    ],
)
def test_placeholders_follow_the_mode(run_my, mode, sql, values, expected):
    async def work(bench: Bench) -> None:
        db = bench.db
        session = (await db.connect("main")).id
        await db.execute("main", f"SET sql_mode = '{mode}'", transaction=session)
        assert (await db.query("main", sql, values, transaction=session)).rows == [expected]
        pages = [page async for page in await db.stream("main", sql, values, transaction=session)]
        assert pages[0].rows == [expected]

    run_my(work)


def test_places_that_take_nothing_but_a_literal(run_my):
    async def work(bench: Bench) -> None:
        db = bench.db
        for mode in ("", "NO_BACKSLASH_ESCAPES"):
            session = (await db.connect("main")).id
            await db.execute("main", f"SET sql_mode = '{mode}'", transaction=session)
            comment = "Zürich\\ 'x' \"y\""
            await db.execute("main", "ALTER TABLE kept COMMENT = ?", [comment], transaction=session)
            assert (await db.table("main", "kept")).comment == comment
            await db.execute(
                "main", "INSERT INTO kept VALUES (1, 'a', ''), (2, 'b', ''), (3, 'c', '')", transaction=session
            )
            few = await db.query(
                "main", "SELECT id FROM kept ORDER BY id LIMIT ? OFFSET ?", [2, 1], transaction=session
            )
            assert few.rows.column(0) == [2, 3]
            found = await db.query("main", "SHOW TABLES LIKE ?", ["ke%"], transaction=session)
            assert found.rows == [("kept",)]
            await db.execute("main", "DELETE FROM kept", transaction=session)
            await db.disconnect(session)

    run_my(work)


def test_values_of_odd_columns(run_my):
    async def work(bench: Bench) -> None:
        db = bench.db
        await db.execute("main", "CREATE OR REPLACE TABLE odd (e ENUM('a\\\\b', 'c'), s SET('x', 'y\\\\'), b BIT(16), j JSON, g GEOMETRY)")  # fmt: skip
        point = b"\x00\x00\x00\x00\x01\x01\x00\x00\x00" + b"\x00" * 6 + b"\xf0?" + b"\x00" * 7 + b"\x40"
        row = ["a\\b", "x,y\\", b"\x5c\x27", {"a": "\\ \" '\n"}, point]
        for mode in ("", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES"):
            session = (await db.connect("main")).id
            await db.execute("main", f"SET sql_mode = '{mode}'", transaction=session)
            await db.execute("main", "INSERT INTO odd VALUES (?, ?, ?, ?, ?)", row, transaction=session)
            asked = "SELECT e, s, b, JSON_VALUE(j, '$.a'), g FROM odd"
            assert list((await db.query("main", asked, transaction=session)).rows[0]) == [*row[:3], row[3]["a"], point]
            await db.execute("main", "DELETE FROM odd", transaction=session)
            await db.disconnect(session)
        await db.execute("main", "DROP TABLE odd")

    run_my(work)


def test_a_large_blob_takes_one_message(run_my):
    async def work(bench: Bench) -> None:
        blob = bytes(range(256)) * 16384
        for mode in ("", "NO_BACKSLASH_ESCAPES"):
            session = (await bench.db.connect("main")).id
            await bench.db.execute("main", f"SET sql_mode = '{mode}'", transaction=session)
            assert (await bench.db.query("main", "SELECT MD5(?) = MD5(?)", [blob, blob], transaction=session)).scalar()
            await bench.db.disconnect(session)

    run_my(work)


def test_many_rows_of_one_insert():
    def made(sql: str, rows: list[list[Any]]) -> list[str]:
        return list(join_rows(translate(sql, "mysql", "format", has_names=False).sql, rows, "mysql"))

    assert made("INSERT INTO t VALUES (?, '%')", [[1], [2]]) == ["INSERT INTO t VALUES (1, '%')", "INSERT INTO t VALUES (2, '%')"]  # fmt: skip
    assert made("INSERT INTO `50%` VALUES (?) ON DUPLICATE KEY UPDATE a = '5%'", [["a"], ["b%s"]]) == [
        "INSERT INTO `50%` VALUES ('a'),('b%s') ON DUPLICATE KEY UPDATE a = '5%'"
    ]
    assert made("INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = ?", [[1, 2], [3, 4]]) == [
        "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 2",
        "INSERT INTO t VALUES (3) ON DUPLICATE KEY UPDATE a = 4",
    ]
    assert len(made("REPLACE INTO t VALUES (?)", [["x" * 600_000]] * 3)) == 3
    assert fill_in("SELECT %s", [b"'\\\xff"], "mysql plain") == "SELECT _binary'''\\\udcff'"


PARTS = [
    "INSERT ", "replace ", "INTO t ", "VALUES ", "values(", "VALUE (", "(", "%s", ",%s", ", %s ", ")", " ON DUPLICATE KEY UPDATE a=VALUES(a)",
    " AS n", ";", " ", "x", "\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join))
@example("INSERT INTO t VALUES (%s) AS VALUES (%s)")
@example("REPLACE t VALUES (%s, %s);")
def test_an_insert_is_split_as_the_driver_does(sql: str) -> None:
    """The driver's own pattern takes far more time for a long statement."""
    expected = RE_INSERT_VALUES.match(sql)
    parts = None if expected is None else (expected[1], expected[2], expected[3] or "")
    found = split_insert(sql)
    assert (found and (*found[:2], found[2].strip(" \n"))) == (parts and (*parts[:2], parts[2].strip(" \n")))


@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES"])
def test_describe_follows_the_mode(run_my, my_superuser, mode):
    before = my_sql(my_superuser, "SELECT @@GLOBAL.sql_mode").strip()
    my_sql(my_superuser, f"SET GLOBAL sql_mode = '{mode}'")
    try:

        async def work(bench: Bench) -> None:
            sql = r"SELECT 'a\\', '?', ? AS x" if mode != "NO_BACKSLASH_ESCAPES" else r"SELECT 'a\', '?', ? AS x"
            told = await bench.db.describe("main", sql)
            assert len(told.parameters) == 1 and [column.name for column in told.columns][1:] == ["?", "x"]

        run_my(work)
    finally:
        my_sql(my_superuser, f"SET GLOBAL sql_mode = '{before}'")


def test_sessions_side_by_side_have_modes_of_their_own(run_my):
    async def work(bench: Bench) -> None:
        sessions = [(await bench.db.connect("main")).id for _ in range(2)]
        await bench.db.execute("main", "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", transaction=sessions[0])
        await asyncio.gather(*(check_values(bench, session) for session in sessions))
        await bench.db.disconnect(sessions[0])
        for _ in range(3):
            await check_values(bench)
            await check_tables(bench)

    run_my(work)
