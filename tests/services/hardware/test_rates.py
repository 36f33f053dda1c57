"""Counters to rates: none is made up, none is negative."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcservices.hardware.rates import busy_percent, rate
from rpcservices.hardware.readers import disks


def test_growth_per_second() -> None:
    assert rate(5.0, 9.0, 2.0) == 2.0


@pytest.mark.parametrize(
    ("before", "now", "dt_s"), [(None, 9.0, 2.0), (5.0, None, 2.0), (5.0, 9.0, None), (5.0, 9.0, 0.0), (5.0, 4.0, 2.0)]
)
def test_no_rate(before: float | None, now: float | None, dt_s: float | None) -> None:
    assert rate(before, now, dt_s) is None


@given(st.floats(0, 1e15), st.floats(1e-3, 1e6), st.floats(0, 1e15))
def test_rates_are_never_negative(old: float, dt: float, new: float) -> None:
    found = rate(old, new, dt)
    assert found is None or found >= 0


def test_busy_share() -> None:
    before = {"user": 10.0, "system": 5.0, "idle": 80.0, "iowait": 5.0, "guest": 3.0}
    now = {"user": 12.0, "system": 6.0, "idle": 86.0, "iowait": 6.0, "guest": 4.0}
    assert busy_percent(before, now) == pytest.approx(30.0)
    assert busy_percent(now, now) is None
    assert busy_percent(now, before) is None  # A reset.


def test_time_that_the_kernel_counts_to_another_kind() -> None:
    """A processor that waited for a disk has idled after all: idle and iowait go to and fro by whole seconds."""
    before = {"user": 10.0, "idle": 80.0, "iowait": 50.0}
    assert busy_percent(before, {"user": 11.0, "idle": 92.0, "iowait": 41.0}) == pytest.approx(25.0)


@pytest.mark.parametrize(
    "now",
    [
        {"user": 500.5, "idle": 9.0, "iowait": 0.0},  # Idle time began anew.
        {"user": 0.5, "idle": 1000.0, "iowait": 0.0},  # All else did.
        {"user": 500.5, "idle": 1090.0, "iowait": 0.0},  # The time that it was off was counted, too.
    ],
)
def test_a_processor_that_was_off_has_no_share(now: dict[str, float]) -> None:
    assert busy_percent({"user": 500.0, "idle": 10.0, "iowait": 0.0}, now, 3.0) is None


@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=4), st.lists(st.floats(0, 1e6), min_size=4, max_size=4))
def test_busy_share_is_a_share(old: list[float], new: list[float]) -> None:
    kinds = ("user", "system", "idle", "iowait")
    share = busy_percent(dict(zip(kinds, old, strict=True)), dict(zip(kinds, new, strict=True)))
    assert share is None or 0 <= share <= 100


class Counters(NamedTuple):
    """The counters of a device, as psutil has them on Linux."""

    read_count: int
    write_count: int
    read_bytes: int
    write_bytes: int
    busy_time: int


@pytest.mark.parametrize("dt_s", [0.5, 3.0])
def test_a_device_at_rest_has_rates_of_zero(dt_s: float) -> None:
    """It is answered like one that works, though its answer is made only once."""
    rest = Counters(read_count=7, write_count=8, read_bytes=9, write_bytes=10, busy_time=11)
    reading = disks.DisksReading([], {"a": rest, "b": rest}, {"a": "disk", "b": "partition"}, disks.Reasons())
    moved = disks.DisksReading([], {"a": rest._replace(read_bytes=9 + 4096), "b": rest}, reading.kinds, disks.Reasons())
    for _ in range(2):
        answers = disks.derive(reading, reading, dt_s).io
        assert [(one.name, one.kind) for one in answers] == [("a", "disk"), ("b", "partition")]
        assert all(one.read_bytes_per_s == 0 and one.busy_percent == 0 and one.read_bytes == 9 for one in answers)
        assert disks.derive(reading, moved, dt_s).io[0].read_bytes_per_s == 4096 / dt_s
    assert all(one.read_bytes_per_s is None for one in disks.derive(None, reading, None).io)
    assert all(one.read_bytes_per_s is None for one in disks.derive(reading, reading, 0.0).io)
