"""Several calls in one frame, synchronously."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rpcclient.batch import BatchBase
from rpcwire.errors import NotSent, RpcError, WireError
from rpcwire.threads.peer import Peer
from rpcwire.threads.pending import Mailbox, Pending

from .calling import Calls


class Batch(BatchBase):
    """Several calls in one frame; see :meth:`Client.batch`."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._withdraw()
        elif self.entries:
            try:
                self._send()
            except BaseException as cause:
                self._cut(cause)
                raise

    def _send(self) -> None:
        calls = self._calls
        deadline = calls.now() + calls.options.seconds()
        while True:
            peer = calls.connector.peer(deadline, may_reconnect=calls.options.resend)
            try:
                self._perform(peer, deadline)
                return
            except NotSent:
                if not calls.may_retry(deadline):
                    raise

    def _perform(self, peer: Peer, deadline: float) -> None:
        options, codec = self._calls.options, peer.session.codec
        calls = [(e.method.name, e.method.dump(e.params, codec), e.wants_answer) for e in self.entries]
        mailbox = Mailbox(options.progress)
        pendings = [Pending(mailbox) if entry.wants_answer else None for entry in self.entries]
        waiting = [(e, p) for e, p in zip(self.entries, pendings, strict=True) if p is not None]
        try:
            ctx = options.context(max(deadline - time.monotonic(), 0.001))
            peer.begin_batch(calls, ctx, pendings, deadline)
            for entry, pending in waiting:
                try:
                    entry.settle(entry.method.load(peer.outcome(pending, deadline), codec), None)
                except (WireError, RpcError) as exc:
                    entry.fail(exc)
        except BaseException:
            for _, pending in waiting:
                if pending.id and not pending.done:
                    peer.abandon(pending)
            raise
