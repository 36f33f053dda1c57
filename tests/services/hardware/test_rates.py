"""Rates: computed from two readings, never made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcservices.hardware.rates import Reading, busy_percent, rates


def test_no_reading_before_means_no_rate() -> None:
    assert rates(None, Reading(1.0, {"a": 5.0})) == {"a": None}


def test_growth_per_second() -> None:
    before, now = Reading(1.0, {"a": 5.0, "gone": 1.0}), Reading(3.0, {"a": 9.0, "new": 1.0})
    assert rates(before, now) == {"a": 2.0, "new": None}


def test_a_reset_is_not_negative() -> None:
    assert rates(Reading(1.0, {"a": 5.0}), Reading(2.0, {"a": 1.0})) == {"a": None}


def test_no_time_has_passed() -> None:
    assert rates(Reading(1.0, {"a": 5.0}), Reading(1.0, {"a": 9.0})) == {"a": None}


@given(st.floats(0, 1e9), st.floats(0, 1e15), st.floats(1e-3, 1e6), st.floats(0, 1e15))
def test_rates_are_never_negative(start: float, old: float, dt: float, new: float) -> None:
    (rate,) = rates(Reading(start, {"a": old}), Reading(start + dt, {"a": new})).values()
    assert rate is None or rate >= 0


def test_busy_share() -> None:
    before = {"user": 10.0, "system": 5.0, "idle": 80.0, "iowait": 5.0, "guest": 3.0}
    now = {"user": 12.0, "system": 6.0, "idle": 86.0, "iowait": 6.0, "guest": 4.0}
    assert busy_percent(before, now) == pytest.approx(30.0)
    assert busy_percent(now, now) is None


@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=4), st.lists(st.floats(0, 1e6), min_size=4, max_size=4))
def test_busy_share_is_a_share(old: list[float], new: list[float]) -> None:
    kinds = ("user", "system", "idle", "iowait")
    share = busy_percent(dict(zip(kinds, old, strict=True)), dict(zip(kinds, new, strict=True)))
    assert share is None or 0 <= share <= 100
