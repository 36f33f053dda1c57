"""Calls methods of the other side by name and without types, for handlers and for simple clients."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rpcwire.errors import Cancelled, DeadlineExceeded, NotSent, RpcError, WireError, from_wire
from rpcwire.limits import DEFAULT_DEADLINE_S, LONGEST_S
from rpcwire.tracing import make_context, propagate
from rpcwire.values.dynamic import dump_plain, load_plain

from .cancelling import give_way
from .peer import Pending

if TYPE_CHECKING:
    from .peer import Peer

_T = TypeVar("_T")


@dataclass(slots=True)
class _SentCall:
    """What observers want to know of a call that was sent."""

    began_s: float | None = None
    call_id: int | None = None
    bytes: int = 0
    received_bytes: int = 0


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
        # The caller's trace is known here: the loop of the connection may be in another one.
        return await self._run_in_loop(self._call(method, params, timeout_s, propagate()))

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

    async def _call(
        self, method: str, params: Mapping[str, Any] | None, timeout_s: float | None, trace: tuple[str, str] | None
    ) -> Any:
        seconds = DEFAULT_DEADLINE_S if timeout_s is None else timeout_s
        record = _SentCall()
        try:
            if not seconds > 0:
                raise DeadlineExceeded("timeout_s: no time is left for this call", executed="no")
            peer = self._require_peer()
            record.began_s = peer.dispatch.now_s
            result = await self._call_peer(peer, method, params, min(seconds, LONGEST_S), trace, record)
        except WireError as exc:
            error = from_wire(exc.code, exc.message, exc.data)
            self._report("own call", method, record, error)
            raise error from None
        except RpcError as exc:
            self._report("own call", method, record, exc)
            await give_way()
            raise
        except asyncio.CancelledError:
            error = Cancelled("the handler that has called was cancelled", executed="unknown")
            self._report("own call", method, record, error)
            raise
        self._report("own call", method, record, None)
        return result

    async def _call_peer(
        self,
        peer: Peer,
        method: str,
        params: Mapping[str, Any] | None,
        seconds: float,
        trace: tuple[str, str] | None,
        record: _SentCall,
    ) -> Any:
        await peer.wait_writable(seconds)
        codec = peer.session.codec
        pending = Pending(peer.loop.create_future())
        body = None if params is None else dump_plain(params, codec)
        record.bytes = 0 if body is None else len(body)
        record.call_id = call_id = peer.begin(
            method, body, ctx=make_context(round(seconds * 1000), None, trace), timeout_s=seconds, pending=pending
        )
        result = await peer.outcome(call_id, pending)
        record.received_bytes = len(memoryview(result))
        return load_plain(result, codec)

    def _report(
        self,
        subject: Literal["own call", "own notification"],
        method: str,
        record: _SentCall,
        error: RpcError | None,
    ) -> None:
        """Tell the observers of this side what came of a call."""
        if self._peer is not None:
            self._peer.dispatch.report_own(
                self._peer.connection,
                subject,
                method,
                record.began_s,
                call_id=record.call_id,
                error=error,
                sent_bytes=record.bytes,
                received_bytes=record.received_bytes,
            )

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification; see :class:`rpcwire.context.Caller`."""
        await self._run_in_loop(self._notify(method, params))

    async def _notify(self, method: str, params: Mapping[str, Any] | None) -> None:
        record = _SentCall()
        try:
            peer = self._require_peer()
            record.began_s = peer.dispatch.now_s
            await peer.wait_writable(DEFAULT_DEADLINE_S)
            body = None if params is None else dump_plain(params, peer.session.codec)
            record.bytes = 0 if body is None else len(body)
            peer.notify(method, body)
        except RpcError as exc:
            self._report("own notification", method, record, exc)
            await give_way()
            raise
        self._report("own notification", method, record, None)
        await peer.breathe()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
