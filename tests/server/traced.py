"""A server and a client that are traced, in a process of their own, since OpenTelemetry's providers are there once:
``python -m tests.server.traced FOLDER`` prints the spans and the figures that were collected, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from opentelemetry import baggage, context, metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rpcclient import AsyncClient, Client
from rpcclient.errors import RpcError
from rpcserver import Context, Service, ServiceError, method
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.database import Database
from rpcservices.programs import Programs

TOKEN = "a-token-for-the-traced-server"


class Declined(ServiceError):
    """It does not want to."""


class Desk(Service):
    """Has a method of each kind."""

    @method(kind="read")
    async def inline(self) -> str:
        """Answer at once, and say which baggage is here."""
        return str(baggage.get_baggage("of") or "")

    @method()
    async def task(self) -> str:
        """Answer later, with a span of its own."""
        await asyncio.sleep(0)
        with trace.get_tracer("desk").start_as_current_span("work"):
            return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)

    @method()
    async def last(self) -> str:
        """Say in which trace this is."""
        return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)

    @method()
    def thread(self) -> str:
        """Answer from a thread, with a span of its own."""
        with trace.get_tracer("desk").start_as_current_span("work in a thread"):
            return "done"

    @method()
    async def stream(self) -> AsyncIterator[int]:
        """Stream."""
        yield 1
        yield 2

    @method()
    def squares(self) -> Iterator[int]:
        """Stream from a thread."""
        yield 1
        yield 4

    @method(errors=(Declined,))
    async def decline(self) -> None:
        """Fail."""
        raise Declined("a secret")

    @method()
    async def ask(self, ctx: Context) -> Any:
        """Call the client, which calls back."""
        with trace.get_tracer("desk").start_as_current_span("asking"):
            return await ctx.caller.call("porch.answer")

    @method()
    def ask_from_thread(self, ctx: Context) -> Any:
        """Call the client from a thread."""
        with trace.get_tracer("desk").start_as_current_span("asking from a thread"):
            return asyncio.run(ctx.caller.call("porch.answer"))


class Porch(Service):
    """What the client with asyncio offers."""

    name = "porch"

    @method()
    async def answer(self, ctx: Context) -> str:
        """Call the server back, with a span of one's own."""
        with trace.get_tracer("porch").start_as_current_span("answering"):
            return str(await ctx.caller.call("desk.last"))


class PlainPorch(Service):
    """What the client without an event loop offers."""

    name = "porch"

    @method()
    def answer(self, ctx: Context) -> str:
        """Call the server back, with a span of one's own."""
        with trace.get_tracer("porch").start_as_current_span("answering plainly"):
            return str(asyncio.run(ctx.caller.call("desk.last")))


async def ask(client: AsyncClient, url: str) -> dict[str, str]:
    """Have the server call its clients. Each time it returns the trace in which the last call was made."""
    results: dict[str, str] = {}

    def ask_plainly() -> str:
        with Client(url, token=TOKEN) as plain:
            plain.offer(PlainPorch())
            with trace.get_tracer("caller").start_as_current_span("plain caller"):
                return plain.call("desk.ask", returns=str)

    client.offer(Porch())
    with trace.get_tracer("caller").start_as_current_span("asker"):
        results["ask"] = await client.call("desk.ask", returns=str)
        results["ask_from_thread"] = await client.call("desk.ask_from_thread", returns=str)
    results["ask plainly"] = await asyncio.to_thread(ask_plainly)
    return results


async def work(client: AsyncClient) -> dict[str, Any]:
    """Use everything once, in one trace."""
    results: dict[str, Any] = {}
    with trace.get_tracer("caller").start_as_current_span("caller") as span:
        token = context.attach(baggage.set_baggage("of", "the caller"))
        results["trace"] = trace.format_trace_id(span.get_span_context().trace_id)
        for name in ("inline", "task", "thread"):
            results[name] = await client.call(f"desk.{name}", returns=str)
        for name in ("stream", "squares"):
            async with client.stream(f"desk.{name}") as items:
                results[name] = [item async for item in items]
        for name, params in (("desk.decline", None), ("desk.nothing", None), ("desk.inline", [1])):
            try:
                await client.call(name, params)
            except RpcError as exc:
                results[f"{name} {params}"] = exc.type
        results["rows"] = len((await client.database.query("main", "SELECT 'hidden' AS a")).rows)
        results["code"] = (await client.programs.run(["true", "hidden"])).returncode
        context.detach(token)
    await client.call("desk.inline", returns=str)
    return results


def tell(span: ReadableSpan) -> dict[str, Any]:
    """What the test wants to know of a span."""
    assert span.context is not None
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": trace.format_trace_id(span.context.trace_id),
        "id": trace.format_span_id(span.context.span_id),
        "parent": None if span.parent is None else trace.format_span_id(span.parent.span_id),
        "attributes": dict(span.attributes or {}),
        "status": [span.status.status_code.name, span.status.description],
        "events": len(span.events),
    }


async def main(folder: str) -> None:
    spans, figures = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([figures]))
    config = ServerConfig.model_validate(
        {
            "state_dir": folder, "grace_s": 0, "listen": {"port": 0, "unix": "none"}, "opentelemetry": {"enabled": True},
        }
    )  # fmt: skip
    server = Server(config, [Desk(), Database(), Programs()], token=TOKEN)
    await server.start()
    async with AsyncClient(server.addresses[0], token=TOKEN) as client:
        results = {**await work(client), "asked": await ask(client, server.addresses[0])}
    await server.stop(grace_s=0)
    durations = []
    data = figures.get_metrics_data()
    for resource in [] if data is None else data.resource_metrics:
        for scope in resource.scope_metrics:
            durations += [
                [metric.name, dict(point.attributes or {}), getattr(point, "count", None)]
                for metric in scope.metrics
                for point in metric.data.data_points
            ]
    told = [tell(span) for span in spans.get_finished_spans()]
    Path(folder, "told.json").write_text(json.dumps({"results": results, "spans": told, "durations": durations}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
