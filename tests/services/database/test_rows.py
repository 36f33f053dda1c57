"""Rows survive the trip in every form of the wire, whatever is in them."""

from __future__ import annotations

import copy
import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rpcwire.codec import codec_for
from rpcwire.rows import texttable as rowtable
from rpcwire.rows.rows import Rows, pack_rows
from rpcwire.values.wiretypes import WireType

WIRE = WireType(Rows)
FORMS = [codec_for(name) for name in ("jsonrpc", "rpc.v1.json", "rpc.v1.msgpack")]

zones = st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(
    lambda d: dt.timezone(dt.timedelta(seconds=d // dt.timedelta(seconds=1)))
)
kinds = [
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(),
    st.binary(),
    st.decimals(),
    st.datetimes(),
    st.datetimes(timezones=zones),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.lists(st.one_of(st.integers(), st.text(), st.none()), max_size=3),
]
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(*[st.one_of(*kinds) for _ in range(width)]), max_size=6)
) | st.lists(st.sampled_from(kinds), min_size=1, max_size=4).flatmap(
    lambda columns: st.lists(st.tuples(*[st.none() | column for column in columns]), max_size=6)
)


def same(one, other):
    if isinstance(one, Decimal):
        return isinstance(other, Decimal) and str(one) == str(other)
    if isinstance(one, float) and one != one:
        return isinstance(other, float) and other != other
    if isinstance(one, dt.datetime | dt.time) and one.tzinfo is not None:
        return one == other and one.utcoffset() == other.utcoffset()
    return type(one) is type(other) and one == other


@settings(deadline=None)
@given(tables)
def test_every_table_survives(rows):
    for codec in FORMS:
        back = WIRE.load(WIRE.dump(Rows.of(rows), codec), codec)
        assert len(back) == len(rows)
        for mine, theirs in zip(rows, back, strict=True):
            assert all(map(same, mine, theirs)), (mine, theirs)
        again = WIRE.load(WIRE.dump(back, codec), codec)
        assert len(again) == len(rows)


def test_lone_surrogates_are_refused():
    with pytest.raises(ValueError, match="surrogates"):
        pack_rows([("\ud800",)], 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x91",
        b"\x91\x92\x01\x91\x92\xa0\x90",
        b"\x91\x92\x01\x91\x92\xa1x\x91\x01",
        b"\xc1",
        b"\x91\x92\x01\x91\x92\xa4date\x91\xa1x",
    ],
)
def test_malformed_rows_are_refused(data):
    import msgspec

    with pytest.raises(ValidationError):
        WIRE.load(msgspec.msgpack.encode(data), FORMS[2])


def test_json_that_is_no_rows_is_refused():
    for text in (b"1", b"[1]", b'[["a"], ["b", "c"]]', b'[[{"$what": 1}]]'):
        with pytest.raises(ValidationError):
            WIRE.load(text, FORMS[0])


def test_rows_have_names_and_convert():
    rows = Rows.of([(1, "a", 2.5), (2, None, 3.5)], ["id", "class", "id"])
    assert rows[0].id == 1 and rows[1][1] is None and rows[-1] == (2, None, 3.5)
    assert rows[0]._mapping == {"id": 1, "class": "a"}
    assert [row[0] for row in rows[:1]] == [1]
    assert rows.column("class") == ["a", None] and rows.column(2) == [2.5, 3.5]
    assert rows.to_dicts() == [{"id": 2.5, "class": "a"}, {"id": 3.5, "class": None}]
    assert rows == [(1, "a", 2.5), (2, None, 3.5)] and rows != [(1, "a", 2.5)]
    with pytest.raises(AttributeError, match="the columns are id, class, id"):
        _ = rows[0].nope
    with pytest.raises(KeyError, match="no column 'nope'"):
        rows.column("nope")
    assert copy.copy(rows[0]).id == 1 and copy.deepcopy(rows[0]) == rows[0]


def test_rows_print_as_a_table():
    rows = Rows.of([(1, "Ada\nL.", None), (22, "<b>", b"\x00\xff")], ["id", "name", "raw"])
    assert str(rows).splitlines() == [
        "id │ name   │ raw",
        "───┼────────┼───────",
        " 1 │ Ada␤L. │ NULL",
        "22 │ <b>    │ 0x00ff",
        "(2 rows)",
    ]
    assert "&lt;b&gt;" in rows._repr_html_() and "<b>" not in rows._repr_html_()
    many = Rows.of([(n,) for n in range(100)], ["n"])
    assert str(many).endswith("(100 rows, 40 not shown)") and "40 more rows" in many._repr_html_()


@pytest.mark.parametrize(
    ("text", "cells"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("\u0e01\u0e31\u0e19", 2), ("\u0645\u06cc\u200c\u062e", 3)],
)
def test_a_cell_of_any_script_is_shown_as_it_is(text: str, cells: int) -> None:
    """Thai vowels stand above a letter; Persian is written with joiners."""
    assert rowtable.cell_text(text) == text
    assert rowtable.width(text) == cells
    assert rowtable.cell_text("a\u202eb\x1b") == "a�b�"
