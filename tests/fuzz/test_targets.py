"""Each target keeps its promises for its seeds, for simple changes of them, and for what fuzzing has found before."""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.__main__ import is_broken_by
from tests.fuzz.targets import TARGETS, TookLong, TooMuchWork, count_if_slow, counted

CASES = Path(__file__).parent / "cases"
CHANGES = 20
"""Changed inputs for each seed."""


def change(rng: random.Random, data: bytes) -> bytes:
    """Cut, repeat or replace a part."""
    begin = rng.randrange(len(data))
    end = min(begin + rng.randrange(1, 9), len(data))
    match rng.randrange(4):
        case 0:
            return data[:begin] + data[end:]
        case 1:
            return data[:end] + data[begin:end] * rng.randrange(50) + data[end:]
        case 2:
            return data[:begin] + rng.randbytes(end - begin) + data[end:]
        case _:
            return data[:begin]


def inputs(name: str) -> Iterator[bytes]:
    rng = random.Random(name)
    for seed in TARGETS[name].seeds:
        yield seed
        yield from (change(rng, seed) for _ in range(CHANGES))
    for case in sorted((CASES / name).glob("*")):
        yield case.read_bytes()
    yield b""


@pytest.mark.parametrize("name", TARGETS)
def test_promises_are_kept(name: str) -> None:
    for data in inputs(name):
        try:
            TARGETS[name].run(data)
        except BaseException as exc:
            exc.add_note(f"the input: {data!r}")
            raise


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_left_of_an_input(name: str) -> None:
    """A long run ended since each input that is not JSON left its error, with all frames of its traceback."""
    read, data = count_if_slow(TARGETS[name].run, ()), list(inputs(name))
    for _ in range(2):
        gc.collect()
        before = len(gc.get_objects())
        for each in data:
            read(each)
    gc.collect()
    left = len(gc.get_objects()) - before
    assert left < len(data) // 4


def test_cases_belong_to_targets() -> None:
    assert not CASES.exists() or {folder.name for folder in CASES.iterdir()} <= TARGETS.keys()


def square(data: bytes) -> None:
    with counted(len(data)):
        for _ in data:
            for _ in data:
                len("")


def test_work_that_grows_too_fast_is_noticed() -> None:
    with pytest.raises(TooMuchWork):
        square(bytes(300))


def test_work_is_noticed_if_the_input_is_refused_in_the_end() -> None:
    with pytest.raises(TooMuchWork), contextlib.suppress(ValueError), counted(300):
        for _ in range(90_000):
            len("")
        raise ValueError


def test_work_of_an_input_that_takes_long_is_counted() -> None:
    with pytest.raises(TooMuchWork):
        count_if_slow(square, ())(bytes(3000))
    with pytest.raises(TooMuchWork):  # Other runs count as before.
        square(bytes(300))


def test_an_input_that_takes_no_time_is_read_once() -> None:
    reads = []

    def read(data: bytes) -> None:
        with counted(10**6):
            reads.append(data)

    count_if_slow(read, ())(b"a")
    assert reads == [b"a"]


def test_functions_of_the_fuzzer_are_not_counted() -> None:
    runs = []

    def read(data: bytes) -> None:
        runs.append(data)
        if len(runs) == 1:
            raise TookLong
        square(data)

    count_if_slow(read, (len,))(bytes(300))
    assert len(runs) == 2


def test_what_was_slow_by_the_clock_alone_breaks_nothing(tmp_path: Path) -> None:
    """Other programs had the processor, or stopped the fuzzer. A crash always counts."""
    for kind, is_broken in (("slow", False), ("timeout", False), ("crash", True)):
        case = tmp_path / f"{kind}-0"
        case.write_bytes(b"{}")
        assert is_broken_by("json", case) is is_broken
    assert is_broken_by("no such target", tmp_path / "slow-0")
