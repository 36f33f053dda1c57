"""Outcomes of group calls: what they may say, and their way over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcwire.errors import Busy, Cancelled, ConnectionLost, RpcError, ServiceError, Unavailable
from rpcwire.group.outcomes import EXECUTED, STATES, NodeOutcome, Policy, outcome_from_wire, rolling


class Full(ServiceError):
    """There is no room."""

    left: int


ERRORS = st.sampled_from([Busy("b"), Cancelled("c"), ConnectionLost("l"), Unavailable("u"), Full("f", left=3)])


@st.composite
def outcomes(draw: st.DrawFn) -> NodeOutcome:
    state = draw(st.sampled_from(STATES))
    return NodeOutcome(
        name=draw(st.text(max_size=5)),
        id=draw(st.text(max_size=5)),
        epoch=draw(st.integers(0, 2**64 - 1)),
        state=state,
        executed=draw(st.sampled_from(sorted(EXECUTED[state]))),
        result=draw(st.none() | st.integers() | st.lists(st.text(max_size=3))) if state == "ok" else None,
        error=None if state == "ok" else draw(ERRORS),
        items=draw(st.integers(0, 9)),
        items_lost=draw(st.integers(0, 9)),
        duration_s=draw(st.floats(0, 1e6)),
    )


def parts(outcome: NodeOutcome) -> list[Any]:
    error = outcome.error
    return [
        *(getattr(outcome, name) for name in NodeOutcome.__slots__ if name != "error"),
        error and (type(error), error.to_wire()),
    ]


@given(outcomes())
def test_what_is_sent_is_received(outcome: NodeOutcome) -> None:
    assert parts(outcome_from_wire(outcome.to_wire(), {"Full": Full})) == parts(outcome)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "gone", "executed": "yes"},
        {"state": "ok", "executed": "unknown"},
        {"state": "refused"},
        {"state": "else"},
        {"state": []},
        {"executed": 1},
        {"epoch": 1},
        {"epoch": "-000000000000001"},
        {"name": 3},
        {"error": "text"},
        {"error": {}},
        {"error": {"code": "1", "message": "m"}},
        {"error": {"code": 1, "message": 2}},
        {"duration_s": 10**400},
        {"items": "many"},
        {"duration_s": None},
    ],
)
def test_malformed_outcomes_are_refused(change: dict[str, Any]) -> None:
    wire = NodeOutcome(name="n", id="i", epoch=1, state="ok", executed="yes", result=1).to_wire()
    with pytest.raises(ValueError):
        outcome_from_wire({**wire, **change})
    for name in ("name", "id", "epoch", "state", "executed", "duration_s"):
        with pytest.raises(ValueError, match=name):
            outcome_from_wire({key: value for key, value in wire.items() if key != name})


def test_an_outcome_has_an_error_or_is_ok() -> None:
    with pytest.raises(ValueError, match="if and only if"):
        NodeOutcome(name="n", id="i", epoch=1, state="gone", executed="no")
    with pytest.raises(ValueError, match="if and only if"):
        NodeOutcome(name="n", id="i", epoch=1, state="ok", executed="yes", error=RpcError())


@pytest.mark.parametrize(
    "parameters",
    [
        {"parallel": 0},
        {"batch": -1},
        {"stop_after_failures": 0},
        {"canary": 0},
        {"enough": 0},
        {"parallel": 1, "batch": 1},
        {"one": True, "parallel": 2},
    ],
)
def test_policies_are_checked(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"exclude|1 or more"):
        Policy(**parameters)


def test_a_rolling_call_stops_at_its_first_failure() -> None:
    assert rolling() == Policy(batch=1, stop_after_failures=1)
