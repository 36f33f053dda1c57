"""Values of every type survive the way into a real database and out again, through both codecs, hostile ones included."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpcservices.database.errors import DatabaseDataError, DatabaseError
from rpcservices.database.models import ColumnType, Result
from rpcwire.codec import codec_for
from rpcwire.contracts import Contract
from rpcwire.wiretypes import WireType

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
    "BLOB": (st.binary(), [b"", bytes(range(256)), b"\xff" * 2**20]),
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
    "bytea": (st.binary(), [b"", bytes(range(256)), b"\xff" * 2**20]),
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
    "LONGBLOB": (st.binary(), [b"", bytes(range(256)), b"\xff" * 2**20]),
    "DATE": (st.dates(), [dt.date.min, dt.date.max]),
    "DATETIME(6)": (st.datetimes(), [dt.datetime.min, dt.datetime.max]),
    "TIME(6)": (st.timedeltas(dt.timedelta(hours=-838), dt.timedelta(hours=838)), []),
    "UUID": (st.uuids(version=4).map(str), []),
}
TYPES = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mariadb": MARIADB}


def same(sent, received):
    if isinstance(sent, float) and math.isnan(sent):
        return isinstance(received, float) and math.isnan(received)
    if isinstance(sent, Decimal):
        return str(sent) == str(received) if sent.is_nan() else type(received) is Decimal and sent == received
    if isinstance(sent, float):
        return type(received) is float and sent == received and math.copysign(1, sent) == math.copysign(1, received)
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


async def trip(bench, contract, values):
    """Store values by one form of the wire each, and read them back by both."""
    db = bench.db
    for codec in FORMS:
        raw = contract.dump_params(
            {"database": "main", "sql": "INSERT INTO v VALUES (:id, :value)",
             "params": [{"id": n, "value": value} for n, value in enumerate(values)]}, codec
        )  # fmt: skip
        _, arguments = contract.load_params(raw, codec)
        await db.execute("main", "DELETE FROM v")
        await db.executemany(**arguments)
        found = await db.query("main", "SELECT value FROM v ORDER BY id")
        for form in FORMS:
            received = [row.value for row in RESULT.load(RESULT.dump(found, form), form)]
            assert all(map(same, values, received)), (values, received)
    return found


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "mariadb"])
def test_every_type_survives(run_with, name, request):
    config = (
        {} if name == "sqlite" else {"url": request.getfixturevalue("pg_uri" if name == "postgresql" else "my_uri")}
    )

    async def work(bench):
        contract = Contract(type(bench.service).executemany, injected=type(bench.db.ctx()))
        for db_type, (strategy, special) in TYPES[name].items():
            await bench.db.execute("main", "DROP TABLE IF EXISTS v")
            await bench.db.execute("main", f"CREATE TABLE v (id INTEGER PRIMARY KEY, value {db_type})")
            found = await trip(bench, contract, [None, *special, *examples_of(strategy)])
            assert found.columns[0].type is not ColumnType.ANY, db_type

    run_with(work, main={**config, "max_bytes": 16 * 2**20})


def test_json_null_is_not_sql_null(run_with, pg_uri):
    async def work(bench):
        db = bench.db
        found = await db.query("main", "SELECT 'null'::jsonb AS a, NULL::jsonb AS b, '{\"a\": 1e400}'::json AS c")
        assert [c.type for c in found.columns] == [ColumnType.JSON] * 3
        assert found.one() == ("null", None, '{"a": 1e400}')
        sent = await db.query("main", "SELECT :v::jsonb AS v", {"v": {"a": [1, None, "x"]}})
        assert sent.scalar() == '{"a": [1, null, "x"]}'

    run_with(work, main={"url": pg_uri})


def test_types_without_a_python_type_come_as_text(run_with, pg_uri):
    async def work(bench):
        found = await bench.db.query(
            "main", "SELECT '10.0.0.1'::inet, '[1,5)'::int4range, '(1,2)'::point, 'a'::\"char\", ARRAY['1.5'::numeric]"
        )
        assert found.one() == ("10.0.0.1", "[1,5)", "(1,2)", "a", [Decimal("1.5")])

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
        with pytest.raises(DatabaseDataError):
            await db.query("lite", "SELECT ?", [2**63])

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
