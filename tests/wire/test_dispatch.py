"""The way of a call as pure code: what is refused and why, and what observers are told."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from typing import Any
from weakref import ref

import msgspec
import pytest
from msgspec import Raw
from pydantic import BaseModel, field_validator

from rpcserver import Context, Outcome, Service, method
from rpcwire.codec import Codec, Subprotocol, codec_for
from rpcwire.context import Connection, Principal
from rpcwire.dispatch import Dispatch, cancel_error, late_error, suspension_error
from rpcwire.errors import (
    Busy,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    PermissionDenied,
    RpcError,
    Unavailable,
)
from rpcwire.events import IncomingCall, NotificationReceived, Violation
from rpcwire.limits import SessionLimits
from rpcwire.messages import CallContext
from rpcwire.outcomes import Answers
from rpcwire.registry import Offer, Registry
from rpcwire.session import Session
from rpcwire.states import SessionStep

logger = logging.getLogger("tests.dispatch")
FORMS: tuple[Subprotocol, ...] = ("rpc.v1.json", "rpc.v1.msgpack")


class Picky(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def check(cls, n: int) -> int:
        if n == 13:
            raise KeyError("a bug in the validator")
        return n


class Desk(Service):
    """What is called here."""

    @method(kind="read")
    async def add(self, a: int, b: int) -> int:
        """Add."""
        return a + b

    @method()
    async def pick(self, picky: Picky) -> int:
        """Validate with a validator that has a bug."""
        return picky.n

    @method()
    async def count(self, n: int) -> AsyncIterator[int]:
        """Stream."""
        for i in range(n):
            yield i

    @method()
    async def total(self, items: AsyncIterator[int], ctx: Context) -> int:
        """Take a stream."""
        return sum([item async for item in items])


class Nobody:
    """The other side of no connection."""

    async def call(self, method: str, params: Any = None, *, timeout_s: float | None = None) -> Any:
        raise NotImplementedError

    async def notify(self, method: str, params: Any = None) -> None:
        raise NotImplementedError


@pytest.fixture
def registry() -> Registry:
    made = Registry(logger)
    made.add(Desk())
    return made


@pytest.fixture
def connection() -> Connection:
    return Connection("c1", "memory", Nobody(), Principal("ada", "memory"), logger=logger)


@pytest.fixture(params=FORMS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return codec_for(request.param)


def encoded(codec: Codec, value: Any) -> Raw:
    return Raw((msgspec.msgpack if codec.binary else msgspec.json).encode(value))


def call(
    codec: Codec, name: str, params: Any = None, ctx: CallContext | None = None, *, arrived_ns: int | None = 1
) -> IncomingCall:
    return IncomingCall(7, name, None if params is None else encoded(codec, params), ctx, arrived_ns=arrived_ns)


def note(codec: Codec, name: str, params: Any = None) -> NotificationReceived:
    return NotificationReceived(name, None if params is None else encoded(codec, params), arrived_ns=1)


def shut(_connection: Connection, name: str, offer: Offer | None) -> RpcError | None:
    return PermissionDenied(f"{name} is not for you; it {'is' if offer else 'would not be'} there")


def broken(_connection: Connection, _method: str, _offer: Offer | None) -> RpcError | None:
    raise KeyError("a bug in the gate")


def test_a_call_is_admitted(registry: Registry, connection: Connection, codec: Codec) -> None:
    dispatch = Dispatch(registry, logger=logger)
    for params in ([1, 2], {"a": 1, "b": 2}):
        offer, args, kwargs = dispatch.admit(connection, call(codec, "desk.add", params), codec)
        assert offer.name == "desk.add"
        assert asyncio.run(offer.call(*args, **kwargs)) == 3


REFUSED: dict[str, tuple[str, Any, type[RpcError], str]] = {
    "an unknown method": ("desk.ad", [1], MethodNotFound, r"no method 'desk.ad'; did you mean desk.add\?$"),
    "nothing like it": ("x" * 5000, [], MethodNotFound, "^there is no method 'x{100}'$"),
    "a wrong type": ("desk.add", ["one", 2], InvalidParams, "a: "),
    "too few": ("desk.add", [1], InvalidParams, "b: "),
    "a validator with a bug": ("desk.pick", [{"n": 13}], InternalError, "incident"),
}


@pytest.mark.parametrize(("name", "params", "kind", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_was_not_executed(
    registry: Registry, connection: Connection, codec: Codec, name: str, params: Any, kind: type[RpcError], text: str
) -> None:
    outcomes: list[Outcome] = []
    dispatch = Dispatch(registry, observers=[outcomes.append], logger=logger)
    message, notification = call(codec, name, params), note(codec, name, params)
    with pytest.raises(kind, match=text) as caught:
        dispatch.admit(connection, message, codec)
    assert caught.value.executed == "no"
    dispatch.report_end(connection, message, caught.value)
    with pytest.raises(kind, match=text) as noted:
        dispatch.admit_notification(connection, notification, codec, running=0, most=1)
    dispatch.report_refused_notification(connection, notification, noted.value)
    assert [(o.subject, o.id, o.error, o.executed) for o in outcomes] == [
        ("call", 7, caught.value, "no"),
        ("notification", None, noted.value, "no"),
    ]
    assert {o.method for o in outcomes} == {name[:100]}
    assert {o.kind for o in outcomes} == {None if kind is MethodNotFound else registry.get(name).spec.options.kind}  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["desk.add", "desk.none"])
def test_the_gate_is_asked_before_anything_else(
    registry: Registry, connection: Connection, codec: Codec, name: str
) -> None:
    with pytest.raises(PermissionDenied, match="is there" if name == "desk.add" else "would not be there"):
        Dispatch(registry, shut, logger=logger).admit(connection, call(codec, name, ["wrong"]), codec)
    with pytest.raises(InternalError) as caught:
        Dispatch(registry, broken, logger=logger).admit(connection, call(codec, name, ["wrong"]), codec)
    assert caught.value.executed == "no"
    assert "bug" not in caught.value.message


def test_a_gate_is_asked_only_about_methods_that_the_connection_does_not_allow(
    registry: Registry, connection: Connection, codec: Codec
) -> None:
    dispatch = Dispatch(registry, shut, logger=logger)
    connection.allowed = frozenset({"desk.add"})
    dispatch.admit(connection, call(codec, "desk.add", [1, 2]), codec)
    with pytest.raises(PermissionDenied):
        dispatch.admit(connection, call(codec, "desk.pick", [{"n": 1}]), codec)
    restores = [dispatch.put_before_gate(shut) for _ in range(2)]
    for restore in reversed(restores):
        with pytest.raises(PermissionDenied):
            dispatch.admit(connection, call(codec, "desk.add", [1, 2]), codec)
        restore()
    dispatch.admit(connection, call(codec, "desk.add", [1, 2]), codec)


def test_where_methods_are_listed_is_said_where_they_are(registry: Registry, connection: Connection) -> None:
    class Rpc(Service):
        name = "rpc"

        @method()
        async def discover(self) -> None:
            """Describe."""

    codec = codec_for("rpc.v1.json")
    registry.add(Rpc(), has_reserved_name=True)
    with pytest.raises(MethodNotFound, match=r"desk\.add\? rpc\.discover lists those there are$"):
        Dispatch(registry, logger=logger).admit(connection, call(codec, "desk.ad"), codec)
    with pytest.raises(MethodNotFound, match=r"'zzz'; rpc\.discover lists those there are$"):
        Dispatch(registry, logger=logger).admit(connection, call(codec, "zzz"), codec)


def test_a_notification_that_is_dropped_says_so(
    registry: Registry, connection: Connection, codec: Codec, caplog: pytest.LogCaptureFixture
) -> None:
    """Its method is there."""
    dispatch = Dispatch(registry, logger=logger)
    message = note(codec, "desk.add", [1, 2])
    dispatch.admit_notification(connection, message, codec, running=2, most=3)
    message = note(codec, "desk.add", [1, 2])  # Admission has read the parameters of the first, and dropped them.
    with pytest.raises(Busy, match=r"desk\.add was dropped") as caught:
        dispatch.admit_notification(connection, message, codec, running=3, most=3)
    dispatch.report_refused_notification(connection, message, caught.value)
    assert caplog.records[-1].levelname == "WARNING"
    for name, params in (("desk.count", [1]), ("desk.total", [{"stream": "c1"}])):
        with pytest.raises(InvalidRequest, match=f"{name} streams, so it must be called"):
            dispatch.admit_notification(connection, note(codec, name, params), codec, running=0, most=3)


def test_what_is_told(registry: Registry, connection: Connection, codec: Codec) -> None:
    outcomes: list[Outcome] = []
    dispatch = Dispatch(registry, observers=[outcomes.append], logger=logger)
    ctx = CallContext(key="k", traceparent="00-1-2-01")
    message = call(codec, "desk.add", [1, 2], ctx)
    offer, _, _ = dispatch.admit(connection, message, codec)
    body = dispatch.encode_result(offer, 3, codec)
    dispatch.report_end(connection, message, None, len(body))
    (told,) = outcomes
    assert (told.subject, told.method, told.kind, told.id, told.error) == ("call", "desk.add", "read", 7, None)
    assert (told.connection, told.principal, told.ctx) == (connection, Principal("ada", "memory"), ctx)
    assert (told.executed, told.items) == ("yes", 0)
    assert (told.received_bytes, told.sent_bytes) == (len(memoryview(encoded(codec, [1, 2]))), 1)
    assert told.duration_s >= 0


def test_nothing_is_noted_where_nobody_observes(registry: Registry, connection: Connection, codec: Codec) -> None:
    outcomes: list[Outcome] = []
    dispatch = Dispatch(registry, logger=logger)
    early = call(codec, "desk.add", [1, 2], arrived_ns=dispatch.arrival_ns())
    dispatch.admit(connection, early, codec)
    assert early.arrived_ns is None
    dispatch.observe(outcomes.append)
    late_one = call(codec, "desk.add", [1, 2], arrived_ns=dispatch.arrival_ns())
    dispatch.admit(connection, late_one, codec)
    for message in (early, late_one):
        dispatch.report_end(connection, message)
    assert len(outcomes) == 1, "a call that arrived before its observer is not told: nobody knows since when it runs"


class Close:
    """Observes calls closely: notes what it is told."""

    def __init__(self, *, needs_codec: bool) -> None:
        self.needs_codec = needs_codec
        self.told: list[tuple[Any, ...]] = []

    def keep(self, method: str, params: Any, codec: Codec | None) -> Any:
        self.told.append(("keep", method, codec))
        return bytes(params)

    def started(self, connection: Connection, message: IncomingCall | NotificationReceived) -> Any:
        self.told.append(("started", message.params_note, message.received_bytes))

    def answered(self, connection: Connection, call: IncomingCall, sent_bytes: int) -> None:
        self.told.append(("answered", call.params, sent_bytes))

    def answered_together(self, connection: Connection, answers: Answers) -> None:
        self.told.append(("together", *(call.params for call in answers[1::3]), *answers[2::3]))

    def ended(self, outcome: Outcome, params_note: Any, start: Any) -> None:
        self.told.append(("ended", outcome.error, outcome.received_bytes, params_note))


@pytest.mark.parametrize("needs_codec", [False, True])
def test_a_close_observer_is_asked_about_parameters_as_late_as_it_may(
    registry: Registry, connection: Connection, codec: Codec, needs_codec: bool
) -> None:
    dispatch, close = Dispatch(registry, logger=logger), Close(needs_codec=needs_codec)
    dispatch.observe_closely(close)
    params = bytes(encoded(codec, [1, 2]))
    early = [("keep", "desk.add", codec)] if needs_codec else []
    late_keep = [] if needs_codec else [("keep", "desk.add", None)]

    quick = call(codec, "desk.add", [1, 2])
    offer, _, _ = dispatch.admit(connection, quick, codec)
    dispatch.report_answers(connection, [offer, quick, 1])
    assert close.told == [*early, ("together", quick.params, 1)]
    assert bytes(quick.params or b"") == params
    close.told.clear()

    slow = call(codec, "desk.add", [1, 2])
    dispatch.admit(connection, slow, codec)
    dispatch.report_start(connection, slow)
    assert close.told == [*early, *late_keep, ("started", params, len(params))]
    close.told.clear()
    slow.params = None
    error = Busy("later")
    dispatch.report_end(connection, slow, error)
    assert close.told == [("ended", error, len(params), params)]
    close.told.clear()

    wrong = call(codec, "desk.add", [1, 2])
    dispatch.admit(connection, wrong, codec)
    dispatch.report_end(connection, wrong, error)
    assert close.told == [*early, *late_keep, ("ended", error, len(params), params)]
    close.told.clear()

    refused = call(codec, "desk.add", [1, 2])
    dispatch.report_refusal(connection, refused, error, codec)
    assert close.told == [("keep", "desk.add", codec), ("ended", error, len(params), params)]


@pytest.mark.parametrize("is_first", [False, True])
def test_others_are_told_besides_a_close_observer(
    registry: Registry, connection: Connection, codec: Codec, is_first: bool
) -> None:
    dispatch, close, outcomes = Dispatch(registry, logger=logger), Close(needs_codec=False), list[Outcome]()
    if is_first:
        dispatch.observe_closely(close)
    dispatch.observe(outcomes.append)
    if not is_first:
        dispatch.observe_closely(close)
    messages = [call(codec, "desk.add", [1, 2]) for _ in range(2)]
    offer, *_ = [dispatch.admit(connection, message, codec)[0] for message in messages]
    dispatch.report_answers(connection, [offer, messages[0], 1, offer, messages[1], 2])
    assert [told[0] for told in close.told] == ["keep", "keep", "answered", "answered"]
    assert [(each.error, each.received_bytes, each.sent_bytes) for each in outcomes] == [
        (None, len(messages[0].params_note), 1),
        (None, len(messages[1].params_note), 2),
    ]


@pytest.mark.parametrize("failure", [ValueError, SystemExit, asyncio.CancelledError, Busy], ids=lambda f: f.__name__)
def test_an_observer_that_fails_changes_nothing(
    registry: Registry,
    connection: Connection,
    codec: Codec,
    failure: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes: list[Outcome] = []

    def failing(_: Outcome) -> None:
        raise failure("the observer's own")

    dispatch = Dispatch(registry, observers=[failing, outcomes.append], logger=logger)
    message = call(codec, "desk.add", [1, 2])
    dispatch.admit(connection, message, codec)
    dispatch.report_end(connection, message)
    assert len(outcomes) == 1, "those that follow are told nevertheless"
    assert "failing" in caplog.text
    assert "the observer's own" in caplog.text


def test_an_outcome_in_a_circle_is_freed(registry: Registry, connection: Connection, codec: Codec) -> None:
    """An observer that raises the error of an outcome makes a circle: the traceback leads to its variables."""

    def observe(outcome: Outcome) -> None:
        try:
            raise outcome.error or AssertionError
        except RpcError:
            pass

    dispatch = Dispatch(registry, observers=[observe], logger=logger)
    error = Busy("later")
    dispatch.report_end(connection, call(codec, "desk.add", [1, 2]), error)
    reference = ref(error)
    del error
    gc.collect()
    assert reference() is None


def test_ctrl_c_in_an_observer_is_not_swallowed(registry: Registry, connection: Connection, codec: Codec) -> None:
    def interrupted(_: Outcome) -> None:
        raise KeyboardInterrupt

    dispatch = Dispatch(registry, observers=[interrupted], logger=logger)
    message = call(codec, "desk.add", [1, 2])
    dispatch.admit(connection, message, codec)
    with pytest.raises(KeyboardInterrupt):
        dispatch.report_end(connection, message)


async def _asynchronous(_: Outcome) -> None:
    """Nobody would wait for it."""


class _AsynchronousObject:
    async def __call__(self, _: Outcome) -> None:
        """Nobody would wait for it."""


@pytest.mark.parametrize("observer", [_asynchronous, _AsynchronousObject(), "print"], ids=["def", "object", "text"])
def test_an_observer_is_a_plain_function(registry: Registry, observer: Any) -> None:
    with pytest.raises(TypeError, match=r"observers: .*: must be a plain function"):
        Dispatch(registry, observers=[observer], logger=logger)


def test_an_upload_counts_what_the_handler_reads(registry: Registry, connection: Connection, codec: Codec) -> None:
    outcomes: list[Outcome] = []
    dispatch = Dispatch(registry, observers=[outcomes.append], logger=logger)
    message = call(codec, "desk.total", [{"stream": "c1"}])
    offer, args, kwargs = dispatch.admit(connection, message, codec)
    assert not args
    (upload,) = dispatch.uploads(offer, kwargs, codec)
    assert (upload.name, upload.stream) == ("items", "c1")
    assert [upload.load(encoded(codec, n)) for n in (1, 2, 3)] == [1, 2, 3]
    dispatch.report_upload_end(connection, message, upload)
    assert [(o.subject, o.items, o.received_bytes, o.sent_bytes) for o in outcomes] == [("upload", 3, 3, 0)]


def test_a_stream_counts_what_was_sent(registry: Registry, connection: Connection, codec: Codec) -> None:
    outcomes: list[Outcome] = []
    dispatch = Dispatch(registry, observers=[outcomes.append], logger=logger)
    ours, theirs = Session(codec), Session(codec, stream_prefix="c")
    theirs.call("desk.count", bytes(encoded(codec, [3])))
    ours.arrived_ns = dispatch.arrival_ns()
    (message,) = [event for frame in theirs.frames() for event in ours.receive(frame)]
    assert isinstance(message, IncomingCall)
    offer, _, _ = dispatch.admit(connection, message, codec)
    stream = ours.reply_stream(message)
    assert stream is not None
    assert offer.contract.item is not None
    encode = dispatch.item_encoder(offer, offer.contract.item, codec)
    for value in (1, 22, 100):
        ours.streams.send(stream, encode(value))
    ours.streams.end(stream)
    dispatch.report_stream_end(connection, message, stream, None)
    (told,) = outcomes
    assert (told.subject, told.id, told.items) == ("stream", message.id, 3)
    assert told.sent_bytes == sum(len(memoryview(encoded(codec, value))) for value in (1, 22, 100))


@pytest.mark.parametrize("reason", ["busy", "draining", "the same id"])
def test_the_session_says_which_call_it_refuses(
    registry: Registry, connection: Connection, codec: Codec, reason: str
) -> None:
    outcomes: list[Outcome] = []
    dispatch = Dispatch(registry, observers=[outcomes.append], logger=logger)
    ours, theirs = Session(codec, limits=SessionLimits(calls_in_flight=1 if reason == "busy" else 5)), Session(codec)
    theirs.call("desk.add")
    (frame,) = theirs.frames()
    ours.arrived_ns = dispatch.arrival_ns()
    list(ours.receive(frame))
    if reason == "draining":
        ours.move(SessionStep.DRAIN)
    if reason != "the same id":
        theirs.call("desk.add")
        (frame,) = theirs.frames()
    (violation,) = ours.receive(frame)
    assert isinstance(violation, Violation)
    assert violation.call is not None
    assert isinstance(violation.error, RpcError)
    dispatch.report_refusal(connection, violation.call, violation.error, codec)
    expected = {"busy": Busy, "draining": Unavailable, "the same id": InvalidRequest}[reason]
    (told,) = outcomes
    assert (type(told.error), told.executed, told.method) == (expected, "no", "desk.add")


def test_what_is_no_call_is_not_told_as_one() -> None:
    codec = codec_for("rpc.v1.json")
    for frame in (b"{", b'{"jsonrpc": "2.0", "id": 1}', b'{"jsonrpc": "2.0", "id": 1, "method": "a", "params": 1}'):
        (violation,) = Session(codec).receive(frame)
        assert isinstance(violation, Violation)
        assert violation.call is None


def test_why_handlers_are_stopped(registry: Registry, codec: Codec) -> None:
    offer = registry.get("desk.add")
    assert offer is not None
    reasons = {
        Cancelled: cancel_error(call(codec, "desk.add")),
        DeadlineExceeded: late_error(offer),
        InternalError: suspension_error(offer),
    }
    for kind, reason in reasons.items():
        assert type(reason) is kind
        assert reason.executed == "yes"
        assert "desk.add" in reason.message
