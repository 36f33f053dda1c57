"""Types that take many steps to read one value bound the number of values in a call, so that no call takes long."""

from __future__ import annotations

import datetime as dt
import enum
import logging
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Raw
from pydantic import AfterValidator, BaseModel, Field, create_model
from typing_extensions import TypeAliasType

from rpcserver import Service, method
from rpcservices.database import Database
from rpcservices.hardware import Hardware
from rpcservices.programs import Programs
from rpcwire.codec import Subprotocol, codec_for
from rpcwire.contracts import Contract
from rpcwire.errors import TooLarge
from rpcwire.limits import CALL_STEPS, MESSAGE_NODES
from rpcwire.registry import Registry
from rpcwire.values.steps import EndlessSteps, most_steps
from rpcwire.values.tagged import Value
from rpcwire.values.wiretypes import LARGE_BYTES, WireType, load_upload

FORMS: list[Subprotocol] = ["rpc.v1.json", "rpc.v1.msgpack"]


def steps(annotation: Any) -> float:
    return most_steps(WireType(annotation).adapter.core_schema)


def contract(annotation: Any) -> Contract:
    def function(value: Any) -> None: ...

    function.__annotations__ = {"value": annotation, "return": None}
    made = Contract(function)
    made.bound_work()
    return made


def body(form: Subprotocol, value: Any) -> Raw:
    return Raw((msgspec.msgpack if form == "rpc.v1.msgpack" else msgspec.json).encode({"value": value}))


class Point(BaseModel):
    x: float
    y: float


class Options(BaseModel):
    a: int = 0
    b: str = ""


class Color(enum.Enum):
    RED = "red"


class Leaf(BaseModel):
    kind: Literal["leaf"] = "leaf"
    left: int = 0


class Branch(BaseModel):
    kind: Literal["branch"] = "branch"
    left: Leaf | Branch | None = None
    rest: list[Leaf | Branch] = []


class And(BaseModel):
    kind: Literal["and"]
    left: And | Or | int


class Or(BaseModel):
    kind: Literal["or"]
    left: And | Or | int


class ByKind(BaseModel):
    kind: Literal["one"]
    left: Annotated[ByKind | ByOther, Field(discriminator="kind")] | None = None


class ByOther(BaseModel):
    kind: Literal["other"]
    left: Annotated[ByKind | ByOther, Field(discriminator="kind")] | None = None


Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | float | bool | None")
Twice = TypeAliasType("Twice", "list[Twice] | set[Twice] | int")
Lists = create_model("Lists", **{f"f{number}": (list[int], []) for number in range(30)})  # type: ignore[call-overload]


STEPS: list[tuple[Any, float]] = [
    (int, 1),
    (list[int], 1),
    (list[int | str], 2),
    (list[int] | list[str] | None, 2),
    (list[list[int | str] | list[UUID | Decimal]], 8),
    (dict[str, int | str | UUID], 4),
    (dict[int | UUID, int], 3),
    (tuple[int | str, ...], 2),
    (list[Color | int], 9),
    (list[Color], 1),
    (list[Point], 1),
    (list[Options], 2.8),
    (list[Point | Options], 6.8),
    (list[dict[str, Value]] | list[list[Value]], 4),
    (Lists, 1),
    (list[Lists], 242),
    (list[Annotated[ByKind | ByOther, Field(discriminator="kind")]], 3.4 / 3),
    (Json, 6),
]


@pytest.mark.parametrize(("annotation", "most"), STEPS, ids=[str(annotation) for annotation, _ in STEPS])
def test_the_steps_of_types(annotation: Any, most: float) -> None:
    assert steps(annotation) == pytest.approx(most)


@pytest.mark.parametrize("annotation", [Leaf, Branch, list[Branch | Leaf], ByKind, Json, list[Json]], ids=str)
def test_types_that_contain_themselves_once(annotation: Any) -> None:
    assert steps(annotation) < 30


@pytest.mark.parametrize("annotation", [And, list[Or], Or | int, Twice, dict[str, And]], ids=str)
def test_types_that_contain_themselves_in_several_alternatives(annotation: Any) -> None:
    with pytest.raises(EndlessSteps):
        steps(annotation)
    with pytest.raises(TypeError, match=r"function: .*contains itself in several alternatives.*discriminated union"):
        contract(annotation)


def test_a_service_with_such_a_type_cannot_be_offered() -> None:
    class Desk(Service):
        """Takes expressions."""

        @method()
        async def take(self, items: AsyncIterator[And]) -> None:
            """Take some."""

    with pytest.raises(TypeError, match=r"take: items: the type contains itself in several alternatives"):
        Registry(logging.getLogger("test")).add(Desk())


class Tried:
    """Counts the values that validators look at."""

    def __init__(self) -> None:
        self.count = 0

    def type(self, annotation: Any) -> Any:
        """A type whose validator counts, and refuses."""

        def refuse(_: Any) -> Any:
            self.count += 1
            raise ValueError("no")

        return Annotated[annotation, AfterValidator(refuse)]


a_list: Any = list
a_map: Any = dict
TYPES: dict[str, Callable[[Tried], tuple[Any, Any]]] = {
    "a union": lambda tried: (a_list[tried.type(int) | tried.type(str) | tried.type(Any) | int], 1),
    "a union of lists of unions": lambda tried: (
        a_list[a_list[tried.type(int) | int] | a_list[tried.type(int) | str] | a_list[tried.type(Any)] | a_list[Any]],
        [1, 1, 1],
    ),
    "maps": lambda tried: (
        a_list[a_map[str, tried.type(int)] | a_map[str, tried.type(Any)] | a_map[str, tried.type(int) | int]],
        {"a": 1, "b": 2},
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TYPES)
def test_no_call_takes_more_steps(name: str, form: Subprotocol) -> None:
    """The largest call that is accepted, tried in full."""
    tried, codec = Tried(), codec_for(form)
    annotation, item = TYPES[name](tried)
    made = contract(annotation)
    assert made.most_nodes is not None
    least, most = 1, MESSAGE_NODES
    while least < most:  # The most items that are accepted.
        middle = (least + most + 1) // 2
        most_of_type = codec.has_more_nodes(bytes(body(form, [item] * middle)), made.most_nodes)
        least, most = (least, middle - 1) if most_of_type else (middle, most)
    tried.count = 0
    params = body(form, [item] * least)
    made.load_params(params, codec, is_large=len(bytes(params)) > LARGE_BYTES)
    assert 2 * least <= tried.count <= CALL_STEPS / 3, "each takes three steps: a function in Python"
    with pytest.raises(TooLarge) as caught:
        made.load_params(body(form, [item] * (least + 1)), codec)
    assert caught.value.executed == "no"
    assert caught.value.errors[0]["loc"] == ["params"]
    assert f"may have at most {made.most_nodes} values, names, arrays and objects" in caught.value.message
    assert "discriminated unions" in caught.value.message


@pytest.mark.parametrize("form", FORMS)
def test_a_small_call_of_types_with_very_many_steps_is_bounded_too(form: Subprotocol) -> None:
    made, codec = contract(list[Lists]), codec_for(form)
    assert made.most_nodes == int(CALL_STEPS / 242)
    with pytest.raises(TooLarge):
        made.load_params(body(form, [{}] * 1000), codec)
    made.load_params(body(form, [{}] * 100), codec)


def test_most_types_bound_nothing() -> None:
    for annotation in (int, list[int | str | None], list[Point], list[dt.datetime | str], Value, list[Options]):
        assert contract(annotation).most_nodes is None


@pytest.mark.parametrize("form", FORMS)
def test_items_of_streams_are_bounded_too(form: Subprotocol) -> None:
    def function(items: AsyncIterator[list[Lists]]) -> None: ...

    function.__annotations__ = {"items": AsyncIterator[list[Lists]], "return": None}
    made, codec = Contract(function), codec_for(form)
    made.bound_work()
    encode = (msgspec.msgpack if form == "rpc.v1.msgpack" else msgspec.json).encode
    kind = made.stream_parameters["items"]
    assert len(load_upload(kind, Raw(encode([{}] * 200)), codec, "items")) == 200
    with pytest.raises(TooLarge, match="items: an item may have at most 423 values") as caught:
        load_upload(kind, Raw(encode([{}] * 500)), codec, "items")
    assert caught.value.executed == "yes"


@pytest.mark.parametrize("service", [Programs, Database, Hardware])
def test_the_built_in_services_take_as_many_values_as_a_message_may_have(service: type[Service[Any]]) -> None:
    Registry(logging.getLogger("test")).add(made := service())
    for spec in made.methods():
        spec.contract.bound_work()
        assert spec.contract.most_nodes is None, spec.full_name
        assert not any(item.is_bounded for item in spec.contract.stream_parameters.values()), spec.full_name
