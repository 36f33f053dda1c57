"""Answers the calls of the server, and loads what that takes when the first one comes."""

from __future__ import annotations

import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

from rpcclient.offers import WeakOffers
from rpcwire import tracing
from rpcwire.events import IncomingCall, NotificationReceived

if TYPE_CHECKING:
    from rpcwire.errors import RpcError
    from rpcwire.threads.handlers import Handlers, Host


class Answering:
    """The handlers of a client. Most clients offer nothing, and no server calls them: what runs handlers, and pydantic
    with it, is a third of what a command would load at its start.

    Parameters:
        offers: the methods that the client offers.
    """

    def __init__(self, offers: WeakOffers) -> None:
        self._offers = offers
        self._variables = copy_context()
        self._lock = threading.Lock()
        self._handlers: Handlers | None = None
        self._closed = False

    @property
    def handlers(self) -> Handlers:
        """What runs the handlers. It is loaded now, if it was not before."""
        with self._lock:
            if self._handlers is None:
                from rpcclient.dispatching import make_dispatch
                from rpcwire.threads.handlers import Handlers

                self._handlers = Handlers(make_dispatch(self._offers), self._variables)
                if self._closed:
                    self._handlers.close(0)
            return self._handlers

    def start(self, peer: Host, call: IncomingCall) -> None:
        """Have a thread run the handler of a call and answer the call."""
        self.handlers.start(peer, call)

    def start_notification(self, peer: Host, event: NotificationReceived) -> None:
        """Have a thread run the handler of a notification."""
        self.handlers.start_notification(peer, event)

    def arrival_ns(self) -> int | None:
        """The time, for the arrival of all calls of a frame; ``None`` if nobody observes them."""
        if self._handlers is None and tracing.tracer is None:
            return None
        return self.handlers.arrival_ns()

    def report_refusal(self, peer: Host, call: IncomingCall, error: RpcError) -> None:
        """Tell the observers that the session has refused a call."""
        if call.arrived_ns is not None:
            self.handlers.report_refusal(peer, call, error)

    def cancel(self, call: IncomingCall) -> None:
        """Cancel a call because its caller wants that."""
        if self._handlers is not None:
            self._handlers.cancel(call)

    def connection_lost(self, peer: Host) -> None:
        """Stop all handlers of this connection, because nobody is left to answer."""
        if self._handlers is not None:
            self._handlers.connection_lost(peer)

    def on_fork(self) -> None:
        """Forget all handlers after a fork: they run in the parent."""
        self._lock = threading.Lock()
        if self._handlers is not None:
            self._handlers.on_fork()

    def leave(self) -> None:
        """End the idle threads. Takes no lock, because the garbage collector may call it at any moment."""
        if self._handlers is not None:
            self._handlers.leave()

    def close(self, until: float) -> None:
        """Stop all handlers and wait for them, but not for those that ignore ``ctx.cancelled``.

        Parameters:
            until: the end of the wait, on the clock of :func:`time.monotonic`.
        """
        with self._lock:
            self._closed, handlers = True, self._handlers
        if handlers is not None:
            handlers.close(until)
