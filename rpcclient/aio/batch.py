"""Several calls in one frame, with asyncio."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rpcclient.batch import BatchBase
from rpcwire.aio.cancelling import give_way
from rpcwire.aio.peer import Peer, Pending
from rpcwire.errors import NotSent, RpcError, WireError

from .calling import AsyncCalls
from .life import current_loop


class AsyncBatch(BatchBase):
    """Several calls in one frame; see :meth:`AsyncClient.batch`."""

    def __init__(self, calls: AsyncCalls) -> None:
        super().__init__()
        self._calls = calls

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._withdraw()
        elif self.entries:
            try:
                await self._send()
            except BaseException as cause:
                self._cut(cause)
                raise

    async def _send(self) -> None:
        calls = self._calls
        try:
            deadline = calls.now() + calls.options.seconds()
            while True:
                peer = await calls.peer(deadline)
                try:
                    await self._perform(peer, deadline - calls.now())
                    return
                except NotSent:
                    if not await calls.may_retry(deadline):
                        raise
        except RpcError:
            await give_way()
            raise

    async def _perform(self, peer: Peer, seconds: float) -> None:
        options, codec = self._calls.options, peer.session.codec
        calls = [(e.method.name, e.method.dump(e.params, codec), e.wants_answer) for e in self.entries]
        peer.check_open()
        ids = peer.session.batch(calls, options.context(seconds))
        waiting = []
        for entry, call_id in zip(self.entries, ids, strict=True):
            if call_id is not None:
                pending = Pending(peer.loop.create_future(), progress=options.progress)
                peer.track(call_id, pending, seconds)
                waiting.append((entry, call_id, pending))
        peer.flush_soon()
        try:
            for entry, call_id, pending in waiting:
                try:
                    entry.settle(entry.method.load(await peer.outcome(call_id, pending), codec), None)
                except (WireError, RpcError) as exc:
                    entry.fail(exc)
        except BaseException:  # Cancellation, or an error of a type that the caller has given.
            if current_loop() is peer.loop:
                for _, call_id, pending in waiting:
                    peer.abandon(call_id)
                    pending.future.cancel()
            raise
