"""The codecs against everything that may arrive: no exception leaves them, and the session goes on."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from rpcwire import skimming
from rpcwire.codec import SUBPROTOCOLS, Codec, JsonLines, Malformed, MessagePack, PlainJson, codec_for, strict_json
from rpcwire.errors import InvalidRequest, ParseError, TooLarge
from rpcwire.events import Event, IncomingCall, Violation
from rpcwire.limits import FRAME_MESSAGES, MAX_DEPTH
from rpcwire.messages import CallContext, Envelope, Failure, Notification, Request, Success
from rpcwire.nodes import has_more_json_nodes, has_more_packed_nodes
from rpcwire.session import Session
from tests.examples import count_examples

CODECS = {"jsonrpc": PlainJson, "rpc.v1.json": JsonLines, "rpc.v1.msgpack": MessagePack}
every_codec = pytest.mark.parametrize("codec", [make() for make in CODECS.values()], ids=list(CODECS))
json_codec = pytest.mark.parametrize("codec", [PlainJson(), JsonLines()], ids=["jsonrpc", "rpc.v1.json"])

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
ids = st.integers(-(2**63), 2**64 - 1) | st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.none()
names = st.text(max_size=20)


def encoded(codec: Codec, value: Any) -> bytes:
    return msgspec.msgpack.encode(value) if codec.binary else msgspec.json.encode(value)


def decoded(codec: Codec, data: bytes | Raw) -> Any:
    return msgspec.msgpack.decode(data) if codec.binary else msgspec.json.decode(data)


def good_call_answers(session: Session) -> None:
    """A good call on the same session still answers."""
    codec = session.codec
    (call,) = session.receive(codec.encode(Request("a.b", 7, Raw(encoded(codec, [1])))))
    assert isinstance(call, IncomingCall)
    session.reply(call, encoded(codec, "fine"))
    (frame,) = session.frames()
    assert decoded(codec, frame) == {"jsonrpc": "2.0", "id": 7, "result": "fine"}


def take(session: Session, frame: bytes) -> list[Event]:
    """Take a frame in, and answer all its calls."""
    events = []
    for event in session.receive(frame):
        events.append(event)
        if isinstance(event, IncomingCall):
            session.reply(event, encoded(session.codec, None))
    return events


# --- any bytes -------------------------------------------------------------------------------------------------------

JSON_PIECES = [
    b'{"jsonrpc":"2.0"', b'"id":1', b'"id":null', b'"method":"a"', b'"params":[1]', b'"result":', b'"error":{}', b"{", b"}",
    b"[", b"]", b",", b":", b'"', b"\\u", b"\\ud800", b"\xff", b"\n", b"1e999", b"NaN", b"-0", b"null", b'"ctx":{"ttl_ms":1}',
    b'"rpc.cancel"', b'"rpc.stream.item"', b"\xef\xbb\xbf", b"\x00",
]  # fmt: skip
PACK_PIECES = [
    b"\x81", b"\x83", b"\x91", b"\xdc\x00\x02", b"\xdd\x00\x00\x00\x02", b"\xdf\xff\xff\xff\xff", b"\xa7jsonrpc", b"\xa32.0", b"\xa2id",
    b"\x01", b"\xc0", b"\xa6method", b"\xa1a", b"\xa6params", b"\x90", b"\xc1", b"\xa1\xff", b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xd4\x05\x00", b"\xc7\x0c\xff" + b"\xff" * 12, b"\xd6\xff\x00\x00\x00\x00", b"\x81\x81\x01\x02\x03", b"\xc4\x01a",
    b"\xaarpc.cancel", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xa5error", b"\xa6result",
]  # fmt: skip
frames = (
    st.binary(max_size=300)
    | st.lists(st.sampled_from(JSON_PIECES), max_size=20).map(b"".join)
    | st.lists(st.sampled_from(PACK_PIECES), max_size=20).map(b"".join)
    | st.text(max_size=100).map(lambda text: json.dumps({"jsonrpc": "2.0", "method": text, "id": text}).encode())
)


@every_codec
@settings(max_examples=count_examples(250), deadline=None)
@given(data=st.lists(frames, min_size=1, max_size=4))
@example(data=[b""])
@example(data=[b'{"jsonrpc":"1.0","id":"\\ud800","method":"a"}'])
@example(data=[b'[{"jsonrpc":"2.0","id":1,"method":"a","params":["\\ud800"]},1]'])
@example(data=[b'{"jsonrpc":"2.0","id":' + b"1" * 5000 + b',"method":1}'])
@example(data=[b"\x90"])
@example(data=[b"\x81\x81\x01\x02\x03"])
def test_no_bytes_escape_and_a_good_call_still_answers(codec: Codec, data: list[bytes]) -> None:
    session = Session(codec)
    for frame in data:
        take(session, frame)
        for answer in session.frames():
            assert not any(isinstance(message, Malformed) for message in codec.decode(answer).messages)
        assert session.calls_running == 0
    good_call_answers(session)


@json_codec
@settings(max_examples=count_examples(200), deadline=None)
@given(value=plain, cut=st.integers(0, 400), flip=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_json_never_escapes(codec: Codec, value: Any, cut: int, flip: int, byte: int) -> None:
    text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "a", "params": [value]}).encode()
    damaged = bytearray(text[: len(text) - cut % len(text)])
    damaged[flip % len(damaged)] = byte
    session = Session(codec)
    take(session, bytes(damaged))
    session.frames()
    good_call_answers(session)


@settings(max_examples=count_examples(200), deadline=None)
@given(value=plain, cut=st.integers(0, 400), flip=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_messagepack_never_escapes(value: Any, cut: int, flip: int, byte: int) -> None:
    data = msgspec.msgpack.encode({"jsonrpc": "2.0", "id": 1, "method": "a", "params": [value]})
    damaged = bytearray(data[: len(data) - cut % len(data)])
    damaged[flip % len(damaged)] = byte
    session = Session(MessagePack())
    take(session, bytes(damaged))
    session.frames()
    good_call_answers(session)


# --- round trips -----------------------------------------------------------------------------------------------------


@every_codec
@settings(max_examples=count_examples(100), deadline=None)
@given(
    method=names,
    call_id=ids,
    params=st.lists(plain, max_size=3) | st.dictionaries(names, plain, max_size=3) | st.none(),
)
def test_requests_arrive_as_they_left(codec: Codec, method: str, call_id: Any, params: Any) -> None:
    body = UNSET if params is None else Raw(encoded(codec, params))
    ctx = UNSET if codec.batches else CallContext(ttl_ms=5, key="k", attempt=2, traceparent="p", tracestate="s")
    (got,) = codec.decode(codec.encode(Request(method, call_id, body, ctx))).messages
    assert isinstance(got, Envelope)
    assert (got.method, got.id, got.ctx) == (method, call_id, ctx)
    assert got.params is UNSET if params is None else decoded(codec, got.params) == params
    (got,) = codec.decode(codec.encode(Notification(method, body))).messages
    assert isinstance(got, Envelope)
    assert (got.method, got.id) == (method, UNSET)


@every_codec
@settings(max_examples=count_examples(100), deadline=None)
@given(call_id=ids, result=plain, code=st.integers(-(2**31), 2**31), message=st.text(), data=plain)
def test_answers_arrive_as_they_left(
    codec: Codec, call_id: Any, result: Any, code: int, message: str, data: Any
) -> None:
    (got,) = codec.decode(codec.encode(Success(call_id, Raw(encoded(codec, result))))).messages
    assert isinstance(got, Envelope)
    assert got.id == call_id
    assert got.method is UNSET
    assert isinstance(got.result, Raw)
    assert decoded(codec, got.result) == result
    error = {"code": code, "message": message, "data": data}
    (got,) = codec.decode(codec.encode(Failure(call_id, error))).messages
    assert isinstance(got, Envelope)
    assert isinstance(got.error, Raw)
    assert decoded(codec, got.error) == error


@pytest.mark.parametrize("codec", [JsonLines(), MessagePack()], ids=["rpc.v1.json", "rpc.v1.msgpack"])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, FRAME_MESSAGES])
def test_several_messages_in_one_frame(codec: Codec, count: int) -> None:
    messages = [codec.encode(Request("a", number)) for number in range(count)]
    got = codec.decode(codec.join(messages))
    assert [m.id for m in got.messages] == list(range(count))
    assert not got.batch


def test_joining_seventy_thousand_messages_uses_the_long_header() -> None:
    codec = MessagePack()
    frame = codec.join([codec.encode(Notification("a"))] * 70_000)
    assert frame[:5] == b"\xdd" + (70_000).to_bytes(4, "big")
    assert len(msgspec.msgpack.decode(frame)) == 70_000


def test_joining_in_the_plain_form_makes_a_batch() -> None:
    codec = PlainJson()
    messages = [codec.encode(Request("a", number)) for number in (1, 2)]
    got = codec.decode(codec.join(messages))
    assert got.batch
    assert [m.id for m in got.messages] == [1, 2]


def test_blank_lines_between_messages_are_nothing() -> None:
    codec = JsonLines()
    text = b'\n\n{"jsonrpc":"2.0","method":"a"}\r\n  \n{"jsonrpc":"2.0","method":"b"}\n'
    assert [m.method for m in codec.decode(text).messages] == ["a", "b"]  # type: ignore[union-attr]
    (only,) = codec.decode(b"\n\n").messages
    assert isinstance(only, Malformed)


# --- strict JSON (RFC 8259) ------------------------------------------------------------------------------------------

BAD_JSON = {
    "invalid UTF-8": b'{"a": "\xff"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "a cut character": b'{"a": "\xe2\x82',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b'{"a": -Infinity}',
    "a name twice": b'{"a": 1, "a": 2}',
    "a name twice, once escaped": b'{"a": 1, "\\u0061": 2}',
    "a name twice, deep inside": b'[[{"x": {"a": 1, "b": 2, "a": 1}}]]',
    "trailing text": b'{"a": 1} x',
    "two values": b"1 2",
    "a BOM": b'\xef\xbb\xbf{"a": 1}',
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "the other half": b'{"a": "\\udc00x"}',
    "halves the wrong way round": b'{"a": "\\udc00\\ud800"}',
    "half a pair as a name": b'{"\\ud83d": 1}',
    "a control character": b'{"a": "\x01"}',
    "a tab in a string": b'{"a": "\t"}',
    "a trailing comma": b'{"a": 1,}',
    "a comment": b'{"a": 1 /* x */}',
    "single quotes": b"{'a': 1}",
    "a leading zero": b'{"a": 01}',
    "a plus": b'{"a": +1}',
    "a bare dot": b'{"a": .5}',
    "a final dot": b'{"a": 5.}',
    "hexadecimal": b'{"a": 0x1}',
    "a bad escape": b'{"a": "\\x41"}',
    "a NUL": b'{"a": 1}\x00',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "nothing": b"",
    "arrays, 65 deep": b"[" * 65 + b"]" * 65,
    "objects, 65 deep": b'{"a":' * 65 + b"1" + b"}" * 65,
    "arrays without end": b"[" * 1_000_000,
    "objects without end": b'{"a":' * 200_000,
    "a string without end": b'"' + b"a" * 100_000,
}


@pytest.mark.parametrize("data", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_what_is_not_json_is_a_parse_error(data: bytes) -> None:
    with pytest.raises(ParseError, match="not JSON"):
        strict_json(data)
    for codec in (PlainJson(), JsonLines()):
        for frame in (data, b'{"jsonrpc":"2.0","id":1,"method":"a","params":[' + data + b",]}"):
            session = Session(codec)
            (event,) = take(session, frame)
            assert isinstance(event, Violation)
            assert isinstance(event.error, ParseError)
            (answer,) = session.frames()
            assert json.loads(answer)["error"]["code"] == -32700
            assert json.loads(answer)["id"] is None
            assert len(answer) < 1000
            good_call_answers(session)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b'["' + b"[{" * 100 + b'\\""]', ["[{" * 100 + '"']),
        (b'"\\ud834\\udd1e"', "𝄞"),
        (b'"\\\\ud800"', "\\ud800"),
        (b" \t\r\n1 \n", 1),
        (b'{"a": {"a": 1}, "b": {"a": 1}}', {"a": {"a": 1}, "b": {"a": 1}}),
        (b"-0", 0),
        (b"1E400", math.inf),
        (b"9" * 999, int("9" * 999)),
    ],
)
def test_what_is_json_is_read(text: bytes, value: Any) -> None:
    assert value is None or strict_json(text) == value
    strict_json(text)


def test_a_huge_integer_takes_no_time_and_no_exception() -> None:
    assert strict_json(b"1" * 10_000_000) == "1" * 10_000_000
    session = Session(PlainJson())
    (event,) = session.receive(b'{"jsonrpc":"2.0","id":1,"method":"a","params":[' + b"1" * 5_000_000 + b"]}")
    assert isinstance(event, IncomingCall)


@json_codec
@pytest.mark.parametrize("digits", [400, 999, 1000, 4300, 5000, 100_000])
def test_huge_ids_are_echoed_or_refused(codec: Codec, digits: int) -> None:
    session = Session(codec)
    number = b"1" * digits
    for frame in (
        b'{"jsonrpc":"2.0","id":' + number + b',"method":"a"}',
        b'{"jsonrpc":"1.0","id":' + number + b',"method":"a"}',
    ):
        take(session, frame)
        (answer,) = session.frames()
        assert b'"id":' + number + b"," in answer or b'"id":null' in answer
    good_call_answers(session)


def test_numbers_beyond_floats_are_refused_as_ids() -> None:
    session = Session(PlainJson())
    take(session, b'{"jsonrpc":"2.0","id":1e400,"method":"a"}')
    assert json.loads(session.frames()[0])["error"]["code"] == -32600


def test_a_batch_bomb_is_one_error() -> None:
    session = Session(PlainJson(batch_items=50))
    call = b'{"jsonrpc":"2.0","id":1,"method":"a"}'
    (event,) = take(session, b"[" + b",".join([call] * 10_000) + b"]")
    assert isinstance(event, Violation)
    assert isinstance(event.error, TooLarge)
    (answer,) = session.frames()
    assert json.loads(answer)["error"]["code"] == -32005
    assert "50" in json.loads(answer)["error"]["message"]
    good_call_answers(session)


@pytest.mark.parametrize(
    ("codec", "frame"),
    [
        (JsonLines(), b"1\n" * 1_000_000),
        (JsonLines(), b"\n" * 1_000_000),
        (MessagePack(), b"\xdd" + (1_000_000).to_bytes(4, "big") + b"\xc0" * 1_000_000),
        (MessagePack(), b"\xdc" + (60_000).to_bytes(2, "big") + b"\xc0" * 60_000),
        (MessagePack(), b"\xdd\xff\xff\xff\xff"),
    ],
    ids=["lines", "blank lines", "array32", "array16", "an array that promises too much"],
)
def test_a_frame_of_very_many_messages_is_one_error(codec: Codec, frame: bytes) -> None:
    session = Session(codec)
    (event,) = take(session, frame)
    assert isinstance(event, Violation)
    assert isinstance(event.error, TooLarge)
    assert str(FRAME_MESSAGES) in event.error.message
    (answer,) = session.frames()
    assert len(answer) < 500
    good_call_answers(session)


@json_codec
def test_a_wrong_member_is_named(codec: Codec) -> None:
    for frame, place in (
        (b'{"jsonrpc":"2.0","id":1,"method":5}', "method"),
        (b'{"jsonrpc":"2.0","id":{},"method":"a"}', "id"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","ctx":{"ttl_ms":"soon"}}', "ctx.ttl_ms"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","ctx":5}', "ctx"),
    ):
        (message,) = codec.decode(frame).messages
        assert isinstance(message, Malformed)
        assert isinstance(message.error, InvalidRequest)
        assert message.error.errors[0]["loc"] == [place]
        assert place in message.error.message


# --- MessagePack -----------------------------------------------------------------------------------------------------

CALL = {"jsonrpc": "2.0", "id": 1, "method": "a"}
PACKED = msgspec.msgpack.encode(CALL)
NAN = struct.pack(">Bd", 0xCB, math.nan)
BAD_PACK = {
    "nothing": (b"", ParseError),
    "truncated": (PACKED[:-1], ParseError),
    "trailing": (PACKED + b"\x01", ParseError),
    "two values": (PACKED + PACKED, ParseError),
    "a reserved byte": (b"\xc1", ParseError),
    "deep": (b"\x91" * 100_000, ParseError),
    "deep maps": (b"\x81\xa1a" * 100_000, ParseError),
    "a map that promises too much": (b"\xdf\xff\xff\xff\xff", ParseError),
    "a string that promises too much": (b"\xdb\xff\xff\xff\xff", ParseError),
    "invalid UTF-8": (b"\x81\xa1\xff\x01", ParseError),
    "a map as a key": (b"\x81\x81\x01\x02\x03", ParseError),
    "a bad timestamp": (b"\xc7\x0c\xff" + b"\xff" * 12, ParseError),
    "an ext type": (b"\xd4\x05\x00", InvalidRequest),
    "a timestamp": (b"\xd6\xff\x00\x00\x00\x00", InvalidRequest),
    "nil": (b"\xc0", InvalidRequest),
    "an empty array": (b"\x90", InvalidRequest),
    "an empty map": (b"\x80", InvalidRequest),
    "integer keys": (b"\x81\x01\x02", InvalidRequest),
    "binary keys": (b"\x81\xc4\x01a\x02", InvalidRequest),
    "an array as id": (msgspec.msgpack.encode({**CALL, "id": [1]}), InvalidRequest),
    "bytes as method": (msgspec.msgpack.encode({**CALL, "method": b"a"}), InvalidRequest),
    "NaN as id": (b"\x83" + PACKED[1:].replace(b"\xa2id\x01", b"\xa2id" + NAN), InvalidRequest),
}


@pytest.mark.parametrize(("frame", "error"), BAD_PACK.values(), ids=BAD_PACK.keys())
def test_wrong_messagepack(frame: bytes, error: type[Exception]) -> None:
    session = Session(MessagePack())
    (event,) = take(session, frame)
    assert isinstance(event, Violation)
    assert type(event.error) is error
    (answer,) = session.frames()
    assert msgspec.msgpack.decode(answer)["error"]["code"] == event.error.code
    good_call_answers(session)


def test_one_wrong_message_of_three_spoils_only_itself() -> None:
    codec = MessagePack()
    frame = codec.join([PACKED, b"\x81\xa2id\x05", codec.encode(Request("b", 2))])
    session = Session(codec)
    kinds = [type(event) for event in take(session, frame)]
    assert kinds == [IncomingCall, Violation, IncomingCall]
    (answer,) = session.frames()
    assert [one["id"] for one in msgspec.msgpack.decode(answer)] == [1, 5, 2]


def test_an_array_that_is_cut_is_one_error() -> None:
    (message,) = MessagePack().decode(b"\x92" + PACKED).messages
    assert isinstance(message, Malformed)
    assert isinstance(message.error, ParseError)


def test_infinite_ids_are_echoed_in_messagepack() -> None:
    session = Session(MessagePack())
    take(session, msgspec.msgpack.encode({**CALL, "id": math.inf}))
    assert msgspec.msgpack.decode(session.frames()[0])["id"] == math.inf


# --- choosing --------------------------------------------------------------------------------------------------------


def test_codec_for() -> None:
    for name, kind in CODECS.items():
        assert type(codec_for(name)) is kind
        assert codec_for(name).subprotocol == name
    assert type(codec_for(None)) is PlainJson
    assert set(SUBPROTOCOLS) == set(CODECS)
    with pytest.raises(ValueError, match=r"rpc\.v2"):
        codec_for("rpc.v2")


@json_codec
@pytest.mark.parametrize("end", [b"", b'"', b"\\"], ids=["no end", "an end", "half an escape"])
def test_depth_costs_no_more_than_reading(codec: Codec, end: bytes) -> None:
    """Escaped quotes by the hundred thousand behind more brackets than are allowed. A pattern that tries them again from
    each of them takes hours for this, and one that does not takes milliseconds."""
    (message,) = codec.decode(b"[" * (MAX_DEPTH + 1) + b'"' + b'\\"' * 500_000 + end).messages
    assert isinstance(message, Malformed)


def test_keys_with_one_hash_are_refused_before_a_dictionary_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two such keys do no harm, and stand here for many."""
    codec = MessagePack()
    one_hash = {(-1,): 0, (-2,): 0}
    assert len({hash(key) for key in one_hash}) == 1
    keys = msgspec.msgpack.encode({**{(number, number): 0 for number in range(1000)}, **one_hash})
    frames = [
        (b"\x84\xa7jsonrpc\xa32.0\xa2id\x07\xa6method\xa3a.b\xa6params" + keys, 7),
        (b"\x84\xa7jsonrpc\xa32.0\xa2id\x07\xa6method\xa3a.b\xa6params\x91\x81\xa1a" + keys, 7),
        (b"\x83\xa7jsonrpc\xa32.0\xa2id\x07\xa6params\x92" + keys + keys, 7),
        (keys, None),
        (b"\x92\x80" + keys, None),
    ]
    assert isinstance(codec.decode(frames[0][0]).messages[0], Envelope), "a few are a curiosity"
    frames.append((frames[0][0][: -len(keys)] + b"\x92\xc6\x00\x20\x00\x00" + bytes(2**21) + keys, 7))
    monkeypatch.setattr(skimming, "_MOST_COLLISIONS", 1)
    codec.most_nodes = 10_000
    for frame, message_id in frames:
        (message,) = codec.decode(frame).messages
        assert isinstance(message, Malformed)
        assert message.id == message_id
        assert "same hash" in message.error.message


def test_other_maps_with_many_arrays_are_not_refused() -> None:
    codec = MessagePack()
    for params in (
        {(number, number + 1): number for number in range(2000)},
        {f"name {number}": [number, 0xDE00, 0xDF] for number in range(2000)},
        [[0xDE, 0xDF, {"a": [1]}]] * 2000,
        [{(1, number): {(number, 2): [number]}} for number in range(2000)],
    ):
        request = Request("a.b", 1, Raw(msgspec.msgpack.encode([params])))
        (message,) = codec.decode(codec.encode(request)).messages
        assert isinstance(message, Envelope)


# --- the number of values --------------------------------------------------------------------------------------------

NODES = 1000


@every_codec
@pytest.mark.parametrize(
    "params",
    [
        [[]] * (NODES + 1),
        [[{}]] * NODES,
        [1] * (NODES * 2),
        {f"name {number}": number for number in range(NODES)},
        [['"', ",:[{" * 10, "\\", '\\"']] * NODES,
    ],
    ids=["arrays", "objects", "numbers", "names", "texts"],
)  # fmt: skip
def test_a_message_with_too_many_values_is_refused_before_it_is_decoded(codec: Codec, params: Any) -> None:
    codec = type(codec)()
    body = msgspec.msgpack.encode(params) if codec.packed else msgspec.json.encode(params)
    frame = codec.encode(Request("a.b", 7, Raw(body)))
    codec.most_nodes = NODES
    (message,) = codec.decode(frame).messages
    assert isinstance(message, Malformed)
    assert isinstance(message.error, TooLarge)
    assert message.id == 7
    assert f"more than {NODES} values" in message.error.message
    assert message.error.executed == "no"
    codec.most_nodes = 100 * NODES
    (message,) = codec.decode(frame).messages
    assert isinstance(message, Envelope)


@every_codec
@pytest.mark.parametrize(
    "params",
    [["x" * 100_000], [",:[{" * 10_000], ['"[,\\' * 10_000], ["é" * 10_000, "\\" * 9_999, '"' * 9_999], [[1]] * 300],
    ids=["a long text", "signs in a text", "escapes and signs", "backslashes and quotes", "few values"],
)  # fmt: skip
def test_a_long_message_with_few_values_is_not_refused(codec: Codec, params: Any) -> None:
    codec = type(codec)()
    codec.most_nodes = NODES
    body = msgspec.msgpack.encode(params) if codec.packed else msgspec.json.encode(params)
    (message,) = codec.decode(codec.encode(Request("a.b", 7, Raw(body)))).messages
    assert isinstance(message, Envelope)


@given(plain.map(lambda value: [value]), st.integers(0, 40))
def test_values_are_counted_alike_whatever_the_form(params: Any, most: int) -> None:
    body = msgspec.msgpack.encode(params)
    assert has_more_packed_nodes(body, most) == (_count(params) > most)
    text = json.dumps(params).encode()
    signs = _count_signs(params)
    assert has_more_json_nodes(text, most) == (signs > most)


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + _count(inner) for inner in value.values())
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


def _count_signs(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    names = len(inner) if isinstance(value, dict) else 0
    return 1 + names + max(0, len(inner) - 1) + sum(map(_count_signs, inner))


@every_codec
@given(data=st.data())
def test_counting_values_raises_nothing(codec: Codec, data: st.DataObject) -> None:
    codec = type(codec)()
    codec.most_nodes = 4
    codec.decode(data.draw(st.binary(max_size=100) | st.text('[]{}:,"\\a1', max_size=100).map(str.encode)))


@json_codec
@pytest.mark.parametrize("place", range(65_530, 65_541))
def test_values_are_counted_in_pieces(codec: Codec, place: int) -> None:
    """Wherever a piece ends: in a text, behind a backslash, between two quotes."""
    for text in ('"', "\\", '\\"', ",", "\n,"):
        params = ["x" * (place - 2) + text + ",[:{" * NODES, [1] * 10]
        body = json.dumps(params).encode()
        assert not has_more_json_nodes(body, 12)
        assert has_more_json_nodes(body, 11)


def test_a_frame_of_many_messages_counts_each_as_several_values() -> None:
    for codec, frame in ((JsonLines(), b"0\n" * 200), (MessagePack(), b"\xdc\x00\xc8" + b"\x00" * 200)):
        codec.most_nodes = NODES
        (message,) = codec.decode(frame).messages
        assert isinstance(message, Malformed)
        assert "a frame of 200 messages: at most 125 are allowed" in message.error.message
