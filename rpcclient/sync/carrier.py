"""The thread of a connection. It connects, reads until the connection is lost, and connects again if the client offers
services, which the server may want to call."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from rpcclient.failures import AUTHENTICATE, CONNECT_NODE, to_authentication_error, to_node_error
from rpcclient.handshake import memory_limits, node_limits, session_limits
from rpcclient.methods import Method
from rpcclient.options import join_failures
from rpcwire.codec import Codec, codec_for
from rpcwire.context import Connection, Principal
from rpcwire.errors import (
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    DeadlineExceeded,
    RpcError,
    WireError,
    from_wire,
)
from rpcwire.limits import SessionLimits
from rpcwire.messages import CallContext
from rpcwire.session import Session
from rpcwire.threads.link import Link, SocketLink
from rpcwire.threads.peer import Peer
from rpcwire.threads.pending import Mailbox, Pending
from rpcwire.threads.waiter import Waiter

from .attempt import Attempt
from .dial import dial
from .remote import SyncCaller

if TYPE_CHECKING:
    from rpcclient.backoff import Pauses
    from rpcclient.memory import MemoryDial
    from rpcclient.options import ConnectOptions
    from rpcwire.threads.peer import Answerer

logger = logging.getLogger("rpcclient")
_numbers = count(1)


class Owner(Protocol):
    """The connector for which a carrier makes connections. It learns what comes of them.

    Attributes:
        options: how to connect.
        memory: connects to a server of the same process, in place of a URL.
        pauses: decide how long to wait before another attempt.
        failure: why the last attempt failed; ``None`` if it did not.
        was_connected: whether there has been a connection.
    """

    options: ConnectOptions
    memory: MemoryDial | None
    pauses: Pauses
    failure: RpcError | None
    was_connected: bool

    @property
    def handlers(self) -> Answerer:
        """What runs the calls of the server."""
        ...

    def finish_attempt(self, attempt: Attempt, peer: Peer | None, failure: RpcError) -> bool:
        """Note that an attempt has ended. Returns whether the client uses its connection from now on."""
        ...

    def begin_pause(self) -> float | None:
        """Begin a pause after an attempt failed for good. Returns its seconds; ``None`` for no other attempt."""
        ...

    def end_pause(self) -> None:
        """Note that the pause is over."""
        ...

    def on_loss(self, peer: Peer, reason: str) -> None:
        """Note that a connection has ended."""
        ...

    def next_attempt(self) -> Attempt | None:
        """Return the next attempt; ``None`` if the thread has nothing left to do."""
        ...

    def on_thread_end(self, carrier: Carrier) -> None:
        """Note that the thread ends."""
        ...


class FirstLink(Link, Protocol):
    """A link over which this thread reads the answer of a first call itself."""

    def run_while(self, is_wanted: Callable[[], bool], receiver: Peer, until: float) -> None:
        """Receive while ``is_wanted`` returns true, until a time on the clock of :func:`time.monotonic`."""
        ...


class Carrier:
    """Makes the connection in a thread. It holds its connector weakly: a client that nobody uses any more becomes
    garbage, whatever its thread does, and the thread ends.

    Parameters:
        connector: the connector for which it works.
        attempt: the first attempt, which gets the connection or an error.

    Attributes:
        thread: the thread. The connector starts it.
        waiter: what the thread waits with.
    """

    def __init__(self, connector: Owner, attempt: Attempt) -> None:
        self._connector = weakref.ref(connector)
        self._options = connector.options
        self._memory = connector.memory
        self._handlers = connector.handlers
        self._pauses = connector.pauses
        self._was_connected = connector.was_connected
        self._peer: Peer | None = None
        self.waiter = Waiter()
        self.thread = threading.Thread(target=self._run, args=(attempt,), name="rpcclient-connection", daemon=True)

    # --- for any thread -----------------------------------------------------------------------------------------

    def leave(self) -> None:
        """End the connection and the thread soon. This takes no lock, as garbage is collected at any moment."""
        self.waiter.stop()
        peer = self._peer
        if peer is not None:
            peer.link.leave()

    def on_fork(self) -> None:
        """Stop in a forked child, which has neither the thread nor the connection."""
        self.waiter.is_stopped = True
        if self._peer is not None:
            self._peer.on_fork()

    # --- the thread ---------------------------------------------------------------------------------------------

    def _run(self, first: Attempt) -> None:
        attempt: Attempt | None = first
        try:
            while attempt is not None:
                peer = self._make_connection(attempt)
                if peer is not None:
                    attempt.succeed(peer)
                    peer.link.run(peer)
                elif not self._pause():
                    return
                attempt = self._next_attempt()
        finally:
            self.waiter.close()
            connector = self._connector()
            if connector is not None:
                connector.on_thread_end(self)

    def _pause(self) -> bool:
        """Wait after a refusal, if the client offers services. Returns whether to try again."""
        connector = self._connector()
        wait_s = None if connector is None else connector.begin_pause()
        del connector  # The client may become garbage during the pause.
        if wait_s is None:
            return False
        self.waiter.pause(wait_s)
        connector = self._connector()
        if connector is not None:
            connector.end_pause()
        return not self.waiter.is_stopped

    def _make_connection(self, attempt: Attempt) -> Peer | None:
        """Connect, and report the result."""
        failure: RpcError
        peer: Peer | None = None
        try:
            peer = self._peer = self._connect()
            failure = ConnectionClosed("the client was closed")
        except RpcError as exc:
            failure = exc
        except Exception as exc:
            logger.exception("connecting to %s failed", self._options.target.url)
            failure = ConnectFailed(f"{self._options.target.url}: {type(exc).__name__}")
        connector = self._connector()
        if connector is not None and connector.finish_attempt(attempt, peer, failure):
            self._was_connected = True
            return peer
        if peer is not None:
            peer.link.abort()
            peer.link.run(peer)
        attempt.fail(failure)
        return None

    def _connect(self) -> Peer:
        """Connect. If there was a connection before, try again until it is made, or the server refuses for good."""
        pause_s = self._pauses.before_first_s()
        while True:
            self.waiter.pause(pause_s)
            try:
                return self._connect_once()
            except RpcError as exc:
                if not self._was_connected or not isinstance(exc, ConnectFailed) or not exc.retryable:
                    self._pauses.forget_failures()
                    raise
                pause_s = self._pauses.after_failure_s(exc)
                self._note_failure(exc)
                logger.debug("%s; trying again in %.2f s", exc, pause_s)

    def _note_failure(self, exc: RpcError) -> None:
        connector = self._connector()
        if connector is not None:
            connector.failure = exc

    def _connect_once(self) -> Peer:
        """Connect to one of the servers."""
        failures: list[ConnectFailed] = []
        whole = self._options
        if whole.has_one_server:
            return self._connect_to(whole)
        try:
            for options in whole.each_server():
                try:
                    peer = self._connect_to(options)
                except ConnectFailed as exc:
                    failures.append(exc)
                else:
                    self._prefer(options)
                    return peer
            if whole.locate is not None:
                try:
                    targets = whole.locate()
                except ConnectFailed as exc:
                    targets = []
                    failures.append(exc)
                for options in whole.at_places(targets):
                    try:
                        return self._connect_to(options)
                    except ConnectFailed as exc:
                        failures.append(exc)
            raise join_failures(failures) from failures[-1]
        finally:
            self._options = whole

    def _prefer(self, options: ConnectOptions) -> None:
        connector = self._connector()
        if connector is not None:
            connector.options = connector.options.prefer(options.target)

    def _connect_to(self, options: ConnectOptions) -> Peer:
        if self.waiter.is_stopped:
            raise ConnectionClosed("the client was closed")
        self._options = options
        if self._memory is not None:
            from .memory import dial_memory  # It imports asyncio, which others do not need.

            subprotocol = options.subprotocol or "rpc.v1.msgpack"
            memory = dial_memory(self._memory, subprotocol)
            limits = memory_limits(options, memory.batch_items, memory.message_nodes)
            peer = self._make_peer(memory, codec_for(subprotocol), limits)
            memory.listen(peer)
            if options.node is not None:
                self._connect_node(peer, memory, options.node)
            return peer
        wire = dial(options, self.waiter)
        try:
            codec = codec_for(wire.ws.subprotocol)
            link = SocketLink(wire, self.waiter, options.link_limits, binary=codec.binary, plain=codec.batches)
            peer = self._make_peer(link, codec, session_limits(options, wire.response))
        except BaseException:
            self.waiter.watch(None)
            wire.sock.close()
            raise
        if options.target.token_by_call is not None:
            self._authenticate(peer, link, options.target.token_by_call)
        if options.node is not None:
            self._connect_node(peer, link, options.node)
        return peer

    def _authenticate(self, peer: Peer, link: FirstLink, token: str) -> None:
        """Send the token by a call, as the handshake did not hold it.

        Raises:
            RpcError: the server refuses the token, or does not answer. The connection has ended then.
        """
        try:
            self._call_first(peer, link, AUTHENTICATE, {"token": token})
        except BaseException as exc:
            seconds = self._options.connect_timeout_s
            raise (to_authentication_error(exc, self._options.target, seconds) or exc) from None

    def _connect_node(self, peer: Peer, link: FirstLink, node: str) -> None:
        """Have the server lead the connection to another node of its group.

        Raises:
            RpcError: it refuses, or does not answer. The connection has ended then.
        """
        try:
            answer = self._call_first(peer, link, CONNECT_NODE, {"node": node})
        except BaseException as exc:
            seconds = self._options.connect_timeout_s
            raise (to_node_error(exc, self._options.target, node, seconds) or exc) from None
        peer.session.narrow(node_limits(peer.session.limits, answer))

    def _call_first(self, peer: Peer, link: FirstLink, name: str, params: dict[str, str]) -> Any:
        """Make a call before anybody else uses the connection. This thread reads the answer itself.

        Returns:
            The result as plain data.

        Raises:
            RpcError: the call failed. The connection has ended then.
        """
        seconds, waiter = self._options.connect_timeout_s, self.waiter
        deadline, pending = time.monotonic() + seconds, Pending(Mailbox())
        try:
            method = Method(name)
            body = method.dump(params, peer.session.codec)
            peer.begin(name, body, CallContext(ttl_ms=round(seconds * 1000)), pending, deadline)
            link.run_while(lambda: not pending.done and not waiter.is_stopped, peer, deadline)
            if waiter.is_stopped:
                raise ConnectionClosed("the client was closed")
            if not pending.done and link.is_open:
                raise DeadlineExceeded("the answer did not come in time")
            if pending.error is not None:
                raise pending.error
            if not pending.done:
                raise ConnectionLost("connection lost")
            return method.load(pending.value, peer.session.codec)
        except BaseException as exc:
            link.close(1000, "")
            link.run(peer)
            if isinstance(exc, WireError):
                exc = from_wire(exc.code, exc.message, exc.data)
            raise exc from None

    def _make_peer(self, link: Link, codec: Codec, limits: SessionLimits) -> Peer:
        options = self._options
        caller = SyncCaller()
        # The user chose the server, and its address or certificate proves it: it may call what is offered.
        server = Principal("server", "connected")
        connection = Connection(f"server-{next(_numbers)}", options.target.url, caller, server, logger=logger)
        session = Session(codec, limits=limits, stream_prefix="c")
        peer = Peer(session, link, self._handlers, connection, on_loss=self._on_loss, logger=logger)
        caller.bind(peer)
        return peer

    def _on_loss(self, peer: Peer, reason: str) -> None:
        connector = self._connector()
        if connector is not None:
            connector.on_loss(peer, reason)

    def _next_attempt(self) -> Attempt | None:
        """Return the next attempt of this thread; ``None`` if it has nothing left to do."""
        self._peer = None
        connector = self._connector()
        return None if connector is None else connector.next_attempt()
