"""The states of a session and of a stream, each as one table. Nothing else decides which state may follow which.

A session::

    OPENING ──authenticated──▶ READY ──drain──▶ DRAINING
       │                         │                 │
       └──────────close──────────┴──────close──────┴──▶ CLOSED

A session that is OPENING answers only ``rpc.`` methods. One that is DRAINING lets calls end, and refuses new ones.

A stream, on either side::

    OPEN ──end──▶ ENDED
      │
      └──cancel──▶ CANCELLED ──end──▶ ENDED

A cancelled stream waits for its producer's end, as a cancelled call waits for its answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from .errors import LocalProtocolError


class SessionState(Enum):
    """The state of a session."""

    OPENING = "opening"
    READY = "ready"
    DRAINING = "draining"
    CLOSED = "closed"


class SessionStep(Enum):
    """A step from one state of a session to another."""

    AUTHENTICATED = "authenticated"
    DRAIN = "drain"
    CLOSE = "close"


class StreamState(Enum):
    """The state of a stream."""

    OPEN = "open"
    CANCELLED = "cancelled"
    ENDED = "ended"


class StreamStep(Enum):
    """A step from one state of a stream to another."""

    CANCEL = "cancel"
    END = "end"


SESSION: Mapping[tuple[SessionState, SessionStep], SessionState] = {
    (SessionState.OPENING, SessionStep.AUTHENTICATED): SessionState.READY,
    (SessionState.OPENING, SessionStep.DRAIN): SessionState.DRAINING,
    (SessionState.OPENING, SessionStep.CLOSE): SessionState.CLOSED,
    (SessionState.READY, SessionStep.AUTHENTICATED): SessionState.READY,
    (SessionState.READY, SessionStep.DRAIN): SessionState.DRAINING,
    (SessionState.READY, SessionStep.CLOSE): SessionState.CLOSED,
    (SessionState.DRAINING, SessionStep.DRAIN): SessionState.DRAINING,
    (SessionState.DRAINING, SessionStep.CLOSE): SessionState.CLOSED,
    (SessionState.CLOSED, SessionStep.CLOSE): SessionState.CLOSED,
}

STREAM: Mapping[tuple[StreamState, StreamStep], StreamState] = {
    (StreamState.OPEN, StreamStep.CANCEL): StreamState.CANCELLED,
    (StreamState.OPEN, StreamStep.END): StreamState.ENDED,
    (StreamState.CANCELLED, StreamStep.CANCEL): StreamState.CANCELLED,
    (StreamState.CANCELLED, StreamStep.END): StreamState.ENDED,
}


def next_session(state: SessionState, step: SessionStep) -> SessionState:
    """Return the state after ``step``.

    Raises:
        LocalProtocolError: the table does not allow this step in ``state``.
    """
    try:
        return SESSION[state, step]
    except KeyError:
        raise LocalProtocolError(f"a session that is {state.value} cannot go through {step.value}") from None


def next_stream(state: StreamState, step: StreamStep) -> StreamState:
    """Return the state after ``step``.

    Raises:
        LocalProtocolError: the table does not allow this step in ``state``.
    """
    try:
        return STREAM[state, step]
    except KeyError:
        raise LocalProtocolError(f"a stream that has {state.value} cannot go through {step.value}") from None
