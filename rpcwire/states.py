"""The life of a session and of a stream, each as one table. Nothing else decides what may follow what.

A session::

    OPENING ──authenticated──▶ READY ──drain──▶ DRAINING
       │                         │                 │
       └──────────close──────────┴──────close──────┴──▶ CLOSED

While OPENING only ``rpc.`` methods are answered; while DRAINING running calls end and new ones are refused.

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
    """Where a session is in its life."""

    OPENING = "opening"
    READY = "ready"
    DRAINING = "draining"
    CLOSED = "closed"


class SessionStep(Enum):
    """What moves a session on."""

    AUTHENTICATED = "authenticated"
    DRAIN = "drain"
    CLOSE = "close"


class StreamState(Enum):
    """Where a stream is in its life."""

    OPEN = "open"
    CANCELLED = "cancelled"
    ENDED = "ended"


class StreamStep(Enum):
    """What moves a stream on."""

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
    """The state after ``step``.

    Raises:
        LocalProtocolError: the table has no such step from ``state``.
    """
    try:
        return SESSION[state, step]
    except KeyError:
        raise LocalProtocolError(f"a session that is {state.value} cannot go through {step.value}") from None


def next_stream(state: StreamState, step: StreamStep) -> StreamState:
    """The state after ``step``.

    Raises:
        LocalProtocolError: the table has no such step from ``state``.
    """
    try:
        return STREAM[state, step]
    except KeyError:
        raise LocalProtocolError(f"a stream that has {state.value} cannot go through {step.value}") from None
