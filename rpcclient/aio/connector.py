"""Keeps a connection to one server: makes it, and makes another one when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from itertools import count
from threading import get_ident
from typing import Any

from rpcclient.backoff import Pauses, no_connection_error
from rpcclient.dispatching import make_dispatch
from rpcclient.failures import AUTHENTICATE, CONNECT_NODE, to_authentication_error, to_node_error
from rpcclient.handshake import memory_limits, node_limits
from rpcclient.listeners import check_open_way
from rpcclient.memory import MemoryDial
from rpcclient.offers import WeakOffers
from rpcclient.options import ConnectOptions, join_failures
from rpcwire.aio.peer import Peer
from rpcwire.aio.remote import RemoteCaller
from rpcwire.codec import Codec, codec_for
from rpcwire.context import Connection, Principal
from rpcwire.elsewhere import refuse_parent_memory
from rpcwire.errors import ConnectFailed, ConnectionClosed, NotSent, RpcError
from rpcwire.forking import ForkLock, keep_alive, tell_in_children
from rpcwire.limits import CLOSE_TIMEOUT_S, SessionLimits
from rpcwire.pool import Pool, waiting
from rpcwire.registry import Registry
from rpcwire.service import Service
from rpcwire.session import Session

from .life import Life, current_loop, running_loop
from .link import dial

logger = logging.getLogger("rpcclient")
_numbers = count(1)

LAST_CALLS_S = 1.0
"""How long calls may take that are made while the event loop ends, in seconds. Then the connection ends, too."""


class Connector:
    """The connection of one client, and the work on it. It belongs to the event loop in which the client is used. After
    the loop has ended, or the process has forked, it begins anew in the loop that uses the client next. The loop holds
    it weakly, except while it connects: a client that nobody uses any more becomes garbage, and its connection ends.

    Parameters:
        options: how to connect.
        memory: connects without a socket; ``None`` to use a socket.

    """

    def __init__(self, options: ConnectOptions, memory: MemoryDial | None = None) -> None:
        self.options = options
        self.registry = Registry(logger)
        # Handlers that the server calls see the context variables of the code that made the client, and not those of
        # the call that happened to connect.
        self._context = copy_context()
        self.memory = memory
        self._closed = False
        self._enter_lock = ForkLock()
        self._life: Life | None = None
        self._thread_id = 0  # The thread in which the loop last ran.
        self._begin_anew()
        tell_in_children(self)

    def _begin_anew(self) -> None:
        self._pool = Pool(name="rpcclient-handler")  # The loop's own pool is for the program's other work.
        self._peer: Peer | None = None
        self._closing_peers: set[Peer] = set()  # Connections that are closing and have been replaced.
        self._connect_task: asyncio.Task[Peer] | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._watch: AsyncGenerator[None, None] | None = None
        self._loop_is_ending = False
        self.pauses = Pauses()
        self._failure: RpcError | None = None
        self._was_connected = False

    # --- where it lives -----------------------------------------------------------------------------------------

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the event loop that runs here. The client belongs to it from now on.

        Raises:
            LocalProtocolError: no loop runs here; or the client belongs to another loop, which is not closed.
        """
        loop, life = running_loop(), self._life
        if life is None or life.loop is not loop:
            with self._enter_lock:
                life = self._life
                if life is not None:
                    life.check_place("the client")
                    self._leave_loop()
                self._life = Life(loop)
        self._thread_id = get_ident()
        return loop

    def _leave_loop(self) -> None:
        """Abort the connections of the loop that has ended, so that the server knows, and begin anew."""
        for peer in (self._peer, *self._closing_peers):
            if peer is not None:
                peer.link.abort()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._begin_anew()

    def on_fork(self) -> None:
        """Begin anew in a forked child: the connection and its calls belong to the parent. The next call connects."""
        keep_alive(
            self._life, self._peer, self._closing_peers, self._connect_task, self._retry_timer, self._watch, self._pool
        )
        self._life = None
        self._begin_anew()
        if self.memory is not None:
            self.memory = refuse_parent_memory

    @property
    def live(self) -> Peer | None:
        """The connection, if it accepts calls. One that is closing does not."""
        peer = self._peer
        return peer if peer is not None and peer.is_open and not peer.loop.is_closed() else None

    @property
    def ready(self) -> Peer | None:
        """The connection, if a call can be sent over it at once: it accepts output, and its loop runs here. It may just
        have ended."""
        peer = self._peer
        # A thread runs one loop at a time. To ask asyncio which one would cost each call a system call.
        if peer is not None and peer.is_writable and self._thread_id == get_ident() and peer.loop.is_running():
            return peer
        return None

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed."""
        return self._closed

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self.live is not None

    def offer(self, service: Service[Any]) -> None:
        """Offer a service to the server, on this connection and those that follow it.

        Raises:
            ConnectFailed: this connection was made without a look at who listens there.
        """
        target = self.options.target
        if self.live is not None:
            check_open_way(target)
        self.registry.add(service)
        if not target.offers_services:
            seeds = tuple(replace(each, offers_services=True) for each in self.options.seeds)
            self.options = replace(self.options, target=replace(target, offers_services=True), seeds=seeds)

    async def peer(self, deadline: float, *, may_reconnect: bool = True) -> Peer:
        """Return the connection, and make it first if there is none.

        Parameters:
            deadline: until when to try, on the loop's clock.
            may_reconnect: whether to make another connection if there was one before.

        Raises:
            ConnectionClosed: the client was closed.
            NotSent: no connection was made before the deadline; or the connection has ended, and must not be replaced.
            LocalProtocolError: the client belongs to another loop.
            RpcError: the connection could not be made.
        """
        loop = self.enter()
        peer = self.live
        if peer is not None:
            return peer
        if self._closed:
            raise ConnectionClosed("the client is closed")
        if self._was_connected and not self.options.reconnect:
            raise ConnectionClosed("the connection is gone, and reconnect is off")
        if self._was_connected and not may_reconnect:
            raise NotSent("the connection has ended")
        if self._connect_task is None:
            self._begin()
        task = self._connect_task
        assert task is not None
        left_s = deadline - loop.time()
        # One task makes the connection for all who wait. It goes on when one of them gives up.
        with waiting():
            await asyncio.wait([task], timeout=max(left_s, 0))
        if not task.done():
            raise no_connection_error(self._failure) from self._failure
        if task.cancelled():
            raise ConnectionClosed("the client was closed")
        return task.result()

    def _begin(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None
        if self._peer is not None:
            self._closing_peers.add(self._peer)
            self._drop_peer(self._peer, "it was closing")
        reference: weakref.ref[Connector] = weakref.ref(self)
        self._connect_task = asyncio.get_running_loop().create_task(
            _connect(reference, self._was_connected), context=self._context.copy()
        )
        self._connect_task.add_done_callback(partial(_connect_done, reference))

    def _connect_done(self, task: asyncio.Task[Peer]) -> None:
        self._connect_task = None
        if task.cancelled():
            return
        error = task.exception()  # The waiting calls raise it. There may be none, and then it must be fetched here.
        if error is not None and self._stays_on:
            # The client must try again by itself, whatever the reason was: it may make no calls.
            wait_s = self.pauses.after_refusal_s()
            logger.error("%s; trying again in %.0f s, since services are offered", error, wait_s)
            reference: weakref.ref[Connector] = weakref.ref(self)
            retry = partial(_if_alive, reference, Connector._begin)
            self._retry_timer = asyncio.get_running_loop().call_later(wait_s, retry)
        elif self._peer is None and self._stays_on:  # The connection was lost before this callback ran.
            self._begin()

    @property
    def _stays_on(self) -> bool:
        """Whether the client reconnects by itself, since the server may want to call what it offers."""
        offers = self.options.reconnect and bool(self.registry.services)
        return offers and self._was_connected and not self._closed

    async def _try(self, was_connected: bool) -> Peer | float:
        """Try to connect. Returns the pause before the next attempt, in seconds, if there is to be one."""
        try:
            return await self._connect_once()
        except RpcError as exc:
            if not was_connected or not isinstance(exc, ConnectFailed) or not exc.retryable:
                self.pauses.forget_failures()
                raise
            self._failure = exc
            pause_s = self.pauses.after_failure_s(exc)
            logger.debug("%s; trying again in %.2f s", exc, pause_s)
            return pause_s

    async def _connect_once(self) -> Peer:
        """Connect to one of the servers."""
        failures: list[ConnectFailed] = []
        if self.options.has_one_server:
            return await self._connect_to(self.options)
        for options in self.options.each_server():
            try:
                peer = await self._connect_to(options)
            except ConnectFailed as exc:
                failures.append(exc)
            else:
                self.options = self.options.prefer(options.target)
                return peer
        if self.options.locate is not None:
            try:
                targets = await asyncio.to_thread(self.options.locate)
            except ConnectFailed as exc:
                targets = []
                failures.append(exc)
            for options in self.options.at_places(targets):
                try:
                    return await self._connect_to(options)
                except ConnectFailed as exc:
                    failures.append(exc)
        raise join_failures(failures) from failures[-1]

    async def _connect_to(self, options: ConnectOptions) -> Peer:
        if self.memory is not None:
            subprotocol = options.subprotocol or "rpc.v1.msgpack"
            link = self.memory(subprotocol)
            limits = memory_limits(options, link.batch_items, link.message_nodes)
            peer = self._make_peer(link, codec_for(subprotocol), limits)
            link.attach(peer)
        else:
            peer = await dial(options, self._make_peer)
            if options.target.token_by_call is not None:
                await self._authenticate(peer, options, options.target.token_by_call)
        if options.node is not None:
            await self._connect_node(peer, options, options.node)
        if self._closed:
            peer.link.abort()
            raise ConnectionClosed("the client was closed")
        self._was_connected = True
        if self._watch is None:
            self._watch = _watch_over(weakref.ref(self))
            await anext(self._watch)
        if peer.closed.done():
            raise ConnectFailed(f"{options.target.url}: the connection ended at once: {peer.closed.result()}")
        self._peer, self._failure = peer, None
        self.pauses.note_connection()
        return peer

    async def _authenticate(self, peer: Peer, options: ConnectOptions, token: str) -> None:
        """Send the token by a call, as the handshake did not hold it.

        Raises:
            RpcError: the server refuses the token, or does not answer. The connection is aborted then.
        """
        seconds = options.connect_timeout_s
        try:
            await peer.connection.caller.call(AUTHENTICATE, {"token": token}, timeout_s=seconds)
        except BaseException as exc:
            peer.link.abort()
            error = to_authentication_error(exc, options.target, seconds)
            if error is None:
                raise
            raise error from exc

    async def _connect_node(self, peer: Peer, options: ConnectOptions, node: str) -> None:
        """Have the server lead the connection to another node of its group.

        Raises:
            RpcError: it refuses, or does not answer. The connection is aborted then.
        """
        seconds = options.connect_timeout_s
        try:
            answer = await peer.connection.caller.call(CONNECT_NODE, {"node": node}, timeout_s=seconds)
        except BaseException as exc:
            peer.link.abort()
            error = to_node_error(exc, options.target, node, seconds)
            if error is None:
                raise
            raise error from exc
        peer.session.narrow(node_limits(peer.session.limits, answer))

    def _make_peer(self, link: Any, codec: Codec, limits: SessionLimits) -> Peer:
        options = self.options
        caller = RemoteCaller()
        # The user chose the server, and its address or certificate proves it: it may call what is offered.
        server = Principal("server", "connected")
        connection = Connection(f"server-{next(_numbers)}", options.target.url, caller, server, logger=logger)
        peer = Peer(
            Session(codec, limits=limits, stream_prefix="c"),
            link,
            make_dispatch(WeakOffers(self)),
            connection,
            executor=self._pool,
            logger=logger,
        )
        caller.bind(peer)
        reference: weakref.ref[Connector] = weakref.ref(self)
        peer.closed.add_done_callback(lambda done: _if_alive(reference, Connector._on_loss, peer, done.result()))
        return peer

    def _on_loss(self, peer: Peer, reason: str) -> None:
        self._closing_peers.discard(peer)
        if not self._closed:
            logger.info("the connection to %s ended: %s", self.options.target.url, reason)
        if self._peer is peer:
            self._drop_peer(peer, reason)
            if self._stays_on and self._connect_task is None:
                self._begin()

    def _drop_peer(self, peer: Peer, reason: str) -> None:
        """Use this connection no more."""
        self._peer = None
        self.pauses.note_loss(useful=peer.has_received)
        if not peer.has_received:
            self._failure = ConnectFailed(f"{self.options.target.url}: the last connection ended: {reason}")

    # --- the end ------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connection, and make no other. If its loop has ended, the connection has ended with it.

        Raises:
            LocalProtocolError: the client belongs to another loop, which is not closed.
        """
        life = self._life
        if life is not None and not self._closed:
            life.check_place("the client")
        self._closed = True
        if life is None or life.is_over:
            self._leave_loop()
            self._pool.shutdown(wait=False)
            return
        if life.loop is not current_loop():
            return  # The client was closed before, and is now used in another loop.
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        if self._connect_task is not None:
            self._connect_task.cancel()
        peer, self._peer = self._peer, None
        for closing_peer in tuple(self._closing_peers):
            closing_peer.link.abort()
        if peer is not None:
            # Output of calls that end here is not waited for. All other output is to arrive.
            peer.flush()
            peer.link.close(1000, "", patient=not peer.is_waiting)
            await peer.wait_closed()
        if self._watch is not None and not self._loop_is_ending:
            await self._watch.aclose()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def abort(self) -> None:
        """End the connection at once, from wherever this is called, and wait for nothing."""
        peer = self._peer
        if peer is None:
            return
        if peer.loop is current_loop() or peer.loop.is_closed():
            peer.link.abort()
        else:
            peer.loop.call_soon_threadsafe(peer.link.abort)

    async def on_loop_end(self) -> None:
        """Close the connection in an orderly way, since the event loop is about to end."""
        self._loop_is_ending = True
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        if self._peer is None and not self._closing_peers:
            return
        # Other tasks that end with the loop may make last calls.
        until = time.monotonic() + LAST_CALLS_S
        await asyncio.sleep(0)
        while self._peer is not None and self._peer.is_waiting and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        peer, self._peer = self._peer, None
        closing_peers = [*self._closing_peers, *([] if peer is None else [peer])]
        if peer is not None:
            peer.flush()
            peer.link.close(1000, "", patient=False)
            await asyncio.sleep(0)  # uvloop writes at the end of a turn.
        for closing_peer in closing_peers:
            closing_peer.link.abort()
        if closing_peers:
            await asyncio.wait([closing_peer.closed for closing_peer in closing_peers], timeout=CLOSE_TIMEOUT_S)

    def __del__(self) -> None:
        # When the interpreter ends, everything ends with it.
        if not hasattr(self, "_was_connected") or self._closed or sys.is_finalizing():
            return
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        closers: list[tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = [
            (peer.loop, partial(peer.link.close, 1000, "", patient=False))
            for peer in (self._peer, *self._closing_peers)
            if peer is not None
        ]
        if self._connect_task is not None:
            closers.append((self._connect_task.get_loop(), self._connect_task.cancel))
        for loop, close in closers:
            # Garbage is collected at any moment, in any thread. A loop that has ended has closed its sockets.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(close)
        if closers or self._retry_timer is not None:  # The timer finds no client when it fires.
            warnings.warn(f"unclosed client of {self.options.target.url}", ResourceWarning, stacklevel=2, source=self)


async def _watch_over(reference: weakref.ref[Connector]) -> AsyncGenerator[None, None]:
    """Wait for the end of the event loop, without holding the client. Before a loop is closed, while it still works,
    :func:`asyncio.run` ends its asynchronous generators (:meth:`asyncio.loop.shutdown_asyncgens`)."""
    try:
        yield
    finally:
        connector = reference()
        if connector is not None:
            await connector.on_loop_end()


def _if_alive(reference: weakref.ref[Connector], act: Callable[..., None], *args: Any) -> None:
    """Call a method of the connector, if it still exists."""
    connector = reference()
    if connector is not None:
        act(connector, *args)


def _connect_done(reference: weakref.ref[Connector], task: asyncio.Task[Peer]) -> None:
    connector = reference()
    if connector is not None:
        connector._connect_done(task)
    elif not task.cancelled():
        task.exception()  # Nobody waits for it any more, so it must be fetched here.


async def _connect(reference: weakref.ref[Connector], was_connected: bool) -> Peer:
    """Connect. If there was a connection before, try again until one is made, the server refuses for good, or nobody
    uses the client any more."""
    connector = reference()
    pause_s = 0.0 if connector is None else connector.pauses.before_first_s()
    while True:
        del connector
        await asyncio.sleep(pause_s)
        connector = reference()
        if connector is None:
            raise ConnectionClosed("nobody uses the client any more")
        outcome = await connector._try(was_connected)
        if isinstance(outcome, Peer):
            return outcome
        pause_s = outcome
