"""The threads of handlers that are plain functions."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from rpcwire.errors import Busy
from rpcwire.pool import Pool, leave_place, share_of, take_place, waiting

LIMIT_S = 20.0


@pytest.fixture
def pool() -> Iterator[Pool]:
    found = Pool(2, "test-pool", most=4)
    yield found
    found.shutdown(wait=True, cancel_futures=True)


def threads() -> int:
    return sum(thread.name.startswith("test-pool_") for thread in threading.enumerate())


def test_results_and_errors(pool: Pool) -> None:
    assert pool.submit(lambda a, *, b: a + b, 1, b=2).result(LIMIT_S) == 3
    with pytest.raises(KeyError, match="x"):
        pool.submit({}.__getitem__, "x").result(LIMIT_S)
    assert [f.result(LIMIT_S) for f in [pool.submit(pow, n, 2) for n in range(100)]] == [n * n for n in range(100)]
    assert threads() <= 2


def test_no_more_at_work_than_places(pool: Pool) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        begun.release()
        go.wait(LIMIT_S)

    futures = [pool.submit(work) for _ in range(5)]
    assert begun.acquire(timeout=LIMIT_S)
    assert begun.acquire(timeout=LIMIT_S)
    assert not begun.acquire(timeout=0.05)
    assert sum(future.running() for future in futures) == 2
    assert futures[-1].cancel()
    go.set()
    for future in futures[:-1]:
        future.result(LIMIT_S)


def test_whoever_waits_takes_no_place(pool: Pool) -> None:
    """Depth four with two places, each waiting for the next."""

    def down(depth: int) -> int:
        take_place()
        if depth == 0:
            return 0
        with waiting():
            return 1 + pool.submit(down, depth - 1).result(LIMIT_S)

    assert pool.submit(down, 3).result(LIMIT_S) == 3
    with pytest.raises(Busy, match="all 4 threads") as caught:
        pool.submit(down, 4).result(LIMIT_S)
    assert (caught.value.executed, caught.value.retryable) == ("no", True)
    assert pool.submit(down, 3).result(LIMIT_S) == 3
    assert threads() <= 4


def test_what_stands_in_line_is_refused_when_the_last_begins_to_wait(pool: Pool) -> None:
    """It may be what they wait for."""
    inside, go = threading.Semaphore(0), threading.Event()

    def work() -> None:
        take_place()
        with waiting():
            inside.release()
            go.wait(LIMIT_S)

    waits = [pool.submit(work) for _ in range(3)]
    for _ in waits:
        assert inside.acquire(timeout=LIMIT_S)
    last_begins = threading.Event()

    def last() -> None:
        take_place()
        last_begins.wait(LIMIT_S)
        with waiting():
            go.wait(LIMIT_S)

    ends = pool.submit(last)
    stands = pool.submit(int)
    assert not stands.done()
    last_begins.set()
    with pytest.raises(Busy):
        stands.result(LIMIT_S)
    go.set()
    for future in (*waits, ends):
        future.result(LIMIT_S)
    assert pool.submit(int).result(LIMIT_S) == 0


def test_who_is_not_counted(pool: Pool) -> None:
    """What runs outside of handlers waits as it likes, and what a handler has started goes on without it."""
    with waiting():
        pass

    def work() -> None:
        take_place()
        leave_place()
        with waiting():
            pass

    pool.submit(work).result(LIMIT_S)
    late = threading.Event()

    def leaves() -> threading.Thread:
        import contextvars

        take_place()

        def outlives() -> None:
            with waiting():
                late.wait(LIMIT_S)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(outlives,))
        thread.start()
        return thread

    thread = pool.submit(leaves).result(LIMIT_S)
    assert [pool.submit(pow, n, 2).result(LIMIT_S) for n in range(9)] == [n * n for n in range(9)]
    late.set()
    thread.join(LIMIT_S)
    pool.shutdown()
    assert pool._places_in_use == 0


def test_the_end() -> None:
    pool, go = Pool(1, "test-pool"), threading.Event()
    runs = pool.submit(go.wait, LIMIT_S)
    stands = pool.submit(int)
    pool.shutdown(wait=False, cancel_futures=True)
    assert stands.cancelled()
    with pytest.raises(RuntimeError, match="ended"):
        pool.submit(int)
    go.set()
    assert runs.result(LIMIT_S)
    pool.shutdown()
    assert threads() == 0
    pool = Pool(1, "test-pool")
    futures = [pool.submit(pow, n, 2) for n in range(3)]
    pool.shutdown()  # What was taken is done.
    assert [future.result(0) for future in futures] == [0, 1, 4]
    assert threads() == 0


def test_many_at_once() -> None:
    """The counts hold: after thousands of handlers that wait and work, everything is free again."""
    pool = Pool(4, "test-pool", most=64)

    def work(depth: int) -> int:
        take_place()
        if depth:
            with waiting():
                return pool.submit(work, depth - 1).result(LIMIT_S) + 1
        return 0

    def many() -> None:
        for number in range(200):
            assert pool.submit(work, number % 4).result(LIMIT_S) == number % 4

    callers = [threading.Thread(target=many) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert len(pool._threads) <= 64
    pool.shutdown()
    assert (pool._places_in_use, pool._available, threads()) == (0, 0, 0)


def test_a_child_has_threads_of_its_own() -> None:
    """Whatever those of its parent were doing, with the lock or without."""
    program = """
import os, threading
from rpcwire.pool import Pool, take_place, waiting

pool, go = Pool(2), threading.Event()
for _ in range(3):
    pool.submit(go.wait, 20)
with pool._condition:
    child = os.fork()
    if child == 0:
        assert pool.submit(pow, 2, 3).result(20) == 8
        pool.shutdown()
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0

def forks():
    take_place()
    with waiting():
        child = os.fork()
        if child == 0:
            with waiting():
                assert pool.submit(pow, 2, 3).result(20) == 8
            os._exit(0)
        return os.waitpid(child, 0)[1]

go.set()
assert pool.submit(forks).result(20) == 0
pool.shutdown()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# --- shares -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "share", "most"),
    [(1, 0.8, 1), (2, 0.8, 2), (3, 0.8, 2), (4, 0.75, 3), (5, 0.8, 4), (20, 0.8, 16), (5, 1.0, 5), (5, 0.01, 1)],
)
def test_the_share_of_one_holder(size: int, share: float, most: int) -> None:
    assert share_of(size, share) == most


@pytest.fixture
def shared() -> Iterator[Pool]:
    found = Pool(4, "test-pool", share=0.75)
    yield found
    found.shutdown(wait=True, cancel_futures=True)


def test_one_holder_leaves_places_for_others(shared: Pool) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        begun.release()
        go.wait(LIMIT_S)

    one, other = shared.share("one"), shared.share("other")
    futures = [one.submit(work) for _ in range(6)]
    for _ in range(3):
        assert begun.acquire(timeout=LIMIT_S)
    assert [other.submit(pow, n, 2).result(LIMIT_S) for n in range(5)] == [0, 1, 4, 9, 16]
    assert sum(future.running() for future in futures) == 3
    assert shared.submit(pow, 3, 2).result(LIMIT_S) == 9
    go.set()
    for future in futures:
        future.result(LIMIT_S)
    assert not shared._places_of


def test_a_place_goes_to_whoever_has_the_fewest(shared: Pool) -> None:
    gates = [threading.Event() for _ in range(4)]
    order: list[str] = []
    one, other = shared.share("one"), shared.share("other")
    busy = [one.submit(gates[0].wait, LIMIT_S), one.submit(gates[1].wait, LIMIT_S)]
    busy += [other.submit(gates[2].wait, LIMIT_S), shared.submit(gates[3].wait, LIMIT_S)]
    waiting_ones = [one.submit(order.append, "one"), one.submit(order.append, "one again")]
    waiting_other = other.submit(order.append, "other")
    gates[3].set()
    waiting_other.result(LIMIT_S)
    for future in waiting_ones:
        future.result(LIMIT_S)
    assert order == ["other", "one", "one again"]
    for gate in gates:
        gate.set()
    for blocked in busy:
        assert blocked.result(LIMIT_S)


def test_whoever_waits_takes_no_part_of_its_share(shared: Pool) -> None:
    """Deeper than the share, each waiting for the next: they would wait for ever otherwise."""
    one = shared.share("one")

    def down(depth: int) -> int:
        take_place()
        if depth == 0:
            return 0
        with waiting():
            return 1 + one.submit(down, depth - 1).result(LIMIT_S)

    assert one.submit(down, 12).result(LIMIT_S) == 12
    assert not shared._places_of


def test_functions_of_all_holders_are_cancelled(shared: Pool) -> None:
    go = threading.Event()
    busy = [shared.share(name).submit(go.wait, LIMIT_S) for name in "aabbc"]
    unstarted = [shared.share(name).submit(go.wait, LIMIT_S) for name in "abcd"]
    shared.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in (*busy[4:], *unstarted))
    go.set()
