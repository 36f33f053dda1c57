# Generated from rpcclient/aio/program.py by `make stubs`. Do not edit: change that, and generate anew.

"""The handle of a program, for the synchronous client, like ``subprocess.Popen`` for a program of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import AnyStr, Generic, Self

from rpcclient.programs.collecting import OutputCollector
from rpcclient.programs.coming_back import HandleState, Places
from rpcclient.programs.results import CompletedProgram, signal_name, still_runs_error
from rpcclient.programs.text import Coding, InputCoding
from rpcclient.programs.words import explains_names
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
from .waits import BackgroundReader, now, time_limit

LEAST_S = 0.001
"""The shortest time that a call may take, in seconds."""


class Program(Generic[AnyStr]):
    r"""The handle of a program that was started, or attached to. Several threads may use it.

    ::

        with client.programs.start(["sort"], text=True) as program:
            program.stdin.write("b\na\n")
            program.stdin.close()
            for line in program.stdout.lines():
                print(line, end="")
            print(program.wait().status.code)

    Leaving the ``with`` block ends a program that this handle has started, and what it has left behind, unless
    it was started with ``on_disconnect="keep"``. A program whose output was read to the end first gets ``grace_s`` to
    end by itself. Then TERM is sent, and KILL after ``grace_s``. The server keeps its output until it is forgotten.

    When the connection is lost, reading and waiting go on over a new one, from the same place, and miss nothing. They
    raise ConnectionLost if no connection can be made within a minute, or within ``reattach_s`` if that is longer. The
    program itself outlives a lost connection for ``reattach_s``, or without limit if it was started with
    ``on_disconnect="keep"``.

    Attributes:
        stdin: its input.
        stdout, stderr: its output, each from the beginning, or from the place where the handle was attached. In a
            pseudo-terminal all output is in ``stdout``.
    """

    def __init__(self, calls: Calls, state: HandleState, coding: Coding[AnyStr], places: Places | None = None) -> None:
        self._calls: ProgramCalls = ProgramCalls(calls, state)
        self._state: HandleState = state
        self._coding: Coding[AnyStr] = coding
        self._start: Places = places or Places()
        self._input: InputCoding[AnyStr] = InputCoding(coding, follows_input=places is not None)
        self.stdin: ProgramInput[AnyStr] = ProgramInput(self._calls, self._input)
        self.stdout: ProgramOutput[AnyStr] = ProgramOutput(self._calls, self._places("stdout"), coding)
        self.stderr: ProgramOutput[AnyStr] = ProgramOutput(self._calls, self._places("stderr"), coding)

    # --- what it is ---------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The program's id in calls, and for :meth:`Programs.attach`."""
        return self._state.info.id

    @property
    def pid(self) -> int:
        """Its process id on the server's machine."""
        return self._state.info.pid

    @property
    def argv(self) -> list[str]:
        """The program and its arguments."""
        return self._state.info.argv

    @property
    def args(self) -> list[str]:
        """The program and its arguments, under the name of ``subprocess.Popen``."""
        return self.argv

    @property
    def info(self) -> ProgramInfo:
        """The server's last answer about it; :meth:`refresh` asks again."""
        return self._state.info

    @property
    def returncode(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; ``None`` while the handle does not know
        that it has ended. This does not ask the server: :meth:`poll` and :meth:`wait` do."""
        return self._state.returncode

    @property
    def status(self) -> ExitStatus | None:
        """How it ended; ``None`` while the handle does not know that it has ended."""
        end = self._state.exit
        return self._state.info.status if end is None else end.status

    @property
    def reconnect_timeout_s(self) -> float:
        """How long to try to make another connection when one was lost, in seconds: 60, or ``reattach_s`` where that is
        longer. It can be set."""
        return self._state.reconnect_timeout_s

    @reconnect_timeout_s.setter
    def reconnect_timeout_s(self, seconds: float) -> None:
        self._state.reconnect_timeout_s = seconds

    @property
    def on_connection_lost(self) -> Callable[[str], object]:
        """Called with a sentence for people when the connection was lost and another one is tried; it writes that to
        the log. It can be set."""
        return self._state.on_connection_lost

    @on_connection_lost.setter
    def on_connection_lost(self, call: Callable[[str], object]) -> None:
        self._state.on_connection_lost = call

    def refresh(self) -> ProgramInfo:
        """Ask the server about the program, and return its answer.

        Raises:
            ProgramNotFound: it was forgotten.
        """
        self._state.info = self._calls.persist(lambda: self._calls.without_resend().get(self.id))
        return self._state.info

    # --- its output ---------------------------------------------------------------------------------------------

    def output(self, *, wait: bool = True) -> ProgramChunks:
        """Read both outputs as they come, from the places where ``stdout`` and ``stderr`` began. Each piece names its
        stream, its offset there, and how many bytes before it were lost.

        Parameters:
            wait: go on to the end of the output; otherwise end with the output that there is now.
        """
        return ProgramChunks(self._calls, self._places(None, wait=wait))

    @explains_names
    def communicate(
        self, input: AnyStr | str | bytes | None = None, timeout_s: float | None = None
    ) -> CompletedProgram[AnyStr]:
        """Write all of its input, read all of its output, and wait for its end. No output is lost of a program that
        waits for its reader (``overflow="wait"``, the default). Of another one, ``stdout_lost_bytes`` and
        ``stderr_lost_bytes`` count the output that the server no longer keeps.

        Parameters:
            input: goes to its standard input, which then ends.
            timeout_s: how long this may take, in seconds. After that the program goes on, and this may be called
                again, without ``input``: it misses no output.

        Returns:
            How it ended and what it wrote.

        Raises:
            DeadlineExceeded: it still runs.
            InvalidParams: the input is neither text nor bytes.
            ProgramNotFound: it was forgotten.
        """
        self._calls.connector.enter()
        data = None if input is None else self._input.encode(input)
        collector = OutputCollector(self._start.tail_streams, self._state.most_bytes)
        if data is not None:
            self._calls.feed(data)
        try:
            with self.output() as chunks, time_limit(timeout_s, chunks.close):
                for chunk in chunks:
                    collector.put(chunk)
        except TimeoutError:
            raise still_runs_error(self.info, timeout_s) from None
        return collector.to_completed(self.argv, self.wait(), self._coding)

    # --- its end ------------------------------------------------------------------------------------------------

    @explains_names
    def wait(self, timeout_s: float | None = None) -> Exit:
        """Wait for the program to end, after all of its output. If nobody has begun to read the output, the part that
        exceeds what the server keeps is dropped. If reading has begun, or ``overflow="wait"`` was given, somebody has
        to go on reading, as with ``subprocess.Popen``: the program may wait for its reader.

        Parameters:
            timeout_s: how long to wait, in seconds; a day if not given; 0 to ask whether it has ended.

        Returns:
            How it ended, and what it used of the machine.

        Raises:
            DeadlineExceeded: it still runs.
            ProgramNotFound: it was forgotten.
        """
        end = self._state.exit
        if end is not None:
            return end
        self._calls.connector.enter()
        self._discard_output()
        if timeout_s is not None and timeout_s <= 0 and self.refresh().running:
            raise still_runs_error(self.info, timeout_s)
        if timeout_s is None or timeout_s <= 0:
            return self._state.note_end(self._calls.persist(lambda: self._calls.without_resend().wait(self.id)))
        until = now() + timeout_s

        def ask() -> Exit:
            rest_s = max(until - now(), LEAST_S)
            return self._calls.without_resend(rest_s).wait(self.id)

        return self._state.note_end(self._calls.persist(ask, until))

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
            Whether it was still running.

        Raises:
            InvalidParams: there is no such signal.
            ProgramNotFound: it was forgotten.
        """
        return self._calls.once.signal(self.id, signal_name(signal))

    def terminate(self, grace_s: float = 2.0) -> Exit:
        """End it and everything that it has started: send TERM, wait, send KILL.

        Parameters:
            grace_s: the time between TERM and KILL, in seconds.

        Returns:
            How it ended; ``survivors`` has the processes that could not be ended.

        Raises:
            ProgramNotFound: it was forgotten.
        """
        calls = self._calls
        return self._state.note_end(calls.persist(lambda: calls.without_resend().kill(self.id, grace_s=grace_s)))

    def kill(self) -> Exit:
        """End it and everything that it has started at once.

        Returns:
            As of :meth:`terminate`.

        Raises:
            ProgramNotFound: it was forgotten.
        """
        return self.terminate(0.0)

    def forget(self) -> None:
        """Have the server drop all that it keeps of the program. If it still runs, it is ended first.

        Raises:
            ProgramNotFound: it was forgotten already.
        """
        self._calls.once.forget(self.id)

    # --- who controls it ----------------------------------------------------------------------------------------

    def control(self, *, take: bool = False) -> ProgramInfo:
        """Let this client's connection control it: write to it, and resize its terminal. ``on_disconnect`` is then
        about the end of this connection.

        Parameters:
            take: take control away from another connection that has it.

        Raises:
            NotController: another connection controls it, and ``take`` was not given.
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
        """Stop reading, and let the program go on: leaving a ``with`` block does not end it any more."""
        self._state.ends_with_block = False
        self.stdout.close()
        self.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = self._state
        is_read = self.stdout.ended
        self.stdout.close()
        self.stderr.close()
        if not state.ends_here:
            return
        # If there is no connection, the server ends the program, as on_disconnect says.
        with contextlib.suppress(TransportError, ProgramNotFound):
            if exc is None and is_read and state.grace_s > 0:
                with contextlib.suppress(DeadlineExceeded):
                    self.wait(state.grace_s)
            # Even if it has ended, it may have left other processes behind.
            self.terminate(state.grace_s)

    def __repr__(self) -> str:
        return f"<Program {self.id} {self.argv!r}: {self.status or 'running'}>"

    # --- for its streams ----------------------------------------------------------------------------------------

    def _places(self, stream: StreamName | None, *, wait: bool = True) -> Places:
        start = self._start
        offsets: dict[StreamName, int] = {"stdout": start.offset("stdout"), "stderr": start.offset("stderr")}
        return Places(stream, offsets=offsets, wait=wait, tail_streams=start.tail_streams)

    def _discard_output(self) -> None:
        """Drop the output if nobody reads it: while its end is awaited, the program must not wait for a reader."""
        if self._state.is_unread:
            self._state.is_unread = False
            self._calls.background_reader = BackgroundReader(
                self._read_to_end, ProgramChunks(self._calls, self._places(None), discards_output=True)
            )

    @staticmethod
    def _read_to_end(chunks: ProgramChunks) -> None:
        # An error reaches the caller of wait, which makes a call of its own.
        with contextlib.suppress(RpcError), chunks:
            for _ in chunks:
                pass
