"""Spans of OpenTelemetry, by its API. Only whoever traces imports this module: the extra ``otel`` has what it needs."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from opentelemetry import context as contexts
from opentelemetry import trace as traces
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import tracing
from .errors import RpcError
from .messages import CallContext
from .tracing import Attributes

_PROPAGATOR = TraceContextTextMapPropagator()
"""Reads and writes ``traceparent`` and ``tracestate``: a call has places for these two."""

SCOPE = "remote-services"
"""The name of the instrumentation."""


def parent_of(call_context: CallContext | None) -> Context:
    """Return the context of a call: this side's own, with the caller's span as the parent if it has sent one.

    Parameters:
        call_context: what the caller has sent.
    """
    carrier = {
        name: value
        for name in ("traceparent", "tracestate")
        if call_context is not None and isinstance(value := getattr(call_context, name), str)
    }
    return _PROPAGATOR.extract(carrier, context=contexts.get_current()) if carrier else contexts.get_current()


class OtelSpan:
    """A span (:class:`~rpcwire.tracing.Span`).

    Parameters:
        name, attributes: as of :meth:`~rpcwire.tracing.Tracer.begin`.
        parent: the context in which it begins; ``None`` for the present one.
        kind: its place in the trace.
    """

    __slots__ = ("_context", "_span", "_token")

    def __init__(
        self, name: str, attributes: Attributes, *, parent: Context | None = None, kind: SpanKind = SpanKind.INTERNAL
    ) -> None:
        parent = contexts.get_current() if parent is None else parent
        tracer = traces.get_tracer(SCOPE)
        self._span = tracer.start_span(name, context=parent, kind=kind, attributes=dict(attributes))
        # The new context is made of the parent's: a span alone would lose the baggage.
        self._context = traces.set_span_in_context(self._span, parent)
        self._token: object = None

    def __enter__(self) -> Self:
        self._token = contexts.attach(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        contexts.detach(self._token)  # type: ignore[arg-type]
        # A stream whose reader wants no more items has not failed.
        self.end(None if isinstance(exc, GeneratorExit) else exc)

    def end(self, error: BaseException | None = None, attributes: Attributes | None = None) -> None:
        """End the span."""
        span = self._span
        if attributes:
            span.set_attributes(dict(attributes))
        if error is not None:
            kind = error.type if isinstance(error, RpcError) else type(error).__name__
            span.set_attribute("error.type", kind)
            # The message of an error may repeat a part of the parameters, which may be secret.
            span.set_status(Status(StatusCode.ERROR, kind))
        span.end()


class OtelTracer:
    """Makes spans (:class:`~rpcwire.tracing.Tracer`)."""

    def begin(self, name: str, attributes: Attributes) -> OtelSpan:
        """Begin a span."""
        return OtelSpan(name, attributes)

    def propagate(self) -> tuple[str, str] | None:
        """Return ``traceparent`` and ``tracestate`` for a call that is made now."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        parent = carrier.get("traceparent")
        return None if parent is None else (parent, carrier.get("tracestate", ""))


def start() -> None:
    """Make spans from now on, in the whole process."""
    if tracing.tracer is None:
        tracing.tracer = OtelTracer()
