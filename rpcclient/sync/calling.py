"""Calls: over one connection (encode, send, wait, decode), and again over another one where the first never sent it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from rpcclient.methods import Method, not_iterable
from rpcclient.options import CallOptions
from rpcwire.boundary import to_rpc_error
from rpcwire.contracts import StreamReference
from rpcwire.errors import NotSent, WireError
from rpcwire.streams import OutgoingStream
from rpcwire.threads.inbox import StreamReader
from rpcwire.threads.peer import Peer
from rpcwire.threads.pending import Mailbox, Pending

from .connector import Connector
from .stream import Stream

logger = logging.getLogger("rpcclient")


class Calls:
    """Makes calls: a connection, and what goes with each.

    Parameters:
        connector: has the connection.
        options: what goes with each call.
    """

    _now = staticmethod(time.monotonic)

    def __init__(self, connector: Connector, options: CallOptions) -> None:
        self._connector = connector
        self._options = options

    def _invoke(self, method: Method, params: Any) -> Any:
        """Call a method and wait for its result."""
        return self._perform(method, params, streams=False)

    def _notify(self, method: Method, params: Any) -> None:
        """Send a notification."""
        deadline = time.monotonic() + self._options.seconds()
        while True:
            peer = self._connector.peer(deadline, anew=self._options.resend)
            try:
                peer.notify(method.name, method.dump(params, peer.session.codec), deadline)
                return
            except NotSent:
                if not self._may_retry(deadline):
                    raise

    def _open(self, method: Method, params: Any) -> Stream[Any]:
        """A stream that calls a method when it is opened."""

        def begin() -> StreamReader[Any]:
            reader: StreamReader[Any] = self._perform(method, params, streams=True)
            return reader

        return Stream(begin)

    def _perform(self, method: Method, params: Any, *, streams: bool) -> Any:
        options = self._options
        deadline = time.monotonic() + options.seconds(method.deadline_s)
        while True:
            peer = self._connector.peer(deadline, anew=options.resend)
            try:
                return perform(peer, method, params, options, deadline, streams=streams)
            except NotSent:  # It never left, and nothing was taken of what it streams: it may be sent again.
                if not self._may_retry(deadline):
                    raise

    def _may_retry(self, deadline: float) -> bool:
        """Whether to send again what a connection did not send. The connector has another one then."""
        return self._options.resend and self._connector.options.reconnect and time.monotonic() < deadline


def perform(peer: Peer, method: Method, params: Any, options: CallOptions, deadline: float, *, streams: bool) -> Any:
    """Call a method over a connection.

    Parameters:
        peer: the connection.
        method: what is known of the method.
        params: by name or by position.
        options: what goes with the call.
        deadline: until when, on the clock of :func:`time.monotonic`.
        streams: whether the answer is to be a stream.

    Returns:
        The result, or a :class:`StreamReader`.

    Raises:
        RpcError: the call failed.
    """
    codec = peer.session.codec
    sources: dict[str, tuple[Any, OutgoingStream]] = {}
    if method.streams:
        sources = _open_uploads(peer, method, params)
        params = {**params, **{name: StreamReference(stream.id) for name, (_, stream) in sources.items()}}
    window = options.window or method.window
    pending = Pending(Mailbox(options.progress), streams=streams, window=window, latest=method.latest)
    try:
        body = method.dump(params, codec)
        ctx = options.context(max(deadline - time.monotonic(), 0.001))
        peer.begin(method.name, body, ctx, pending, deadline)
        if sources:
            _start_uploads(peer, method, pending, sources)
        answer = peer.outcome(pending, deadline)
        if streams:
            return StreamReader(answer, lambda raw: method.load(raw, codec), method.typed)
        return method.load(answer, codec)
    except WireError as exc:
        raise method.error(exc.code, exc.message, exc.data) from None
    except BaseException:
        # An interruption may come at any point, also between the answer's arrival and its use.
        if pending.id == 0:
            peer.withdraw(stream for _, stream in sources.values())
        else:
            peer.abandon(pending)
        raise


def _open_uploads(peer: Peer, method: Method, params: Any) -> dict[str, tuple[Any, OutgoingStream]]:
    """A stream for each parameter that is one."""
    given = [(name, params[name]) for name in method.streams if name in params]
    for name, source in given:
        if not isinstance(source, Iterable):
            raise not_iterable(name, source)
    opened: dict[str, tuple[Any, OutgoingStream]] = {}
    try:
        for name, source in given:
            opened[name] = (source, peer.exclusively(peer.session.streams.open))
    except BaseException:
        peer.withdraw(stream for _, stream in opened.values())
        raise
    return opened


def _start_uploads(
    peer: Peer, method: Method, pending: Pending, sources: dict[str, tuple[Any, OutgoingStream]]
) -> None:
    codec = peer.session.codec
    for name, (source, stream) in sources.items():
        outbox = peer.produce(
            source,
            stream,
            lambda item, name=name: method.dump_item(name, item, codec),  # type: ignore[misc]
            failed=lambda exc: to_rpc_error(exc, method=method.name, logger=logger),
        )
        peer.exclusively(peer.add_upload, pending, outbox)
