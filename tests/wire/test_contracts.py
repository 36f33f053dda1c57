"""Contracts: every type survives the trip in both codecs, and what cannot be sent is refused at start-up by its place."""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from rpcwire.codec import Codec, JsonLines, MessagePack
from rpcwire.context import Context
from rpcwire.contracts import Contract, StreamReference, stream_item
from rpcwire.errors import FIELD_ERRORS, InvalidParams, RemoteProtocolError
from rpcwire.limits import MAX_DEPTH
from rpcwire.values.packing import unpack
from rpcwire.values.tagged import Value
from rpcwire.values.wiretypes import WireType

BOTH = (JsonLines(), MessagePack())
both_codecs = pytest.mark.parametrize("codec", BOTH, ids=["json", "msgpack"])
T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Move(TypedDict, total=False):
    by: int
    data: bytes


@dataclass
class Box:
    name: str
    raw: bytes = b""
    size: float = math.inf
    tags: list[str] = field(default_factory=list)


class Blob(BaseModel):
    data: bytes
    level: float
    model_config = ConfigDict(ser_json_bytes="utf8", ser_json_inf_nan="null")  # The wire's own rules win.


class Page(BaseModel, Generic[T]):
    items: list[T]
    next_page: Annotated[str | None, Field(alias="nextPage")] = None
    model_config = ConfigDict(populate_by_name=True)


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


# What a type is, and values of it.
aware = st.datetimes(timezones=st.timezones() | st.just(dt.UTC))
finite = st.floats(allow_nan=False)
TYPES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "none": (None, st.none()),
    "bool": (bool, st.booleans()),
    "int": (int, st.integers()),
    "int of any size": (int, st.sampled_from([2**53, -(2**63), 2**63, 2**64, 2**200, -(2**200)])),
    "float": (float, st.floats()),
    "str": (str, st.text()),
    "bytes": (bytes, st.binary()),
    "decimal": (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    "naive datetime": (dt.datetime, st.datetimes()),
    "aware datetime": (dt.datetime, aware.filter(lambda v: v.utcoffset() is None or not v.utcoffset().seconds % 60)),
    "date": (dt.date, st.dates()),
    "time": (dt.time, st.times()),
    "timedelta": (dt.timedelta, st.timedeltas(min_value=dt.timedelta(days=-10**6), max_value=dt.timedelta(days=10**6))),
    "uuid": (uuid.UUID, st.uuids()),
    "enum": (Color, st.sampled_from(Color)),
    "int enum": (Level, st.sampled_from(Level)),
    "literal": ((Literal["a", 1] | None), st.sampled_from(["a", 1, None])),
    "path": (PurePosixPath, st.sampled_from([PurePosixPath("/a/b"), PurePosixPath("c")])),
    "address": (IPv4Address, st.ip_addresses(v=4)),
    "list": (list[bytes], st.lists(st.binary())),
    "sequence": (Sequence[int], st.lists(st.integers())),
    "tuple": (tuple[int, bytes, str], st.tuples(st.integers(), st.binary(), st.text())),
    "long tuple": (tuple[float, ...], st.lists(st.floats()).map(tuple)),
    "set": (set[bytes], st.sets(st.binary())),
    "frozenset": (frozenset[int], st.frozensets(st.integers())),
    "dict": (dict[str, bytes], st.dictionaries(st.text(), st.binary())),
    "dict by int": (dict[int, float], st.dictionaries(st.integers(-(2**63), 2**63), st.floats())),
    "dict by enum": (dict[Level, int], st.dictionaries(st.sampled_from(Level), st.integers())),
    "dict by uuid": (dict[uuid.UUID, int], st.dictionaries(st.uuids(), st.integers(0, 9), max_size=3)),
    "mapping": (Mapping[str, Decimal], st.dictionaries(st.text(), st.decimals(allow_nan=False, allow_infinity=False))),
    "optional": (Optional[bytes], st.none() | st.binary()),  # noqa: UP045 - the older way to write it
    "union of models": (Blob | Tree, st.builds(Blob, data=st.binary(), level=st.floats()) | st.builds(Tree, value=st.integers())),
    "named tuple": (Point, st.builds(Point, st.integers(), st.floats())),
    "typed dict": (Move, st.fixed_dictionaries({}, optional={"by": st.integers(), "data": st.binary()})),
    "dataclass": (Box, st.builds(Box, st.text(), st.binary(), st.floats(), st.lists(st.text()))),
    "model with bytes and NaN": (Blob, st.builds(Blob, data=st.binary(), level=st.floats())),
    "generic with an alias": (Page[bytes], st.builds(Page[bytes], items=st.lists(st.binary()), next_page=st.none() | st.text())),
    "nested generic": (
        dict[str, Page[Page[Blob]]],
        st.dictionaries(
            st.text(max_size=5),
            st.builds(
                Page[Page[Blob]],
                items=st.lists(
                    st.builds(Page[Blob], items=st.lists(st.builds(Blob, data=st.binary(), level=st.floats()), max_size=2)),
                    max_size=2,
                ),
            ),
            max_size=2,
        ),
    ),
    "recursive": (Tree, st.recursive(st.builds(Tree, value=st.integers(0, 5)), lambda t: st.builds(Tree, value=st.integers(0, 5), children=st.lists(t, max_size=3)), max_leaves=8)),
}  # fmt: skip


def same(one: Any, two: Any) -> bool:
    """Equal, of one type, and NaN equal to itself, all the way down."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(two)) or (one == two and math.copysign(1, one) == math.copysign(1, two))
    if isinstance(one, BaseModel):
        return same(one.__dict__, two.__dict__)
    if isinstance(one, Box):
        return same(vars(one), vars(two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dt.datetime) and one.tzinfo is not None:
        # Python calls no time that a zone's clock shows twice equal to one of another zone (PEP 495).
        return one.astimezone(dt.UTC) == two.astimezone(dt.UTC)
    return bool(one == two)


@both_codecs
@pytest.mark.parametrize("name", TYPES)
def test_every_type_survives_the_trip(name: str, codec: Codec) -> None:
    kind, values = TYPES[name]
    wire_type = WireType(kind)

    @settings(max_examples=25, deadline=None)
    @given(values)
    def survives(value: Any) -> None:
        got = wire_type.load(wire_type.dump(value, codec), codec)
        assert same(got, value), (got, value)

    survives()


@both_codecs
def test_every_type_as_a_parameter_and_a_result(codec: Codec) -> None:
    for name, (kind, _) in TYPES.items():

        def function(self: Any, value: Any, *, other: Any = None) -> Any: ...

        function.__annotations__ = {
            "value": kind,
            "other": kind | None if isinstance(kind, type) else Any,
            "return": kind,
        }
        if kind is None:
            continue
        contract = Contract(function)
        value = _one(name)
        args, kwargs = contract.load_params(contract.dump_params({"value": value}, codec), codec)
        assert same(kwargs.get("value", args[0] if args else None), value), name
        assert contract.result is not None
        assert same(contract.result.load_answer(contract.dump_result(value, codec), codec), value), name


def _one(name: str) -> Any:
    samples = {
        "bool": True, "int": 5, "int of any size": 2**200, "float": math.inf, "str": "é𝄞", "bytes": b"\xff\x00",
        "decimal": Decimal("1.50"), "naive datetime": dt.datetime(2026, 11, 23, 7, 47, 32, 1),
        "aware datetime": dt.datetime(2026, 11, 23, 7, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
        "date": dt.date(1, 1, 1), "time": dt.time(23, 59, 59, 999999), "timedelta": dt.timedelta(-1, 3, 5),
        "uuid": uuid.UUID(int=7), "enum": Color.BLUE, "int enum": Level.HIGH, "literal": "a",
        "path": PurePosixPath("/x"), "address": IPv4Address("10.0.0.1"), "list": [b"\xff"], "sequence": [1],
        "tuple": (1, b"x", "y"), "long tuple": (1.0, math.inf), "set": {b"\xff"}, "frozenset": frozenset({1}),
        "dict": {"a": b"\xff"}, "dict by int": {-1: 1.5}, "dict by enum": {Level.LOW: 1}, "dict by uuid": {uuid.UUID(int=1): 1},
        "mapping": {"a": Decimal("0.10")}, "optional": b"x", "union of models": Blob(data=b"\xff", level=math.inf),
        "named tuple": Point(1, math.inf), "typed dict": {"data": b"\xff"}, "dataclass": Box("n", b"\xff"),
        "model with bytes and NaN": Blob(data=b"\xff", level=-math.inf),
        "generic with an alias": Page[bytes](items=[b"\xff"], nextPage="2"),
        "nested generic": {"a": Page[Page[Blob]](items=[Page[Blob](items=[Blob(data=b"\xff", level=1)])])},
        "recursive": Tree(value=1, children=[Tree(value=2)]),
    }  # fmt: skip
    return samples[name]


@both_codecs
def test_values_that_are_nearly_of_the_type_are_brought_into_shape(codec: Codec) -> None:
    assert WireType(list[int]).load(WireType(list[int]).dump((1, 2), codec), codec) == [1, 2]
    assert WireType(Tree).load(WireType(Tree).dump({"value": 1}, codec), codec) == Tree(value=1)
    assert WireType(float).load(WireType(float).dump(1, codec), codec) == 1.0
    assert WireType(bytes).load(WireType(bytes).dump(bytearray(b"x"), codec), codec) == b"x"


@both_codecs
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, "x"),
        (list[int], [1, "x"]),
        (Tree, {"values": 1}),
        (str, "\ud800"),
        (Color, "green"),
        (bytes, 5),
        (int, None),
    ],
)
def test_values_of_another_type_are_refused(codec: Codec, kind: Any, value: Any) -> None:
    with pytest.raises(ValueError):
        WireType(kind).dump(value, codec)


@both_codecs
def test_answers_of_another_type(codec: Codec) -> None:
    wrong = WireType(str).dump("x", codec)
    with pytest.raises(RemoteProtocolError, match="does not fit") as caught:
        WireType(int).load_answer(wrong, codec)
    assert caught.value.executed == "yes"
    assert caught.value.errors
    if codec.binary:
        with pytest.raises(RemoteProtocolError, match="malformed"):
            WireType(int).load_answer(b"\xc1", codec)


def test_plain() -> None:
    assert WireType(Blob).plain(Blob(data=b"\xff", level=math.nan))["data"] == "_w=="
    assert WireType(dt.timedelta).plain(dt.timedelta(seconds=5)) == "PT5S"


@pytest.mark.parametrize("body", [b"\xc1", b"\x91" * 5000 + b"\xc0", b"\xa1\xff", b"", b"\x81\x81\x01\x02\x03"])
def test_unpack_refuses(body: bytes) -> None:
    for bounded in (True, False):
        with pytest.raises(ValueError, match="not MessagePack"):
            unpack(body, checks_depth=not bounded)


def test_unpack_bounds_the_depth() -> None:
    unpack(b"\x91" * 63 + b"\xc0")
    with pytest.raises(ValueError, match="64"):
        unpack(b"\x91" * 66 + b"\xc0")
    with pytest.raises(ValueError, match="64"):
        unpack(b"\x81\xa1a" * 66 + b"\xc0")


# --- parameters ------------------------------------------------------------------------------------------------------


class Offered:
    async def mixed(self, a: int, b: str = "b", *, c: bytes = b"c", ctx: Context) -> None: ...
    async def context_first(self, ctx: Context, a: int, b: int = 2) -> None: ...
    async def sums(self, items: AsyncIterator[int], start: int = 0) -> int: ...
    async def counts(self, n: int) -> AsyncIterator[bytes]: ...
    async def nothing(self) -> None: ...
    async def many(self, xs: list[int]) -> None: ...
    async def checked(self, password: Annotated[str, Field(min_length=8)]) -> None: ...
    async def late(self, tree: Tree, page: Page[Tree]) -> Tree: ...


def contract(name: str) -> Contract:
    return Contract(getattr(Offered, name), context_type=Context)


def body(codec: Codec, value: Any) -> bytes:
    import msgspec

    return msgspec.msgpack.encode(value) if codec.binary else msgspec.json.encode(value)


@both_codecs
@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("mixed", [1], {"a": 1}),
        ("mixed", [1, "x"], {"a": 1, "b": "x"}),
        ("mixed", {"a": 1}, {"a": 1}),
        ("mixed", {"a": 1, "c": "AP8="}, {"a": 1, "c": b"\x00\xff"}),
        ("context_first", [5], {"a": 5}),
        ("context_first", [5, 6], {"a": 5, "b": 6}),
        ("context_first", {"b": 6, "a": 5}, {"a": 5, "b": 6}),
        ("sums", [{"stream": "c1"}], {"items": StreamReference("c1")}),
        ("sums", {"items": {"stream": "c1"}, "start": 5}, {"items": StreamReference("c1"), "start": 5}),
        ("nothing", [], {}),
        ("nothing", {}, {}),
    ],
)
def test_params(codec: Codec, name: str, params: Any, expected: dict[str, Any]) -> None:
    if codec.binary and isinstance(params, dict) and "c" in params:
        params = {**params, "c": b"\x00\xff"}
    made = contract(name)
    args, kwargs = made.load_params(body(codec, params), codec)
    given = dict(zip((p.name for p in made.parameters), args, strict=False)) | kwargs
    defaults = {p.name: p.default for p in made.parameters if not p.is_required}
    assert {key: value for key, value in given.items() if key in expected or value != defaults.get(key)} == expected
    if made.context_name:
        assert not args, "a positional argument would take the context's place"


@both_codecs
def test_no_params(codec: Codec) -> None:
    assert contract("nothing").load_params(None, codec) == ((), {})
    with pytest.raises(InvalidParams, match="a: "):
        contract("mixed").load_params(None, codec)


@both_codecs
@pytest.mark.parametrize(
    ("name", "params", "place"),
    [
        ("mixed", [], "a"),
        ("mixed", ["x"], "a"),
        ("mixed", [1, 2], "b"),
        ("mixed", [1, "b", b"c"], "c"),
        ("mixed", {"a": 1, "d": 1}, "d"),
        ("mixed", {"a": 1, "ctx": 1}, "ctx"),
        ("mixed", {"a": 1, "self": 1}, "self"),
        ("many", [[1, "x", 3]], "xs"),
        ("late", {"tree": {"value": 1, "children": [{"value": "x"}]}, "page": {"items": []}}, "tree"),
        ("sums", ["c1"], "items"),
    ],
)
def test_wrong_params_are_named(codec: Codec, name: str, params: Any, place: Any) -> None:
    if not codec.binary:
        params = [p.decode() if isinstance(p, bytes) else p for p in params] if isinstance(params, list) else params
    with pytest.raises(InvalidParams) as caught:
        contract(name).load_params(body(codec, params), codec)
    assert caught.value.errors[0]["loc"][0] == place
    assert str(place) in caught.value.message
    assert caught.value.executed == "no"


@both_codecs
@pytest.mark.parametrize("params", [5, "x", None, True])
def test_params_of_no_shape(codec: Codec, params: Any) -> None:
    with pytest.raises(InvalidParams):
        contract("mixed").load_params(body(codec, params), codec)


@both_codecs
def test_the_input_is_not_repeated(codec: Codec) -> None:
    with pytest.raises(InvalidParams) as caught:
        contract("checked").load_params(body(codec, ["hunter2"]), codec)
    assert "hunter2" not in str(caught.value.to_wire())


@both_codecs
@pytest.mark.parametrize("count", [1, 32, 33, 1000, 100_000])
def test_many_wrong_values_make_a_short_answer(codec: Codec, count: int) -> None:
    with pytest.raises(InvalidParams) as caught:
        contract("many").load_params(body(codec, [["x"] * count]), codec)
    assert len(caught.value.errors) <= FIELD_ERRORS + 1
    assert len(str(caught.value.to_wire())) < 10_000
    if count > FIELD_ERRORS:
        assert "values are wrong" in caught.value.errors[-1]["msg"]


@both_codecs
def test_too_long_integers_are_errors_of_their_field(codec: Codec) -> None:
    raw = body(codec, ["1" * 10_000]) if codec.binary else b"[" + b"1" * 10_000 + b"]"
    with pytest.raises(InvalidParams) as caught:
        contract("context_first").load_params(raw, codec)
    assert caught.value.errors[0]["loc"] == (["a"] if codec.binary else [])


@both_codecs
def test_dump_params(codec: Codec) -> None:
    made = contract("late")
    data = made.dump_params({"tree": {"value": 1}, "page": Page[Tree](items=[Tree(value=2)])}, codec)
    _args, kwargs = made.load_params(data, codec)
    assert kwargs == {"tree": Tree(value=1), "page": Page[Tree](items=[Tree(value=2)])}
    with pytest.raises(InvalidParams) as caught:
        made.dump_params({"tree": {"value": "x"}, "page": {"items": []}}, codec)
    assert caught.value.errors[0]["loc"] == ["tree", "value"]
    assert contract("mixed").load_params(contract("mixed").dump_params({"a": 1}, codec), codec)[1]["a"] == 1


def test_signature_and_bind() -> None:
    made = contract("mixed")
    assert str(made.signature) == "(a: int, b: str = 'b', *, c: bytes = b'c') -> None"
    assert made.bind((1,), {"c": b"x"}) == {"a": 1, "c": b"x"}
    with pytest.raises(TypeError, match="too many"):
        made.bind((1, "b", b"c"), {})
    assert made.context_name == "ctx"
    assert [p.is_required for p in made.parameters] == [True, False, False]


def test_streams() -> None:
    sums = contract("sums")
    assert list(sums.stream_parameters) == ["items"]
    assert sums.item is None
    counts = contract("counts")
    assert counts.result is None
    assert counts.item is not None
    assert counts.item.annotation is bytes
    assert stream_item(Iterator[int]) is int
    assert stream_item(Annotated[Iterable[int], "x"]) is int
    assert stream_item(list[int]) is None
    assert stream_item(int) is None


# --- start-up --------------------------------------------------------------------------------------------------------


class Opaque:
    pass


def no_annotation(self: Any, a) -> None: ...  # type: ignore[no-untyped-def]
def no_result(self: Any, a: int): ...  # type: ignore[no-untyped-def]
def starred(self: Any, *args: int) -> None: ...
def double_starred(self: Any, **more: int) -> None: ...
def unknown_name(self: Any, a: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821
def opaque(self: Any, a: Opaque) -> None: ...
def opaque_result(self: Any) -> list[Opaque]: ...
def opaque_items(self: Any) -> AsyncIterator[Opaque]: ...
def positional_only(self: Any, a: int, /, b: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_annotation, ["'a'", "no annotation"]),
        (no_result, ["result", "-> None"]),
        (starred, ["*args", "cannot be sent"]),
        (double_starred, ["*more", "cannot be sent"]),
        (unknown_name, ["Nowhere"]),
        (opaque, ["a:", "Opaque"]),
        (opaque_result, ["return:", "Opaque"]),
        (opaque_items, ["return:", "Opaque"]),
        (positional_only, ["'a'", "positional only", "'/'"]),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_place(function: Any, words: list[str]) -> None:
    with pytest.raises(TypeError) as caught:
        Contract(function)
    assert str(caught.value).startswith(f"{function.__module__}.{function.__qualname__}: ")
    for word in words:
        assert word in str(caught.value)


def test_validators_of_models_run_on_both_sides() -> None:
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def even(cls, n: int) -> int:
            if n % 2:
                raise ValueError("must be even")
            return n

    for codec in BOTH:
        kind = WireType(Even)
        assert kind.load(kind.dump(Even(n=2), codec), codec) == Even(n=2)
        with pytest.raises(RemoteProtocolError, match="even"):
            kind.load_answer(body(codec, {"n": 3}), codec)


class Labelled(BaseModel):
    type: str
    metadata: Blob


@both_codecs
def test_fields_called_as_a_schemas_own_keys(codec: Codec) -> None:
    """Fields may be called `type` and `metadata`, and the wire's rules hold inside them, too."""
    kind = WireType(Labelled)
    value = Labelled(type="a", metadata=Blob(data=b"\xff", level=math.inf))
    assert kind.load(kind.dump(value, codec), codec) == value


class Branch(BaseModel):
    """Contains itself, so that its values may nest without end."""

    below: list[Branch] = []


class Twig(BaseModel):
    size: int


class Pair(BaseModel):
    """Refers to one definition twice, and has an end."""

    left: Twig
    right: Twig


def test_types_that_contain_themselves_are_bounded() -> None:
    codec, kind = MessagePack(), WireType(Branch)
    fitting, too_deep = Branch(), Branch()
    for _ in range(20):
        fitting = Branch(below=[fitting])
    for _ in range(MAX_DEPTH):
        too_deep = Branch(below=[too_deep])
    assert kind.load(kind.dump(fitting, codec), codec) == fitting
    with pytest.raises(ValueError, match="deeper"):
        kind.load(kind.dump(too_deep, codec), codec)
    shared, pair = WireType(Pair), Pair(left=Twig(size=1), right=Twig(size=2**70))
    assert shared.load(shared.dump(pair, codec), codec) == pair


@dataclass
class Statement:
    sql: str
    params: dict[str, Value] | list[Value] | None = None


def run(
    sql: str,
    params: dict[str, Value] | list[Value] | None = None,
    many: list[dict[str, Value]] | list[list[Value]] | None = None,
    steps: list[Statement] | None = None,
) -> None: ...


endless: list[Any] = ["a"]
endless.append(endless)


@both_codecs
@pytest.mark.parametrize(
    ("given_", "loc", "said"),
    [
        ({"params": {"x": object()}}, ["params", "x"], "a value of type object cannot be sent"),
        ({"params": [1, {"a": [object()]}]}, ["params", 1, "a", 0], "a value of type object cannot be sent"),
        ({"params": [Color.RED]}, ["params", 0], "a value of type Color cannot be sent: give its value"),
        ({"params": ["\ud800"]}, ["params", 0], "text with lone surrogates cannot be sent"),
        ({"sql": "\ud800"}, ["sql"], "text with lone surrogates cannot be sent"),
        ({"params": endless}, ["params", 1], "it contains itself"),
        ({"steps": [Statement("x", [object()])]}, ["steps", 0, "params", 0], "a value of type object cannot be sent"),
        ({"params": 1}, ["params"], "a list or a dict of values"),
        ({"params": "text"}, ["params"], "a list or a dict of values"),
        ({"many": 1}, ["many"], "a list of lists or a list of dicts of values"),
        ({"many": [[1], {"a": 1}]}, ["many"], "a list of lists or a list of dicts of values"),
        ({"steps": [{"sql": "x", "params": 1}]}, ["steps", 0, "params"], "a list or a dict of values"),
    ],
)
def test_what_is_wrong_with_values_is_told_in_one_line(
    given_: dict[str, Any], loc: list[Any], said: str, codec: Codec
) -> None:
    with pytest.raises(InvalidParams) as caught:
        Contract(run).dump_params({"sql": "SELECT 1", **given_}, codec)
    (error,) = caught.value.errors
    assert error["loc"] == loc and error["msg"].startswith(said)
    assert caught.value.message.startswith(f"invalid parameters: {'.'.join(map(str, loc))}: {said}")
    assert "\n" not in caught.value.message


@both_codecs
def test_the_forms_that_a_receiver_misses_are_told(codec: Codec) -> None:
    def sent(value: Any) -> bytes:
        return WireType(dict[str, Any]).dump({"sql": "x", "params": value}, codec)

    for value, loc, said in (
        (1, ["params"], "a list or a dict of values"),
        ({"x": {"$bad": 1}}, ["params", "x"], "unknown tag '$bad'"),
        ([1, {"$uuid": "?"}], ["params", 1], "not a $uuid"),
    ):
        with pytest.raises(InvalidParams) as caught:
            Contract(run).load_params(sent(value), codec)
        (error,) = caught.value.errors
        assert error["loc"] == loc and error["msg"].startswith(said)


@pytest.mark.parametrize("name", [-7, -1, 0, 1, 5])
def test_a_number_in_place_of_a_name_is_no_position(name: int) -> None:
    def method(a: int, b: dict[str, int]) -> None: ...

    contract, codec = Contract(method), MessagePack()
    with pytest.raises(InvalidParams) as caught:
        contract.load_params(msgspec.msgpack.encode({"a": 1, "b": {}, name: 1}), codec)
    assert [error["loc"] for error in caught.value.errors] == [[name]]
    with pytest.raises(InvalidParams) as caught:
        contract.load_params(msgspec.msgpack.encode([1, {name: 1}]), codec)
    assert caught.value.errors[0]["loc"][0] == "b"
