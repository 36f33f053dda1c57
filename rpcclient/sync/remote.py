"""Lets a handler of this side call the server back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rpcclient.methods import Method
from rpcclient.options import CallOptions
from rpcwire.errors import NotSent

from .exchange import perform

if TYPE_CHECKING:
    from rpcwire.threads.peer import Peer


class SyncCaller:
    """Calls what the server offers, over the connection that a call came from: ``ctx.caller`` of a handler. Its
    methods are coroutines, as everywhere, but wait in the thread; a handler may as well use the client itself."""

    __slots__ = ("_peer",)

    def __init__(self) -> None:
        self._peer: Peer | None = None

    def bind(self, peer: Peer) -> None:
        """Set the connection to call over."""
        self._peer = peer

    def _require_peer(self) -> Peer:
        if self._peer is None:
            raise NotSent("the connection is not there yet")
        return self._peer

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        """Call a method of the server; see :class:`rpcwire.context.Caller`."""
        options = CallOptions(timeout_s=timeout_s)
        deadline = time.monotonic() + options.seconds()
        return perform(self._require_peer(), Method(method), params, options, deadline, streams=False)

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification; see :class:`rpcwire.context.Caller`."""
        peer = self._require_peer()
        body = Method(method).dump(params, peer.session.codec)
        peer.notify(method, body, time.monotonic() + CallOptions().seconds())
