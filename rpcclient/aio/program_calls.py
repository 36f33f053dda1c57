"""Makes the calls about one program. They go on over another connection when one is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rpcclient.programs.coming_back import HandleState, Losses, reconnect_error
from rpcclient.programs.results import STDIN_BYTES
from rpcclient.stubs.programs import NotController, ProgramInfo, ProgramNotFound, StdinClosed
from rpcwire.errors import ConnectionLost, NotSent, RpcError, TransportError

from .calling import AsyncCalls
from .stubs.programs import AsyncPrograms
from .waits import BackgroundReader, begin, now

_T = TypeVar("_T")


class AsyncProgramCalls:
    """Makes the calls about a program, for its handle and its streams.

    Parameters:
        calls: makes each of them.
        state: the state of the handle.

    Attributes:
        connector: has the connection.
        once: the service, for calls that are made once, and not again when the connection is lost.
        background_reader: drops the output that nobody reads; ``None`` if nothing does.
    """

    def __init__(self, calls: AsyncCalls, state: HandleState) -> None:
        self.connector = calls.connector
        self.state = state
        self.once = AsyncPrograms(calls)
        self.background_reader: BackgroundReader | None = None
        self._calls = calls
        self._controlling_peer: object = calls.connector.live
        self._feed_task: object = None

    @property
    def id(self) -> str:
        """The program's id."""
        return self.state.info.id

    @property
    def reconnects(self) -> bool:
        """Whether another connection is made when one is lost."""
        return self.connector.options.reconnect

    def without_resend(self, timeout_s: float | None = None) -> AsyncPrograms:
        """Return the service for calls that are never sent over another connection by themselves: that connection may
        not have control of the program. :meth:`persist` makes them again.

        Parameters:
            timeout_s: the deadline of each call, in seconds; the client's own if not given.
        """
        return AsyncPrograms(self._calls.with_options(timeout_s=timeout_s, resend=False))

    async def persist(self, call: Callable[[], Awaitable[_T]], until: float | None = None) -> _T:
        """Make a call, and make it again over another connection if its answer was lost.

        Parameters:
            call: makes the call.
            until: when to stop trying, on the clock of :func:`now`.
        """
        losses = Losses()
        while True:
            await self.ensure_connection(until)
            try:
                return await call()
            except TransportError as exc:
                await self.reconnect(exc, losses, until)

    async def reconnect(self, exc: TransportError, losses: Losses, until: float | None = None) -> None:
        """Make another connection after one was lost.

        Parameters:
            exc: how the connection was lost.
            losses: counts the lost connections.
            until: when to stop trying, on the clock of :func:`now`.

        Raises:
            TransportError: none can be made, or the handle is not to go on.
        """
        losses.note_loss(exc, reconnects=self.reconnects)
        if self.connector.live is None:
            self.state.report_loss()
        start = now()
        end = min(start + self.state.reconnect_timeout_s, until or start + self.state.reconnect_timeout_s)
        try:
            await self.connector.peer(end)
        except NotSent as last:
            raise reconnect_error(exc, end - start, last) from exc
        self.state.is_away = False

    async def ensure_connection(self, until: float | None = None) -> None:
        """See to it that there is a connection. If it is a new one, and the handle keeps control, take control over it.

        Parameters:
            until: when to stop trying, on the clock of :func:`now`.

        Raises:
            TransportError: no connection can be made.
        """
        state, connector = self.state, self.connector
        connector.enter()
        if connector.live is None and self.reconnects:
            await self.reconnect(NotSent("there is no connection"), Losses(), until)
        if not state.takes_control or state.exit is not None:
            return
        if connector.live is not self._controlling_peer:
            # If this connection is lost, too, the next call fails as well, and comes back here.
            with contextlib.suppress(ProgramNotFound, ConnectionLost, NotSent):
                await self.once.control(self.id, take=True)
            self._controlling_peer = connector.live

    async def control(self, *, take: bool) -> ProgramInfo:
        """Let this connection control the program.

        Parameters:
            take: take control away from another connection that has it.
        """
        self.state.info = await self.once.control(self.id, take=take)
        self.state.keeps_control = True
        self._controlling_peer = self.connector.live
        return self.state.info

    # --- what it reads and writes -------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Write to its input, piece by piece."""
        try:
            for at in range(0, len(data), STDIN_BYTES):
                piece = data[at : at + STDIN_BYTES]
                await self.ensure_connection()
                await self.without_resend().write(self.id, piece)
                self.state.note_written(piece)
        except NotController:
            self.state.keeps_control = (
                False  # Another connection has taken control. The handle does not take it back by itself.
            )
            raise

    async def close_stdin(self) -> None:
        """End its input."""
        with contextlib.suppress(StdinClosed):
            for _ in range(self.state.take_eof_count()):
                await self.once.close_stdin(self.id)

    def feed(self, data: bytes) -> None:
        """Begin to write all of its input, and end it, without waiting."""
        self._feed_task = begin(self._feed, data)

    async def _feed(self, data: bytes) -> None:
        with contextlib.suppress(RpcError):  # It reads no more, or reading its output raises the same error.
            await self.write(data)
            await self.close_stdin()

    def begin_reading(self) -> None:
        """Note that somebody begins to read, and stop dropping the output."""
        self.state.is_unread = False
        if self.background_reader is not None:
            self.background_reader.end()
            self.background_reader = None
