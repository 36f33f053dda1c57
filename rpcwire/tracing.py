"""Traces: where spans begin and end, for whoever collects them. Nobody does, unless :mod:`rpcwire.spans` is started,
which needs OpenTelemetry; then :data:`tracer` is set. Code with a span of its own looks there, and goes without if it
is ``None``."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from msgspec import UNSET

from .messages import CallContext

Attributes = Mapping[str, str | int | float | bool]
"""What a span says of its work."""


class Span(Protocol):
    """A piece of work that is traced. As a context manager it is the parent of what begins in its block, and ends with
    it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def end(self, error: BaseException | None = None, attributes: Attributes | None = None) -> None:
        """End the span.

        Parameters:
            error: what went wrong; ``None`` for a success.
            attributes: what is known only now.
        """
        ...


class Tracer(Protocol):
    """Makes spans."""

    def begin(self, name: str, attributes: Attributes) -> Span:
        """Begin a span, whose parent is the span in whose block this is called.

        Parameters:
            name: what is done; there are few different names.
            attributes: what it is done with.
        """
        ...

    def propagate(self) -> tuple[str, str] | None:
        """Return ``traceparent`` and ``tracestate`` (W3C Trace Context) for a call that is made now; ``None`` if it
        belongs to no trace. The second may be empty."""
        ...


tracer: Tracer | None = None
"""Makes the spans of this process; ``None`` if nobody collects them. :mod:`rpcwire.spans` sets it."""


def propagate() -> tuple[str, str] | None:
    """Return ``traceparent`` and ``tracestate`` for a call that is made now; ``None`` if nobody traces, or if it
    belongs to no trace."""
    return None if tracer is None else tracer.propagate()


def make_context(ttl_ms: int, key: str | None, trace: tuple[str, str] | None) -> CallContext:
    """Make what a call tells the other side besides its parameters.

    Parameters:
        ttl_ms: the time left for the call, in milliseconds.
        key: identifies the call for deduplication.
        trace: what :func:`propagate` has returned.
    """
    call_key = UNSET if key is None else key
    if trace is None:
        return CallContext(ttl_ms=ttl_ms, key=call_key)
    parent, state = trace
    return CallContext(ttl_ms=ttl_ms, key=call_key, traceparent=parent, tracestate=state or UNSET)
