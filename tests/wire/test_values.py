"""Values of any type, exact in both codecs."""

from __future__ import annotations

import datetime as dt
import enum
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpcwire.codec import JsonLines, MessagePack
from rpcwire.errors import RemoteProtocolError
from rpcwire.values.tagged import SAFE_INTEGER, Value, from_tagged, to_tagged
from rpcwire.values.wiretypes import WireType
from tests.examples import count_examples

BOTH = (JsonLines(), MessagePack())
KIND = WireType(Value)

offsets = st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
hashable = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.uuids()
    | st.decimals(allow_nan=False) | st.dates() | st.times() | st.timedeltas()
    | st.datetimes() | st.datetimes(timezones=offsets) | st.tuples(st.integers(), st.text())
)  # fmt: skip
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.sampled_from(["$int", "$x", "$"]), inner, max_size=3)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
        | st.frozensets(hashable, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=10,
)


@settings(max_examples=count_examples(300), deadline=None)
@given(values)
def test_every_value_survives_the_trip_in_both_codecs(value: Any) -> None:
    for codec in BOTH:
        got = KIND.load(KIND.dump(value, codec), codec)
        assert got == value
        assert type(got) is type(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308])
def test_floats(value: float) -> None:
    for codec in BOTH:
        got = KIND.load(KIND.dump(value, codec), codec)
        assert math.isnan(got) if math.isnan(value) else got == value
        assert math.copysign(1, got) == math.copysign(1, value)


@pytest.mark.parametrize("value", [SAFE_INTEGER, SAFE_INTEGER + 1, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**400])
def test_integers(value: int) -> None:
    for codec in BOTH:
        assert KIND.load(KIND.dump(value, codec), codec) == value


def test_how_json_says_it() -> None:
    assert to_tagged(2**53, binary=False) == {"$int": "9007199254740992"}
    assert to_tagged(2**53, binary=True) == 2**53
    assert to_tagged(math.nan, binary=False) == {"$float": "NaN"}
    assert to_tagged(b"\x00\xff", binary=False) == {"$bytes": "AP8="}
    assert to_tagged(memoryview(b"x"), binary=True) == b"x"
    assert to_tagged(dt.timedelta(days=1, microseconds=2), binary=True) == {"$duration": [1, 0, 2]}
    assert to_tagged({"$a": 1}, binary=False) == {"$map": [["$a", 1]]}


def test_members_of_enumerations_are_what_they_hold() -> None:
    class Word(enum.StrEnum):
        A = "a"

    class Number(enum.IntEnum):
        ONE = 1

    class Text(enum.StrEnum):
        B = "b"

    assert [to_tagged(v, binary=False) for v in (Word.A, Number.ONE, Text.B)] == ["a", 1, "b"]


@pytest.mark.parametrize("value", [object(), 1j, lambda: 0, enum.Enum("E", "A").A, [object()], {"a": {1: object()}}])  # type: ignore[attr-defined]
def test_what_has_no_place_in_the_table(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be sent"):
        to_tagged(value, binary=False)
    for codec in BOTH:
        with pytest.raises(ValueError, match="cannot be sent"):
            KIND.dump(value, codec)


def test_lone_surrogates_are_no_text() -> None:
    for codec in BOTH:
        with pytest.raises(ValueError, match="surrogate"):
            KIND.dump(["\ud800"], codec)


BAD = [
    {"$nothing": 1}, {"$": 1}, {"$int": 5}, {"$int": "x"}, {"$int": None}, {"$int": "1" * 10_000}, {"$float": "1.5"},
    {"$float": "nan"}, {"$float": 1.5}, {"$bytes": "?"}, {"$bytes": 5}, {"$bytes": "AP8"}, {"$decimal": "x"}, {"$decimal": 1.5},
    {"$datetime": "yesterday"}, {"$datetime": 5}, {"$date": "2026-02-30"}, {"$time": "25:00"}, {"$duration": [1, 2]},
    {"$duration": "123"}, {"$duration": [1, 2, 3, 4, 5]}, {"$duration": [10**12, 0, 0]}, {"$duration": [True, 0, 0]},
    {"$uuid": "x"}, {"$uuid": 5}, {"$tuple": "abc"}, {"$tuple": 5}, {"$set": [[1]]}, {"$set": "abc"},
    {"$frozenset": [{}]}, {"$map": {"a": 1}}, {"$map": ["ab"]}, {"$map": [[1]]}, {"$map": [[[1], 2]]}, {"$map": 5},
]  # fmt: skip


@pytest.mark.parametrize("data", BAD, ids=str)
def test_bad_tags(data: Any) -> None:
    for wrong in (data, [data], {"a": data, "b": 1}, {"$tuple": [data]}):
        with pytest.raises(ValueError, match=r"\$"):
            from_tagged(wrong)
    import msgspec

    for codec in BOTH:
        raw = msgspec.msgpack.encode(data) if codec.binary else msgspec.json.encode(data)
        with pytest.raises(RemoteProtocolError):
            from_load(raw, codec)


def from_load(raw: bytes, codec: Any) -> Any:
    return KIND.load_answer(raw, codec)


def test_objects_that_only_look_tagged() -> None:
    for value in ({"$int": "5", "b": 1}, {"a": 1}, {}, {"$a": 1, "$b": 2}):
        assert from_tagged(value) == value


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal("-0.00"), Decimal("1E+1000")])
def test_odd_decimals(value: Decimal) -> None:
    for codec in BOTH:
        assert str(KIND.load(KIND.dump(value, codec), codec)) == str(value)


def test_the_schema_names_it() -> None:
    schema = KIND.adapter.json_schema()
    assert schema["title"] == "Value"
    assert UUID(int=1) == from_tagged(to_tagged(UUID(int=1), binary=False))


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [
        (np.int64(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (np.str_("x"), "x"),
        (np.datetime64("2026-11-23T07:47:32.000001"), dt.datetime(2026, 11, 23, 7, 47, 32, 1)),
        (np.datetime64("2026-11-23T07:47:32.000001000", "ns"), dt.datetime(2026, 11, 23, 7, 47, 32, 1)),
        (np.datetime64("2026-11-23"), dt.date(2026, 11, 23)),
        (np.timedelta64(1500, "ms"), dt.timedelta(seconds=1.5)),
        (np.datetime64("NaT", "ns"), None),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.DataFrame({"id": [7]}).id[0], 7),
    ],
)
def test_scalars_of_numpy_and_pandas_are_what_they_mean(scalar: Any, plain: Any) -> None:
    for codec in BOTH:
        got = KIND.load(KIND.dump(scalar, codec), codec)
        assert (type(got), got) == (type(plain), plain)


@pytest.mark.parametrize("binary", [True, False])
def test_times_of_pandas_lose_no_nanoseconds(binary: bool) -> None:
    for value in (pd.Timestamp("2026-11-23 07:47:32.000001002"), pd.Timedelta(1, "ns")):
        with pytest.raises(TypeError, match=r"nanoseconds: give its floor\('us'\)"):
            to_tagged([value], binary=binary)
        plain = value.floor("us")
        assert from_tagged(to_tagged(plain, binary=binary)) == plain


@pytest.mark.parametrize(
    "scalar", [np.datetime64(1, "ns"), np.timedelta64(1, "ns"), np.longdouble(0.1), np.complex64(1)]
)
def test_scalars_of_numpy_that_python_has_not(scalar: Any) -> None:
    for codec in BOTH:
        with pytest.raises(ValueError, match="cannot be sent"):
            KIND.dump(scalar, codec)
