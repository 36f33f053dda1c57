"""A circuit delivers every frame, in order, or ends at both ends and says why: whatever the broker loses."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rpcserver.group.circuit import (
    HEAD_OF_ONE,
    HEAD_OF_ONE_BYTES,
    HEADER_BYTES,
    IDLE_PROBE_S,
    LOST_CODE,
    MOST_PROBES,
    PROBE_S,
    REASON_BYTES,
    TOO_LARGE_CODE,
    Cause,
    Circuit,
    Datagram,
    Drain,
    Kind,
    pack,
    pack_reset,
    read_datagram,
)
from rpcserver.group.members import InvalidGroupMessage

CHUNK, WINDOW, MOST_FRAME = 64, 512, 5000
HANG_S = 2 * IDLE_PROBE_S + (MOST_PROBES + 2) * PROBE_S
"""After this time nothing may be open any more of which something was lost."""


def make(now: float = 0.0, most_frame_bytes: int = MOST_FRAME) -> Circuit:
    return Circuit(7, now, chunk_bytes=CHUNK, most_frame_bytes=most_frame_bytes, window_bytes=WINDOW)


def take_all(circuit: Circuit) -> list[bytes]:
    return list(iter(circuit.take, None))


def exchange(one: Circuit, two: Circuit, now: float = 0.0) -> None:
    """Let both ends send until neither has anything to say. Nobody takes frames."""
    while True:
        first, second = one.output(now), two.output(now)
        if not first and not second:
            return
        for data in first:
            two.receive(read_datagram(data), now)
        for data in second:
            one.receive(read_datagram(data), now)


def receive_alone(circuit: Circuit, data: bytes, now: float) -> bytes | None:
    """As the hub does with each datagram that may have one whole frame."""
    if len(data) < HEAD_OF_ONE_BYTES:
        return None
    kind, _, offset, credit, size = HEAD_OF_ONE.unpack_from(data)
    return circuit.receive_alone(offset, credit, size, data, now) if kind == Kind.DATA else None


class Place:
    """A node that has one end, as the hub has it: it answers whatever comes for a circuit that is over."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit: Circuit | None = circuit
        self.all = circuit
        self.sent: list[bytes] = []
        self.frames: list[bytes] = []
        self.todo: deque[bytes] = deque()
        self.at_once = 0
        self.reads = True
        self.closes = False

    def step(self, now: float) -> list[bytes]:
        circuit = self.circuit
        if circuit is None:
            return []
        circuit.tick(now)
        alone: list[bytes] = []
        while self.todo and circuit.end is None:
            frame = self.todo.popleft()
            data = circuit.send_alone(frame, now) if len(self.todo) % 2 else None
            if data is None:
                circuit.send(frame)
            else:
                alone.append(data)
            self.sent.append(frame)
        if self.reads:
            self.frames += take_all(circuit)
        if self.closes and not self.todo:
            circuit.close(1000, "done")
        out = alone + circuit.output(now)
        if (circuit.end is not None and not circuit.has_frames) or circuit.has_said_last:
            self.circuit = None
        return out

    def hear(self, data: bytes, now: float) -> list[bytes]:
        datagram = read_datagram(data)
        if self.circuit is not None:
            frame = receive_alone(self.circuit, data, now) if self.reads else None
            if frame is None:
                self.circuit.receive(datagram, now)
            else:
                self.frames.append(frame)
                self.at_once += 1
            return []
        return [] if datagram.kind in (Kind.RESET, Kind.CREDIT) else [pack_reset(7, "there is no such circuit")]


def simulate(seed: int, *, loss: float) -> tuple[Place, Place, int]:
    """Play one schedule. Returns both ends, and the number of datagrams that were lost."""
    luck = random.Random(seed)
    places = Place(make()), Place(make())
    for place in places:
        sizes = (0, 1, 3, CHUNK - 4, CHUNK, WINDOW, MOST_FRAME)
        place.todo.extend(luck.randbytes(luck.choice(sizes)) for _ in range(luck.randrange(12)))
    events: list[tuple[float, int, int, bytes]] = []
    numbers, losses, now = count(), 0, 0.0
    last = [0.0, 0.0]  # No datagram of one sender overtakes another one.

    def send(source: int, datagrams: list[bytes]) -> None:
        nonlocal losses
        for data in datagrams:
            if luck.random() < loss:
                losses += 1
                continue
            last[source] = max(last[source], now + (2.0 if luck.random() < 0.01 else luck.choice((0.0, 0.001, 0.05))))
            heapq.heappush(events, (last[source], next(numbers), 1 - source, data))

    closer = luck.randrange(3)
    while now < HANG_S and any(place.circuit is not None for place in places):
        for index, place in enumerate(places):
            place.reads = luck.random() < 0.8 or now > 20.0
            place.closes = index == closer and now > 15.0
            send(index, place.step(now))
        if events and events[0][0] <= now + 0.25:
            now, _, target, data = heapq.heappop(events)
            send(target, places[target].hear(data, now))
        else:
            now += 0.25
    return *places, losses


@pytest.mark.parametrize("seed", range(150))
def test_every_frame_arrives_if_nothing_is_lost(seed: int) -> None:
    one, two, losses = simulate(seed, loss=0.0)
    assert losses == 0
    if one.closes or two.closes:  # What the other end has sent meanwhile may be dropped, as with every connection.
        closer, other = (one, two) if one.closes else (two, one)
        assert other.frames == closer.sent
        assert other.all.end is not None
        assert (other.all.end.cause, other.all.end.code, other.all.end.reason) == (Cause.CLOSED, 1000, "done")
    else:
        assert (one.frames, two.frames) == (two.sent, one.sent)
        assert one.all.end is two.all.end is None


def test_simulated_ends_take_frames_at_once_and_later() -> None:
    places = [place for seed in range(150) for place in simulate(seed, loss=0.0)[:2]]
    at_once, frames = sum(place.at_once for place in places), sum(len(place.frames) for place in places)
    assert 50 < at_once < frames


@pytest.mark.parametrize("seed", range(300))
def test_a_loss_ends_both_ends_and_leaves_no_gap(seed: int) -> None:
    one, two, losses = simulate(seed, loss=0.1)
    for reader, writer in ((one, two), (two, one)):
        assert reader.frames == writer.sent[: len(reader.frames)]
    if losses:
        whole = one.frames == two.sent and two.frames == one.sent
        is_over = one.circuit is None and two.circuit is None
        assert whole or is_over, f"seed {seed}: something is lost, and nobody knows"
    if one.circuit is None or two.circuit is None:
        assert one.circuit is None, f"seed {seed}"
        assert two.circuit is None, f"seed {seed}"


@pytest.mark.parametrize("kind", [Kind.DATA, Kind.CREDIT, Kind.CLOSE])
def test_the_loss_of_the_last_datagram_is_noticed(kind: Kind) -> None:
    one, two = make(), make()
    one.send(b"question")
    two.send(b"answer")
    if kind is Kind.CLOSE:
        exchange(one, two)
        one.close(1000, "")
    if kind is Kind.CREDIT:
        one.output(0.0)
        two.output(0.0)
    one.output(0.0)  # It is lost.
    now = 0.0
    while two.end is None and now < HANG_S:
        now += PROBE_S
        for end in (one, two):
            end.tick(now)
        if one.has_said_last:  # The hub has forgotten it.
            for data in two.output(now):
                assert read_datagram(data).kind is Kind.PROBE
                two.receive(read_datagram(pack_reset(7, "there is no such circuit")), now)
        else:
            exchange(one, two, now)
    assert two.end is not None
    assert now <= IDLE_PROBE_S + 2 * PROBE_S if kind is Kind.CLOSE else now <= 3 * PROBE_S


def test_a_loss_is_told_by_its_name_at_both_ends() -> None:
    one, two = make(), make()
    one.send(b"a" * 10)
    one.output(0.0)
    one.send(b"b" * 10)
    exchange(one, two)
    assert two.end is not None
    assert two.end.cause is Cause.LOST
    assert "lost 14 bytes" in two.end.reason
    assert one.end is not None
    assert (one.end.cause, one.end.reason) == (Cause.RESET, two.end.reason)


def test_what_comes_in_does_not_put_the_question_off() -> None:
    """A stream comes in all the time, and our own request was lost."""
    one, two = make(), make()
    one.send(b"request")
    one.output(0.0)
    now = 0.0
    while one.end is None and now < 10:
        now += 0.1
        two.send(b"item")
        one.tick(now)
        exchange(one, two, now)
        take_all(one)
    assert now <= PROBE_S + 0.3


def test_an_end_that_answers_no_more_is_given_up() -> None:
    one = make()
    one.send(b"x")
    one.output(0.0)
    now = 0.0
    while one.end is None:
        now = one.wake_at
        one.tick(now)
        one.output(now)
    assert one.end.cause is Cause.SILENT
    assert now <= (MOST_PROBES + 1) * PROBE_S


def test_an_idle_circuit_says_nothing() -> None:
    one, two = make(), make()
    one.send(b"x")
    two.send(b"y")
    exchange(one, two)
    one.probe(0.0)
    two.probe(0.0)
    exchange(one, two)
    for now in range(1, int(IDLE_PROBE_S)):
        for end in (one, two):
            end.tick(float(now))
            assert not end.has_output


def test_small_frames_travel_together() -> None:
    one, two = make(), make()
    for number in range(10):
        one.send(b"%d" % number)
    datagrams = one.output(0.0)
    assert len(datagrams) == 1
    two.receive(read_datagram(datagrams[0]), 0.0)
    assert take_all(two) == [b"%d" % number for number in range(10)]


def test_nobody_sends_more_than_is_granted() -> None:
    one, two = make(), make()
    for _ in range(50):
        one.send(b"x" * 40)
    exchange(one, two)
    assert WINDOW - CHUNK <= one.sent_bytes <= WINDOW
    assert one.waiting_bytes == 50 * 44 - one.sent_bytes
    frames = 0
    while new := len(take_all(two)):
        frames += new
        exchange(one, two)
    assert frames == 50
    assert one.waiting_bytes == 0


def test_whoever_sends_more_than_is_granted_is_dropped() -> None:
    two = make()
    for offset in range(0, 2 * WINDOW, CHUNK):
        body = bytes(CHUNK) if offset else b"\x00\x00\x00\x3c" + bytes(60)
        two.receive(Datagram(Kind.DATA, 7, offset, 0, body), 0.0)
    assert two.end is not None
    assert two.end.cause is Cause.WRONG


def test_a_frame_that_is_larger_than_the_window_arrives() -> None:
    one, two = make(), make()
    frame = random.Random(1).randbytes(MOST_FRAME)
    one.send(frame)
    exchange(one, two)
    assert take_all(two) == [frame]


def test_a_frame_that_is_too_large_is_refused_by_its_length() -> None:
    one, two = make(), make(most_frame_bytes=100)
    one.send(bytes(101))
    exchange(one, two)
    assert two.end is not None
    assert two.end.code == TOO_LARGE_CODE
    assert two.arriving_bytes == 0
    assert one.end is not None
    assert one.end.code == TOO_LARGE_CODE


def test_frames_before_the_end_arrive() -> None:
    one, two = make(), make()
    one.send(b"last words")
    one.close(1001, "going away")
    one.send(b"too late")
    exchange(one, two)
    assert two.end is None
    assert take_all(two) == [b"last words"]
    assert two.end is not None
    assert (two.end.cause, two.end.code, two.end.reason) == (Cause.CLOSED, 1001, "going away")


def test_a_reason_is_cut() -> None:
    one, two = make(), make()
    one.close(4999, "ü" * 500)
    exchange(one, two)
    assert two.end is not None
    assert 0 < len(two.end.reason.encode()) <= REASON_BYTES


@pytest.mark.parametrize(
    "act", [lambda end: end.abort("enough"), lambda end: end.note_gone("it has died")], ids=["abort", "gone"]
)
def test_an_end_comes_once(act: Callable[[Circuit], None]) -> None:
    one = make()
    act(one)
    end = one.end
    one.abort("again")
    one.note_gone("again")
    one.close(1000, "again")
    one.send(b"x")
    one.probe(1.0)
    one.receive(Datagram(Kind.DATA, 7, 5, 0, b""), 0.0)
    assert one.end is end
    assert all(read_datagram(data).kind is Kind.RESET for data in one.output(0.0))
    assert not one.has_output


@given(st.binary(max_size=200))
@example(b"")
@example(pack(Kind.DATA, 1))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        datagram = read_datagram(data)
    except InvalidGroupMessage as exc:
        assert exc.field in ("datagram", "kind")
    else:
        assert len(data) == HEADER_BYTES + len(datagram.body)


@given(
    st.lists(
        st.builds(
            Datagram,
            st.sampled_from([Kind.DATA, Kind.CREDIT, Kind.PROBE, Kind.CLOSE, Kind.RESET, Kind.DRAIN]),
            st.just(7),
            st.integers(0, 200) | st.integers(0, (1 << 64) - 1),
            st.integers(0, 50) | st.integers(0, (1 << 64) - 1),
            st.binary(max_size=60),
        ),
        max_size=20,
    )
)
def test_no_datagrams_break_an_end(datagrams: list[Datagram]) -> None:
    circuit = make()
    circuit.send(b"x" * 30)
    circuit.output(0.0)
    for datagram in datagrams:
        circuit.receive(datagram, 0.0)
        take_all(circuit)
        circuit.output(0.0)
    if circuit.end is not None:
        assert circuit.end.code == LOST_CODE or 1000 <= circuit.end.code <= 4999


def test_the_other_end_is_asked_to_drain() -> None:
    one, two = make(), make()
    one.send(b"before")
    one.ask_to_drain(2.5, "the server is stopping")
    one.ask_to_drain(float("nan"), "x" * 500)
    for data in one.output(0.0):
        two.receive(read_datagram(data), 0.0)
        if two.drain is not None and two.drain.reason.startswith("the"):
            assert two.drain == Drain(2.5, "the server is stopping")
    assert two.drain == Drain(3600.0, "x" * 120)
    assert two.end is None
    assert take_all(two) == [b"before"]
    two.receive(Datagram(Kind.DRAIN, 7, two.received_bytes, 0, b"\xc1"), 0.0)
    assert two.drain == Drain()
    one.close(1001, "over")
    one.ask_to_drain(1.0, "too late")
    assert [read_datagram(data).kind for data in one.output(0.0)] == [Kind.CLOSE]


def test_a_frame_goes_alone_only_if_nothing_comes_before_it() -> None:
    one, two = make(), make()
    for frame in (b"a", b""):
        data = one.send_alone(frame, 0.0)
        assert data is not None
        two.receive(read_datagram(data), 0.0)
    assert take_all(two) == [b"a", b""]
    assert one.output(0.0) == []
    # Neither what is too large for one datagram, nor what others wait before, nor what the other end has no room for.
    assert one.send_alone(bytes(CHUNK), 0.0) is None
    one.send(b"waits")
    assert one.send_alone(b"b", 0.0) is None
    assert len(one.output(0.0)) == 1
    one.probe(0.0)
    assert one.send_alone(b"b", 0.0) is None
    one.output(0.0)
    sent = 0
    while (data := one.send_alone(b"c" * (CHUNK - 4), 0.0)) is not None:
        sent += 1
    assert 0 < sent <= WINDOW // CHUNK
    one.close(1000, "over")
    assert one.send_alone(b"d", 0.0) is None


def test_a_frame_is_taken_at_once_only_if_nothing_comes_before_it() -> None:
    one, two = make(), make()

    def send(frame: bytes) -> bytes:
        data = one.send_alone(frame, 0.0)
        assert data is not None
        return data

    for frame in (b"a", b""):
        assert receive_alone(two, send(frame), 0.0) == frame
    # The answer tells that they are taken, as it does of others.
    answer = two.send_alone(b"answer", 0.0)
    assert answer is not None
    assert receive_alone(one, answer, 5.0) == b"answer"
    assert one.wake_at == 5.0 + IDLE_PROBE_S
    assert two.received_bytes == two.taken_bytes == one.sent_bytes
    # Not: one that comes after a gap, before which others wait, or that has come already.
    first, second = send(b"b"), send(b"c")
    assert receive_alone(two, second, 0.0) is None
    two.receive(read_datagram(first), 0.0)
    assert receive_alone(two, second, 0.0) is None
    assert take_all(two) == [b"b"]
    assert receive_alone(two, second, 0.0) == b"c"
    assert receive_alone(two, second, 0.0) is None
    assert two.end is None
    # Not: several frames, a part of one, or none of the length that it tells.
    one.send(b"d")
    one.send(b"e")
    [both] = one.output(0.0)
    assert receive_alone(two, both, 0.0) is None
    two.receive(read_datagram(both), 0.0)
    assert take_all(two) == [b"d", b"e"]
    one.send(bytes(CHUNK))
    for part in one.output(0.0):
        assert receive_alone(two, part, 0.0) is None
        two.receive(read_datagram(part), 0.0)
    assert take_all(two) == [bytes(CHUNK)]
    assert receive_alone(two, send(b"f") + b"more", 0.0) is None
    # Not: after the end.
    two.abort("over")
    assert receive_alone(two, send(b"g"), 0.0) is None


def test_whoever_takes_frames_at_once_grants_what_others_grant() -> None:
    one, two = make(), make()
    for _ in range(10 * WINDOW // CHUNK):
        data = one.send_alone(bytes(CHUNK - 4), 0.0)
        assert data is not None
        assert receive_alone(two, data, 0.0) is not None
        for credit in two.output(0.0):
            one.receive(read_datagram(credit), 0.0)
    # Whoever breaks a rule is refused as ever: nothing is confirmed that was not sent, and no frame is too large.
    lie = HEAD_OF_ONE.pack(Kind.DATA, 7, two.received_bytes, 1, 1) + b"a"
    assert receive_alone(two, lie, 0.0) is None
    two.receive(read_datagram(lie), 0.0)
    assert two.end is not None
    assert two.end.cause is Cause.WRONG
    small = make(most_frame_bytes=3)
    assert receive_alone(small, HEAD_OF_ONE.pack(Kind.DATA, 7, 0, 0, 4) + b"long", 0.0) is None
    full = make()
    too_much = WINDOW + 1
    assert receive_alone(full, HEAD_OF_ONE.pack(Kind.DATA, 7, 0, 0, too_much) + bytes(too_much), 0.0) is None
