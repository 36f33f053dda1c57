"""Makes one call over one connection: encodes, sends, waits, decodes; and sends the streams among its parameters."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from rpcclient.methods import Method, not_iterable_error
from rpcclient.options import CallOptions
from rpcwire.boundary import to_rpc_error
from rpcwire.errors import WireError
from rpcwire.streams import OutgoingStream
from rpcwire.threads.inbox import StreamReader
from rpcwire.threads.peer import Peer
from rpcwire.threads.pending import Mailbox, Pending

logger = logging.getLogger("rpcclient")


def perform(peer: Peer, method: Method, params: Any, options: CallOptions, deadline: float, *, streams: bool) -> Any:
    """Call a method over a connection.

    Parameters:
        peer: the connection.
        method: what is known of the method.
        params: by name or by position.
        options: what goes with the call.
        deadline: when the call must have ended, on the clock of :func:`time.monotonic`.
        streams: whether the result is a stream.

    Returns:
        The result, or a :class:`StreamReader`.

    Raises:
        RpcError: the call failed.
    """
    codec = peer.session.codec
    sources: dict[str, tuple[Any, OutgoingStream]] = {}
    if method.streams:
        from rpcwire.contracts import StreamReference

        sources = _open_uploads(peer, method, params)
        params = {**params, **{name: StreamReference(stream.id) for name, (_, stream) in sources.items()}}
    window = options.window or method.window
    pending = Pending(Mailbox(options.progress), is_stream=streams, window=window, latest=method.latest)
    try:
        body = method.dump(params, codec)
        ctx = options.context(max(deadline - time.monotonic(), 0.001))
        peer.begin(method.name, body, ctx, pending, deadline)
        if sources:
            _start_uploads(peer, method, pending, sources)
        answer = peer.outcome(pending, deadline)
        if streams:
            return StreamReader(answer, lambda raw: method.load(raw, codec), method.to_declared_error)
        return method.load(answer, codec)
    except WireError as exc:
        raise method.error(exc.code, exc.message, exc.data) from None
    except BaseException:
        # An interruption may come at any moment, even between the answer's arrival and its use.
        if pending.id == 0:
            peer.withdraw(stream for _, stream in sources.values())
        else:
            peer.abandon(pending)
        raise


def _open_uploads(peer: Peer, method: Method, params: Any) -> dict[str, tuple[Any, OutgoingStream]]:
    """Open a stream for each parameter that is a stream."""
    arguments = [(name, params[name]) for name in method.streams if name in params]
    for name, source in arguments:
        if not isinstance(source, Iterable):
            raise not_iterable_error(name, source)
    sources: dict[str, tuple[Any, OutgoingStream]] = {}
    try:
        for name, source in arguments:
            sources[name] = (source, peer.exclusively(peer.session.streams.open))
    except BaseException:
        peer.withdraw(stream for _, stream in sources.values())
        raise
    return sources


def _start_uploads(
    peer: Peer, method: Method, pending: Pending, sources: dict[str, tuple[Any, OutgoingStream]]
) -> None:
    codec = peer.session.codec
    for name, (source, stream) in sources.items():
        outbox = peer.produce(
            source,
            stream,
            lambda item, name=name: method.dump_item(name, item, codec),  # type: ignore[misc]
            to_error=lambda exc: to_rpc_error(exc, method=method.name, logger=logger),
        )
        peer.exclusively(peer.add_upload, pending, outbox)
