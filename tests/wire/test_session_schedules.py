"""Two sessions, joined by a pump, under schedules that Hypothesis makes up, against a simple model: every call is
answered exactly once, items arrive in order and never beyond what was granted, and nobody breaks a rule."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec import Raw

from rpcwire.codec import Codec, JsonLines, MessagePack, PlainJson
from rpcwire.errors import Cancelled, InternalError
from rpcwire.events import (
    CancelReceived,
    CreditReceived,
    ErrorReceived,
    IncomingCall,
    ItemsReceived,
    NotificationReceived,
    ResultReceived,
    StreamCancelled,
    StreamEnded,
)
from rpcwire.limits import INITIAL_CREDIT, SessionLimits
from rpcwire.session import Session
from rpcwire.streams import IncomingStream, OutgoingStream
from tests.examples import count_examples

SIDES = st.sampled_from([0, 1])
CALLS = 8
STREAMS = 4
NUMBERS = st.integers(0, 1000)


@dataclass
class Producing:
    """A stream as its producer sees it."""

    stream: OutgoingStream
    sent: int = 0
    ended: bool = False
    cancelled: bool = False


@dataclass
class Reading:
    """A stream as its reader sees it."""

    stream: IncomingStream
    arrived: int = 0
    consume: int = 0
    ended: bool = False
    cancelled: bool = False


@dataclass
class Side:
    """One side, and what the model knows of it."""

    session: Session
    outgoing: dict[int, int] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)
    running: list[IncomingCall] = field(default_factory=list)
    cancelled: list[IncomingCall] = field(default_factory=list)
    producing: dict[str, Producing] = field(default_factory=dict)
    reading: dict[str, Reading] = field(default_factory=dict)
    notified: int = 0
    notifications_sent: int = 0
    wire: deque[bytes] = field(default_factory=deque)


class Schedules(RuleBasedStateMachine):
    """The machine. ``wire`` of a side holds the frames that it has sent and that have not arrived."""

    form: type[Codec]

    def __init__(self) -> None:
        super().__init__()
        limits = SessionLimits(calls_in_flight=CALLS, streams=STREAMS, message_bytes=100_000)
        self.sides = tuple(Side(Session(self.form(), limits=limits, stream_prefix=prefix)) for prefix in "cs")
        self.tag = 0

    def body(self, value: Any) -> bytes:
        return msgspec.msgpack.encode(value) if self.form.binary else msgspec.json.encode(value)

    def value(self, raw: Raw) -> Any:
        return msgspec.msgpack.decode(raw) if self.form.binary else msgspec.json.decode(raw)

    # --- what a side may do ---

    @rule(side=SIDES)
    def call(self, side: int) -> None:
        me = self.sides[side]
        if len(me.outgoing) < CALLS:
            self.tag += 1
            call_id = me.session.call("echo", self.body([self.tag]))
            me.outgoing[call_id] = self.tag

    @rule(side=SIDES, shape=st.lists(st.booleans(), min_size=1, max_size=4))
    def batch(self, side: int, shape: list[bool]) -> None:
        me = self.sides[side]
        if len(me.outgoing) + sum(shape) > CALLS:
            return
        entries = []
        for wants_answer in shape:
            self.tag += 1
            entries.append(("echo", self.body([self.tag]), wants_answer))
        for (_, params, wants_answer), call_id in zip(entries, me.session.batch(entries), strict=True):
            assert (call_id is not None) is wants_answer
            if call_id is None:
                me.notifications_sent += 1
            else:
                me.outgoing[call_id] = self.value(Raw(params))[0]

    @rule(side=SIDES)
    def notify(self, side: int) -> None:
        self.sides[side].session.notify("note", self.body({"x": 1}))
        self.sides[side].notifications_sent += 1

    @rule(side=SIDES, pick=NUMBERS)
    def cancel(self, side: int, pick: int) -> None:
        me = self.sides[side]
        if me.outgoing:
            me.session.cancel(list(me.outgoing)[pick % len(me.outgoing)])

    @rule(side=SIDES, pick=NUMBERS, how=st.sampled_from(["result", "error", "stream"]))
    def answer(self, side: int, pick: int, how: str) -> None:
        me = self.sides[side]
        if not me.running:
            return
        call = me.running.pop(pick % len(me.running))
        assert call.params is not None
        (tag,) = self.value(call.params)
        if call in me.cancelled:
            me.session.reply_error(call, Cancelled(str(tag)))
        elif how == "result":
            me.session.reply(call, self.body({"tag": tag}))
        elif how == "error":
            me.session.reply_error(call, InternalError(str(tag)))
        elif (stream := me.session.reply_stream(call)) is not None:
            me.producing[stream.id] = Producing(stream)

    @rule(side=SIDES, pick=NUMBERS, count=st.integers(1, 70))
    def send_items(self, side: int, pick: int, count: int) -> None:
        me = self.sides[side]
        active = [p for p in me.producing.values() if not p.ended and not p.cancelled]
        if active:
            chosen = active[pick % len(active)]
            for _ in range(min(count, chosen.stream.credit)):
                me.session.streams.send(chosen.stream, self.body(chosen.sent))
                chosen.sent += 1

    @rule(side=SIDES, pick=NUMBERS, fails=st.booleans())
    def end(self, side: int, pick: int, fails: bool) -> None:
        me = self.sides[side]
        active = [p for p in me.producing.values() if not p.ended]
        if active:
            chosen = active[pick % len(active)]
            chosen.ended = True
            me.session.streams.end(chosen.stream, InternalError("broken") if fails else None)

    @rule(side=SIDES, pick=NUMBERS, count=st.integers(1, 70))
    def consume(self, side: int, pick: int, count: int) -> None:
        me = self.sides[side]
        waiting = [r for r in me.reading.values() if r.consume < r.arrived and not r.cancelled]
        if waiting:
            chosen = waiting[pick % len(waiting)]
            taken = min(count, chosen.arrived - chosen.consume)
            chosen.consume += taken
            if not chosen.ended:
                me.session.streams.consume(chosen.stream, taken)

    @rule(side=SIDES, pick=NUMBERS)
    def cancel_stream(self, side: int, pick: int) -> None:
        me = self.sides[side]
        active = [r for r in me.reading.values() if not r.ended and not r.cancelled]
        if active:
            chosen = active[pick % len(active)]
            chosen.cancelled = True
            me.session.streams.cancel(chosen.stream.id)

    # --- the pump ---

    @rule(side=SIDES)
    def send(self, side: int) -> None:
        me = self.sides[side]
        me.wire.extend(me.session.frames())
        assert not me.session.has_output

    @precondition(lambda self: self.form is not PlainJson)
    @rule(side=SIDES, size=st.integers(1, 5))
    def cut_and_join(self, side: int, size: int) -> None:
        """Messages in frames of another size, as a proxy or another implementation might send them."""
        me = self.sides[side]
        codec = me.session.codec
        messages: list[bytes] = []
        for frame in me.wire:
            if self.form is JsonLines:
                messages += frame.split(b"\n")
            elif frame[0] & 0xF0 == 0x90 or frame[0] in (0xDC, 0xDD):
                messages += map(bytes, msgspec.msgpack.decode(frame, type=list[Raw]))
            else:
                messages.append(frame)
        me.wire = deque(codec.join(messages[i : i + size]) for i in range(0, len(messages), size))

    @rule(side=SIDES, window=st.sampled_from([1, 3, INITIAL_CREDIT, 64]))
    def deliver(self, side: int, window: int) -> None:
        """A frame of this side arrives at the other."""
        if not self.sides[side].wire:
            return
        you = self.sides[1 - side]
        for event in you.session.receive(self.sides[side].wire.popleft()):
            match event:
                case IncomingCall():
                    you.running.append(event)
                case NotificationReceived():
                    you.notified += 1
                case CancelReceived():
                    assert event.call in you.running
                    you.cancelled.append(event.call)
                case ResultReceived():
                    self.answered(you, event.id)
                    result = self.value(event.result)
                    if "stream" in result:
                        # Not by what was told of ends: that of a cancelled stream is told to nobody, and makes room.
                        if len(you.session.streams._incoming) < STREAMS:
                            stream = you.session.streams.accept(result["stream"], window)
                            you.reading[stream.id] = Reading(stream)
                    else:
                        assert result["tag"] == you.answers[event.id]
                case ErrorReceived():
                    self.answered(you, event.id)
                case ItemsReceived():
                    reading = you.reading[event.stream]
                    assert not reading.ended
                    assert not reading.cancelled
                    assert [self.value(item) for item in event.items] == list(
                        range(reading.arrived, reading.arrived + len(event.items))
                    )
                    reading.arrived += len(event.items)
                case StreamEnded():
                    reading = you.reading[event.stream]
                    assert not reading.ended
                    reading.ended = True
                case CreditReceived():
                    assert event.stream in you.producing
                case StreamCancelled():
                    you.producing[event.stream].cancelled = True
                case _:
                    pytest.fail(f"{event!r}")
        for stream_id, reading in you.reading.items():
            if reading.cancelled and stream_id not in you.session.streams._incoming:
                reading.ended = True

    def answered(self, side: Side, call_id: int) -> None:
        assert call_id in side.outgoing, "a call is answered once"
        side.answers[call_id] = side.outgoing.pop(call_id)

    # --- what always holds ---

    @invariant()
    def bounds_hold(self) -> None:
        for side in self.sides:
            assert side.session.calls_running == len(side.running) <= CALLS
            assert len(side.session.streams._outgoing) <= STREAMS
            assert len(side.session.streams._incoming) <= STREAMS
            for producing in side.producing.values():
                assert producing.stream.credit >= 0
            for reading in side.reading.values():
                assert reading.arrived - reading.consume <= max(reading.stream.window, INITIAL_CREDIT)
            assert side.session._outgoing.keys() == side.outgoing.keys()

    def teardown(self) -> None:
        for side in (0, 1):
            me = self.sides[side]
            for producing in list(me.producing.values()):
                if not producing.ended:
                    producing.ended = True
                    me.session.streams.end(producing.stream)
        for _ in range(12):
            for side in (0, 1):
                self.send(side)
                while self.sides[side].wire:
                    self.deliver(side, 64)
            for side in (0, 1):
                while self.sides[side].running:
                    self.answer(side, 0, "result")
        for me, you in (self.sides, self.sides[::-1]):
            assert not me.outgoing, "every call is answered"
            assert me.notified == you.notifications_sent
            assert len(me.session.streams) == 0
            assert all(r.ended for r in me.reading.values())
            for stream_id, reading in me.reading.items():
                if not reading.cancelled:
                    assert reading.arrived == you.producing[stream_id].sent, "every item arrives"


@pytest.mark.parametrize("form", [PlainJson, JsonLines, MessagePack], ids=lambda form: form.subprotocol)
def test_schedules(form: type[Codec]) -> None:
    machine = type("Machine", (Schedules,), {"form": form})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=count_examples(40),
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.soak
@pytest.mark.parametrize("form", [PlainJson, JsonLines, MessagePack], ids=lambda form: form.subprotocol)
@pytest.mark.timeout(1200)
def test_many_schedules(form: type[Codec]) -> None:
    machine = type("Machine", (Schedules,), {"form": form})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1500, stateful_step_count=150, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
