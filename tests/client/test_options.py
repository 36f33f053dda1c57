"""Deadlines, contexts and the wait between attempts to connect."""

from __future__ import annotations

import copy
import math
import weakref
from functools import cached_property
from typing import Any

import pytest
from msgspec import UNSET

from rpcclient import AsyncClient, Client
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


def test_options_over_others() -> None:
    """What is not given stays, but for the key, which is for one call."""

    def progress(done: float, total: float | None, message: str | None) -> None: ...

    before = CallOptions(timeout_s=2, progress=progress, key="k", window=3, resend=False)
    assert before.override() == CallOptions(timeout_s=2, progress=progress, window=3, resend=False)
    assert before.override(timeout_s=0).timeout_s == 0
    assert before.override(resend=True).resend
    assert before.override(key="other", window=5) == CallOptions(
        timeout_s=2, progress=progress, key="other", window=5, resend=False
    )


class Knows:
    """What a program adds to a client: a view of its own, and what it notes."""

    note = ""

    @cached_property
    def mine(self) -> tuple[object]:
        return (self,)


class KnowingClient(Knows, Client):
    pass


class KnowingAsyncClient(Knows, AsyncClient):
    pass


@pytest.mark.parametrize("client", [KnowingClient, KnowingAsyncClient])
@pytest.mark.filterwarnings("ignore:unclosed client")
def test_a_client_with_other_options_makes_its_views_anew(client: type[Any]) -> None:
    """Each view has the options of the client whose it is, whatever the services are called; the rest is the same."""
    first = client("ws://127.0.0.1:9", timeout_s=5)
    first.note = "ours"
    views = ("programs", "database", "hardware", "mine")
    before = [getattr(first, name) for name in views]
    for other in (first.options(timeout_s=7), copy.copy(first)):
        assert type(other) is client
        assert other.note == "ours"
        assert not {*before} & {getattr(other, name) for name in views}
        assert other.mine == (other,)
        assert other.url == first.url
        assert other.calls.connector is first.calls.connector
    assert [getattr(first, name) for name in views] == before
    assert first.calls.options == CallOptions(timeout_s=5)
    assert first.options(timeout_s=7).calls.options == CallOptions(timeout_s=7)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_views_do_not_keep_their_client(client: type[Any]) -> None:
    """Else it would be left to the garbage collector, with its connection."""
    first = client("ws://127.0.0.1:9")
    views = [first.programs, first.database, first.hardware, first.service("desk"), first.batch()]
    held = weakref.ref(first)
    del first
    assert held() is None
    assert all(views)
