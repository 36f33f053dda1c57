"""Keeps a connection to one server: makes it, and makes it anew when it was lost."""

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
from functools import partial
from itertools import count
from threading import get_ident
from typing import Any

from rpcclient.backoff import Pauses, no_connection_error
from rpcclient.failures import AUTHENTICATE, to_authentication_error
from rpcclient.handshake import memory_limits
from rpcclient.memory import MemoryDial
from rpcclient.offers import WeakOffers
from rpcclient.options import ConnectOptions
from rpcwire.aio.peer import Peer
from rpcwire.aio.remote import RemoteCaller
from rpcwire.codec import Codec, codec_for
from rpcwire.context import Connection, Principal
from rpcwire.dispatch import Dispatch
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
"""How long calls that are made while the event loop ends may take before the connection ends, too, in seconds."""


class Connector:
    """The connection of one client, and all that is under way for it. It belongs to the event loop in which the client
    is used; when that has ended, or the process has forked, it begins anew where the client is used next. What the loop
    holds knows it weakly, but for the time in which it connects: a client that nobody uses any more is garbage, and its
    connection ends with it.

    Parameters:
        options: how to connect.
        memory: connects without a socket, where given.

    """

    def __init__(self, options: ConnectOptions, memory: MemoryDial | None = None) -> None:
        self.options = options
        self.registry = Registry(logger)
        # What the server calls here sees the context variables of whoever made the client, rather than those of the
        # call that happened to be the first, for as long as its connection lasts.
        self._context = copy_context()
        self.memory = memory
        self._closed = False
        self._entering = ForkLock()
        self._life: Life | None = None
        self._thread_id = 0  # Of the thread in which the loop was last seen.
        self._begin_anew()
        tell_in_children(self)

    def _begin_anew(self) -> None:
        self._pool = Pool(name="rpcclient-handler")  # The loop's own is for the program's other work.
        self._peer: Peer | None = None
        self._leaving: set[Peer] = set()  # What has begun to end, and another was made in place of.
        self._connecting: asyncio.Task[Peer] | None = None
        self._returning: asyncio.TimerHandle | None = None
        self._watch: AsyncGenerator[None, None] | None = None
        self._watch_ends = False
        self.pauses = Pauses()
        self._failure: RpcError | None = None
        self._was_connected = False

    # --- where it lives -----------------------------------------------------------------------------------------

    def enter(self) -> asyncio.AbstractEventLoop:
        """The event loop that runs here, and that the client belongs to from now on, if it is not already.

        Raises:
            LocalProtocolError: no loop runs here; or the client belongs to another one, which is not closed.
        """
        loop, life = running_loop(), self._life
        if life is None or life.loop is not loop:
            with self._entering:
                life = self._life
                if life is not None:
                    life.check_place("the client")
                    self._leave()
                self._life = Life(loop)
        self._thread_id = get_ident()
        return loop

    def _leave(self) -> None:
        """What belonged to the loop that has ended is of no more use. The server is to know it."""
        for peer in (self._peer, *self._leaving):
            if peer is not None:
                peer.link.abort()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._begin_anew()

    def on_fork(self) -> None:
        """This is a child: the connection and all that goes on over it is its parent's. The next call makes one."""
        keep_alive(self._life, self._peer, self._leaving, self._connecting, self._returning, self._watch, self._pool)
        self._life = None
        self._begin_anew()
        if self.memory is not None:
            self.memory = refuse_parent_memory

    @property
    def live(self) -> Peer | None:
        """The connection while it takes calls; one that has begun to end does not."""
        peer = self._peer
        return peer if peer is not None and peer.is_open and not peer.loop.is_closed() else None

    @property
    def ready(self) -> Peer | None:
        """The connection, where a call can go out over it at once, unless it has just ended. It takes more, and its
        loop is the one that runs."""
        peer = self._peer
        # A thread runs one loop at a time. To ask asyncio which one would cost each call a system call.
        if peer is not None and peer.is_writable and self._thread_id == get_ident() and peer.loop.is_running():
            return peer
        return None

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self.live is not None

    def offer(self, service: Service[Any]) -> None:
        """Offer a service to the server, on this connection and those that follow it."""
        self.registry.add(service)

    async def peer(self, deadline: float, *, anew: bool = True) -> Peer:
        """The connection, made first where there is none.

        Parameters:
            deadline: until when to try, on the loop's clock.
            anew: whether to make another one where there was one before.

        Raises:
            ConnectionClosed: the client was closed.
            NotSent: there was none until the deadline; or there is none any more, and none is to be made.
            LocalProtocolError: the client belongs to another loop.
            RpcError: it could not be made.
        """
        loop = self.enter()
        peer = self.live
        if peer is not None:
            return peer
        if self._closed:
            raise ConnectionClosed("the client is closed")
        if self._was_connected and not self.options.reconnect:
            raise ConnectionClosed("the connection is gone, and reconnect is off")
        if self._was_connected and not anew:
            raise NotSent("the connection has ended")
        if self._connecting is None:
            self._begin()
        task = self._connecting
        assert task is not None
        wait = deadline - loop.time()
        # One task makes the connection for all who wait; that one of them gives up does not end it.
        with waiting():
            await asyncio.wait([task], timeout=max(wait, 0))
        if not task.done():
            raise no_connection_error(self._failure) from self._failure
        if task.cancelled():
            raise ConnectionClosed("the client was closed")
        return task.result()

    def _begin(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            self._returning = None
        if self._peer is not None:
            self._leaving.add(self._peer)
            self._ended(self._peer, "it was closing")
        held: weakref.ref[Connector] = weakref.ref(self)
        self._connecting = asyncio.get_running_loop().create_task(
            _connect(held, self._was_connected), context=self._context.copy()
        )
        self._connecting.add_done_callback(partial(_connect_done, held))

    def _connect_done(self, task: asyncio.Task[Peer]) -> None:
        self._connecting = None
        if task.cancelled():
            return
        error = task.exception()  # Whoever waits gets it; nobody may be waiting any more.
        if error is not None and self._stays_on:
            # Nobody else would bring this client back, whatever the reason was.
            wait_s = self.pauses.after_refusal_s()
            logger.error("%s; trying again in %.0f s, since services are offered", error, wait_s)
            held: weakref.ref[Connector] = weakref.ref(self)
            again = partial(_if_held, held, Connector._begin)
            self._returning = asyncio.get_running_loop().call_later(wait_s, again)
        elif self._peer is None and self._stays_on:  # It was lost before this could be noted.
            self._begin()

    @property
    def _stays_on(self) -> bool:
        """Whether the server may want to call what is offered here, so that somebody must be there."""
        offers = self.options.reconnect and bool(self.registry.services)
        return offers and self._was_connected and not self._closed

    async def _try(self, again: bool) -> Peer | float:
        """Try to connect; returns for how long to wait where that is to be tried again."""
        try:
            return await self._connect_once()
        except RpcError as exc:
            if not again or not isinstance(exc, ConnectFailed) or not exc.retryable:
                self.pauses.forget_failures()
                raise
            self._failure = exc
            pause_s = self.pauses.after_failure_s(exc)
            logger.debug("%s; trying again in %.2f s", exc, pause_s)
            return pause_s

    async def _connect_once(self) -> Peer:
        if self.memory is not None:
            subprotocol = self.options.subprotocol or "rpc.v1.msgpack"
            link = self.memory(subprotocol)
            limits = memory_limits(self.options, link.batch_items)
            peer = self._make_peer(link, codec_for(subprotocol), limits)
            link.attach(peer)
        else:
            peer = await dial(self.options, self._make_peer)
            if self.options.target.token_by_call is not None:
                await self._authenticate(peer, self.options.target.token_by_call)
        if self._closed:
            peer.link.abort()
            raise ConnectionClosed("the client was closed")
        self._was_connected = True
        if self._watch is None:
            self._watch = _watch_over(weakref.ref(self))
            await anext(self._watch)
        if peer.closed.done():
            raise ConnectFailed(f"{self.options.target.url}: the connection ended at once: {peer.closed.result()}")
        self._peer, self._failure = peer, None
        self.pauses.note_connection()
        return peer

    async def _authenticate(self, peer: Peer, token: str) -> None:
        """Say who is calling, where the handshake did not.

        Raises:
            RpcError: the server does not take it, or does not answer. The connection is given up then.
        """
        seconds = self.options.connect_timeout_s
        try:
            await peer.connection.caller.call(AUTHENTICATE, {"token": token}, timeout_s=seconds)
        except BaseException as exc:
            peer.link.abort()
            error = to_authentication_error(exc, self.options.target, seconds)
            if error is None:
                raise
            raise error from exc

    def _make_peer(self, link: Any, codec: Codec, limits: SessionLimits) -> Peer:
        options = self.options
        caller = RemoteCaller()
        # The server was chosen, and proven by its address or certificate: what is offered is offered to it.
        server = Principal("server", "connected")
        connection = Connection(f"server-{next(_numbers)}", options.target.url, caller, server, logger=logger)
        peer = Peer(
            Session(codec, limits=limits, stream_prefix="c"),
            link,
            Dispatch(WeakOffers(self), logger=logger),
            connection,
            executor=self._pool,
            logger=logger,
        )
        caller.bind(peer)
        held: weakref.ref[Connector] = weakref.ref(self)
        peer.closed.add_done_callback(lambda done: _if_held(held, Connector._lost, peer, done.result()))
        return peer

    def _lost(self, peer: Peer, reason: str) -> None:
        self._leaving.discard(peer)
        if not self._closed:
            logger.info("the connection to %s ended: %s", self.options.target.url, reason)
        if self._peer is peer:
            self._ended(peer, reason)
            if self._stays_on and self._connecting is None:
                self._begin()

    def _ended(self, peer: Peer, reason: str) -> None:
        """This connection is not the client's any more."""
        self._peer = None
        self.pauses.note_loss(useful=peer.has_received)
        if not peer.has_received:
            self._failure = ConnectFailed(f"{self.options.target.url}: the last connection ended: {reason}")

    # --- the end ------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connection, and make no other. Of a loop that has ended nothing is left to close.

        Raises:
            LocalProtocolError: the client belongs to another loop, which is not closed.
        """
        life = self._life
        if life is not None and not self._closed:
            life.check_place("the client")
        self._closed = True
        if life is None or life.is_over:
            self._leave()
            self._pool.shutdown(wait=False)
            return
        if life.loop is not current_loop():
            return  # It was closed before.
        if self._returning is not None:
            self._returning.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        peer, self._peer = self._peer, None
        for leaving in tuple(self._leaving):
            leaving.link.abort()
        if peer is not None:
            # What is queued for calls that end here is not waited for; anything else was to arrive.
            peer.flush()
            peer.link.close(1000, "", patient=not peer.is_waiting)
            await peer.wait_closed()
        if self._watch is not None and not self._watch_ends:
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

    async def loop_ends(self) -> None:
        """The event loop is about to end: so does the connection, in an orderly way."""
        self._watch_ends = True
        if self._returning is not None:
            self._returning.cancel()
        if self._peer is None and not self._leaving:
            return
        # Others that end with the loop may have something to say before they do.
        until = time.monotonic() + LAST_CALLS_S
        await asyncio.sleep(0)
        while self._peer is not None and self._peer.is_waiting and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        peer, self._peer = self._peer, None
        ending = [*self._leaving, *([] if peer is None else [peer])]
        if peer is not None:
            peer.flush()
            peer.link.close(1000, "", patient=False)
            await asyncio.sleep(0)  # uvloop writes at the end of a turn.
        for one in ending:
            one.link.abort()
        if ending:
            await asyncio.wait([one.closed for one in ending], timeout=CLOSE_TIMEOUT_S)

    def __del__(self) -> None:
        # An interpreter that ends takes everything with it.
        if not hasattr(self, "_was_connected") or self._closed or sys.is_finalizing():
            return
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        ends: list[tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = [
            (peer.loop, partial(peer.link.close, 1000, "", patient=False))
            for peer in (self._peer, *self._leaving)
            if peer is not None
        ]
        if self._connecting is not None:
            ends.append((self._connecting.get_loop(), self._connecting.cancel))
        for loop, end in ends:
            # Garbage is collected at any moment, in any thread. A loop that has ended takes its sockets with it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(end)
        if ends or self._returning is not None:  # That finds nobody when its time comes.
            warnings.warn(f"unclosed client of {self.options.target.url}", ResourceWarning, stacklevel=2, source=self)


async def _watch_over(connector: weakref.ref[Connector]) -> AsyncGenerator[None, None]:
    """Wait for the end of the event loop: that ends its asynchronous generators before it is closed
    (:meth:`asyncio.loop.shutdown_asyncgens`, as asyncio.run does), while everything still works. It holds no client."""
    try:
        yield
    finally:
        held = connector()
        if held is not None:
            await held.loop_ends()


def _if_held(held: weakref.ref[Connector], act: Callable[..., None], *args: Any) -> None:
    """Do something for a client that is still there."""
    connector = held()
    if connector is not None:
        act(connector, *args)


def _connect_done(held: weakref.ref[Connector], task: asyncio.Task[Peer]) -> None:
    connector = held()
    if connector is not None:
        connector._connect_done(task)
    elif not task.cancelled():
        task.exception()  # Nobody waits for it any more.


async def _connect(held: weakref.ref[Connector], again: bool) -> Peer:
    """Connect; where there was a connection before, try until it is there, the server refuses for good, or nobody uses
    the client any more."""
    connector = held()
    pause_s = 0.0 if connector is None else connector.pauses.before_first_s()
    while True:
        del connector
        await asyncio.sleep(pause_s)
        connector = held()
        if connector is None:
            raise ConnectionClosed("nobody uses the client any more")
        outcome = await connector._try(again)
        if isinstance(outcome, Peer):
            return outcome
        pause_s = outcome
