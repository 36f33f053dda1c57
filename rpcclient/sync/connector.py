"""Keeps a connection to one server: makes it, and makes it anew when it was lost."""

from __future__ import annotations

import logging
import threading
import time
from concurrent import futures
from concurrent.futures import Future
from itertools import count
from typing import Any

from rpcclient.backoff import Pauses, in_vain
from rpcclient.failures import AUTHENTICATE, not_authenticated
from rpcclient.handshake import message_limit
from rpcclient.methods import Method
from rpcclient.options import ConnectOptions
from rpcwire.codec import Codec, codec_for
from rpcwire.context import Connection, Principal
from rpcwire.errors import (
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    DeadlineExceeded,
    NotSent,
    RpcError,
    WireError,
    from_wire,
)
from rpcwire.limits import CLOSE_TIMEOUT_S, SessionLimits
from rpcwire.messages import CallContext
from rpcwire.registry import Registry
from rpcwire.service import Service
from rpcwire.session import Session

from .dial import dial
from .handlers import Handlers, check_offer
from .interrupts import INTERRUPT_S
from .link import Link, SocketLink
from .memory import MemoryDial, check_thread, dial_memory
from .peer import Peer
from .pending import Mailbox, Pending
from .remote import SyncCaller
from .waiter import Waiter

logger = logging.getLogger("rpcclient")
_numbers = count(1)


class Connector:
    """The connection of one client. A thread makes it, reads from it until it is lost, and ends with it; where
    services are offered it makes it anew, since the server may want to call them.

    Parameters:
        options: how to connect.
        memory: connects without a socket, where given.
    """

    def __init__(self, options: ConnectOptions, memory: MemoryDial | None = None) -> None:
        self.options = options
        self.registry = Registry(logger)
        self._peer: Peer | None = None
        self._leaving: set[Peer] = set()  # What has begun to end, and another was made in place of.
        self._handlers = Handlers(self.registry)
        self._memory = memory
        self._lock = threading.Lock()
        self._attempt: Future[Peer] | None = None
        self._threads: dict[threading.Thread, Waiter] = {}
        self._stop = threading.Event()
        self._pauses = Pauses()
        self._failure: RpcError | None = None
        self._returning = False
        self._was_connected = False

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
            ConnectionClosed: the client was closed.
            NotSent: there was none until the deadline; or there is none any more, and none is to be made.
            RpcError: it could not be made.
        """
        peer = self.live
        if peer is not None:
            return peer
        if self._memory is not None:
            check_thread()
        with self._lock:
            attempt = self._begin(anew=anew)
        if isinstance(attempt, Peer):
            return attempt
        while not attempt.done() and (left := deadline - time.monotonic()) > 0:
            futures.wait([attempt], min(left, INTERRUPT_S))
        if not attempt.done():
            raise in_vain(self._failure) from self._failure
        return attempt.result()

    def _begin(self, *, anew: bool) -> Future[Peer] | Peer:
        """The attempt that is going on, or a new one. The lock is held."""
        peer = self.live
        if peer is not None:
            return peer
        if self._stop.is_set():
            raise ConnectionClosed("the client is closed")
        if self._was_connected and not self.options.reconnect:
            raise ConnectionClosed("the connection is gone, and reconnect is off")
        if self._was_connected and not anew:
            raise NotSent("the connection has ended")
        if self._peer is not None:
            self._leaving.add(self._peer)
            self._ended(self._peer, "it was closing")
        if self._attempt is None:
            attempt: Future[Peer] = Future()
            waiter = Waiter()
            thread = threading.Thread(
                target=self._live, args=(attempt, waiter), name="rpcclient-connection", daemon=True
            )
            self._attempt, self._threads[thread] = attempt, waiter
            try:
                thread.start()
            except BaseException:
                # Interrupted: nobody may wait for this attempt. If its thread runs after all, it ends by itself.
                self._attempt = None
                waiter.stop()
                if thread.ident is None:
                    waiter.close()
                    del self._threads[thread]
                raise
        return self._attempt

    # --- the connection's thread --------------------------------------------------------------------------------

    def _live(self, first: Future[Peer], waiter: Waiter) -> None:
        attempt: Future[Peer] | None = first
        try:
            while attempt is not None:
                peer = self._make(attempt, waiter)
                if peer is not None:
                    attempt.set_result(peer)
                    peer.link.run(peer)
                elif not self._returns():
                    return
                attempt = self._again()
        finally:
            waiter.close()
            with self._lock:
                self._threads.pop(threading.current_thread(), None)

    @property
    def _stays_on(self) -> bool:
        """Whether the server may want to call what is offered here, so that somebody must be there."""
        offers = self.options.reconnect and bool(self.registry.services)
        return offers and self._was_connected and not self._stop.is_set()

    def _returns(self) -> bool:
        """Wait some time after a refusal, whatever its reason was, if nobody else would bring this client back; returns
        whether to try again."""
        with self._lock:
            if not self._stays_on or self._returning:
                return False
            self._returning = True
            wait_s = self._pauses.refused_s()
        logger.error("%s; trying again in %.0f s, since services are offered", self._failure, wait_s)
        self._stop.wait(wait_s)
        self._returning = False
        return True

    def _make(self, attempt: Future[Peer], waiter: Waiter) -> Peer | None:
        """Connect, and publish the result."""
        failure: RpcError
        peer: Peer | None = None
        try:
            peer = self._connect(waiter)
            failure = ConnectionClosed("the client was closed")
        except RpcError as exc:
            failure = exc
        except Exception as exc:
            logger.exception("connecting to %s failed", self.options.target.url)
            failure = ConnectFailed(f"{self.options.target.url}: {type(exc).__name__}")
        with self._lock:
            wanted = self._attempt is attempt and not self._stop.is_set()
            if self._attempt is attempt:
                self._attempt = None
            if peer is not None and wanted:
                self._peer, self._failure = peer, None
                self._pauses.connected()
                self._was_connected = True
                return peer
            self._failure = failure
        if peer is not None:
            peer.link.abort()
            peer.link.run(peer)
        attempt.set_exception(failure)
        return None

    def _connect(self, waiter: Waiter) -> Peer:
        """Connect; where there was a connection before, try until it is there or the server refuses for good."""
        pause_s = self._pauses.begin_s()
        while True:
            self._stop.wait(pause_s)
            try:
                return self._connect_once(waiter)
            except RpcError as exc:
                if not self._was_connected or not isinstance(exc, ConnectFailed) or not exc.retryable:
                    self._pauses.given_up()
                    raise
                self._failure = exc
                pause_s = self._pauses.failed_s(exc)
                logger.debug("%s; trying again in %.2f s", exc, pause_s)

    def _connect_once(self, waiter: Waiter) -> Peer:
        if self._stop.is_set():
            raise ConnectionClosed("the client was closed")
        options = self.options
        if self._memory is not None:
            subprotocol = options.subprotocol or "rpc.v1.msgpack"
            memory = dial_memory(self._memory, subprotocol)
            return self._make_peer(memory, codec_for(subprotocol), options.message_bytes)
        opened = dial(options, waiter)
        try:
            codec = codec_for(opened.ws.subprotocol)
            link = SocketLink(opened, waiter, options.link_limits, binary=codec.binary, plain=codec.batches)
            peer = self._make_peer(link, codec, message_limit(opened.response, options.message_bytes))
        except BaseException:
            waiter.watch(None)
            opened.sock.close()
            raise
        if options.target.token_by_call is not None:
            self._authenticate(peer, link, waiter, options.target.token_by_call)
        return peer

    def _authenticate(self, peer: Peer, link: SocketLink, waiter: Waiter, token: str) -> None:
        """Say who is calling, where the handshake did not. This thread reads the answer itself.

        Raises:
            RpcError: the server does not take it, or does not answer. The connection has ended then.
        """
        seconds = self.options.connect_timeout_s
        deadline, pending = time.monotonic() + seconds, Pending(Mailbox())
        try:
            body = Method(AUTHENTICATE).dump({"token": token}, peer.session.codec)
            peer.begin(AUTHENTICATE, body, CallContext(ttl_ms=round(seconds * 1000)), pending, deadline)
            link.run_while(lambda: not pending.done and not waiter.stopped, peer, deadline)
            if waiter.stopped:
                raise ConnectionClosed("the client was closed")
            if not pending.done and link.is_open:
                raise DeadlineExceeded("the answer did not come in time")
            if pending.error is not None:
                raise pending.error
            if not pending.done:
                raise ConnectionLost("connection lost")
        except BaseException as exc:
            link.close(1000, "")
            link.run(peer)
            if isinstance(exc, WireError):
                exc = from_wire(exc.code, exc.message, exc.data)
            raise (not_authenticated(exc, self.options.target, seconds) or exc) from None

    def _make_peer(self, link: Link, codec: Codec, message_bytes: int) -> Peer:
        options = self.options
        caller = SyncCaller()
        # The server was chosen, and proven by its address or certificate: what is offered is offered to it.
        server = Principal("server", "connected")
        connection = Connection(f"server-{next(_numbers)}", options.target.url, caller, server, logger=logger)
        limits = SessionLimits(message_bytes=message_bytes, stream_window=options.window)
        session = Session(codec, limits=limits, stream_prefix="c")
        peer = Peer(session, link, self._handlers, connection, lost=self._lost, logger=logger)
        caller.bind(peer)
        return peer

    def _lost(self, peer: Peer, reason: str) -> None:
        with self._lock:
            known = self._peer is peer or peer in self._leaving
            self._leaving.discard(peer)
            if self._peer is peer:
                self._ended(peer, reason)
        if known and not self._stop.is_set():
            logger.info("the connection to %s ended: %s", self.options.target.url, reason)

    def _ended(self, peer: Peer, reason: str) -> None:
        """This connection is not the client's any more. The lock is held."""
        self._peer = None
        self._pauses.lost(useful=peer.heard)
        if not peer.heard:
            self._failure = ConnectFailed(f"{self.options.target.url}: the last connection ended: {reason}")

    def _again(self) -> Future[Peer] | None:
        """The next attempt of this thread; ``None`` where it has nothing left to do."""
        with self._lock:
            if self._peer is not None or self._attempt is not None or not self._stays_on:
                return None
            self._attempt = Future()
            return self._attempt

    # --- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection, make no other, and wait until its threads have ended."""
        self._stop.set()
        with self._lock:
            peer, self._peer = self._peer, None
            threads, leaving = dict(self._threads), tuple(self._leaving)
        until = time.monotonic() + CLOSE_TIMEOUT_S
        for left in leaving:
            left.link.abort()
        if peer is not None:
            # What is queued for calls that end here is not waited for; anything else was to arrive.
            peer.link.close(1000, "", patient=not peer.is_waiting)
        for waiter in threads.values():
            waiter.stop()
        for thread in threads:
            if thread.ident is not None and thread is not threading.current_thread():
                _join(thread, until, peer)
        self._handlers.close(until)
        if peer is not None:
            peer.join_uploads(until)


def _join(thread: threading.Thread, until: float, peer: Peer | None) -> None:
    """Wait for a connection's thread, and longer where the connection is still closing."""
    while thread.is_alive():
        closes_by = 0.0 if peer is None or peer.closed.is_set() else peer.link.closes_by
        left = max(until, closes_by) + 1.0 - time.monotonic()
        if left <= 0:
            return
        thread.join(min(left, INTERRUPT_S))
