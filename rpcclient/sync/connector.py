"""Keeps a connection to one server: makes it, and makes another one when it is lost."""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rpcclient.backoff import Pauses, no_connection_error
from rpcclient.listeners import check_open_way
from rpcclient.memory import MemoryDial
from rpcclient.offers import WeakOffers
from rpcclient.options import ConnectOptions
from rpcwire.elsewhere import refuse_parent_memory
from rpcwire.errors import ConnectFailed, ConnectionClosed, NotSent, RpcError
from rpcwire.forking import tell_in_children
from rpcwire.limits import CLOSE_TIMEOUT_S
from rpcwire.threads.interrupts import INTERRUPT_S, check_interpreter
from rpcwire.threads.peer import Peer

from .answering import Answering
from .attempt import Attempt
from .carrier import Carrier

if TYPE_CHECKING:
    from rpcwire.registry import Registry
    from rpcwire.service import Service

logger = logging.getLogger("rpcclient")


class Connector:
    """The connection of one client, which all its copies and views share. A thread makes it, reads from it until it is
    lost, and ends with it. When no copy or view is left, the connection is closed.

    Parameters:
        options: how to connect.
        memory: connects without a socket; ``None`` to use a socket.

    Attributes:
        handlers: run the methods that are offered.
        pauses: the pauses between attempts to connect.
        failure: why the last attempt failed; ``None`` if it did not.
        was_connected: whether there was a connection before.
    """

    def __init__(self, options: ConnectOptions, memory: MemoryDial | None = None) -> None:
        self.options = options
        self.memory = memory
        self._peer: Peer | None = None
        self._closing_peers: set[Peer] = set()  # Connections that are closing and have been replaced.
        self._offers_services = False
        self.handlers = Answering(WeakOffers(self))
        self.pauses = Pauses()
        self.failure: RpcError | None = None
        self.was_connected = False
        self._is_pausing = False
        self._lock = threading.Lock()
        self._attempt: Attempt | None = None
        self._carriers: list[Carrier] = []
        self._closed = False
        tell_in_children(self)

    def enter(self) -> None:
        """Do nothing: any thread may use the client. The asynchronous client checks its event loop here."""

    @property
    def registry(self) -> Registry:
        """The services that are offered."""
        return self._registry

    @cached_property
    def _registry(self) -> Registry:
        from rpcwire.registry import Registry  # Whoever offers nothing does not load it.

        return Registry(logger)

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed."""
        return self._closed

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self.live is not None

    @property
    def live(self) -> Peer | None:
        """The connection, if it accepts calls. One that is closing does not."""
        peer = self._peer
        return peer if peer is not None and peer.is_open else None

    def offer(self, service: Service[Any]) -> None:
        """Offer a service to the server, on this connection and those that follow it.

        Raises:
            TypeError: a method cannot be offered.
            ConnectFailed: this connection was made without a look at who listens there.
        """
        from rpcwire.threads.handlers import check_offer

        check_offer(service)
        target = self.options.target
        if self._peer is not None and self._peer.is_open:
            check_open_way(target)
        self.registry.add(service)
        self._offers_services = True
        if not target.offers_services:
            seeds = tuple(replace(each, offers_services=True) for each in self.options.seeds)
            self.options = replace(self.options, target=replace(target, offers_services=True), seeds=seeds)

    def peer(self, deadline: float, *, may_reconnect: bool = True) -> Peer:
        """Return the connection, and make it first if there is none.

        Parameters:
            deadline: until when to try, on the clock of :func:`time.monotonic`.
            may_reconnect: whether to make another connection if there was one before.

        Raises:
            ConnectionClosed: the client was closed, or the interpreter is ending.
            NotSent: no connection was made before the deadline; or the connection has ended, and must not be replaced.
            RpcError: the connection could not be made.
        """
        check_interpreter()
        peer = self._peer
        if peer is not None and peer.is_open:
            return peer
        if self.memory is not None:
            from .memory import check_thread  # It imports asyncio, which others do not need.

            check_thread()
        with self._lock:
            attempt = self._begin(may_reconnect=may_reconnect)
        if isinstance(attempt, Peer):
            return attempt
        if not attempt.wait(deadline - time.monotonic()):
            raise no_connection_error(self.failure) from self.failure
        return attempt.result()

    def _begin(self, *, may_reconnect: bool) -> Attempt | Peer:
        """Return the running attempt, or begin one. The lock is held."""
        peer = self.live
        if peer is not None:
            return peer
        if self._closed:
            raise ConnectionClosed("the client is closed")
        if self.was_connected and not self.options.reconnect:
            raise ConnectionClosed("the connection is gone, and reconnect is off")
        if self.was_connected and not may_reconnect:
            raise NotSent("the connection has ended")
        if self._peer is not None:
            self._closing_peers.add(self._peer)
            self._drop_peer(self._peer, "it was closing")
        if self._attempt is None:
            attempt = Attempt()
            carrier = Carrier(self, attempt)
            self._attempt = attempt
            self._carriers.append(carrier)
            try:
                carrier.thread.start()
            except BaseException:
                # Interrupted: nobody waits for the attempt. If its thread runs after all, it ends by itself.
                self._attempt = None
                carrier.waiter.stop()
                if carrier.thread.ident is None:
                    carrier.waiter.close()
                    self._carriers.remove(carrier)
                raise
        return self._attempt

    # --- in the thread of a carrier -----------------------------------------------------------------------------

    def finish_attempt(self, attempt: Attempt, peer: Peer | None, failure: RpcError) -> bool:
        """Note that an attempt has ended.

        Parameters:
            attempt: the attempt.
            peer: the connection; ``None`` if it could not be made.
            failure: the error if there is no connection, or the client does not want it any more.

        Returns:
            Whether the client uses the connection from now on.
        """
        with self._lock:
            is_wanted = self._attempt is attempt and not self._closed
            if self._attempt is attempt:
                self._attempt = None
            if peer is None or not is_wanted:
                self.failure = failure
                return False
            self._peer, self.failure = peer, None
            self.pauses.note_connection()
            self.was_connected = True
            return True

    def begin_pause(self) -> float | None:
        """Begin a pause after an attempt has failed for good, and return how long it is, in seconds; ``None`` if there
        is to be no other attempt."""
        with self._lock:
            if not self._stays_on or self._is_pausing:
                return None
            self._is_pausing = True
            wait_s = self.pauses.after_refusal_s()
        logger.error("%s; trying again in %.0f s, since services are offered", self.failure, wait_s)
        return wait_s

    def end_pause(self) -> None:
        """Note that the pause is over."""
        self._is_pausing = False

    def on_loss(self, peer: Peer, reason: str) -> None:
        """Note that a connection has ended."""
        with self._lock:
            is_known = self._peer is peer or peer in self._closing_peers
            self._closing_peers.discard(peer)
            if self._peer is peer:
                self._drop_peer(peer, reason)
        if is_known and not self._closed:
            logger.info("the connection to %s ended: %s", self.options.target.url, reason)

    def _drop_peer(self, peer: Peer, reason: str) -> None:
        """Use this connection no more. The lock is held."""
        self._peer = None
        self.pauses.note_loss(useful=peer.has_received)
        if not peer.has_received:
            self.failure = ConnectFailed(f"{self.options.target.url}: the last connection ended: {reason}")

    @property
    def _stays_on(self) -> bool:
        """Whether the client reconnects by itself, since the server may want to call what it offers."""
        return self.options.reconnect and self._offers_services and self.was_connected and not self._closed

    def next_attempt(self) -> Attempt | None:
        """Begin the next attempt for a thread to make; ``None`` if the thread has nothing left to do."""
        with self._lock:
            if self._peer is not None or self._attempt is not None or not self._stays_on:
                return None
            self._attempt = Attempt()
            return self._attempt

    def on_thread_end(self, carrier: Carrier) -> None:
        """Note that a connection's thread ends."""
        with self._lock:
            if carrier in self._carriers:
                self._carriers.remove(carrier)

    # --- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection, make no other, and wait until its threads have ended."""
        self._closed = True
        if sys.is_finalizing():
            return  # Its threads stand still, and may hold the lock. The connection ends with the process.
        with self._lock:
            peer, self._peer = self._peer, None
            carriers, closing_peers = list(self._carriers), tuple(self._closing_peers)
        until = time.monotonic() + CLOSE_TIMEOUT_S
        for closing_peer in closing_peers:
            closing_peer.link.abort()
        if peer is not None:
            # Output of calls that end here is not waited for. All other output is to arrive.
            peer.link.close(1000, "", patient=not peer.is_waiting)
        for carrier in carriers:
            carrier.waiter.stop()
        for carrier in carriers:
            thread = carrier.thread
            if thread.ident is not None and thread is not threading.current_thread():
                _join(thread, until, peer)
        self.handlers.close(until)
        if peer is not None:
            peer.join_uploads(until)

    def abort(self) -> None:
        """End the connection at once, from wherever this is called, and wait for nothing."""
        peer = self._peer
        if peer is not None:
            peer.link.abort()

    def release(self) -> bool:
        """Close the connection soon, and make no other. This takes no lock and waits for nothing: garbage is collected
        at any moment.

        Returns:
            Whether there was anything to close.
        """
        carriers = [] if self._closed else list(self._carriers)
        self._closed = True
        for carrier in carriers:
            carrier.leave()
        self.handlers.leave()
        return bool(carriers)

    def __del__(self) -> None:
        # When the interpreter ends, everything ends with it.
        if hasattr(self, "_closed") and not sys.is_finalizing() and self.release():
            warnings.warn(f"unclosed client of {self.options.target.url}", ResourceWarning, stacklevel=2, source=self)

    # --- other processes ----------------------------------------------------------------------------------------

    def on_fork(self) -> None:
        """Begin anew in a forked child: the connection and its calls belong to the parent. The next call connects."""
        carriers = self._carriers
        self._peer, self._closing_peers, self.was_connected, self._is_pausing = None, set(), False, False
        self.pauses, self.failure = Pauses(), None
        self._lock, self._attempt, self._carriers = threading.Lock(), None, []
        if self.memory is not None:
            self.memory = refuse_parent_memory
        self.handlers.on_fork()
        for carrier in carriers:
            carrier.on_fork()


def _join(thread: threading.Thread, until: float, peer: Peer | None) -> None:
    """Wait for a connection's thread, and longer if the connection is still closing."""
    while thread.is_alive():
        closes_by = 0.0 if peer is None or peer.closed.is_set() else peer.link.closes_by
        left_s = max(until, closes_by) + 1.0 - time.monotonic()
        if left_s <= 0:
            return
        thread.join(min(left_s, INTERRUPT_S))
