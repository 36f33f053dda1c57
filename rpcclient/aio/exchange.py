"""Makes one call over one connection: encodes, sends, waits, decodes; and sends the streams among its parameters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable
from typing import Any

from rpcclient.methods import Method, not_iterable_error
from rpcclient.options import CallOptions
from rpcwire.aio.peer import Peer, Pending
from rpcwire.aio.streams import StreamReader
from rpcwire.boundary import to_rpc_error
from rpcwire.codec import Codec
from rpcwire.contracts import StreamReference
from rpcwire.streams import OutgoingStream

logger = logging.getLogger("rpcclient")


async def perform(
    peer: Peer, method: Method, params: Any, options: CallOptions, seconds: float, *, streams: bool
) -> Any:
    """Call a method over a connection.

    Parameters:
        peer: the connection.
        method: what is known of the method.
        params: by name or by position.
        options: what goes with the call.
        seconds: how long the call may take.
        streams: whether the result is a stream.

    Returns:
        The result, or a :class:`StreamReader`.

    Raises:
        WireError: the other side answered with an error.
        RpcError: the call failed otherwise.
    """
    codec = peer.session.codec
    window = options.window or method.window
    pending = Pending(peer.loop.create_future(), streams, window, options.progress, method.latest)
    sources: dict[str, tuple[Any, OutgoingStream]] = {}
    try:
        if method.streams:
            _open_uploads(peer, method, params, sources)
            params = {**params, **{name: StreamReference(stream.id) for name, (_, stream) in sources.items()}}
        body = method.dump(params, codec)
        ctx = options.context(max(seconds, 0.001))
        call_id = peer.begin(method.name, body, ctx=ctx, timeout_s=seconds, pending=pending)
    except BaseException:
        for _, stream in sources.values():
            peer.session.streams.withdraw(stream)
        raise
    if sources:
        peer.flush()  # This comes first: once items of its streams are taken, a call cannot be sent again.
    pending.uploads = tuple(
        _upload(peer, method, name, source, stream, codec) for name, (source, stream) in sources.items()
    )
    answer = await peer.outcome(call_id, pending)
    if streams:
        return StreamReader(answer, lambda raw: method.load(raw, codec), method.to_declared_error)
    return method.load(answer, codec)


def _open_uploads(peer: Peer, method: Method, params: Any, sources: dict[str, tuple[Any, OutgoingStream]]) -> None:
    """Open a stream for each parameter that is a stream."""
    for name in method.streams & params.keys():
        if not isinstance(params[name], (AsyncIterable, Iterable)):
            raise not_iterable_error(name, params[name])
        sources[name] = (params[name], peer.session.streams.open())


def _upload(peer: Peer, method: Method, name: str, source: Any, stream: Any, codec: Codec) -> asyncio.Task[None]:
    return peer.produce(
        _iterate(source),
        stream,
        lambda item: method.dump_item(name, item, codec),
        to_error=lambda exc: to_rpc_error(exc, method=method.name, logger=logger),
    )


async def _iterate(source: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    """Iterate over an iterable of either kind. A generator is closed in any case."""
    try:
        if isinstance(source, AsyncIterable):
            async for item in source:
                yield item
        else:
            for item in source:
                yield item
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
        elif isinstance(source, Generator):
            source.close()
