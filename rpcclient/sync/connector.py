"""Keeps a connection to one server: makes it, and makes it anew when it was lost."""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from typing import Any

from rpcclient.backoff import Pauses, no_connection_error
from rpcclient.memory import MemoryDial
from rpcclient.offers import WeakOffers
from rpcclient.options import ConnectOptions
from rpcwire.dispatch import Dispatch
from rpcwire.elsewhere import refuse_parent_memory
from rpcwire.errors import ConnectFailed, ConnectionClosed, NotSent, RpcError
from rpcwire.forking import tell_in_children
from rpcwire.limits import CLOSE_TIMEOUT_S
from rpcwire.registry import Registry
from rpcwire.service import Service
from rpcwire.threads.handlers import Handlers, check_offer
from rpcwire.threads.interrupts import INTERRUPT_S, check_interpreter
from rpcwire.threads.peer import Peer

from .attempt import Attempt
from .carrier import Carrier

logger = logging.getLogger("rpcclient")


class Connector:
    """The connection of one client, which all its copies and views share. A thread makes it, reads from it until it is
    lost, and ends with it. Once none of them is left, it is closed.

    Parameters:
        options: how to connect.
        memory: connects without a socket, where given.

    Attributes:
        registry: what is offered.
        handlers: run what is offered.
        pauses: those between attempts.
        failure: how the last attempt failed, if one has ended.
        was_connected: whether there was a connection before.
    """

    def __init__(self, options: ConnectOptions, memory: MemoryDial | None = None) -> None:
        self.options = options
        self.memory = memory
        self.registry = Registry(logger)
        self._peer: Peer | None = None
        self._leaving: set[Peer] = set()  # What has begun to end, and another was made in place of.
        self.handlers = Handlers(Dispatch(WeakOffers(self), logger=logger))
        self.pauses = Pauses()
        self.failure: RpcError | None = None
        self.was_connected = False
        self._returning = False
        self._lock = threading.Lock()
        self._attempt: Attempt | None = None
        self._carriers: list[Carrier] = []
        self._closed = False
        tell_in_children(self)

    def enter(self) -> None:
        """Nothing: any thread may use the client. The asynchronous one belongs to an event loop, and checks it here."""

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self.live is not None

    @property
    def live(self) -> Peer | None:
        """The connection while it takes calls; one that has begun to end does not."""
        peer = self._peer
        return peer if peer is not None and peer.is_open else None

    def offer(self, service: Service[Any]) -> None:
        """Offer a service to the server, on this connection and those that follow it.

        Raises:
            TypeError: a method cannot be offered.
        """
        check_offer(service)
        self.registry.add(service)

    def peer(self, deadline: float, *, anew: bool = True) -> Peer:
        """The connection, made first where there is none.

        Parameters:
            deadline: until when to try, on the clock of :func:`time.monotonic`.
            anew: whether to make another one where there was one before.

        Raises:
            ConnectionClosed: the client was closed, or the interpreter is ending.
            NotSent: there was none until the deadline; or there is none any more, and none is to be made.
            RpcError: it could not be made.
        """
        check_interpreter()
        peer = self._peer
        if peer is not None and peer.is_open:
            return peer
        if self.memory is not None:
            from .memory import check_thread  # It brings asyncio, which others can do without.

            check_thread()
        with self._lock:
            attempt = self._begin(anew=anew)
        if isinstance(attempt, Peer):
            return attempt
        if not attempt.wait(deadline - time.monotonic()):
            raise no_connection_error(self.failure) from self.failure
        return attempt.result()

    def _begin(self, *, anew: bool) -> Attempt | Peer:
        """The attempt that is going on, or a new one. The lock is held."""
        peer = self.live
        if peer is not None:
            return peer
        if self._closed:
            raise ConnectionClosed("the client is closed")
        if self.was_connected and not self.options.reconnect:
            raise ConnectionClosed("the connection is gone, and reconnect is off")
        if self.was_connected and not anew:
            raise NotSent("the connection has ended")
        if self._peer is not None:
            self._leaving.add(self._peer)
            self._over(self._peer, "it was closing")
        if self._attempt is None:
            attempt = Attempt()
            carrier = Carrier(self, attempt)
            self._attempt = attempt
            self._carriers.append(carrier)
            try:
                carrier.thread.start()
            except BaseException:
                # Interrupted: nobody may wait for this attempt. If its thread runs after all, it ends by itself.
                self._attempt = None
                carrier.waiter.stop()
                if carrier.thread.ident is None:
                    carrier.waiter.close()
                    self._carriers.remove(carrier)
                raise
        return self._attempt

    # --- in the thread of a carrier -----------------------------------------------------------------------------

    def made(self, attempt: Attempt, peer: Peer | None, failure: RpcError) -> bool:
        """An attempt has ended.

        Parameters:
            attempt: which.
            peer: the connection, where it could be made.
            failure: why not, where it could not, or is not wanted any more.

        Returns:
            Whether the connection is the client's from now on.
        """
        with self._lock:
            wanted = self._attempt is attempt and not self._closed
            if self._attempt is attempt:
                self._attempt = None
            if peer is None or not wanted:
                self.failure = failure
                return False
            self._peer, self.failure = peer, None
            self.pauses.note_connection()
            self.was_connected = True
            return True

    def refused(self) -> float | None:
        """An attempt has failed for good: how long to wait before the next one, in seconds, whatever the reason was;
        ``None`` where there is to be none."""
        with self._lock:
            if not self._stays_on or self._returning:
                return None
            self._returning = True
            wait_s = self.pauses.after_refusal_s()
        logger.error("%s; trying again in %.0f s, since services are offered", self.failure, wait_s)
        return wait_s

    def returned(self) -> None:
        """That time has passed."""
        self._returning = False

    def lost(self, peer: Peer, reason: str) -> None:
        """A connection has ended."""
        with self._lock:
            known = self._peer is peer or peer in self._leaving
            self._leaving.discard(peer)
            if self._peer is peer:
                self._over(peer, reason)
        if known and not self._closed:
            logger.info("the connection to %s ended: %s", self.options.target.url, reason)

    def _over(self, peer: Peer, reason: str) -> None:
        """This connection is not the client's any more. The lock is held."""
        self._peer = None
        self.pauses.note_loss(useful=peer.has_received)
        if not peer.has_received:
            self.failure = ConnectFailed(f"{self.options.target.url}: the last connection ended: {reason}")

    @property
    def _stays_on(self) -> bool:
        """Whether the server may want to call what is offered here, so that somebody must be there."""
        offers = self.options.reconnect and bool(self.registry.services)
        return offers and self.was_connected and not self._closed

    def next_attempt(self) -> Attempt | None:
        """What a thread is to do next; ``None`` where it has nothing left to do."""
        with self._lock:
            if self._peer is not None or self._attempt is not None or not self._stays_on:
                return None
            self._attempt = Attempt()
            return self._attempt

    def ended(self, carrier: Carrier) -> None:
        """A thread has nothing left to do."""
        with self._lock:
            if carrier in self._carriers:
                self._carriers.remove(carrier)

    # --- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection, make no other, and wait until its threads have ended."""
        self._closed = True
        if sys.is_finalizing():
            return  # Its threads stand still, perhaps with the lock: the connection ends with the process.
        with self._lock:
            peer, self._peer = self._peer, None
            carriers, leaving = list(self._carriers), tuple(self._leaving)
        until = time.monotonic() + CLOSE_TIMEOUT_S
        for left in leaving:
            left.link.abort()
        if peer is not None:
            # What is queued for calls that end here is not waited for; anything else was to arrive.
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

    def let_go(self) -> bool:
        """Close the connection soon, and make no other. Takes no lock, and waits for nothing: garbage is collected at
        any moment.

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
        # An interpreter that ends takes everything with it.
        if hasattr(self, "_closed") and not sys.is_finalizing() and self.let_go():
            warnings.warn(f"unclosed client of {self.options.target.url}", ResourceWarning, stacklevel=2, source=self)

    # --- other processes ----------------------------------------------------------------------------------------

    def on_fork(self) -> None:
        """This is a child: the connection and all that goes on over it is its parent's. The next call makes one."""
        carriers = self._carriers
        self._peer, self._leaving, self.was_connected, self._returning = None, set(), False, False
        self.pauses, self.failure = Pauses(), None
        self._lock, self._attempt, self._carriers = threading.Lock(), None, []
        if self.memory is not None:
            self.memory = refuse_parent_memory
        self.handlers.on_fork()
        for carrier in carriers:
            carrier.on_fork()


def _join(thread: threading.Thread, until: float, peer: Peer | None) -> None:
    """Wait for a connection's thread, and longer where the connection is still closing."""
    while thread.is_alive():
        closes_by = 0.0 if peer is None or peer.closed.is_set() else peer.link.closes_by
        left = max(until, closes_by) + 1.0 - time.monotonic()
        if left <= 0:
            return
        thread.join(min(left, INTERRUPT_S))
