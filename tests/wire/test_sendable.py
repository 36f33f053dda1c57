"""Whatever this side encodes, the other side reads; what it would not read is refused before it is sent, by its place."""

from __future__ import annotations

import datetime as dt
import enum
import logging
from collections import deque
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpcclient.methods import Method
from rpcclient.options import CallOptions
from rpcwire.aio.remote import RemoteCaller
from rpcwire.codec import Codec, JsonLines, Malformed, MessagePack, PlainJson
from rpcwire.context import Connection, Context
from rpcwire.errors import InvalidParams, InvalidRequest, RpcError, ServiceError
from rpcwire.events import (
    ErrorReceived,
    IncomingCall,
    ItemsReceived,
    NotificationReceived,
    ProgressReceived,
    ResultReceived,
    StreamEnded,
)
from rpcwire.limits import ITEM_LEVELS, SessionLimits
from rpcwire.session import Session
from rpcwire.values.dynamic import dump_plain, load_plain
from rpcwire.values.tagged import Value
from rpcwire.values.unsendable import Unsendable
from rpcwire.values.wiretypes import WireType
from tests.examples import count_examples

CODECS = [PlainJson(), JsonLines(), MessagePack()]
every_codec = pytest.mark.parametrize("codec", CODECS, ids=[codec.subprotocol for codec in CODECS])


class Kind(enum.Enum):
    ONE = 1
    TEXT = "1"


leaves = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4) | st.binary(max_size=4)
    | st.dates() | st.datetimes() | st.times() | st.timedeltas() | st.uuids() | st.decimals() | st.sampled_from(Kind)
    | st.just("\ud800")
    | st.integers(4299, 4300).map(lambda digits: 10**digits)
)  # fmt: skip
keys = (
    st.none() | st.booleans() | st.integers(0, 3) | st.floats() | st.sampled_from(["1", "1.0", "None", "true", "nan", "\ud800"])
    | st.sampled_from(Kind) | st.just(dt.date(2020, 1, 1)) | st.just("2020-01-01") | st.just(UUID(int=1))
    | st.just(str(UUID(int=1))) | st.just(Decimal("1.0")) | st.tuples(st.integers(0, 2)) | st.binary(max_size=1)
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3)
        | st.lists(inner, max_size=2).map(tuple)
        | st.lists(inner, max_size=2).map(deque)
        | st.tuples(st.integers(1, 66), inner).map(lambda deep: nested(*deep))
    ),
    max_leaves=8,
)


def nested(levels: int, value: Any = 0) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def arrival(session: Session, other: Session, method: str = "a.b") -> IncomingCall:
    """A call that one session makes, as the other gets it."""
    other.call(method)
    (call,) = session.receive(other.frames()[0])
    assert isinstance(call, IncomingCall)
    return call


def received(codec: Codec, frames: list[bytes], *, limits: SessionLimits | None = None) -> list[Any]:
    """What another session makes of frames; nothing in them may be malformed."""
    other = Session(codec, limits=limits)
    other._outgoing.update(dict.fromkeys(range(1, 10)))
    found: list[Any] = []
    for frame in frames:
        assert not any(isinstance(message, Malformed) for message in codec.decode(frame).messages)
        found += list(other.receive(frame))
    return found


@every_codec
@given(value=values)
@settings(max_examples=count_examples(300), deadline=None)
def test_parameters_that_are_encoded_are_read(codec: Codec, value: Any) -> None:
    try:
        body = dump_plain({"x": value}, codec)
    except InvalidParams as exc:
        assert exc.executed == "no"
        assert exc.errors and exc.message
        return
    session = Session(codec)
    session.call("a.b", body)
    session.notify("a.c", body)
    call, note = received(codec, session.frames())
    assert isinstance(call, IncomingCall) and call.params is not None
    assert isinstance(note, NotificationReceived)
    load_plain(call.params, codec)


@every_codec
@pytest.mark.parametrize(
    "kind", [WireType(Any), WireType(Value), WireType(dict[int | str, Any])], ids=["Any", "Value", "dict"]
)
@given(value=values)
@settings(max_examples=count_examples(150), deadline=None)
def test_results_and_items_that_are_encoded_are_read(codec: Codec, kind: WireType, value: Any) -> None:
    try:
        result, item = kind.dump(value, codec), kind.dump(value, codec, ITEM_LEVELS)
    except ValueError:
        return
    session, other = Session(codec), Session(codec)
    call = arrival(session, other)
    session.reply(call, result)
    call = arrival(session, other, "a.c")
    stream = session.reply_stream(call)
    assert stream is not None
    session.streams.send(stream, item)
    session.streams.end(stream)
    events = []
    for frame in session.frames():
        for event in other.receive(frame):
            events.append(event)
            if isinstance(event, ResultReceived) and event.id == 2:
                other.streams.accept(stream.id)
    assert [type(event) for event in events] == [ResultReceived, ResultReceived, ItemsReceived, StreamEnded]
    kind_of_any = WireType(Any)
    kind_of_any.load(events[0].result, codec)
    kind_of_any.load(events[2].items[0], codec)


@every_codec
@given(details=values)
@settings(max_examples=count_examples(150), deadline=None)
def test_errors_are_always_read(codec: Codec, details: Any) -> None:
    session, other = Session(codec), Session(codec)
    call = arrival(session, other)
    session.reply_error(call, RpcError("it failed \ud800", details={"x": details}, executed="yes"))
    (event,) = list(other.receive(session.frames()[0]))
    assert isinstance(event, ErrorReceived)
    assert event.data["executed"] == "yes"  # type: ignore[index]


WRONG: list[tuple[Any, list[Any], str]] = [
    ([{1: "a", "1": "b"}], [0], "have the same name"),
    ({"x": [{None: 1, "None": 2}]}, ["x", 0], "have the same name"),
    ({"x": {True: 1, "true": 2}}, ["x"], "have the same name"),
    ({"x": {1.5: 1, "1.5": 2}}, ["x"], "have the same name"),
    ({"x": [1, {dt.date(2020, 1, 1): 1, "2020-01-01": 2}]}, ["x", 1], "have the same name"),
    ({"x": {UUID(int=1): 1, str(UUID(int=1)): 2}}, ["x"], "have the same name"),
    ({"x": {Kind.ONE: 1, 1: 2}}, ["x"], "have the same name"),
    ({"x": [0, nested(70)]}, ["x", 1], "nest deeper than 64"),
    (nested(70), [0], "nest deeper than 64"),
    ({"x": ["\ud800"]}, ["x", 0], "lone surrogates"),
    ({"x": {"y": 10**4300}}, ["x", "y"], "an integer of more than 4300 digits"),
    ({"x": 10**4300}, ["x"], "an integer of more than 4300 digits"),
]
ONLY_JSON = 4
"""The first of those are different keys in MessagePack."""


@every_codec
@pytest.mark.parametrize("number", range(len(WRONG)))
def test_the_place_is_named(codec: Codec, number: int) -> None:
    value, loc, said = WRONG[number]
    if codec.binary and number < ONLY_JSON:
        dump_plain(value, codec)
        return
    with pytest.raises(InvalidParams) as caught:
        dump_plain(value, codec)
    (error,) = caught.value.errors
    assert error["loc"][: len(loc)] == loc
    assert said in error["msg"]
    assert said in caught.value.message
    with pytest.raises(InvalidParams) as caught:
        Method("a.b").dump_item("items", value, codec)
    assert caught.value.errors[0]["loc"][: len(loc) + 1] == ["items", *loc]
    with pytest.raises((Unsendable, ValueError)):
        WireType(Any).dump(value, codec)


@every_codec
def test_as_deep_as_may_be(codec: Codec) -> None:
    most = 64 if codec.binary else 63
    for around, levels in ((1, most), (ITEM_LEVELS, 64 if codec.binary else 61)):
        dump_plain(nested(levels), codec, around)
        WireType(Any).dump(nested(levels), codec, around)
        with pytest.raises(InvalidParams):
            dump_plain(nested(levels + 1), codec, around)
        with pytest.raises(Unsendable):
            WireType(Any).dump(nested(levels + 1), codec, around)


def test_a_batch_is_one_level_more() -> None:
    codec = PlainJson()
    session = Session(codec)
    deep = dump_plain(nested(63), codec)
    session.call("a.b", deep)
    with pytest.raises(InvalidParams, match="nest deeper"):
        session.batch([("a.b", deep, True)])
    session.batch([("a.b", dump_plain(nested(62), codec), True)])
    received(codec, session.frames())
    other = Session(codec)
    other.batch([("a.b", None, True), ("a.b", None, True)])
    calls = list(session.receive(other.frames()[0]))
    session.reply(calls[0], deep)  # type: ignore[arg-type]
    session.reply(calls[1], b"1")  # type: ignore[arg-type]
    (frame,) = session.frames()
    one, two = list(other.receive(frame))
    assert isinstance(one, ErrorReceived) and "in a batch" in one.message
    assert isinstance(two, ResultReceived)


@every_codec
def test_a_name_that_is_no_text_is_refused(codec: Codec) -> None:
    session = Session(codec)
    for act in (lambda: session.call("a.\ud800"), lambda: session.notify("a.\ud800")):
        with pytest.raises(InvalidRequest, match="method") as caught:
            act()
        assert caught.value.executed == "no"
    assert session.frames() == []


@every_codec
@pytest.mark.parametrize("limit", [1024, 5000])
def test_what_goes_together_stays_within_the_limit(codec: Codec, limit: int) -> None:
    session = Session(codec, limits=SessionLimits(message_bytes=limit))
    for _ in range(300):
        session.notify("a.b", dump_plain(["x" * 20], codec))
    stream = session.streams.open()
    stream.grant(1000)
    for size in (1, 100, 200) * 20:
        session.streams.send(stream, WireType(str).dump("x" * size, codec))
    session.streams.end(stream, RpcError("x", details={"x": "y" * limit}))
    frames = session.frames()
    assert max(map(len, frames)) <= limit
    big = session.streams.open()
    for size in range(limit - 300, limit):
        try:
            session.streams.send(big, WireType(bytes).dump(bytes(size // 2), codec))
            big.grant(1)
        except RpcError:
            break
    session.streams.end(big)
    assert max(map(len, session.frames())) <= limit


# --- what cannot be read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params", ["[NaN]", '[{"a":1,"a":2}]', "[" * 64 + "]" * 64, r'["\ud800"]'], ids=["NaN", "twice", "deep", "half"]
)
@pytest.mark.parametrize("codec", CODECS[:2], ids=["jsonrpc", "rpc.v1.json"])
def test_a_call_that_breaks_a_rule_is_answered_by_its_id(codec: Codec, params: str) -> None:
    session = Session(codec)
    list(session.receive(f'{{"jsonrpc":"2.0","params":{params},"method":"a.b","id":7}}'.encode()))
    (frame,) = session.frames()
    (message,) = codec.decode(frame).messages
    assert (message.id, b"-32700" in frame) == (7, True)
    session.call("a.b")
    session.frames()
    (event, violation) = session.receive(f'{{"jsonrpc":"2.0","id":1,"result":{params}}}'.encode())
    assert isinstance(event, ErrorReceived) and event.id == 1 and "cannot be read" in event.message
    assert session.frames() == []  # Answers are not answered.
    assert violation is not None


def test_a_batch_that_breaks_a_rule_is_answered_by_its_ids() -> None:
    session = Session(PlainJson())
    list(
        session.receive(b'[{"jsonrpc":"2.0","id":1,"method":"a","params":[NaN]},{"jsonrpc":"2.0","id":2,"method":"b"}]')
    )
    (frame,) = session.frames()
    assert [message.id for message in PlainJson().decode(frame).messages] == [1, 2]  # type: ignore[union-attr]


def test_messagepack_that_cannot_be_read_is_answered_by_its_id() -> None:
    codec = MessagePack()
    session = Session(codec)
    head = b"\x84\xa7jsonrpc\xa32.0\xa2id\x07\xa6method\xa3a.b\xa6params"
    for params in (b"\x91" * 3000 + b"\xc0", b"\x91\xc1"):
        list(session.receive(head + params))
        (frame,) = session.frames()
        (message,) = codec.decode(frame).messages
        assert message.id == 7
    session.call("a.b")
    session.frames()
    (event, _) = session.receive(b"\x83\xa7jsonrpc\xa32.0\xa2id\x01\xa6result" + b"\x91" * 3000 + b"\xc0")
    assert isinstance(event, ErrorReceived) and event.id == 1


def test_service_errors_keep_their_kind() -> None:
    class Closed(ServiceError):
        """Closed."""

        until: Any

    session, other = Session(JsonLines()), Session(JsonLines())
    call = arrival(session, other)
    session.reply_error(call, Closed("closed", until=nested(80)))  # type: ignore[arg-type]
    (event,) = other.receive(session.frames()[0])
    assert isinstance(event, ErrorReceived)
    assert event.data == {"type": "Closed", "executed": "yes", "retryable": False}


# --- what goes with a call -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"key": "\ud800"}, {"key": 5}, {"window": 0}, {"window": 2**40}, {"window": 64.0}, {"window": -1}]
)
def test_options_that_cannot_be_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams, match=next(iter(wrong))):
        CallOptions(**wrong)


def test_progress_that_cannot_be_sent() -> None:
    told: list[Any] = []
    context = Context(
        method="a.b",
        connection=Connection("c1", "memory", RemoteCaller(), logger=logging.getLogger("test")),
        logger=logging.getLogger("test"),
        deadline=0.0,
        report=lambda *report: told.append(report),
    )
    for wrong in ((float("nan"),), (1, float("inf")), ("x",), (1, 2, "\ud800"), (1, 2, 5)):
        with pytest.raises((TypeError, ValueError), match=r"done|total|message"):
            context.progress(*wrong)  # type: ignore[arg-type]
    context.progress(2**70, Decimal("0.5"), "x" * 5000)  # type: ignore[arg-type]
    ((done, total, message),) = told
    assert (done, total, len(message)) == (float(2**70), 0.5, 1000)
    for codec in CODECS:
        session, other = Session(codec), Session(codec)
        call = arrival(session, other)
        session.progress(call, *told[0])  # type: ignore[arg-type]
        (event,) = other.receive(session.frames()[0])
        assert isinstance(event, ProgressReceived)


def around_itself() -> Any:
    value: list[Any] = []
    value.append({"me": [value]})
    return value


UNUSUAL: dict[str, tuple[Any, str]] = {
    "deeper than Python's stack": (nested(100_000), "nest deeper than 64"),
    "around itself": (around_itself(), "contains itself"),
    "a long key": ({10**4400: 1}, "a key that is an integer of more than 4300 digits"),
    "half a pair in a key": ({"\ud800": 1}, r"the key '\\ud800' with lone surrogates"),
    "half a pair in a key that is text of its own": ({Kind.ONE: 0, "\ud800": 1}, r"the key '\\ud800' with lone"),
    "bytes with gaps": (memoryview(b"abcd")[::2], "memoryview"),
}


@every_codec
@pytest.mark.parametrize("name", UNUSUAL)
def test_what_cannot_be_sent_has_its_place(codec: Codec, name: str) -> None:
    value, words = UNUSUAL[name]
    with pytest.raises(InvalidParams, match=words) as failed:
        dump_plain({"outer": [0, value]}, codec)
    assert failed.value.executed == "no"
    assert failed.value.errors[0]["loc"][:2] == ["outer", 1]
    with pytest.raises(Unsendable, match=words):
        WireType(Any).dump([0, value], codec)


@every_codec
def test_keys_beyond_64_bits(codec: Codec) -> None:
    """They go as digits, as values do in MessagePack."""
    value = str(-(2**70)) if codec.binary else -(2**70)
    assert load_plain(dump_plain({2**70: -(2**70)}, codec), codec) == {str(2**70): value}
    with pytest.raises(InvalidParams, match="have the same name"):
        dump_plain({2**70: 1, str(2**70): 2}, codec)
