"""Large bodies that were made to take far longer than others of their size are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec import Raw

from rpcwire.codec import Subprotocol, codec_for
from rpcwire.contracts import Contract
from rpcwire.errors import InvalidParams
from rpcwire.limits import MESSAGE_NODES
from rpcwire.nodes import has_more_packed_nodes
from rpcwire.values.tagged import TEXT_BYTES, Value
from rpcwire.values.wiretypes import LARGE_BYTES

FORMS: list[Subprotocol] = ["rpc.v1.json", "rpc.v1.msgpack"]
PRIME = 2**61 - 1
"""The hashes of Python's numbers are remainders of this."""
MANY = 1000


def read(annotation: Any, form: Subprotocol, value: Any) -> Any:
    """Read a large body as the dispatch does."""

    def method(value: Any) -> None: ...

    method.__annotations__ = {"value": annotation, "return": None}
    codec = codec_for(form)
    body = (msgspec.msgpack if codec.packed else msgspec.json).encode({"value": value})
    assert len(body) > LARGE_BYTES
    _, arguments = Contract(method).load_params(Raw(body), codec, is_large=True)
    return arguments["value"]


def numbers(step: int) -> list[str]:
    return [str(step * number) for number in range(1, MANY + 1)]


def uuids(step: int) -> list[str]:
    return [str(UUID(int=step * number)) for number in range(1, MANY + 1)]


def tagged(values: list[str], tag: str) -> list[dict[str, str]]:
    return [{tag: value} for value in values]


CASES: dict[str, tuple[Any, Any]] = {
    "set of integers": (set[int], numbers),
    "set of Decimals": (set[Decimal], numbers),
    "set of UUIDs": (frozenset[UUID], uuids),
    "set of tuples": (set[tuple[int, int]], lambda step: [[number, 1] for number in numbers(step)]),
    "set in a list": (list[set[int]], lambda step: [numbers(step)]),
    "names of integers": (dict[int, str], lambda step: dict.fromkeys(numbers(step), "x")),
    "names of UUIDs": (dict[UUID, str], lambda step: dict.fromkeys(uuids(step), "x")),
    "tagged set": (Value, lambda step: {"$set": tagged(numbers(step), "$int")}),
    "tagged frozenset": (Value, lambda step: {"$frozenset": tagged(numbers(step), "$decimal")}),
    "tagged map": (Value, lambda step: {"$map": [[{"$int": number}, 1] for number in numbers(step)]}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_numbers_with_the_same_hash(case: str, form: Subprotocol) -> None:
    annotation, make = CASES[case]
    with pytest.raises(InvalidParams, match="many values have the same hash: send them as a list"):
        read(annotation, form, make(PRIME))
    good = read(annotation, form, make(PRIME + 2))
    assert len(good[0] if case == "set in a list" else good) == MANY


@pytest.mark.parametrize("form", FORMS)
def test_large_bodies_mean_the_same_as_small_ones(form: Subprotocol) -> None:
    texts = [f"{number:020}" for number in range(MANY)]
    assert read(set[str], form, texts) == set(texts)
    assert read(dict[str, int], form, dict.fromkeys(texts, 1)) == dict.fromkeys(texts, 1)
    assert read(dict[int, list[int]], form, {text: [1] for text in texts}) == {n: [1] for n in range(MANY)}
    assert read(set[int], form, [*texts, "1"]) == set(range(MANY))
    assert read(list[tuple[int, str]], form, [[1, text] for text in texts]) == [(1, text) for text in texts]
    blob, nothing = ("AAEC", "") if form == "rpc.v1.json" else (b"\x00\x01\x02", b"")
    blobs = read(dict[int, bytes], form, {**dict.fromkeys(texts, nothing), "5000": blob})
    assert (blobs[5000], blobs[1]) == (b"\x00\x01\x02", b"")


@pytest.mark.parametrize("form", FORMS)
def test_an_error_of_a_large_body_names_the_first_wrong_member(form: Subprotocol) -> None:
    """To describe all of them would take several times as long as to read them."""
    with pytest.raises(InvalidParams) as caught:
        read(list[int], form, [1, *["x" * 30] * MANY])
    assert [error["loc"] for error in caught.value.errors] == [["value", 1]]
    with pytest.raises(InvalidParams) as caught:
        read(dict[int, int], form, {str(number): "x" * 30 for number in range(MANY)})
    assert [error["loc"] for error in caught.value.errors] == [["value", "0"]]


@pytest.mark.parametrize("form", FORMS)
def test_many_errors_of_a_small_body_are_not_described_either(form: Subprotocol) -> None:
    """A frame has room for hundreds of such calls."""

    def method(value: list[int], text: str) -> None: ...

    method.__annotations__ = {"value": list[int], "text": str, "return": None}
    codec = codec_for(form)
    body = (msgspec.msgpack if codec.packed else msgspec.json).encode({"value": ["x"] * 100, "text": 1})
    with pytest.raises(InvalidParams) as caught:
        Contract(method).load_params(Raw(body), codec)
    places = [error["loc"] for error in caught.value.errors]
    assert places == [["value", 0], ["text"], []]
    assert caught.value.errors[-1]["msg"] == "and more values are wrong"


@pytest.mark.parametrize("form", FORMS)
def test_long_numbers_are_bounded_together(form: Subprotocol) -> None:
    """To read 4,300 digits takes as long as hundreds of other values, and grows with their square."""
    count = TEXT_BYTES // 4000
    assert len(read(list[Value], form, tagged(["9" * 4000] * count, "$int"))) == count
    with pytest.raises(InvalidParams, match=f"more than {TEXT_BYTES} characters in one call: send less at once"):
        read(list[Value], form, tagged(["9" * 4000] * (count + 1), "$int"))
    assert len(read(list[Value], form, tagged(["9" * 4000] * count, "$decimal"))) == count, "each body has its own"


def test_long_texts_count_for_more_than_one_value() -> None:
    text = msgspec.msgpack.encode(["é" * 2000] * 100)
    assert not has_more_packed_nodes(text, 1 + 100 * 4)
    assert has_more_packed_nodes(text, 100 * 4)
    for longest in (msgspec.msgpack.encode("x" * 16_000_000), msgspec.msgpack.encode(bytes(16_000_000))):
        assert not has_more_packed_nodes(longest, MESSAGE_NODES)
