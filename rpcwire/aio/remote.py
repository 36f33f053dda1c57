"""Calls methods of the other side by name and without types, for handlers and for simple clients."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from rpcwire.errors import DeadlineExceeded, NotSent, RpcError, WireError, from_wire
from rpcwire.limits import DEFAULT_DEADLINE_S, LONGEST_S
from rpcwire.messages import CallContext
from rpcwire.values.dynamic import dump_plain, load_plain

from .cancelling import give_way
from .peer import Pending

if TYPE_CHECKING:
    from .peer import Peer

_T = TypeVar("_T")


class RemoteCaller:
    """Calls methods that the other side offers. It exists before its peer does, and gets it by :meth:`bind`."""

    __slots__ = ("_peer",)

    def __init__(self) -> None:
        self._peer: Peer | None = None

    def bind(self, peer: Peer) -> None:
        """Call over this peer from now on."""
        self._peer = peer

    def _require_peer(self) -> Peer:
        if self._peer is None:
            raise NotSent("the connection is not there yet")
        return self._peer

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        """Call a method that the other side offers; see :class:`rpcwire.context.Caller`."""
        return await self._run_in_loop(self._call(method, params, timeout_s))

    async def _run_in_loop(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the connection's loop, whichever loop awaits it: a handler that is a plain function runs
        in a thread, in which it may write ``asyncio.run(ctx.caller.call(...))``."""
        peer = self._peer
        here = _running_loop()
        if peer is None or here is peer.loop:
            return await work
        try:
            future = asyncio.run_coroutine_threadsafe(work, peer.loop)
        except RuntimeError:
            work.close()
            raise NotSent("the event loop of the connection has ended") from None
        return future.result() if here is None else await asyncio.wrap_future(future)

    async def _call(self, method: str, params: Mapping[str, Any] | None, timeout_s: float | None) -> Any:
        try:
            seconds = DEFAULT_DEADLINE_S if timeout_s is None else timeout_s
            if not seconds > 0:
                raise DeadlineExceeded("timeout_s: no time is left for this call", executed="no")
            seconds = min(seconds, LONGEST_S)
            peer = self._require_peer()
            await peer.wait_writable(seconds)
            codec = peer.session.codec
            pending = Pending(peer.loop.create_future())
            call_id = peer.begin(
                method,
                None if params is None else dump_plain(params, codec),
                ctx=CallContext(ttl_ms=round(seconds * 1000)),
                timeout_s=seconds,
                pending=pending,
            )
            return load_plain(await peer.outcome(call_id, pending), codec)
        except WireError as exc:
            raise from_wire(exc.code, exc.message, exc.data) from None
        except RpcError:
            await give_way()
            raise

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification; see :class:`rpcwire.context.Caller`."""
        await self._run_in_loop(self._notify(method, params))

    async def _notify(self, method: str, params: Mapping[str, Any] | None) -> None:
        try:
            peer = self._require_peer()
            await peer.wait_writable(DEFAULT_DEADLINE_S)
            peer.notify(method, None if params is None else dump_plain(params, peer.session.codec))
            await peer.breathe()
        except RpcError:
            await give_way()
            raise


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
