"""The session: what each side may do, and what becomes of whoever breaks the rules."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from rpcwire.codec import Codec, JsonLines, MessagePack, PlainJson
from rpcwire.errors import (
    Busy,
    Cancelled,
    InternalError,
    InvalidParams,
    InvalidRequest,
    LocalProtocolError,
    RemoteProtocolError,
    RpcError,
    TooLarge,
)
from rpcwire.events import (
    CancelReceived,
    CreditReceived,
    ErrorReceived,
    Event,
    IncomingCall,
    ItemsReceived,
    NotificationReceived,
    ProgressReceived,
    ResultReceived,
    StreamCancelled,
    StreamEnded,
    Violation,
)
from rpcwire.limits import COALESCE_BYTES, INITIAL_CREDIT, SessionLimits
from rpcwire.messages import CallContext, Envelope
from rpcwire.session import Session
from rpcwire.states import SessionState, SessionStep
from rpcwire.streams import MAX_CREDIT

FORMS = {"jsonrpc": PlainJson, "rpc.v1.json": JsonLines, "rpc.v1.msgpack": MessagePack}


@pytest.fixture(params=FORMS, ids=list(FORMS))
def codec(request: pytest.FixtureRequest) -> Codec:
    made: Codec = FORMS[request.param]()
    return made


def body(codec: Codec, value: Any) -> bytes:
    return msgspec.msgpack.encode(value) if codec.binary else msgspec.json.encode(value)


def value(codec: Codec, data: bytes | Raw) -> Any:
    return msgspec.msgpack.decode(data) if codec.binary else msgspec.json.decode(data)


def say(codec: Codec, **members: Any) -> bytes:
    return body(codec, {"jsonrpc": "2.0", **members})


def pass_on(source: Session, target: Session) -> list[Event]:
    return [event for frame in source.frames() for event in target.receive(frame)]


def pair(codec: Codec, **limits: int) -> tuple[Session, Session]:
    made = SessionLimits(**limits)
    return Session(codec, limits=made, stream_prefix="c"), Session(codec, limits=made)


def said(session: Session) -> list[Any]:
    """All messages that a session wants to send."""
    found = []
    for frame in session.frames():
        if isinstance(session.codec, JsonLines):
            found += [json.loads(line) for line in frame.split(b"\n")]
        else:
            got = value(session.codec, frame)
            found += got if isinstance(got, list) else [got]
    return found


# --- calls -----------------------------------------------------------------------------------------------------------


def test_call_and_answer(codec: Codec) -> None:
    client, server = pair(codec)
    call_id = client.call("a.b", body(codec, {"x": 1}), CallContext(ttl_ms=5))
    (call,) = pass_on(client, server)
    assert isinstance(call, IncomingCall)
    assert call.method == "a.b"
    assert call.params is not None
    assert value(codec, call.params) == {"x": 1}
    assert (call.ctx is None) == codec.batches, "the plain form has no place for ctx"
    assert server.calls_running == 1
    server.reply(call, body(codec, [2]))
    (result,) = pass_on(server, client)
    assert isinstance(result, ResultReceived)
    assert (result.id, value(codec, result.result)) == (call_id, [2])
    assert server.calls_running == 0


def test_error_and_its_data(codec: Codec) -> None:
    client, server = pair(codec)
    call_id = client.call("a")
    (call,) = pass_on(client, server)
    assert isinstance(call, IncomingCall)
    server.reply_error(call, Busy("later", retry_after_ms=7))
    (error,) = pass_on(server, client)
    assert isinstance(error, ErrorReceived)
    assert (error.id, error.code, error.message) == (call_id, -32003, "later")
    assert error.data == {"type": "Busy", "executed": "no", "retryable": True, "retry_after_ms": 7}


def test_a_call_is_answered_once(codec: Codec) -> None:
    client, server = pair(codec)
    client.call("a")
    (call,) = pass_on(client, server)
    assert isinstance(call, IncomingCall)
    server.reply(call, body(codec, 1))
    for again in (lambda: server.reply(call, body(codec, 1)), lambda: server.reply_error(call, InternalError())):
        with pytest.raises(LocalProtocolError, match="already"):
            again()
    server.close()
    server.reply(call, body(codec, 1))  # The connection went: there is nobody to tell.


@pytest.mark.parametrize(
    "error",
    [
        RpcError("odd", details={"x": object()}),
        RpcError("odd", details={"x": {1: {2: object}}}),
        RpcError("odd \ud800", details={}),
        RpcError("odd", details={"x": "\udfff"}),
    ],
)
def test_errors_that_cannot_be_sent_go_without_details(codec: Codec, error: RpcError) -> None:
    client, server = pair(codec)
    client.call("a")
    (call,) = pass_on(client, server)
    assert isinstance(call, IncomingCall)
    server.reply_error(call, error)
    (got,) = pass_on(server, client)
    assert isinstance(got, ErrorReceived)
    assert got.message.startswith("odd")
    assert got.data == {"type": "RpcError", "executed": "unknown", "retryable": False}
    assert server.calls_running == 0


def test_integers_beyond_64_bits_in_details(codec: Codec) -> None:
    client, server = pair(codec)
    client.call("a")
    (call,) = pass_on(client, server)
    assert isinstance(call, IncomingCall)
    server.reply_error(call, RpcError("big", details={"x": 2**70}))
    (got,) = pass_on(server, client)
    assert isinstance(got, ErrorReceived)
    assert got.message == "big"


def test_answers_beyond_the_limit(codec: Codec) -> None:
    client, server = pair(codec, message_bytes=1024)
    for result, error in ((body(codec, "x" * 2000), TooLarge), (b"", Busy)):
        client.call("a")
        (call,) = pass_on(client, server)
        assert isinstance(call, IncomingCall)
        if result:
            server.reply(call, result)
        else:
            server.reply_error(call, Busy("x" * 5000, details={"y": "z" * 5000}))
        (frame,) = server.frames()
        assert len(frame) <= 1300
        (got,) = client.receive(frame)
        assert isinstance(got, ErrorReceived)
        assert got.code == error.code


def test_progress_beyond_the_limit_goes_without_its_text(codec: Codec) -> None:
    client, server = pair(codec, message_bytes=1024)
    call_id = client.call("a")
    (call,) = pass_on(client, server)
    assert isinstance(call, IncomingCall)
    server.progress(call, 1, 2, "x" * 2000)
    assert pass_on(server, client) == [ProgressReceived(call_id, 1, 2, None)]


def test_messages_of_ours_beyond_the_limit_are_not_sent(codec: Codec) -> None:
    client, _ = pair(codec, message_bytes=1024)
    large = body(codec, ["x" * 2000])
    for attempt in (
        lambda: client.call("a", large),
        lambda: client.notify("a", large),
        lambda: client.batch([("a", large, True)]),
        lambda: client.batch([("a", large, False)]),
    ):
        with pytest.raises(TooLarge, match="1024") as caught:
            attempt()
        assert caught.value.executed == "no"
    with pytest.raises(TooLarge):
        client.streams.send(client.streams.open(), large)
    assert not client.has_output


def test_messages_of_ours_with_too_many_values_are_not_sent(codec: Codec) -> None:
    client, _ = pair(codec, message_nodes=1000)
    much = body(codec, [1] * 1100)
    for attempt in (
        lambda: client.call("a", much),
        lambda: client.notify("a", much),
        lambda: client.batch([("a", much, True)]),
        lambda: client.streams.send(client.streams.open(), much),
    ):
        with pytest.raises(TooLarge, match=r"more than (1000|984) values"):
            attempt()
    assert not client.has_output
    client.call("a", body(codec, [1] * 900 + ["x" * 2000]))
    stream = client.streams.open()
    for item in ([1] * 900, ["x" * 2000], [1] * 900):
        client.streams.send(stream, body(codec, item))
    other = type(codec)()
    other.most_nodes = 1000
    for frame in client.frames():
        assert all(isinstance(message, Envelope) for message in other.decode(frame).messages)


def test_a_frame_has_one_turn_and_has_an_end() -> None:
    client, server = pair(JsonLines())
    for _ in range(3000):
        client.call("a.method.name", b'{"some": "parameters"}')
    frames = client.frames()
    assert 1 < len(frames) < 10
    assert all(len(frame) <= COALESCE_BYTES + 3000 for frame in frames)
    assert sum(len(list(server.receive(frame))) for frame in frames) == 3000
    big = b'["' + b"x" * (COALESCE_BYTES * 2) + b'"]'
    client.call("a", big)
    client.call("b")
    assert len(client.frames()) == 2


# --- who breaks the rules --------------------------------------------------------------------------------------------


def violation(events: Any, kind: type[RpcError], text: str) -> None:
    (event,) = events
    assert isinstance(event, Violation)
    assert type(event.error) is kind
    assert text in event.error.message


def test_an_id_in_use(codec: Codec) -> None:
    server = Session(codec)
    (call,) = server.receive(say(codec, id="x", method="a"))
    violation(server.receive(say(codec, id="x", method="b")), InvalidRequest, "'x'")
    assert said(server)[0]["error"]["data"]["errors"] == [{"loc": ["id"], "msg": "in use"}]
    assert isinstance(call, IncomingCall)
    server.reply(call, body(codec, 1))
    assert said(server) == [{"jsonrpc": "2.0", "id": "x", "result": 1}]
    (again,) = server.receive(say(codec, id="x", method="a"))
    assert isinstance(again, IncomingCall), "an id is free again after its answer"


def test_too_many_calls(codec: Codec) -> None:
    server = Session(codec, limits=SessionLimits(calls_in_flight=3))
    calls = [event for n in range(3) for event in server.receive(say(codec, id=n, method="a"))]
    violation(server.receive(say(codec, id=9, method="a")), Busy, "3 calls")
    (answer,) = said(server)
    assert (answer["id"], answer["error"]["data"]["executed"], answer["error"]["data"]["retryable"]) == (9, "no", True)
    assert isinstance(calls[0], IncomingCall)
    server.reply(calls[0], body(codec, 1))
    (call,) = server.receive(say(codec, id=9, method="a"))
    assert isinstance(call, IncomingCall)


def test_the_size_of_a_large_call_is_noted_for_whoever_knows_its_limit(codec: Codec) -> None:
    """Also where no account counts bytes, as in clients, which offer methods, too."""
    client, server = pair(codec)
    assert server.account is None
    for size, noted in ((10, False), (5000, True)):
        client.call("desk.note", body(codec, ["x" * size]))
        (frame,) = client.frames()
        (event,) = server.receive(frame)
        assert isinstance(event, IncomingCall)
        assert event.large_bytes == (len(frame) if noted else 0)
        client.notify("desk.note", body(codec, ["x" * size]))
        (frame,) = client.frames()
        (event,) = server.receive(frame)
        assert isinstance(event, NotificationReceived)
        assert event.large_bytes == (len(frame) if noted else 0)


def test_no_new_calls_while_draining(codec: Codec) -> None:
    server = Session(codec)
    (call,) = server.receive(say(codec, id=1, method="a"))
    server.move(SessionStep.DRAIN)
    (event,) = server.receive(say(codec, id=2, method="a"))
    assert isinstance(event, Violation)
    assert said(server)[0]["error"]["code"] == -32006
    assert isinstance(call, IncomingCall)
    server.reply(call, body(codec, 1))
    assert said(server) == [{"jsonrpc": "2.0", "id": 1, "result": 1}]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"id": 99, "result": 1}, "id 99"),
        ({"id": 0, "result": 1}, "id 0"),
        ({"id": -1, "result": 1}, "id -1"),
        ({"id": "1", "result": 1}, "id 1"),
        ({"id": 1.0, "result": 1}, "id 1.0"),
        ({"id": None, "result": 1}, "id None"),
        ({"result": 1}, "never made"),
        ({"id": None, "error": {"code": -32700, "message": "no"}}, "could not read a message of ours: -32700 no"),
        ({"id": None, "error": 5}, "unreadable error"),
        ({"id": "x" * 200, "result": 1}, "x" * 64),
        ({"id": "x" * 201, "result": 1}, "id: Expected str of length <= 200"),
    ],
)
def test_answers_nobody_asked_for_are_reported_and_not_answered(codec: Codec, answer: Any, text: str) -> None:
    session = Session(codec)
    session.call("a")
    session.frames()
    violation(session.receive(say(codec, **answer)), RemoteProtocolError, text)
    assert not session.has_output
    (result,) = session.receive(say(codec, id=1, result=5))
    assert isinstance(result, ResultReceived)


def test_a_second_answer_is_dropped(codec: Codec) -> None:
    session = Session(codec)
    call_id = session.call("a")
    forgotten = session.call("b")
    session.forget(forgotten)
    assert len(list(session.receive(say(codec, id=call_id, result=1)))) == 1
    assert list(session.receive(say(codec, id=call_id, result=1))) == []
    assert list(session.receive(say(codec, id=forgotten, result=1))) == []


@pytest.mark.parametrize(
    "error", [5, None, [], {}, {"code": "x", "message": "y"}, {"code": 1}, {"code": 1.5, "message": ""}]
)
def test_a_malformed_error_object_still_ends_the_call(codec: Codec, error: Any) -> None:
    session = Session(codec)
    call_id = session.call("a")
    (event,) = session.receive(say(codec, id=call_id, error=error))
    assert isinstance(event, ErrorReceived)
    assert event.code == -32603
    assert "malformed" in event.message


BAD_CONTROL = [
    ("rpc.cancel", {}), ("rpc.cancel", {"id": [1]}), ("rpc.cancel", None),
    ("rpc.progress", {"id": 1}), ("rpc.progress", {"id": 1, "done": "half"}),
    ("rpc.stream.item", {"stream": 1, "items": []}), ("rpc.stream.item", {"stream": "s1", "items": {}}),
    ("rpc.stream.item", {"stream": "s1"}), ("rpc.stream.end", {}), ("rpc.stream.end", {"stream": "s1", "error": 5}),
    ("rpc.stream.credit", {"stream": "s1"}), ("rpc.stream.credit", {"stream": "s1", "n": 0}),
    ("rpc.stream.credit", {"stream": "s1", "n": -5}), ("rpc.stream.credit", {"stream": "s1", "n": "many"}),
    ("rpc.stream.credit", {"stream": "s1", "n": 1.5}), ("rpc.stream.cancel", {}), ("rpc.stream.cancel", {"stream": None}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "params"), BAD_CONTROL)
def test_malformed_control_messages(codec: Codec, method: str, params: Any) -> None:
    session = Session(codec)
    session.call("a")
    session.frames()
    members = {} if params is None else {"params": params}
    violation(session.receive(say(codec, method=method, **members)), InvalidParams, method)
    assert not session.has_output, "notifications are never answered"
    violation(session.receive(say(codec, id=5, method=method, **members)), InvalidParams, method)
    (answer,) = said(session)
    assert (answer["id"], answer["error"]["code"]) == (5, -32602)
    (event,) = session.receive(say(codec, method=method, params=5))
    assert isinstance(event, Violation)
    session.frames()
    assert len(list(session.receive(say(codec, id=1, result=1)))) == 1


def test_control_messages_sent_as_calls_are_confirmed(codec: Codec) -> None:
    session = Session(codec)
    assert list(session.receive(say(codec, id=1, method="rpc.cancel", params={"id": 99}))) == []
    assert said(session) == [{"jsonrpc": "2.0", "id": 1, "result": None}]


def test_control_messages_in_a_batch_are_confirmed_in_it() -> None:
    session = Session(PlainJson())
    calls = [
        {"jsonrpc": "2.0", "id": 1, "method": "rpc.cancel", "params": {"id": 99}},
        {"jsonrpc": "2.0", "id": 2, "method": "rpc.cancel"},
        {"jsonrpc": "2.0", "method": "rpc.cancel"},
        {"jsonrpc": "2.0", "method": "a", "params": 5},
        {"jsonrpc": "2.0", "id": 99, "result": 1},
        {"jsonrpc": "2.0", "id": 3},
    ]
    list(session.receive(json.dumps(calls).encode()))
    (frame,) = session.frames()
    assert [(a["id"], "error" in a) for a in json.loads(frame)] == [(1, False), (2, True), (None, True), (3, True)]


# --- batches ---------------------------------------------------------------------------------------------------------


def test_batches_of_ours(codec: Codec) -> None:
    client, server = pair(codec)
    ids = client.batch([("a", None, True), ("b", body(codec, [1]), False), ("c", None, True)])
    assert ids == [1, None, 2]
    events = pass_on(client, server)
    assert [type(event) for event in events] == [IncomingCall, NotificationReceived, IncomingCall]
    for event in reversed(events):
        if isinstance(event, IncomingCall):
            assert not codec.batches or not server.has_output, "the answers of a batch go together"
            server.reply(event, body(codec, event.method))
    answers = pass_on(server, client)
    assert sorted(a.id for a in answers if isinstance(a, ResultReceived)) == [1, 2]
    client.batch([("a", None, True)])
    assert len(pass_on(client, server)) == 1
    with pytest.raises(LocalProtocolError, match="empty"):
        client.batch([])


def test_a_batch_beyond_the_limit_leaves_nothing_behind(codec: Codec) -> None:
    client, _ = pair(codec, message_bytes=1024)
    small, large = body(codec, ["x" * 500]), body(codec, ["x" * 2000])
    with pytest.raises(TooLarge):
        client.batch([("a", small, True), ("a", large, True)])
    if codec.batches:
        with pytest.raises(TooLarge, match="1024"):
            client.batch([("a", small, True)] * 3)
    assert not client.has_output
    assert client.close() == ([], [])


def test_the_answers_of_a_batch_are_bounded_together() -> None:
    codec = PlainJson()
    client, server = pair(codec, message_bytes=2000)
    client.batch([("a", None, True)] * 10)
    for event in pass_on(client, server):
        assert isinstance(event, IncomingCall)
        server.reply(event, body(codec, "x" * 500))
    (frame,) = server.frames()
    answers = json.loads(frame)
    assert [("result" in a, a.get("error", {}).get("code")) for a in answers] == [(True, None)] * 3 + [
        (False, -32005)
    ] * 7
    assert len(frame) < 2000 + 7 * 400


# --- cancelling, progress ----------------------------------------------------------------------------------------------


def test_cancelling_and_progress(codec: Codec) -> None:
    client, server = pair(codec)
    call_id = client.call("a")
    (call,) = pass_on(client, server)
    assert isinstance(call, IncomingCall)
    server.progress(call, 1, None, None)
    server.progress(call, 2.5, 10, "going")
    reports = pass_on(server, client)
    assert [(r.done, r.total, r.message) for r in reports if isinstance(r, ProgressReceived)] == [
        (1, None, None), (2.5, 10, "going"),
    ]  # fmt: skip
    client.cancel(call_id)
    client.cancel(12345)
    (cancel,) = pass_on(client, server)
    assert isinstance(cancel, CancelReceived)
    assert cancel.call is call
    server.reply_error(call, Cancelled())
    server.progress(call, 3, None, None)
    (end,) = pass_on(server, client)
    assert isinstance(end, ErrorReceived)
    assert end.code == -32800
    client.cancel(call_id)
    assert not client.has_output


# --- streams ---------------------------------------------------------------------------------------------------------


def opened(codec: Codec, window: int = 64, **limits: int) -> tuple[Session, Session, Any, Any]:
    """A reader, a producer, and the two ends of a stream between them."""
    reader, producer = pair(codec, **limits)
    reader.call("a")
    (call,) = pass_on(reader, producer)
    assert isinstance(call, IncomingCall)
    outgoing = producer.reply_stream(call)
    assert outgoing is not None
    (result,) = pass_on(producer, reader)
    assert isinstance(result, ResultReceived)
    incoming = reader.streams.accept(value(codec, result.result)["stream"], window)
    pass_on(reader, producer)
    return reader, producer, incoming, outgoing


def test_a_stream_from_first_item_to_end(codec: Codec) -> None:
    reader, producer, _incoming, outgoing = opened(codec)
    assert outgoing.credit == 64
    for n in range(5):
        producer.streams.send(outgoing, body(codec, n))
    producer.streams.end(outgoing)
    items, end = pass_on(producer, reader)
    assert isinstance(items, ItemsReceived)
    assert [value(codec, item) for item in items.items] == [0, 1, 2, 3, 4]
    assert isinstance(end, StreamEnded)
    assert end.error is None
    assert len(reader.streams) == len(producer.streams) == 0
    producer.streams.end(outgoing)
    assert not producer.has_output


def test_a_stream_that_ends_with_an_error(codec: Codec) -> None:
    reader, producer, _, outgoing = opened(codec)
    producer.streams.send(outgoing, body(codec, 1))
    producer.streams.end(outgoing, InternalError("broken", executed="yes"))
    _, end = pass_on(producer, reader)
    assert isinstance(end, StreamEnded)
    assert end.error is not None
    assert (end.error.code, end.error.message) == (-32603, "broken")


def test_a_stream_error_that_cannot_be_sent_still_ends_it(codec: Codec) -> None:
    reader, producer, _, outgoing = opened(codec)
    producer.streams.end(outgoing, RpcError("odd \ud800", details={"x": object()}))
    (end,) = pass_on(producer, reader)
    assert isinstance(end, StreamEnded)
    assert end.error is not None
    assert end.error.message.startswith("odd")


def test_no_item_without_credit(codec: Codec) -> None:
    reader, producer, incoming, outgoing = opened(codec, window=INITIAL_CREDIT)
    for n in range(INITIAL_CREDIT):
        producer.streams.send(outgoing, body(codec, n))
    with pytest.raises(LocalProtocolError, match="granted no more"):
        producer.streams.send(outgoing, body(codec, 0))
    assert len(pass_on(producer, reader)) == 1
    reader.streams.consume(incoming, INITIAL_CREDIT // 2 - 1)
    assert not reader.has_output, "credit comes by halves of the window"
    reader.streams.consume(incoming)
    (credit,) = pass_on(reader, producer)
    assert isinstance(credit, CreditReceived)
    assert outgoing.credit == INITIAL_CREDIT // 2


@pytest.mark.parametrize("window", [1, 2, 5, 16, 17, 1000])
def test_windows(codec: Codec, window: int) -> None:
    reader, producer, incoming, outgoing = opened(codec, window=window)
    unread = 0
    for _ in range(300):
        while outgoing.credit:
            producer.streams.send(outgoing, body(codec, 1))
            unread += 1
        assert unread <= max(window, INITIAL_CREDIT)
        pass_on(producer, reader)
        reader.streams.consume(incoming)
        unread -= 1
        pass_on(reader, producer)
    assert unread <= window, "what all streams begin with is not granted anew"


def test_more_items_than_granted(codec: Codec) -> None:
    reader, _, _, _ = opened(codec)
    frame = say(codec, method="rpc.stream.item", params={"stream": "s1", "items": [0] * 65})
    ended, broken = reader.receive(frame)
    assert isinstance(ended, StreamEnded)
    assert ended.error is not None
    assert "granted" in ended.error.message
    violation([broken], RemoteProtocolError, "granted")
    assert said(reader) == [{"jsonrpc": "2.0", "method": "rpc.stream.cancel", "params": {"stream": "s1"}}]
    assert list(reader.receive(frame)) == [], "what still comes of it is dropped"
    assert list(reader.receive(say(codec, method="rpc.stream.end", params={"stream": "s1"}))) == []
    assert len(reader.streams) == 0


def test_items_and_ends_of_streams_that_are_not_open(codec: Codec) -> None:
    session = Session(codec)
    frame = say(codec, method="rpc.stream.item", params={"stream": "s9", "items": [1]})
    violation(session.receive(frame), RemoteProtocolError, "s9")
    assert said(session) == [{"jsonrpc": "2.0", "method": "rpc.stream.cancel", "params": {"stream": "s9"}}]
    violation(session.receive(say(codec, method="rpc.stream.end", params={"stream": "s9"})), RemoteProtocolError, "s9")
    for method in ("rpc.stream.credit", "rpc.stream.cancel"):
        assert list(session.receive(say(codec, method=method, params={"stream": "s9", "n": 5}))) == []
    assert not session.has_output


def test_cancelling_a_stream(codec: Codec) -> None:
    reader, producer, incoming, outgoing = opened(codec)
    producer.streams.send(outgoing, body(codec, 1))
    reader.streams.cancel(incoming.id)
    reader.streams.cancel(incoming.id)
    reader.streams.cancel("s99")
    (cancelled,) = pass_on(reader, producer)
    assert isinstance(cancelled, StreamCancelled)
    assert outgoing.is_cancelled
    assert not producer.has_output, "what had not left is dropped"
    with pytest.raises(LocalProtocolError, match="cancelled"):
        producer.streams.send(outgoing, body(codec, 1))
    assert list(producer.receive(say(codec, method="rpc.stream.cancel", params={"stream": outgoing.id}))) == []
    producer.streams.end(outgoing)
    assert pass_on(producer, reader) == []
    assert len(reader.streams) == len(producer.streams) == 0
    assert reader.streams.accept(incoming.id), "the name is free again"


def test_an_item_sent_before_the_cancel_came_is_dropped(codec: Codec) -> None:
    reader, producer, incoming, outgoing = opened(codec)
    producer.streams.send(outgoing, body(codec, 1))
    frames = producer.frames()
    reader.streams.cancel(incoming.id)
    assert [event for frame in frames for event in reader.receive(frame)] == []


def test_too_many_streams(codec: Codec) -> None:
    reader, producer, incoming, _ = opened(codec, streams=1)
    with pytest.raises(Busy, match="1 streams"):
        reader.streams.accept("s2")
    with pytest.raises(Busy, match="1 streams"):
        producer.streams.open()
    reader.call("a")
    (call,) = pass_on(reader, producer)
    assert isinstance(call, IncomingCall)
    assert producer.reply_stream(call) is None
    (event,) = pass_on(producer, reader)
    assert isinstance(event, ErrorReceived)
    assert event.code == Busy.code
    assert incoming.id == "s1"


def test_a_stream_is_read_once(codec: Codec) -> None:
    reader, _, incoming, _ = opened(codec)
    with pytest.raises(RemoteProtocolError, match="open already"):
        reader.streams.accept(incoming.id)


def test_credit_has_a_ceiling(codec: Codec) -> None:
    _, producer, _, outgoing = opened(codec)
    for _ in range(3):
        list(producer.receive(say(codec, method="rpc.stream.credit", params={"stream": "s1", "n": 2**62})))
    assert outgoing.credit == MAX_CREDIT


def test_items_leave_in_messages_of_bounded_size() -> None:
    codec = MessagePack()
    reader, producer, _, outgoing = opened(codec)
    for _ in range(10):
        producer.streams.send(outgoing, body(codec, b"x" * 30_000))
    frames = producer.frames()
    assert len(frames) == 5
    got = [e for frame in frames for e in reader.receive(frame)]
    assert sum(len(e.items) for e in got if isinstance(e, ItemsReceived)) == 10


def test_a_call_and_the_items_of_its_stream_in_one_frame() -> None:
    codec = JsonLines()
    server = Session(codec)
    frame = codec.join(
        [
            say(codec, id=1, method="sum", params={"items": {"stream": "c1"}}),
            say(codec, method="rpc.stream.item", params={"stream": "c1", "items": [1, 2]}),
            say(codec, method="rpc.stream.end", params={"stream": "c1"}),
        ]
    )
    kinds = []
    for event in server.receive(frame):
        kinds.append(type(event))
        if isinstance(event, IncomingCall):
            server.streams.accept("c1")
    assert kinds == [IncomingCall, ItemsReceived, StreamEnded]


# --- the end ---------------------------------------------------------------------------------------------------------


def test_what_was_lost(codec: Codec) -> None:
    session = Session(codec)
    sent = session.call("a")
    session.frames()
    unsent = session.call("b")
    gone = session.call("c")
    session.forget(gone)
    session.streams.open()
    list(session.receive(say(codec, id=1, method="x")))
    assert session.close() == ([unsent], [sent])
    assert session.state is SessionState.CLOSED
    assert not session.has_output
    assert (len(session.streams), session.calls_running) == (0, 0)
    assert session.close() == ([], [])
    for late in (lambda: session.call("a"), lambda: session.notify("a"), lambda: session.batch([("a", None, True)])):
        with pytest.raises(LocalProtocolError, match="closed"):
            late()
    assert list(session.receive(say(codec, id=2, method="x"))) == []


def test_a_session_closed_in_the_middle_of_a_frame_takes_no_more() -> None:
    codec = JsonLines()
    session = Session(codec)
    frame = codec.join([say(codec, id=n, method="a") for n in range(3)])
    seen = 0
    for _ in session.receive(frame):
        seen += 1
        session.close()
    assert seen == 1
    assert session.calls_running == 0
