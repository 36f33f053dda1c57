"""The lives of a session and of a stream: every pair is in the table or refused, and the picture shows the table."""

from __future__ import annotations

import itertools
import re

import pytest

from rpcwire import states
from rpcwire.errors import LocalProtocolError
from rpcwire.states import (
    SESSION,
    STREAM,
    SessionState,
    SessionStep,
    StreamState,
    StreamStep,
    next_session,
    next_stream,
)


@pytest.mark.parametrize(("state", "step"), list(itertools.product(SessionState, SessionStep)))
def test_session(state: SessionState, step: SessionStep) -> None:
    if (state, step) in SESSION:
        assert next_session(state, step) is SESSION[state, step]
    else:
        with pytest.raises(LocalProtocolError, match=f"{state.value}.*{step.value}"):
            next_session(state, step)


@pytest.mark.parametrize(("state", "step"), list(itertools.product(StreamState, StreamStep)))
def test_stream(state: StreamState, step: StreamStep) -> None:
    if (state, step) in STREAM:
        assert next_stream(state, step) is STREAM[state, step]
    else:
        with pytest.raises(LocalProtocolError, match=f"{state.value}.*{step.value}"):
            next_stream(state, step)


def test_what_can_never_happen() -> None:
    for step in (SessionStep.AUTHENTICATED, SessionStep.DRAIN):
        assert (SessionState.CLOSED, step) not in SESSION
    assert (SessionState.DRAINING, SessionStep.AUTHENTICATED) not in SESSION
    assert not any(state is StreamState.ENDED for state, _ in STREAM)
    assert all(SESSION[state, SessionStep.CLOSE] is SessionState.CLOSED for state in SessionState)


def test_every_state_can_be_reached() -> None:
    assert {SessionState.OPENING, *SESSION.values()} == set(SessionState)
    assert {StreamState.OPEN, *STREAM.values()} == set(StreamState)


def test_the_picture_shows_the_states_and_steps_of_the_tables() -> None:
    doc = states.__doc__ or ""
    pictures = "\n".join(line for line in doc.splitlines() if line.startswith("    "))
    assert set(re.findall(r"\b[A-Z]{3,}\b", pictures)) == {s.name for s in SessionState} | {s.name for s in StreamState}
    assert set(re.findall(r"\b[a-z]{3,}\b", pictures)) == {s.value for s in SessionStep} | {s.value for s in StreamStep}
    # Every arrow that is drawn is in a table.
    for start, step, end in re.findall(r"\b([A-Z]{3,}) ──(\w+)──▶ (?=([A-Z]{3,}))", pictures):
        if start in SessionState.__members__:
            assert SESSION[SessionState[start], SessionStep(step)] is SessionState[end]
        else:
            assert STREAM[StreamState[start], StreamStep(step)] is StreamState[end]
