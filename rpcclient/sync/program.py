# Generated from rpcclient/aio/program.py by `make stubs`. Do not edit: change that, and generate anew.

"""A program that was started, for the synchronous client: what ``subprocess.Popen`` is for one of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import AnyStr, Generic, Self

from rpcclient.programs.collecting import Collected
from rpcclient.programs.coming_back import Places, Standing
from rpcclient.programs.results import CompletedProgram, signal_name, still_runs
from rpcclient.programs.text import Coding, InputCoding
from rpcclient.programs.words import tells_ours
from rpcclient.stubs.programs import (
    Exit,
    ExitStatus,
    ProgramInfo,
    ProgramNotFound,
    StreamName,
)
from rpcwire.errors import DeadlineExceeded, RpcError, TransportError

from .calling import Calls
from .program_calls import ProgramCalls
from .program_streams import ProgramChunks, ProgramInput, ProgramOutput
from .waits import Passing, now, time_limit

LEAST_S = 0.001
"""The shortest time that a call may take, in seconds."""


class Program(Generic[AnyStr]):
    r"""A program that was started, or attached to. Several threads may use it.

    ::

        with client.programs.start(["sort"], text=True) as program:
            program.stdin.write("b\na\n")
            program.stdin.close()
            for line in program.stdout.lines():
                print(line, end="")
            print(program.wait().status.code)

    Leaving the ``with`` block ends a program that this handle has started, unless it is to be kept
    (``on_disconnect="keep"``), and what it has left behind: one whose output was read to its end gets ``grace_s`` to
    end by itself, any other TERM, then KILL. What is kept of it can be read until it is forgotten.

    When the connection is lost, reading and waiting go on over a new one, where the last has ended, and nothing is
    missed. They raise ConnectionLost when none could be made within a minute, or within ``reattach_s`` where that is
    longer. The program itself outlives a lost connection if it was started with ``on_disconnect="keep"``, or for
    ``reattach_s``.

    Attributes:
        stdin: what it reads.
        stdout, stderr: what it writes, each from its beginning, or from where the handle was attached. With a
            pseudo-terminal everything is in ``stdout``.
    """

    def __init__(self, calls: Calls, standing: Standing, coding: Coding[AnyStr], places: Places | None = None) -> None:
        self._calls: ProgramCalls = ProgramCalls(calls, standing)
        self._standing: Standing = standing
        self._coding: Coding[AnyStr] = coding
        self._from: Places = places or Places()
        self._input: InputCoding[AnyStr] = InputCoding(coding, begun=places is not None)
        self.stdin: ProgramInput[AnyStr] = ProgramInput(self._calls, self._input)
        self.stdout: ProgramOutput[AnyStr] = ProgramOutput(self._calls, self._places("stdout"), coding)
        self.stderr: ProgramOutput[AnyStr] = ProgramOutput(self._calls, self._places("stderr"), coding)

    # --- what it is ---------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its name in calls, and for :meth:`Programs.attach`."""
        return self._standing.info.id

    @property
    def pid(self) -> int:
        """Its process id on the server's machine."""
        return self._standing.info.pid

    @property
    def argv(self) -> list[str]:
        """What runs."""
        return self._standing.info.argv

    @property
    def args(self) -> list[str]:
        """As of ``subprocess.Popen``: what runs."""
        return self.argv

    @property
    def info(self) -> ProgramInfo:
        """What the server said of it last; :meth:`refresh` asks again."""
        return self._standing.info

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the number of the signal that ended it; ``None`` while it is not known to have
        ended. It asks nobody: :meth:`poll` and :meth:`wait` do."""
        return self._standing.returncode

    @property
    def status(self) -> ExitStatus | None:
        """How it ended; ``None`` while it is not known to have ended."""
        ended = self._standing.exit
        return self._standing.info.status if ended is None else ended.status

    @property
    def reconnect_timeout_s(self) -> float:
        """How long to try to make another connection when one was lost, in seconds: 60, or ``reattach_s`` where that is
        longer. It can be set."""
        return self._standing.reconnect_timeout_s

    @reconnect_timeout_s.setter
    def reconnect_timeout_s(self, seconds: float) -> None:
        self._standing.reconnect_timeout_s = seconds

    @property
    def on_connection_lost(self) -> Callable[[str], object]:
        """Called with a sentence for people when the connection was lost and another one is tried; it writes that to
        the log. It can be set."""
        return self._standing.on_connection_lost

    @on_connection_lost.setter
    def on_connection_lost(self, call: Callable[[str], object]) -> None:
        self._standing.on_connection_lost = call

    def refresh(self) -> ProgramInfo:
        """Ask the server what there is to say of it now.

        Raises:
            ProgramNotFound: it was forgotten.
        """
        self._standing.info = self._calls.persist(lambda: self._calls.steady().get(self.id))
        return self._standing.info

    # --- its output ---------------------------------------------------------------------------------------------

    def output(self, *, wait: bool = True) -> ProgramChunks:
        """Both outputs as they come, from where ``stdout`` and ``stderr`` began: pieces that say of which stream they
        are, where they begin in it, and how many bytes before them were lost.

        Parameters:
            wait: go on to the end; otherwise end with what there is.
        """
        return ProgramChunks(self._calls, self._places(None, wait=wait))

    @tells_ours
    def communicate(
        self, input: AnyStr | str | bytes | None = None, timeout_s: float | None = None
    ) -> CompletedProgram[AnyStr]:
        """Write all of its input, read all of its output, and wait for its end. Nothing is lost of the output of a
        program that waits for its reader (``overflow="wait"``, the default); of another, what is no longer kept is
        counted in ``stdout_lost_bytes`` and ``stderr_lost_bytes``.

        Parameters:
            input: goes to its standard input, which then ends.
            timeout_s: how long this may take, in seconds. The program goes on when it is over, and this may be called
                again, without ``input``: no output is missed.

        Returns:
            How it ended and what it wrote.

        Raises:
            DeadlineExceeded: it still runs.
            InvalidParams: the input is neither text nor bytes.
            ProgramNotFound: it was forgotten.
        """
        self._calls.connector.enter()
        data = None if input is None else self._input.encode(input)
        collected = Collected(self._from.within, self._standing.most_bytes)
        if data is not None:
            self._calls.feed(data)
        try:
            with self.output() as chunks, time_limit(timeout_s, chunks.close):
                for chunk in chunks:
                    collected.put(chunk)
        except TimeoutError:
            raise still_runs(self.info, timeout_s) from None
        return collected.completed(self.argv, self.wait(), self._coding)

    # --- its end ------------------------------------------------------------------------------------------------

    @tells_ours
    def wait(self, timeout_s: float | None = None) -> Exit:
        """Wait for its end, after all of its output. Where nobody has begun to read that, what is more than the server
        keeps goes by. Where it was begun, or ``overflow="wait"`` was asked for, somebody has to go on reading, as with
        ``subprocess.Popen``: the program may wait for its reader.

        Parameters:
            timeout_s: how long to wait, in seconds; a day where not given, and 0 to see whether it has ended.

        Returns:
            How it ended, and what it used.

        Raises:
            DeadlineExceeded: it still runs.
            ProgramNotFound: it was forgotten.
        """
        known = self._standing.exit
        if known is not None:
            return known
        self._calls.connector.enter()
        self._pass_over()
        if timeout_s is not None and timeout_s <= 0 and self.refresh().running:
            raise still_runs(self.info, timeout_s)
        if timeout_s is None or timeout_s <= 0:
            return self._standing.saw(self._calls.persist(lambda: self._calls.steady().wait(self.id)))
        until = now() + timeout_s

        def ask() -> Exit:
            left_s = max(until - now(), LEAST_S)
            return self._calls.steady(left_s).wait(self.id)

        return self._standing.saw(self._calls.persist(ask, until))

    def poll(self) -> int | None:
        """Ask whether it has ended.

        Returns:
            As of :attr:`returncode`.

        Raises:
            ProgramNotFound: it was forgotten.
        """
        if self.returncode is None:
            self.refresh()
        return self.returncode

    def send_signal(self, signal: str | int) -> bool:
        """Send a signal to its whole process group.

        Parameters:
            signal: a name such as ``"INT"``, its number, or a member of :class:`signal.Signals`.

        Returns:
            Whether it was still there.

        Raises:
            InvalidParams: there is no such signal.
            ProgramNotFound: it was forgotten.
        """
        return self._calls.once.signal(self.id, signal_name(signal))

    def terminate(self, grace_s: float = 2.0) -> Exit:
        """End it and everything that it has started: TERM, some time, KILL.

        Parameters:
            grace_s: that time, in seconds.

        Returns:
            How it ended; ``survivors`` names what could not be ended.

        Raises:
            ProgramNotFound: it was forgotten.
        """
        calls = self._calls
        return self._standing.saw(calls.persist(lambda: calls.steady().kill(self.id, grace_s=grace_s)))

    def kill(self) -> Exit:
        """End it and everything that it has started at once.

        Returns:
            As of :meth:`terminate`.

        Raises:
            ProgramNotFound: it was forgotten.
        """
        return self.terminate(0.0)

    def forget(self) -> None:
        """Free what is kept of it; if it still runs, it is ended first.

        Raises:
            ProgramNotFound: it was forgotten already.
        """
        self._calls.once.forget(self.id)

    # --- who controls it ----------------------------------------------------------------------------------------

    def control(self, *, take: bool = False) -> ProgramInfo:
        """Let this client's connection control it: write to it, resize its terminal, and be the one whose end
        ``on_disconnect`` is about.

        Parameters:
            take: also where another connection controls it.

        Raises:
            NotController: another connection does.
            ProgramNotFound: it was forgotten.
        """
        return self._calls.control(take=take)

    def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size.

        Parameters:
            rows: the height in characters.
            columns: the width in characters.

        Raises:
            NoTerminal: it has none, or has ended.
            NotController: another connection controls it.
            ProgramNotFound: it was forgotten.
        """
        self._calls.once.resize(self.id, rows, columns)

    def detach(self) -> None:
        """Read no more, and leave it alone: leaving a ``with`` block does not end it any more."""
        self._standing.ends_with_block = False
        self.stdout.close()
        self.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        standing = self._standing
        finished = self.stdout.ended
        self.stdout.close()
        self.stderr.close()
        if not standing.ends_here:
            return
        # Without a connection the server ends it, by on_disconnect.
        with contextlib.suppress(TransportError, ProgramNotFound):
            if exc is None and finished and standing.grace_s > 0:
                with contextlib.suppress(DeadlineExceeded):
                    self.wait(standing.grace_s)
            # Also where it has ended: it may have left others behind.
            self.terminate(standing.grace_s)

    def __repr__(self) -> str:
        return f"<Program {self.id} {self.argv!r}: {self.status or 'running'}>"

    # --- for its streams ----------------------------------------------------------------------------------------

    def _places(self, stream: StreamName | None, *, wait: bool = True) -> Places:
        start = self._from
        offsets: dict[StreamName, int] = {"stdout": start.offset("stdout"), "stderr": start.offset("stderr")}
        return Places(stream, offsets=offsets, wait=wait, within=start.within)

    def _pass_over(self) -> None:
        """Nobody reads, and its end is waited for: let what it writes go by, so that it does not wait for a reader."""
        if self._standing.unread:
            self._standing.unread = False
            self._calls.passing = Passing(self._pass, ProgramChunks(self._calls, self._places(None), passes=True))

    @staticmethod
    def _pass(chunks: ProgramChunks) -> None:
        # Whoever waits is told of an error.
        with contextlib.suppress(RpcError), chunks:
            for _ in chunks:
                pass
