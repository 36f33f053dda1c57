"""Calls: over one connection, and again over another one where the first never sent it."""

from __future__ import annotations

from typing import Any

from rpcclient.methods import Method
from rpcclient.options import CallOptions
from rpcwire.aio.cancelling import give_way
from rpcwire.aio.peer import Peer, Pending
from rpcwire.aio.streams import StreamReader
from rpcwire.errors import NotSent, RpcError, WireError

from .connector import Connector
from .exchange import perform
from .stream import AsyncStream


class AsyncCalls:
    """Makes calls: a connection, and what goes with each.

    Parameters:
        connector: has the connection.
        options: what goes with each call.
    """

    def __init__(self, connector: Connector, options: CallOptions) -> None:
        self._connector = connector
        self._options = options

    def _now(self) -> float:
        return self._connector.enter().time()

    async def _invoke(self, method: Method, params: Any) -> Any:
        """Call a method and wait for its result."""
        peer = self._connector.ready
        if peer is None or method.streams:
            return await self._perform(method, params, streams=False)
        # The common case without detours: the connection is up, and everything goes in one message.
        options = self._options
        try:
            seconds = options.seconds(method.deadline_s)
            codec = peer.session.codec
            pending = Pending(peer.loop.create_future(), progress=options.progress)
            try:
                call_id = peer.begin(
                    method.name,
                    method.dump(params, codec),
                    ctx=options.context(seconds),
                    timeout_s=seconds,
                    pending=pending,
                )
            except NotSent:  # The connection has ended, and nothing was made of the call yet.
                return await self._perform(method, params, streams=False)
            return method.load(await peer.outcome(call_id, pending), codec)
        except WireError as exc:
            raise method.error(exc.code, exc.message, exc.data) from None
        except NotSent:
            await give_way()
            if not options.resend:
                raise
        except RpcError:
            await give_way()
            raise
        return await self._perform(method, params, streams=False)

    async def _notify(self, method: Method, params: Any) -> None:
        """Send a notification."""
        try:
            deadline = self._now() + self._options.seconds()
            while True:
                peer = await self._peer(deadline)
                try:
                    peer.notify(method.name, method.dump(params, peer.session.codec))
                    break
                except NotSent:
                    if not await self._may_retry(deadline):
                        raise
            await peer.breathe()
        except RpcError:
            await give_way()
            raise

    def _open(self, method: Method, params: Any) -> AsyncStream[Any]:
        """A stream that calls a method when it is opened."""

        async def begin() -> StreamReader[Any]:
            reader: StreamReader[Any] = await self._perform(method, params, streams=True)
            return reader

        return AsyncStream(begin)

    async def _perform(self, method: Method, params: Any, *, streams: bool) -> Any:
        options = self._options
        try:
            deadline = self._now() + options.seconds(method.deadline_s)
            while True:
                peer = await self._peer(deadline)
                try:
                    return await perform(peer, method, params, options, deadline - self._now(), streams=streams)
                except NotSent:  # It never left, and nothing was taken of what it streams: it may be sent again.
                    if not await self._may_retry(deadline):
                        raise
        except WireError as exc:
            raise method.error(exc.code, exc.message, exc.data) from None
        except RpcError:
            await give_way()
            raise

    async def _peer(self, deadline: float) -> Peer:
        """The connection, once it takes what is to be sent."""
        peer = await self._connector.peer(deadline, anew=self._options.resend)
        if not peer.is_writable:
            await peer.writable(max(deadline - self._now(), 0.0))
        return peer

    async def _may_retry(self, deadline: float) -> bool:
        """Whether to send again what a connection did not send. The connector has another one then."""
        await give_way()
        return self._options.resend and self._connector.options.reconnect and self._now() < deadline
