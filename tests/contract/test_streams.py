"""Streams in both directions, on every leg."""

from __future__ import annotations

import gc
import itertools
import resource
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from rpcclient import RpcError
from rpcclient.errors import InternalError, InvalidParams, MethodNotFound, RemoteProtocolError


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait for what no event tells."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.005)


def test_down(side: Any) -> None:
    assert list(side.contract.count(200)) == list(range(200))
    assert list(side.contract.count(0)) == []
    assert list(side.client.stream("contract.count", {"n": 3})) == [0, 1, 2]
    assert list(side.client.stream("contract.count", [3], items=float)) == [0.0, 1.0, 2.0]
    assert list(side.contract.count_in_thread(100)) == list(range(100))


@pytest.mark.parametrize("known_by", ["stub", "description"])
def test_a_slow_reader_of_the_newest_gets_the_newest(side: Any, leg: Any, known_by: str) -> None:
    """Not what lies here because it came while nobody read."""
    name = f"newest {known_by} {leg}"
    service = side.contract if known_by == "stub" else side.client.service("contract")
    with service.newest(500, name=name) as items:
        side.event(f"{name} flooded")
        for _ in range(
            3
        ):  # What was sent before an answer has come before it; the credit for it goes back with the next.
            side.contract.add(1)
        got = [next(items)]
        while got[-1] != 499:
            got.append(next(items))
    assert len(got) <= 3


def test_as_a_context(side: Any, leg: Any) -> None:
    name = f"context {leg}"
    with side.contract.count(10**9, name) as items:
        assert list(itertools.islice(items, 3)) == [0, 1, 2]
    side.event(f"{name} ended")
    assert list(items) == []


def test_close(side: Any, leg: Any) -> None:
    name = f"close {leg}"
    items = side.contract.count(10**9, name)
    assert next(items) == 0
    items.close()
    side.event(f"{name} ended")
    items.close()
    assert list(items) == []


def test_never_opened(side: Any) -> None:
    items = side.contract.count(10**9)
    items.close()
    assert list(items) == []


def test_dropping_the_last_reference(side: Any, leg: Any) -> None:
    name = f"dropped {leg}"
    items = side.contract.count(10**9, name)
    assert next(items) == 0
    del items
    gc.collect()
    side.event(f"{name} ended")
    assert side.contract.add(1, 1) == 2


def test_error_in_the_middle(side: Any, modules: Any) -> None:
    got: list[int] = []
    stream = side.contract.count_then_fail(40)
    with pytest.raises(modules["contract_stub"].OutOfStock, match="no more") as caught:
        for item in stream:
            got.append(item)  # noqa: PERF402 - what came before the error counts
    assert got == list(range(40))
    assert caught.value.item == "numbers"
    assert list(stream) == []


def test_error_at_the_beginning(side: Any) -> None:
    with pytest.raises(InternalError):
        list(side.contract.fail_to_begin(1))
    with pytest.raises(MethodNotFound):
        list(side.client.stream("contract.nope"))
    with pytest.raises(InvalidParams):
        list(side.client.stream("contract.count", ["x"]))


def test_no_stream(side: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="no stream"):
        list(side.client.stream("contract.add", [1, 2]))
    assert side.contract.add(1, 1) == 2


def test_items_of_another_type(side: Any, leg: Any) -> None:
    name = f"type {leg}"
    stream = side.client.stream("contract.count", [10**9, name], items=bytes)
    with pytest.raises(RemoteProtocolError):
        next(stream)
    side.event(f"{name} ended")


def test_windows(side: Any) -> None:
    for window in (1, 3, 16, 17, 1000):
        assert list(side.using(window=window).contract.count(40)) == list(range(40))


def test_large_items(side: Any) -> None:
    sizes = [len(item) for item in side.contract.blobs(3, 1_000_000)]
    assert sizes == [1_000_000] * 3


def test_up(side: Any) -> None:
    assert side.contract.total(iter(range(500))) == sum(range(500))
    assert side.contract.total([]) == 0
    assert side.contract.total([1, 2, 3]) == 6
    assert side.contract.total(i for i in range(10)) == 45
    assert side.contract.totals(range(100), [1, 2]) == (4950, 3)
    assert side.client.service("contract").total(range(10)) == 45


def test_up_with_progress(side: Any) -> None:
    reports: list[float] = []
    side.using(progress=lambda done, *_: reports.append(done)).contract.total(range(100))
    assert reports == list(itertools.accumulate(range(100)))


def test_up_from_an_async_iterator(side: Any) -> None:
    async def numbers() -> AsyncIterator[int]:
        for i in range(20):
            yield i

    if side.flavour != "sync":
        assert side.contract.total(numbers()) == 190
    else:
        with pytest.raises(InvalidParams, match="items"):
            side.contract.total(numbers())


def test_up_from_nothing_iterable(side: Any) -> None:
    for _ in range(300):  # More than there may be streams: a refused call must leave none behind.
        with pytest.raises(InvalidParams, match="items"):
            side.contract.total(5)
    assert side.contract.total([1]) == 1


def test_up_items_that_do_not_fit(side: Any) -> None:
    with pytest.raises(RpcError):
        side.contract.total(["x"])
    assert side.contract.add(1, 1) == 2


def test_up_source_that_fails(side: Any, caplog: pytest.LogCaptureFixture) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("secret")

    with pytest.raises(RpcError) as caught:
        side.contract.total(numbers())
    assert "secret" not in str(caught.value)
    assert "secret" in caplog.text
    assert side.contract.add(1, 1) == 2


def test_up_that_the_handler_does_not_read_to_its_end(side: Any) -> None:
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    assert side.contract.first(numbers()) == 0
    assert closed.wait(10)


def test_up_and_down(side: Any) -> None:
    """A stream for a stream: what goes up does not end when the answer begins."""
    assert list(side.contract.doubled(range(150))) == [i * 2 for i in range(150)]


def test_up_and_down_left_early(side: Any) -> None:
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    with side.contract.doubled(numbers()) as items:
        assert list(itertools.islice(items, 3)) == [0, 2, 4]
    assert closed.wait(10)


def test_a_reader_that_stops_holds_nobody_up(side: Any) -> None:
    """Two streams; one's reader stops. The other and calls go on, and what waits for the first is bounded."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with side.contract.blobs(100_000, 10_000) as stopped, side.contract.count(500) as other:
        next(stopped)
        assert list(other) == list(range(500))
        for i in range(20):
            assert side.contract.add(i, 1) == i + 1
        assert side.contract.total(range(300)) == sum(range(300))
        assert len(next(stopped)) == 10_000
    # Both sides are in this process. The stream has 1 GB in all, and a window less than 1 MB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_interrupted_while_reading(side: Any, leg: Any) -> None:
    """Ctrl-C, or a cancelled task, while the next item is waited for: leaving the context ends the work over there."""
    name = f"read {leg}"

    def read() -> None:
        with side.contract.one_and_wait(name) as items:
            list(items)

    async def read_too() -> None:
        async with side.contract.bare.one_and_wait(name) as items:
            async for _ in items:
                pass

    act = side.method(read_too) if side.flavour == "async" else read
    side.interrupt(act, after=lambda: side.event(f"{name} began"))
    side.event(f"{name} ended")
    assert side.contract.add(1, 1) == 2


def test_many_streams_one_after_the_other(side: Any) -> None:
    """More than may be open at a time: none of them stays open."""
    for _ in range(40):
        with side.contract.count(10**9) as items:
            next(items)
    assert list(side.contract.count(3)) == [0, 1, 2]
    until(lambda: all(len(peer.session.streams) == 0 for peer in list(side.running.server.connections.values())))
