"""Traces calls with OpenTelemetry, and tells its meter how long they take. Only a server that does so imports this."""

from __future__ import annotations

import os
from collections.abc import Callable

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from rpcwire import spans
from rpcwire.outcomes import Outcome
from rpcwire.spans import SCOPE
from rpcwire.traced import UNKNOWN

_OFF = frozenset({"true"})
"""The values of OTEL_SDK_DISABLED that mean yes."""


class UnknownExporterError(ValueError):
    """A variable of the environment names an exporter that is not there; the message names both."""


def start() -> Callable[[], None]:
    """Make spans and figures of calls from now on. If the program has set providers of the SDK already, they get them;
    otherwise this makes providers, by the variables of OpenTelemetry's specification: OTEL_SDK_DISABLED,
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER, OTEL_TRACES_SAMPLER,
    OTEL_EXPORTER_OTLP_*, OTEL_BSP_*, OTEL_METRIC_EXPORT_*.

    Returns:
        A function that sends what has been collected, and stops the providers that this has made.

    Raises:
        UnknownExporterError: a variable names an exporter that is not there.
        ImportError: the exporter for OTLP is not installed.
    """
    stops: list[Callable[[], object]] = []
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() not in _OFF:
        if not isinstance(trace.get_tracer_provider(), TracerProvider):
            span_exporter = _span_exporter()
            if span_exporter is not None:
                provider = TracerProvider(resource=_resource())
                provider.add_span_processor(BatchSpanProcessor(span_exporter))
                trace.set_tracer_provider(provider)
                stops.append(provider.shutdown)
        if not isinstance(metrics.get_meter_provider(), MeterProvider):
            metric_exporter = _metric_exporter()
            if metric_exporter is not None:
                meter_provider = MeterProvider([PeriodicExportingMetricReader(metric_exporter)], resource=_resource())
                metrics.set_meter_provider(meter_provider)
                stops.append(meter_provider.shutdown)
    spans.start()

    def stop() -> None:
        for each in stops:
            each()

    return stop


def _resource() -> Resource:
    """Describe this server, as the environment says; its name is ``rpcserver`` if nobody has given it one."""
    has_name = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({} if has_name else {"service.name": "rpcserver"})


def _span_exporter() -> SpanExporter | None:
    name = _read_choice("OTEL_TRACES_EXPORTER")
    if name == "console":
        return ConsoleSpanExporter()
    if name == "none":
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _metric_exporter() -> MetricExporter | None:
    name = _read_choice("OTEL_METRICS_EXPORTER")
    if name == "console":
        return ConsoleMetricExporter()
    if name == "none":
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter()


def _read_choice(variable: str) -> str:
    name = os.environ.get(variable, "").strip() or "otlp"
    if name not in ("otlp", "console", "none"):
        raise UnknownExporterError(f"{variable}={name}: there are otlp (over HTTP), console and none")
    return name


def make_observer() -> Callable[[Outcome], None]:
    """Make an observer of calls that tells OpenTelemetry's meter how long they take, by the names of its semantic
    conventions for RPC."""
    meter = metrics.get_meter(SCOPE)
    seconds = meter.create_histogram(
        "rpc.server.call.duration", unit="s", description="Time from the arrival of a call to its answer."
    )

    def observe(outcome: Outcome) -> None:
        if outcome.subject == "call":
            method = UNKNOWN if outcome.kind is None else outcome.method
            attributes = {"rpc.system.name": "jsonrpc", "rpc.method": method}
            if outcome.error is not None:
                attributes["error.type"] = outcome.error.type
            seconds.record(outcome.duration_s, attributes)

    return observe
