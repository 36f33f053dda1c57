"""Values of every type survive the way into a real database and out again, through both codecs, hostile ones included."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
import struct
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpcclient.errors import InvalidParams
from rpcservices.database.errors import DatabaseDataError, DatabaseError
from rpcservices.database.models import ColumnType, Result
from rpcwire.codec import codec_for
from rpcwire.contracts import Contract
from rpcwire.values.wiretypes import WireType

FORMS = [codec_for(name) for name in ("jsonrpc", "rpc.v1.msgpack")]
RESULT = WireType(Result)
UTC = dt.UTC

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
aware = st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=offsets)
money = st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**19), max_value=10**19)

# SQLite and MariaDB keep no negative zero.
SQLITE = {
    "INTEGER": (st.integers(-(2**63), 2**63 - 1), [2**63 - 1, -(2**63), 2**53 + 1]),
    "REAL": (st.floats(allow_nan=False).map(lambda x: x + 0.0), [math.inf, -math.inf, 5e-324, 0.1]),
    "TEXT": (text, ["", "\u0000x", "𝄞 Ä\n", "12"]),
    "BLOB": (st.binary(), [b"", bytes(range(256)), b"\xff" * 2**19]),
}
POSTGRESQL = {
    "int2": (st.integers(-(2**15), 2**15 - 1), []),
    "int8": (st.integers(-(2**63), 2**63 - 1), [2**63 - 1, -(2**63)]),
    "float8": (st.floats(), [math.nan, math.inf, -math.inf, -0.0, 5e-324]),
    "numeric": (st.decimals(allow_nan=False), [Decimal("NaN"), Decimal("Infinity"), Decimal("123456789012345678901234567890.123"), Decimal("1.50")]),
    "numeric(30, 10)": (money, [Decimal("12345678901234567890.0123456789")]),
    "bool": (st.booleans(), []),
    "text": (text, ["", "𝄞 Ä\n"]),
    "varchar(60)": (text, []),
    "bytea": (st.binary(), [b"", bytes(range(256)), b"\xff" * 2**19]),
    "date": (st.dates(), [dt.date.min, dt.date.max]),
    "time": (st.times(), [dt.time.max]),
    "timestamp": (st.datetimes(), [dt.datetime.min, dt.datetime.max]),
    "timestamptz": (aware, [dt.datetime(1, 1, 3, tzinfo=UTC), dt.datetime(9999, 12, 30, tzinfo=UTC)]),
    "interval": (st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999)), []),
    "uuid": (st.uuids(), [UUID(int=0)]),
    "int8[]": (st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=5), []),
    "text[]": (st.lists(text, max_size=3), [["a,b", 'q"', "\\", "NULL", None]]),
}  # fmt: skip
MARIADB = {
    "BIGINT": (st.integers(-(2**63), 2**63 - 1), [2**63 - 1, -(2**63)]),
    "BIGINT UNSIGNED": (st.integers(0, 2**64 - 1), [2**63, 2**64 - 1]),
    "DOUBLE": (
        st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False).map(lambda x: x + 0.0),
        [1e308, -0.1, 0.1],
    ),
    "DECIMAL(40, 10)": (money, [Decimal("123456789012345678901234567890.0123456789")]),
    "LONGTEXT CHARACTER SET utf8mb4": (text, ["", "\u0000", "𝄞 Ä\n\\'\"%"]),
    "LONGBLOB": (st.binary(), [b"", bytes(range(256)), b"\xff" * 2**19]),
    "DATE": (st.dates(), [dt.date.min, dt.date.max]),
    "DATETIME(6)": (st.datetimes(), [dt.datetime.min, dt.datetime.max]),
    "TIME(6)": (st.timedeltas(dt.timedelta(hours=-838), dt.timedelta(hours=838)), []),
    "UUID": (st.uuids(version=4).map(str), []),
}
SQLITE |= {"FLOAT": SQLITE["REAL"]}
POSTGRESQL |= {
    "float4": (st.floats(width=32), [math.nan, math.inf, -math.inf, -0.0, 1.401298464324817e-45, 16777216.0]),
    "timetz": (st.times(timezones=offsets), [dt.time(23, 59, 59, 999999, tzinfo=dt.timezone(dt.timedelta(hours=-14)))]),
    '"char"': (st.characters(min_codepoint=1, max_codepoint=127), ["'", "\\", '"']),
    "char(3)": (st.text("äb'\\\"%", min_size=3, max_size=3), ["a b"]),
    "date[]": (st.lists(st.dates() | st.none(), max_size=3), [[dt.date.min, dt.date.max]]),
    "numeric[]": (st.lists(st.decimals(allow_nan=False), max_size=3), [[Decimal("123456789012345678901234567890.5"), None]]),
    "bool[]": (st.lists(st.booleans() | st.none(), max_size=3), [[]]),
    "timestamptz[]": (st.lists(aware, max_size=3), [[dt.datetime(1, 1, 3, tzinfo=UTC), None]]),
    "uuid[]": (st.lists(st.uuids(), max_size=3), [[UUID(int=0), None]]),
    "bytea[]": (st.lists(st.binary(max_size=20), max_size=3), [[b"", b'\\x00"', b"NULL", None]]),
    "float8[]": (st.lists(st.floats(allow_nan=False), max_size=3), [[math.inf, -0.0, None]]),
    "int8[][]": (
        st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(st.integers(-9, 9), min_size=n, max_size=n), min_size=1, max_size=3)),
        [[[1, 2], [3, None]]],
    ),
    "text[][]": (st.lists(st.lists(text, min_size=2, max_size=2), min_size=1, max_size=3), [[["NULL", "{}"], [",", '\\"']]]),
}  # fmt: skip
hostile_json = st.recursive(
    st.none() | st.booleans() | st.integers() | text, lambda deep: st.lists(deep, max_size=3) | st.dictionaries(text, deep, max_size=3), max_leaves=6
).map(lambda value: json.dumps(value, ensure_ascii=False))  # fmt: skip
MARIADB |= {
    "BIT(64)": (st.binary(min_size=8, max_size=8), [b"\0" * 8, b"\xff" * 8]),
    "YEAR": (st.integers(1901, 2155), [0]),
    "TIMESTAMP(6) NULL": (st.datetimes(dt.datetime(1970, 1, 3), dt.datetime(2038, 1, 17)), []),
    "ENUM('', 'ä', 'it''s', 'a,b', '1')": (st.sampled_from(["", "ä", "it's", "a,b", "1"]), ["1"]),
    "SET('ä', 'it''s', '1')": (st.sampled_from(["", "ä", "it's", "1", "ä,it's,1", "it's,1"]), []),
    "TINYINT(1)": (st.integers(-128, 127), [0, 1]),
    "JSON": (hostile_json, ["null", '"null"', '"\\u0000"', "1e400"]),
}
TYPES = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mariadb": MARIADB}


def same(sent, received):
    if isinstance(sent, float) and math.isnan(sent):
        return isinstance(received, float) and math.isnan(received)
    if isinstance(sent, Decimal):
        return str(sent) == str(received) if sent.is_nan() else type(received) is Decimal and sent == received
    if isinstance(sent, float):
        return type(received) is float and sent == received and math.copysign(1, sent) == math.copysign(1, received)
    if isinstance(sent, list):
        return type(received) is list and len(sent) == len(received) and all(map(same, sent, received))
    if isinstance(sent, dt.time) and sent.utcoffset() != received.utcoffset():
        return False
    return type(sent) is type(received) and sent == received


def examples_of(strategy):
    """Values as Hypothesis thinks them up; they are sent together, since each trip takes its time."""
    found = []

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def gather(value):
        found.append(value)

    gather()
    return found


async def stored(bench, contract, values, codec):
    """Store values by one form of the wire; what the database gives of them."""
    raw = contract.dump_params(
        {"database": "main", "sql": "INSERT INTO v VALUES (:id, :value)",
         "params": [{"id": n, "value": value} for n, value in enumerate(values)]}, codec
    )  # fmt: skip
    _, arguments = contract.load_params(raw, codec)
    await bench.db.execute("main", "DELETE FROM v")
    await bench.db.executemany(**arguments)
    return await bench.db.query("main", "SELECT value FROM v ORDER BY id")


async def there_and_back(bench, contract, values, codec):
    """Store values by one form of the wire, and read them back by both."""
    found = await stored(bench, contract, values, codec)
    return [(form, [row.value for row in RESULT.load(RESULT.dump(found, form), form)]) for form in FORMS]


def as_declared(db_type, cells):
    """PostgreSQL sends the shortest decimal number that means a float4, which is not the double that equals it."""
    if db_type != "float4":
        return cells
    return [None if cell is None else struct.unpack("f", struct.pack("f", cell))[0] for cell in cells]


async def trip(bench, contract, values, db_type):
    """Store values by one form of the wire each, and read them back by both."""
    for codec in FORMS:
        found = await stored(bench, contract, values, codec)
        for form in FORMS:
            received = as_declared(db_type, [row.value for row in RESULT.load(RESULT.dump(found, form), form)])
            assert all(map(same, values, received)), (db_type, values, received)
    return found


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "mariadb"])
def test_every_type_survives(run_with, name, request):
    config = (
        {} if name == "sqlite" else {"url": request.getfixturevalue("pg_uri" if name == "postgresql" else "my_uri")}
    )

    async def work(bench):
        contract = Contract(type(bench.service).executemany, context_type=type(bench.db.ctx()))
        for db_type, (strategy, special) in TYPES[name].items():
            await bench.db.execute("main", "DROP TABLE IF EXISTS v")
            await bench.db.execute("main", f"CREATE TABLE v (id INTEGER PRIMARY KEY, value {db_type})")
            found = await trip(bench, contract, [None, *special, *examples_of(strategy)], db_type)
            assert found.columns[0].type is not ColumnType.ANY, db_type

    run_with(work, main={**config, "max_bytes": 16 * 2**20})


ISO = (dt.datetime, dt.date, dt.time)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda deep: st.lists(deep, max_size=3) | st.dictionaries(text, deep, max_size=3),
    max_leaves=8,
)
AS_TEXT_IN_SQLITE = {
    "bool": (st.booleans(), int, "INTEGER"),
    "Decimal": (st.decimals(allow_nan=False), str, "TEXT"),
    "date": (st.dates(), dt.date.fromisoformat, "TEXT"),
    "time": (st.times(), dt.time.fromisoformat, "TEXT"),
    "naive": (st.datetimes(), dt.datetime.fromisoformat, "TEXT"),
    "aware": (st.datetimes(timezones=offsets), dt.datetime.fromisoformat, "TEXT"),
    "UUID": (st.uuids(), UUID, "TEXT"),
    "list": (st.lists(documents, max_size=4), json.loads, "TEXT"),
    "dict": (st.dictionaries(text, documents, max_size=4), json.loads, "TEXT"),
}
"""How each type is stored in SQLite: what makes the value again of what comes back."""


@pytest.mark.parametrize("kind", AS_TEXT_IN_SQLITE)
def test_what_sqlite_has_no_type_for_survives_as_text(run_with, kind):
    strategy, parse, declared = AS_TEXT_IN_SQLITE[kind]

    async def work(bench):
        contract = Contract(type(bench.service).executemany, context_type=type(bench.db.ctx()))
        await bench.db.execute("main", f"CREATE TABLE v (id INTEGER PRIMARY KEY, value {declared})")
        values = examples_of(strategy)
        for codec in FORMS:
            for form, received in await there_and_back(bench, contract, values, codec):
                if kind in {"bool", "Decimal"}:
                    assert received == [parse(value) for value in values], form
                    continue
                assert [parse(cell) for cell in received] == values, form
                if kind == "aware":
                    assert [parse(cell).utcoffset() for cell in received] == [value.utcoffset() for value in values]

    run_with(work)


@pytest.mark.parametrize("value", [-0.0, 0.1, 16777216.0, 3.4028234663852886e38, 1.17549435e-38, 123456789.0])
def test_a_float_of_mariadb_has_six_digits_and_says_so(run_with, my_uri, value):
    async def work(bench):
        db = bench.db
        await db.execute("main", "CREATE OR REPLACE TABLE f (x FLOAT, d DOUBLE)")
        await db.execute("main", "INSERT INTO f VALUES (?, ?)", [value, value])
        found = await db.query("main", "SELECT x, x + 0e0 AS whole, d FROM f")
        assert [column.exact for column in found.columns] == [False, True, True]
        (single,) = struct.unpack("f", struct.pack("f", value))
        x, whole, double = found.one()
        assert math.isclose(x, single, rel_tol=1e-5) and whole == single and double == value
        for form in FORMS:
            assert RESULT.load(RESULT.dump(found, form), form).columns == found.columns

    run_with(work, main={"url": my_uri})


CHANGED = {
    "sqlite": [
        ("NUMERIC", Decimal("1234567890123456789.125"), 1234567890123456768),
        ("NUMERIC", Decimal("1.50"), 1.5),
        ("TEXT", Decimal("1234567890123456789.125"), "1234567890123456789.125"),
        ("REAL", 2**53 + 1, float(2**53)),
        ("TEXT", 1.5, "1.5"),
        ("INTEGER", -0.0, 0),
    ],
    "postgresql": [
        ("numeric(5, 2)", Decimal("1.005"), Decimal("1.01")),
        ("float4", 0.1, 0.1),
        ("timestamp(0)", dt.datetime(2026, 1, 1, 0, 0, 0, 600000), dt.datetime(2026, 1, 1, 0, 0, 1)),
        ("char(3)", "a", "a  "),
    ],
    "mariadb": [
        ("DATETIME", dt.datetime(2026, 1, 1, 0, 0, 0, 600000), dt.datetime(2026, 1, 1)),
        ("TIME", dt.timedelta(seconds=1, microseconds=600000), dt.timedelta(seconds=1)),
        ("DECIMAL(5, 2)", Decimal("1.005"), Decimal("1.01")),
        ("DOUBLE", -0.0, 0.0),
        ("CHAR(3)", "a ", "a"),
        ("TINYINT(1)", True, 1),
    ],
}
"""What docs/database.md says that a column's own declaration changes."""


def test_what_a_declaration_changes_is_as_documented(run_with, any_database, sql):
    async def work(bench):
        for declared, sent, kept in CHANGED[sql.name]:
            await bench.db.execute("main", "DROP TABLE IF EXISTS c")
            await bench.db.execute("main", f"CREATE TABLE c (x {declared})")
            await bench.db.execute("main", "INSERT INTO c VALUES (?)", [sent])
            found = (await bench.db.query("main", "SELECT x FROM c")).scalar()
            assert same(kept, found), (declared, sent, found)

    run_with(work, main=any_database)


def test_dates_that_python_lacks_come_as_text(run_with, my_uri):
    async def work(bench):
        session = (await bench.db.connect("main")).id
        await bench.db.execute("main", "SET SESSION sql_mode = ''", transaction=session)
        await bench.db.execute("main", "CREATE OR REPLACE TABLE z (d DATE, t DATETIME)", transaction=session)
        await bench.db.execute(
            "main", "INSERT INTO z VALUES ('0000-00-00', '2026-00-01 00:00:00')", transaction=session
        )
        found = (await bench.db.query("main", "SELECT d, t FROM z", transaction=session)).one()
        assert found == ("0000-00-00", "2026-00-01 00:00:00")

    run_with(work, main={"url": my_uri})


def test_json_null_is_not_sql_null(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        found = await db.query("main", "SELECT 'null'::jsonb AS a, NULL::jsonb AS b, '{\"a\": 1e400}'::json AS c")
        assert [c.type for c in found.columns] == [ColumnType.JSON] * 3
        assert found.one() == ("null", None, '{"a": 1e400}')
        sent = await db.query("main", "SELECT :v::jsonb AS v", {"v": {"a": [1, None, "x"]}})
        assert sent.scalar() == '{"a": [1, null, "x"]}'

    run_with(work, main={"url": pg_uri})


def test_json_null_is_not_sql_null_elsewhere(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        await db.execute("main", "DROP TABLE IF EXISTS j")
        await db.execute("main", "CREATE TABLE j (id INTEGER, doc JSON)")
        sent = ["null", None, '"null"', "[1, null]"]
        await db.executemany("main", "INSERT INTO j VALUES (?, ?)", [[n, text] for n, text in enumerate(sent)])
        found = await db.query("main", "SELECT doc FROM j ORDER BY id")
        for form in FORMS:
            assert RESULT.load(RESULT.dump(found, form), form).column("doc") == sent

    run_with(work, main=any_database)


@pytest.mark.parametrize("form", ["jsonrpc", "rpc.v1.json", "rpc.v1.msgpack"])
def test_every_type_survives_the_whole_way(daemon, form):
    """By a client over a real connection, in each form of the wire: by query, and by stream."""
    with daemon.connect(subprotocol=form) as client:
        db = client.database
        for db_type, (strategy, special) in TYPES[daemon.kind].items():
            db.execute("main", "DROP TABLE IF EXISTS w")
            db.execute("main", f"CREATE TABLE w (id INTEGER PRIMARY KEY, value {db_type})")
            values = [None, *special, *examples_of(strategy)]
            with db.transaction("main") as tx:
                tx.executemany(
                    "INSERT INTO w VALUES (:id, :value)", [{"id": n, "value": v} for n, v in enumerate(values)]
                )
            found = db.query("main", "SELECT value FROM w ORDER BY id")
            received = as_declared(db_type, found.column("value"))
            assert all(map(same, values, received)) and not found.truncated, db_type
            with db.stream("main", "SELECT value FROM w ORDER BY id", page_rows=7) as pages:
                streamed = as_declared(db_type, [row.value for page in pages for row in page])
            assert len(streamed) == len(values) and all(map(same, values, streamed)), db_type
        with pytest.raises(InvalidParams):
            db.execute("main", "INSERT INTO w VALUES (99, :value)", {"value": "\ud800"})
        assert db.query("main", "SELECT 1").scalar() == 1


def test_types_without_a_python_type_come_as_text(run_with, pg_uri):
    async def work(bench):
        found = await bench.db.query(
            "main",
            "SELECT '10.0.0.1'::inet, '[1,5)'::int4range, '(1,2)'::point, 'a'::\"char\", ARRAY['1.5'::numeric], "
            "ROW(1, 'a b', NULL)",
        )
        assert found.one() == ("10.0.0.1", "[1,5)", "(1,2)", "a", [Decimal("1.5")], '(1,"a b",)')

    run_with(work, main={"url": pg_uri})


@pytest.mark.parametrize("value", ["\ud800", {1, 2}, object()])
def test_values_that_no_database_takes(run_with, any_database, value):
    async def work(bench):
        with pytest.raises(DatabaseError):
            await bench.db.query("main", "SELECT :v", {"v": value})
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(work, main=any_database)


def test_what_a_database_cannot_hold_is_said(run_with, my_uri):
    async def work(bench):
        db = bench.db
        for value in (dt.datetime(2026, 1, 1, tzinfo=UTC), math.nan, Decimal("NaN")):
            with pytest.raises(DatabaseDataError):
                await db.query("maria", "SELECT ?", [value])
        for value in (2**63, math.nan):
            with pytest.raises(DatabaseDataError):
                await db.query("lite", "SELECT ?", [value])

    run_with(work, maria={"url": my_uri}, lite={})


def test_the_values_stand_in_the_form_of_the_wire(run_with):
    async def work(bench):
        found = await bench.db.query("main", "SELECT 9007199254740993, x'00ff', 1.5, NULL, 'a'")
        text = RESULT.dump(found, FORMS[0]).decode()
        assert '"rows":[[{"$int":"9007199254740993"},{"$bytes":"AP8="},1.5,null,"a"]]' in text

    run_with(work)


def test_concurrent_reads_do_not_mix(run_with, any_database):
    async def work(bench):
        async def one(number):
            found = await bench.db.query("main", "SELECT :n + 0 AS n", {"n": number})
            return found.scalar()

        assert await asyncio.gather(*(one(n) for n in range(60))) == list(range(60))

    run_with(work, main=any_database)


REFUSED = [
    ([{1, 2}], "set"),
    ([[Decimal("1.5"), {"x": Decimal("1.5")}]], ""),
    ([{"x": [Decimal("1.5")]}], "JSON has no Decimal: give"),
    (["\ud800"], "surrogates"),
]
REFUSED_BY = {
    "sqlite": [([float("nan")], "NaN"), ([2**63], "64 bits")],
    "postgresql": [(["a\0b"], "NUL.*give bytes"), ([[1, 2.5]], "mixed types.*one type")],
    "mariadb": [([float("nan")], "nan")],
}


def test_what_is_refused_is_named(run_with, any_database, sql):
    async def work(bench):
        db = bench.db
        for (value,), reason in REFUSED + REFUSED_BY[sql.name]:
            with pytest.raises(DatabaseError, match=rf"(?s)^params\[1\]: .*{reason}") as caught:
                await db.query("main", "SELECT ?, ?", [1, value])
            assert caught.value.executed == "no"
            with pytest.raises(DatabaseError, match=rf"(?s)^params\.what: .*{reason}"):
                await db.query("main", "SELECT :one, :what, :one", {"what": value, "one": 1})
            with pytest.raises(DatabaseError, match=rf"(?s)^params\[1\]\[0\]: .*{reason}"):
                await db.executemany("main", "SELECT ?", [[1], [value]])
            with pytest.raises(DatabaseError, match=rf"(?s)^params\[0\]: .*{reason}"):
                await db.stream("main", "SELECT ?", [value])
        with pytest.raises(DatabaseError, match=r"params\.a: missing: the statement has :a, :b"):
            await db.query("main", "SELECT :a, :b, :a")
        with pytest.raises(DatabaseError, match=r"[^.]; params: missing, for 2 placeholders"):
            await db.stream("main", "SELECT ?, ?")
        with pytest.raises(DatabaseError) as caught:
            await db.query("main", "SELEC 1")
        assert "params" not in caught.value.message

    run_with(work, main=any_database)
