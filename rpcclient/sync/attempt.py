"""An attempt to connect, for which several threads may wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rpcwire.threads.interrupts import Flag

if TYPE_CHECKING:
    from rpcwire.errors import RpcError
    from rpcwire.threads.peer import Peer


class Attempt:
    """The outcome of an attempt to connect. It is set once. A :class:`concurrent.futures.Future` would have a lock that
    an interruption may leave locked (see :class:`~.interrupts.Waiters`)."""

    __slots__ = ("_end", "_failure", "_peer")

    def __init__(self) -> None:
        self._end = Flag()
        self._peer: Peer | None = None
        self._failure: RpcError | None = None

    def succeed(self, peer: Peer) -> None:
        """Set the connection."""
        self._peer = peer
        self._end.set()

    def fail(self, failure: RpcError) -> None:
        """Set the error."""
        self._failure = failure
        self._end.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the outcome.

        Parameters:
            timeout_s: how long at most, in seconds.

        Returns:
            Whether the outcome is known.
        """
        return self._end.wait(timeout_s)

    def result(self) -> Peer:
        """Return the connection. The attempt must be over.

        Raises:
            RpcError: the attempt failed.
        """
        if self._failure is not None:
            raise self._failure
        assert self._peer is not None
        return self._peer
