"""Deadlines, contexts and the wait between attempts to connect."""

from __future__ import annotations

import math

import pytest
from msgspec import UNSET

from rpcclient.backoff import BACKOFF_MOST_S, backoff_s
from rpcclient.errors import DeadlineExceeded
from rpcclient.options import CallOptions
from rpcwire.limits import LONGEST_S


def test_deadlines() -> None:
    assert CallOptions().seconds() == 60
    assert CallOptions().seconds(5) == 5
    assert CallOptions(timeout_s=2).seconds(5) == 2
    assert CallOptions(timeout_s=math.inf).seconds() == LONGEST_S
    for wrong in (0, -1, math.nan, -math.inf):
        with pytest.raises(DeadlineExceeded) as caught:
            CallOptions(timeout_s=wrong).seconds()
        assert caught.value.executed == "no"


def test_what_the_server_is_told() -> None:
    assert CallOptions().context(1.5).ttl_ms == 1500
    assert CallOptions().context(1.5).key is UNSET
    assert CallOptions(key="k").context(2).key == "k"


def test_backoff_grows_to_a_limit_with_full_jitter() -> None:
    ceilings = [backoff_s(attempt, 1.0) for attempt in range(1, 40)]
    assert ceilings == sorted(ceilings)
    assert ceilings[0] == pytest.approx(0.1)
    assert ceilings[-1] == BACKOFF_MOST_S
    assert backoff_s(5, 0.0) == 0.0
    assert backoff_s(5, 0.5) == pytest.approx(backoff_s(5, 1.0) / 2)
