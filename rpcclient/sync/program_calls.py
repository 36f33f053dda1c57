# Generated from rpcclient/aio/program_calls.py by `make stubs`. Do not edit: change that, and generate anew.

"""The calls about one program, which go on over another connection where one was lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from rpcclient.programs.coming_back import Losses, Standing, gave_up
from rpcclient.programs.results import STDIN_BYTES
from rpcclient.stubs.programs import NotController, ProgramInfo, ProgramNotFound, StdinClosed
from rpcwire.errors import ConnectionLost, NotSent, RpcError, TransportError

from .calling import Calls
from .stubs.programs import Programs
from .waits import Passing, begin, now

_T = TypeVar("_T")


class ProgramCalls:
    """Makes the calls about a program, for its handle and its streams.

    Parameters:
        calls: makes each of them.
        standing: what the handle knows of the program.

    Attributes:
        connector: has the connection.
        once: the service, for what is asked once.
        passing: reads what nobody wants to read, if anything does.
    """

    def __init__(self, calls: Calls, standing: Standing) -> None:
        self.connector = calls.connector
        self.standing = standing
        self.once = Programs(calls)
        self.passing: Passing | None = None
        self._calls = calls
        self._controlled_over: object = calls.connector.live
        self._feeding: object = None

    @property
    def id(self) -> str:
        """The program."""
        return self.standing.info.id

    @property
    def reconnects(self) -> bool:
        """Whether another connection is made where one was lost."""
        return self.connector.options.reconnect

    def steady(self, timeout_s: float | None = None) -> Programs:
        """The service, for calls that are not sent again over another connection, which may not have control:
        :meth:`come_back` makes that.

        Parameters:
            timeout_s: the deadline of each, in seconds; the client's own where not given.
        """
        return Programs(self._calls.with_options(timeout_s=timeout_s, resend=False))

    def persist(self, call: Callable[[], _T], until: float | None = None) -> _T:
        """Make a call that may be made again when its answer was lost.

        Parameters:
            call: makes it.
            until: until when to try, on the clock of :func:`now`.
        """
        losses = Losses()
        while True:
            self.hold(until)
            try:
                return call()
            except TransportError as exc:
                self.come_back(exc, losses, until)

    def come_back(self, exc: TransportError, losses: Losses, until: float | None = None) -> None:
        """The connection was lost: have another one.

        Parameters:
            exc: how it was lost.
            losses: those of what is tried.
            until: until when to try, on the clock of :func:`now`.

        Raises:
            TransportError: there is none, or this is not to go on.
        """
        losses.another(exc, reconnects=self.reconnects)
        if self.connector.live is None:
            self.standing.lost()
        begun = now()
        patient_until = begun + self.standing.reconnect_timeout_s
        end = min(patient_until, until or patient_until)
        try:
            self.connector.peer(end)
        except NotSent as last:
            raise gave_up(exc, end - begun, last) from exc
        self.standing.away = False

    def hold(self, until: float | None = None) -> None:
        """Have a connection, and where the handle has control, and the connection is another one since, take it again.

        Parameters:
            until: until when to try, on the clock of :func:`now`.

        Raises:
            TransportError: there is none.
        """
        standing, connector = self.standing, self.connector
        connector.enter()
        if connector.live is None and self.reconnects:
            self.come_back(NotSent("there is no connection"), Losses(), until)
        if not standing.takes_control or standing.exit is not None:
            return
        if connector.live is not self._controlled_over:
            # Where that is lost, too, the next call is, and comes back here.
            with contextlib.suppress(ProgramNotFound, ConnectionLost, NotSent):
                self.once.control(self.id, take=True)
            self._controlled_over = connector.live

    def control(self, *, take: bool) -> ProgramInfo:
        """Let this connection control the program.

        Parameters:
            take: also where another connection does.
        """
        self.standing.info = self.once.control(self.id, take=take)
        self.standing.controls = True
        self._controlled_over = self.connector.live
        return self.standing.info

    # --- what it reads and writes -------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write to its input, piece by piece."""
        try:
            for at in range(0, len(data), STDIN_BYTES):
                piece = data[at : at + STDIN_BYTES]
                self.hold()
                self.steady().write(self.id, piece)
                self.standing.wrote(piece)
        except NotController:
            self.standing.controls = False  # Somebody has taken it: it is not taken back unasked.
            raise

    def close_stdin(self) -> None:
        """Tell it that there is no more input."""
        with contextlib.suppress(StdinClosed):
            for _ in range(self.standing.end_of_input()):
                self.once.close_stdin(self.id)

    def feed(self, data: bytes) -> None:
        """Write all of its input beside the rest."""
        self._feeding = begin(self._feed, data)

    def _feed(self, data: bytes) -> None:
        with contextlib.suppress(RpcError):  # It has read as much as it wanted; reading its output tells the rest.
            self.write(data)
            self.close_stdin()

    def begin_reading(self) -> None:
        """Somebody begins to read: what nobody wanted to read does not go by any more."""
        self.standing.unread = False
        if self.passing is not None:
            self.passing.end()
            self.passing = None
