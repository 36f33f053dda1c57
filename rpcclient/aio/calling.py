"""Makes calls over a connection, and again over another one if the first has not sent them."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

from rpcclient.methods import Method
from rpcclient.options import CallOptions
from rpcwire.aio.cancelling import give_way
from rpcwire.aio.peer import Peer, Pending
from rpcwire.aio.streams import StreamReader
from rpcwire.elsewhere import raise_unpicklable
from rpcwire.errors import NotSent, RpcError, WireError
from rpcwire.events import ProgressHook

from .connector import Connector
from .exchange import perform
from .stream import AsyncStream


class AsyncCalls:
    """Makes calls over a client's connection. It is all that the client's views know of the client.

    Parameters:
        connector: has the connection.
        options: the options of each call.
    """

    __slots__ = ("connector", "options")

    def __init__(self, connector: Connector, options: CallOptions) -> None:
        self.connector = connector
        self.options = options

    def __reduce__(self) -> NoReturn:
        raise_unpicklable("AsyncClient")

    @property
    def url(self) -> str:
        """The server's address."""
        return self.connector.options.target.url

    def with_options(
        self,
        *,
        timeout_s: float | None = None,
        progress: ProgressHook | None = None,
        key: str | None = None,
        window: int | None = None,
        resend: bool | None = None,
    ) -> AsyncCalls:
        """Return the same connection with other options; see :meth:`rpcclient.options.CallOptions.override`."""
        options = self.options.override(timeout_s=timeout_s, progress=progress, key=key, window=window, resend=resend)
        return AsyncCalls(self.connector, options)

    def now(self) -> float:
        """Return the time on the clock of deadlines, in seconds.

        Raises:
            LocalProtocolError: no loop runs here, or the client belongs to another one.
        """
        return self.connector.enter().time()

    async def invoke(self, method: Method, params: Any) -> Any:
        """Call a method and wait for its result.

        Parameters:
            method: what is known of the method.
            params: by name or by position.

        Raises:
            RpcError: the call failed.
        """
        peer = self.connector.ready
        if peer is None or method.streams:
            return await self._perform(method, params, streams=False)
        # The common case is written out for speed: there is a connection, and the call is one message.
        options = self.options
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
            except NotSent:  # The connection has ended, and the call was not sent.
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

    async def notify(self, method: Method, params: Any) -> None:
        """Send a notification.

        Parameters:
            method, params: as of :meth:`invoke`.

        Raises:
            RpcError: it could not be sent.
        """
        try:
            deadline = self.now() + self.options.seconds()
            while True:
                peer = await self.peer(deadline)
                try:
                    peer.notify(method.name, method.dump(params, peer.session.codec))
                    break
                except NotSent:
                    if not await self.may_retry(deadline):
                        raise
            await peer.breathe()
        except RpcError:
            await give_way()
            raise

    def open(self, method: Method, params: Any) -> AsyncStream[Any]:
        """Make a stream that calls a method when it is opened.

        Parameters:
            method, params: as of :meth:`invoke`.
        """

        async def begin() -> StreamReader[Any]:
            reader: StreamReader[Any] = await self._perform(method, params, streams=True)
            return reader

        return AsyncStream(begin)

    async def _perform(self, method: Method, params: Any, *, streams: bool) -> Any:
        options = self.options
        try:
            deadline = self.now() + options.seconds(method.deadline_s)
            while True:
                peer = await self.peer(deadline)
                try:
                    return await perform(peer, method, params, options, deadline - self.now(), streams=streams)
                except NotSent:  # It was not sent, and no item of its streams was taken: it may be sent again.
                    if not await self.may_retry(deadline):
                        raise
        except WireError as exc:
            raise method.error(exc.code, exc.message, exc.data) from None
        except RpcError:
            await give_way()
            raise

    async def peer(self, deadline: float) -> Peer:
        """Return the connection, once it accepts output.

        Parameters:
            deadline: when to stop trying, on the clock of :meth:`now`.

        Raises:
            RpcError: no connection can be made.
        """
        peer = await self.connector.peer(deadline, may_reconnect=self.options.resend)
        if not peer.is_writable:
            await peer.wait_writable(max(deadline - self.now(), 0.0))
        return peer

    async def may_retry(self, deadline: float) -> bool:
        """Return whether a call that was not sent may be sent again. The connector then makes another connection."""
        await give_way()
        return self.options.resend and self.connector.options.reconnect and self.now() < deadline


class HasCalls(Protocol):
    """What views need of a client."""

    @property
    def calls(self) -> AsyncCalls:
        """What makes its calls."""
        ...
