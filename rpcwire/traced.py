"""Opens spans of OpenTelemetry for the calls that one side answers. Only whoever traces imports this module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from .codec import Codec
from .context import Connection
from .dispatch import Admission, Dispatch, Incoming
from .errors import RpcError
from .events import IncomingCall
from .registry import Mode, Offer
from .spans import OtelSpan, parent_of

UNKNOWN = "(unknown)"
"""Stands for methods that do not exist: their callers may write anything."""


class TracedDispatch(Dispatch):
    """A dispatch that opens a span for each call, notification and stream, in which the handler runs. Either side may
    have one: a server that traces, and a client of a program that traces."""

    def admit(self, connection: Connection, message: Incoming, codec: Codec) -> Admission:
        """Find the method, ask the gate, validate the parameters, and have the handler run in a span."""
        # Strangers must not decide what is sampled, nor write into the traces of others.
        is_trusted = connection.principal is not None and isinstance(message, IncomingCall)
        parent = parent_of(message.ctx if is_trusted and isinstance(message, IncomingCall) else None)
        try:
            offer, args, kwargs = super().admit(connection, message, codec)
        except RpcError as exc:
            name = message.method if self.offers.get(message.method) is not None else UNKNOWN
            OtelSpan(name, _attributes(name, connection), parent=parent, kind=SpanKind.SERVER).end(exc)
            raise
        return replace(offer, call=_trace(offer, parent, _attributes(offer.name, connection))), args, kwargs


def _attributes(method: str, connection: Connection) -> dict[str, str]:
    attributes = {"rpc.system.name": "jsonrpc", "rpc.method": method, "rpc.connection.id": connection.id}
    principal = connection.principal
    if principal is not None and principal.method != "connected":  # To a client, the other side is the server.
        attributes["enduser.id"] = principal.name
    return attributes


def _trace(offer: Offer, parent: Context, attributes: dict[str, str]) -> Callable[..., Any]:
    """Make a function that runs a handler in a span."""

    def begin(what: str = "") -> OtelSpan:
        kind = SpanKind.SERVER if not what else SpanKind.INTERNAL
        return OtelSpan(f"{offer.name}{what}", attributes, parent=None if what else parent, kind=kind)

    match offer.mode:
        case Mode.STREAM:

            async def stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                with begin():
                    async for item in offer.call(*args, **kwargs):
                        yield item

            return stream
        case Mode.THREAD_STREAM:

            def stream_in_thread(*args: Any, **kwargs: Any) -> Iterator[Any]:
                with begin():
                    yield from offer.call(*args, **kwargs)

            return stream_in_thread
        case Mode.THREAD:

            def run_in_thread(*args: Any, **kwargs: Any) -> Any:
                with begin():
                    return offer.call(*args, **kwargs)

            return run_in_thread
        case _ if offer.contract.item is not None:

            async def run_to_stream(*args: Any, **kwargs: Any) -> Any:
                with begin():
                    source = await offer.call(*args, **kwargs)
                    return _in_span(source, begin(" stream"))

            return run_to_stream
        case _:

            async def run(*args: Any, **kwargs: Any) -> Any:
                with begin():
                    return await offer.call(*args, **kwargs)

            return run


async def _in_span(source: AsyncIterator[Any], span: OtelSpan) -> AsyncIterator[Any]:
    with span:
        async for item in source:
            yield item
