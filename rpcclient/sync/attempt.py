"""An attempt to connect, for which several threads may wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rpcwire.threads.interrupts import Flag

if TYPE_CHECKING:
    from rpcwire.errors import RpcError
    from rpcwire.threads.peer import Peer


class Attempt:
    """What comes of an attempt. It is set once. A :class:`concurrent.futures.Future` would have a lock that an
    interruption may leave locked (see :class:`~.interrupts.Waiters`)."""

    __slots__ = ("_failure", "_over", "_peer")

    def __init__(self) -> None:
        self._over = Flag()
        self._peer: Peer | None = None
        self._failure: RpcError | None = None

    def succeed(self, peer: Peer) -> None:
        """There is a connection."""
        self._peer = peer
        self._over.set()

    def fail(self, failure: RpcError) -> None:
        """There is none."""
        self._failure = failure
        self._over.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the outcome.

        Parameters:
            timeout_s: how long at most, in seconds.

        Returns:
            Whether it is there.
        """
        return self._over.wait(timeout_s)

    def result(self) -> Peer:
        """The connection. The attempt must be over.

        Raises:
            RpcError: why there is none.
        """
        if self._failure is not None:
            raise self._failure
        assert self._peer is not None
        return self._peer
