"""Calls: over one connection, and again over another one where the first never sent it."""

from __future__ import annotations

import time
from typing import Any

from rpcclient.methods import Method
from rpcclient.options import CallOptions
from rpcwire.errors import NotSent
from rpcwire.threads.inbox import StreamReader

from .connector import Connector
from .exchange import perform
from .stream import Stream


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
