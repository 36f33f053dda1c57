"""Rows of a table: exact in both codecs, whatever the columns hold, and strict about what arrives."""

from __future__ import annotations

import copy
import datetime as dt
import gc
import math
import pickle  # noqa: TID251 - the parts of a program may hand rows on
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpcwire.codec import JsonLines, MessagePack
from rpcwire.errors import InvalidParams, RemoteProtocolError
from rpcwire.rows.row import Row, row_type
from rpcwire.rows.rows import Rows, _in_batches, pack_rows
from rpcwire.rows.texttable import cell_text
from rpcwire.values.dynamic import dump_plain, load_plain
from rpcwire.values.repeated import Repeated
from rpcwire.values.wiretypes import WireType
from tests.examples import count_examples

BOTH = (JsonLines(), MessagePack())
both_codecs = pytest.mark.parametrize("codec", BOTH, ids=["json", "msgpack"])
KIND = WireType(Rows)

offsets = st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
cells = [
    st.none(), st.booleans(), st.integers(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(), st.binary(),
    st.uuids(), st.decimals(allow_nan=False), st.dates(), st.times(), st.timedeltas(), st.datetimes(), st.datetimes(timezones=offsets),
    st.lists(st.integers()), st.dictionaries(st.text(), st.integers()), st.one_of(st.text(), st.integers(), st.dates()),
]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    columns = draw(st.lists(st.sampled_from(cells), min_size=1, max_size=5))
    return draw(st.lists(st.tuples(*(st.none() | column for column in columns)), max_size=6))


@settings(max_examples=count_examples(150), deadline=None)
@given(tables())
def test_every_table_survives_the_trip(table: list[tuple[Any, ...]]) -> None:
    for codec in BOTH:
        rows = Rows.of(table, [f"c{i}" for i in range(len(table[0]))] if table else ())
        got = KIND.load(KIND.dump(rows, codec), codec)
        assert got == table
        assert len(got) == len(table)
        assert [[type(cell) for cell in row] for row in got] == [[type(cell) for cell in row] for row in table]
        assert KIND.load(KIND.dump(got, codec), codec) == table, "and once more"


def test_many_chunks() -> None:
    for chunks in (1, 15, 16, 70_000):
        rows = Rows([pack_rows([(n,)], 1) for n in range(chunks)], chunks, ["n"])
        got = Rows.unpacked(rows.packed())
        assert len(got) == chunks
        assert got.column(0)[-1] == chunks - 1


def test_what_rows_can_do() -> None:
    rows = Rows.of([(1, "a", None), (2, "b", b"\xff")], ["id", "name", "name"])
    assert (rows[0].id, rows[0]["name" == "x"], rows[-1][1], rows[0:1]) == (1, 1, "b", [(1, "a", None)])
    assert rows.column("id") == rows.column(0) == [1, 2]
    assert rows.column("name") == ["a", "b"]
    assert rows.to_dicts() == [{"id": 1, "name": None}, {"id": 2, "name": b"\xff"}]
    assert rows == [(1, "a", None), (2, "b", b"\xff")]
    assert rows != [(1, "a", None)]
    assert rows != 5
    assert repr(rows) == str(rows)
    with pytest.raises(KeyError, match=r"no column 'x': the columns are id, name"):
        rows.column("x")
    assert rows.column(-3) == [1, 2]
    for place in (3, -4):
        with pytest.raises(IndexError, match=rf"no column {place}: the columns are id, name"):
            rows.column(place)
    with pytest.raises(IndexError, match="no column 2: there are 2"):
        Rows.of([(1, 2)]).column(2)
    with pytest.raises(IndexError, match="no column 0: there are none"):
        Rows.of([(), ()]).column(0)
    assert Rows.of([], ["a"]).column(0) == []
    with pytest.raises(TypeError):
        hash(rows)
    assert list(Rows.of([], ["a"])) == []
    assert list(Rows.of([(), ()])) == [(), ()]


def test_tables_for_people() -> None:
    rows = Rows.of([(1, "é" * 100, None), (22, "a\nb\x1b", b"\x00" * 100)], ["id", "名前", "<b>"])
    text = str(rows)
    first, _, *body = text.splitlines()
    assert "名前" in first
    assert "\x1b" not in text
    assert "␤" in text
    assert "…" in body[0]
    assert body[-1] == "(2 rows)"
    page = rows._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<script" not in Rows.of([("<script>",)], ["x"])._repr_html_()
    many = Rows.of([(n,) for n in range(100)], ["n"])
    assert "40 not shown" in str(many)
    assert "40 more rows not shown" in many._repr_html_()
    assert repr(many).splitlines()[-1] == "(100 rows, 80 not shown)" and len(repr(many).splitlines()) == 23
    wide = Rows.of([range(50)] * 2, [f"c{n}" for n in range(50)])
    assert str(wide).splitlines()[0].split(" │ ")[-1].strip() == "c39"
    assert repr(wide).splitlines()[-1] == "(2 rows, 10 columns not shown)"
    assert "c39" in wide._repr_html_() and "c40" not in wide._repr_html_()
    assert wide._repr_html_().endswith("<p>10 columns not shown</p>")
    assert str(Rows.of([(1, 2)])).splitlines()[-1] == "(1 row)"
    assert cell_text(b"\x01\x02") == "0x0102"


def test_one_row() -> None:
    kind = row_type(["id", "class", "_x", "id", "no name"])
    row = kind((1, 2, 3, 4, 5))
    assert (row.id, row[1]) == (1, 2)
    assert row._mapping == {"id": 1, "class": 2, "_x": 3, "no name": 5}
    assert row._asdict()["no name"] == 5
    assert "id=1" in repr(row)
    assert repr(Row((1,))) == "(1,)"
    for name in ("class_", "nothing"):
        with pytest.raises(AttributeError, match="the columns are id, class"):
            getattr(row, name)
    for again in (copy.copy(row), pickle.loads(pickle.dumps(row))):
        assert again == row
        assert again.id == 1


BAD_ROWS = [
    b"", b"\xc1", msgspec.msgpack.encode(5), msgspec.msgpack.encode([5]), msgspec.msgpack.encode([[1, [["", [1, 2]]]]]),
    msgspec.msgpack.encode([[1, [["odd", [1]]]]]), msgspec.msgpack.encode([[1, [["date", ["x"]]]]]),
    msgspec.msgpack.encode([[1, [["time", ["x"]]]]]), msgspec.msgpack.encode([[1, [["datetimetz", ["x"]]]]]),
    msgspec.msgpack.encode([[1, [["decimal", ["x"]]]]]), msgspec.msgpack.encode([[1, [["tagged", [{"$int": 5}]]]]]),
    msgspec.msgpack.encode([[-1, []]]), msgspec.msgpack.encode([[2**63, []]]), b"\x91" * 5000, b"\x91\x92\x01\x91\x92\xa0" + b"\x91" * 5000,
    msgspec.msgpack.encode([[1, [["", [1]]]]]) + b"\x00",
]  # fmt: skip


@pytest.mark.parametrize("data", BAD_ROWS)
def test_rows_that_are_malformed(data: bytes) -> None:
    with pytest.raises(ValueError):
        Rows.unpacked(data)
    with pytest.raises(RemoteProtocolError):
        KIND.load_answer(msgspec.msgpack.encode(data), MessagePack())


@both_codecs
@pytest.mark.parametrize("data", [5, "x", None, {}, [[1], [1, 2]], [5], [[{"$int": 5}]]])
def test_what_is_no_rows(data: Any, codec: Any) -> None:
    raw = msgspec.msgpack.encode(data) if codec.binary else msgspec.json.encode(data)
    with pytest.raises(RemoteProtocolError):
        KIND.load_answer(raw, codec)


def test_what_cannot_be_in_rows() -> None:
    for wrong in ([(object(),)], [(1, object())]):
        with pytest.raises(TypeError):
            Rows.of(wrong)
    with pytest.raises(ValueError):
        Rows.of([("\ud800",)])
    with pytest.raises(ValueError):
        Rows.of([(1,), (1, 2)])
    for codec in BOTH:
        with pytest.raises(ValueError):
            KIND.dump(5, codec)
    assert KIND.adapter.json_schema()["type"] == "array"


# --- what is often the same ------------------------------------------------------------------------------------------------


class Column(NamedTuple):
    name: str
    size: int = 0


SHARED = WireType(Annotated[tuple[Column, ...], Repeated()])


@both_codecs
def test_repeated_values(codec: Any) -> None:
    value = (Column("a"), Column("b", 5))
    one = SHARED.load(SHARED.dump(value, codec), codec)
    assert one == value
    assert type(one[0]) is Column
    again = SHARED.load(SHARED.dump(value, codec), codec)
    assert (again is one) is codec.binary
    long = tuple(Column("x" * 100) for _ in range(1000))
    assert SHARED.load(SHARED.dump(long, codec), codec) == long


@pytest.mark.parametrize("data", [b"\xc1", b"", b"\x91\x05", b"\x91" * 5000])
def test_repeated_values_that_are_malformed(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        SHARED.load_answer(msgspec.msgpack.encode(data), MessagePack())


# --- without a contract ------------------------------------------------------------------------------------------------------


@both_codecs
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1, "b": "x", "c": None}, {"a": 1, "b": "x", "c": None}),
        ([1, 2.5], [1, 2.5]),
        ({"when": dt.date(2026, 1, 2)}, {"when": "2026-01-02"}),
        ({"price": Decimal("1.50"), "id": UUID(int=1)}, {"price": "1.50", "id": str(UUID(int=1))}),
        ({"s": {1}, "t": (1, [2])}, {"s": [1], "t": [1, [2]]}),
        ({"big": 2**53}, {"big": 2**53}),
    ],
)
def test_plain_bodies(value: Any, expected: Any, codec: Any) -> None:
    assert load_plain(dump_plain(value, codec), codec) == expected


def test_plain_bodies_with_models() -> None:
    from dataclasses import dataclass

    from pydantic import BaseModel, Field

    class Model(BaseModel):
        some_name: Annotated[bytes, Field(alias="someName")]

    @dataclass
    class Data:
        x: bytes

    value = {"m": Model(someName=b"a"), "d": [Data(b"b")]}
    assert load_plain(dump_plain(value, BOTH[1]), BOTH[1]) == {"m": {"someName": b"a"}, "d": [{"x": b"b"}]}
    assert load_plain(dump_plain(value, BOTH[0]), BOTH[0]) == {"m": {"someName": "YQ=="}, "d": [{"x": "Yg=="}]}


@both_codecs
@pytest.mark.parametrize("value", [{"a": object()}, {"a": "\ud800"}, ["\ud800"], {"a": [object()]}])
def test_plain_bodies_that_cannot_be_sent(value: Any, codec: Any) -> None:
    with pytest.raises(InvalidParams, match="cannot be sent"):
        dump_plain(value, codec)


def test_plain_bodies_without_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for codec in BOTH:
        with pytest.raises(InvalidParams):
            dump_plain(endless, codec)
    for codec, raw in ((BOTH[0], b"{"), (BOTH[1], b"\xc1"), (BOTH[1], b"\x91" * 100 + b"\xc0")):
        with pytest.raises(RemoteProtocolError):
            load_plain(raw, codec)
    assert math.isinf(load_plain(dump_plain([math.inf], BOTH[1]), BOTH[1])[0])


# --- making many rows -------------------------------------------------------------------------------------------


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The generations of each run of the garbage collector."""
    found: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            found.append(info["generation"])

    gc.collect()
    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


@pytest.mark.parametrize("plain", [False, True])
def test_a_large_result_does_not_let_the_garbage_collector_look_at_everything(
    collections: list[int], plain: bool
) -> None:
    """It would run every 700 rows, and every 100,000 or so look at all that the program holds."""
    chunk = pack_rows([(n, "text") for n in range(5000)], 2)
    rows = Rows([chunk] * 40, 200_000, ("n", "text"))
    rows.column("n")  # Decoded now.
    collections.clear()
    assert len(list(rows.tuples() if plain else rows)) == 200_000
    assert 2 not in collections
    assert len(collections) < 100
    assert gc.isenabled()


def test_the_first_rows_of_many_do_not_wait_for_the_rest() -> None:
    made = 0

    def count(number: int) -> tuple[int]:
        nonlocal made
        made += 1
        return (number,)

    reading = _in_batches([map(count, range(100_000)), map(count, range(7))])
    assert next(reading) == (0,)
    assert made <= 16
    assert [row[0] for row in reading] == [*range(1, 100_000), *range(7)]


def test_the_garbage_collector_is_left_as_it_was() -> None:
    def failing() -> Iterator[tuple[int]]:
        yield (1,)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(_in_batches([failing()]))
    assert gc.isenabled()
    gc.disable()
    try:
        assert list(Rows.of([(1,)] * 1000)) == [(1,)] * 1000
        assert not gc.isenabled()
    finally:
        gc.enable()
