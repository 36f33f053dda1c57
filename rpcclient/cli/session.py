"""Connects a person or a pipeline here to a remote program: its output appears here, and input and signals from here
go to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from . import outcome, standard
from .characters import visible_line
from .escapes import HELP, Action, Escapes
from .localio import read_some, write_all
from .missing import missing
from .standard import STDERR, STDIN, STDOUT
from .terminal import RawTerminal, ScreenModes

if TYPE_CHECKING:
    from rpcclient import AsyncProgram
    from rpcclient.stubs.programs import ExitStatus

LEAVE_GRACE_S = 1.0
LEAVE_S = 4.0
"""How long ending the program may take when a session is left, in seconds."""
TYPED_PIECES = 256
"""How many pieces of input may wait for the program. When so many wait, no more input is read."""
INTERRUPT = b"\x03"
"""The byte that Ctrl-C sends on a raw terminal."""
_DESCRIPTORS = {"stdout": STDOUT, "stderr": STDERR}


def exit_status(status: ExitStatus) -> int:
    """The exit status that a shell would show: the program's own, 128 and the number of the signal that ended it, or
    124 where its time was over."""
    from rpcclient.programs.results import return_code

    if status.timed_out:
        return outcome.DEADLINE
    code = return_code(status)
    if code is None:
        return outcome.FAILED
    return code if code >= 0 else 128 - code


def say(text: str) -> None:
    """Print a message of rpcclient itself. On a raw terminal a line ends with a carriage return, too."""
    print(f"rpcclient: {visible_line(text)}", file=sys.stderr, end="\r\n" if sys.stderr.isatty() else "\n", flush=True)


class Session:
    """Connects one program to one person or pipeline.

    Parameters:
        program: the program.
        stdin: whether what comes in here goes to it.
        owns: whether signals here are meant for it, and leaving ends it.
    """

    def __init__(self, program: AsyncProgram[bytes], *, stdin: bool, owns: bool) -> None:
        self._program = program
        program.on_connection_lost = say
        self._stdin = stdin
        self._owns = owns
        self._interrupts = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._output_end = asyncio.Event()
        self._limit: str | None = None

    async def run(self) -> int:
        """Pass input and output on until the program ends, or the user leaves it.

        Returns:
            The exit status for this process.

        Raises:
            RpcError: the connection is gone for good, or the program is.
            OSError: the output here takes no more (BrokenPipeError: nobody reads it), or the input cannot be read.
        """
        loop = asyncio.get_running_loop()
        signals = self._signals()
        for number, handler in signals.items():
            loop.add_signal_handler(number, handler)
        self._spawn(self._show())
        if self._stdin:
            self._spawn(self._feed())
        try:
            return await self._over
        except OSError:
            if self._owns:
                await self._end()
            raise
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the session; if it fails, the session fails."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._over.done():
            self._over.set_exception(error)

    def _finish(self, status: int) -> None:
        if not self._over.done():
            self._over.set_result(status)

    # --- what comes out -----------------------------------------------------------------------------------------

    async def _show(self) -> None:
        async for chunk in self._program.output():
            if (loss := missing(chunk)) is not None:
                say(loss)
            await self._write(_DESCRIPTORS[chunk.stream], chunk.data)
        self._output_end.set()
        status = (await self._program.wait()).status
        if status.limit is not None:
            self._limit = f"{'reached' if status.code == 0 else 'ended by'} its {status.limit} limit"
        self._finish(exit_status(status))

    def tell_limit(self) -> None:
        """Say which limit the program reached, if any. The exit status does not say it. The terminal must have its old
        modes back before."""
        if self._limit is not None:
            print(f"rpcclient: {self._limit}", file=sys.stderr, flush=True)

    async def _write(self, descriptor: int, data: bytes) -> None:
        await write_all(descriptor, data)

    # --- what goes in -------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        from rpcclient.stubs.programs import ProgramNotFound, StdinClosed

        with contextlib.suppress(StdinClosed, ProgramNotFound):  # It has read as much as it wanted.
            while data := await read_some(STDIN):
                await self._program.stdin.write(data)
            await self._program.stdin.close()

    # --- signals ------------------------------------------------------------------------------------------------

    def _signals(self) -> dict[signal.Signals, Callable[[], None]]:
        """React to a signal to this process."""
        return {
            signal.SIGINT: self._interrupt,
            signal.SIGQUIT: lambda: self._forward("QUIT") if self._owns else self.leave(),
            signal.SIGTERM: self.leave,
            signal.SIGHUP: self.leave,
        }

    def _interrupt(self) -> None:
        self._interrupts += 1
        if not self._owns:
            self.leave()
        elif self._interrupts == 1:
            self._forward("INT")
        elif self._interrupts == 2:
            say("interrupted again: killing it")
            self._spawn(self._kill())
        else:
            # Even if standard output is stuck. The server ends the program with the connection.
            os._exit(outcome.INTERRUPTED)

    def _forward(self, name: str) -> None:
        async def send() -> None:
            await self._program.send_signal(name)

        self._spawn(send())

    async def _kill(self) -> None:
        await self._program.kill()

    async def _end(self) -> None:
        """Try to end the program now."""
        from rpcclient.errors import RpcError

        with contextlib.suppress(RpcError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._program.kill()

    # --- leaving ------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """End the session before the program ends by itself."""
        self._spawn(self._leave())

    async def _leave(self) -> None:
        if not self._owns:
            say(f"left; {self._program.id} goes on")
            self._finish(outcome.OK)
            return
        await self._hang_up()
        self._finish(128 + signal.SIGHUP)

    async def _hang_up(self) -> None:
        """Do to the program what the loss of its terminal does, and see it out: its last words, such as those that give
        an editor's screen back, are still shown."""
        from rpcclient.errors import DeadlineExceeded, RpcError

        # Over a connection that says nothing more the server cannot be asked: it ends the program by itself.
        with contextlib.suppress(RpcError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._program.send_signal("HUP")
                # TERM would interrupt what it does about HUP.
                with contextlib.suppress(DeadlineExceeded):
                    await self._program.wait(LEAVE_GRACE_S)
                status = (await self._program.terminate(LEAVE_GRACE_S)).status
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_GRACE_S):
                        await self._output_end.wait()
                self._finish(exit_status(status))


class TerminalSession(Session):
    """Connects a program on a pseudo-terminal to a person on a terminal.

    Parameters:
        program, owns: as of :class:`Session`.
        terminal: the local terminal, raw.
    """

    def __init__(self, program: AsyncProgram[bytes], terminal: RawTerminal, *, owns: bool, controls: bool) -> None:
        super().__init__(program, stdin=True, owns=owns)
        self._terminal = terminal
        self._controls = controls
        self._modes = ScreenModes()
        self._input: asyncio.Queue[bytes] = asyncio.Queue(TYPED_PIECES)
        self._resizing: asyncio.Task[None] | None = None

    async def run(self) -> int:
        if not self._controls:
            say("this only looks on; Ctrl-C or ~. leaves")
        try:
            return await super().run()
        finally:
            if undo := self._modes.undo:
                standard.write_all(STDOUT, undo)

    async def _write(self, descriptor: int, data: bytes) -> None:
        before = self._modes.on
        self._modes.feed(data)
        try:
            await super()._write(descriptor, data)
        except BaseException:
            self._modes.keep(before)  # What switches them off may not have been written.
            raise

    async def _feed(self) -> None:
        if self._controls:
            self._resize()
            self._spawn(self._send())
        escapes = Escapes()
        while data := await self._read():
            for piece in escapes.feed(data):
                if isinstance(piece, Action):
                    self._act(piece)
                elif self._controls:
                    await self._input.put(piece)
                elif INTERRUPT in piece:
                    self.leave()
        self.leave()  # The terminal is gone.

    @staticmethod
    async def _read() -> bytes:
        try:
            return await read_some(STDIN)
        except OSError:
            return b""

    async def _send(self) -> None:
        from rpcclient.errors import ConnectionLost
        from rpcclient.stubs.programs import NotController, ProgramNotFound, StdinClosed

        while True:
            data = await self._input.get()
            while not self._input.empty():
                data += self._input.get_nowait()
            try:
                await self._program.stdin.write(data)
            except ConnectionLost:
                say("the connection was lost; what was typed last may be missing")
            except NotController:
                say("somebody else has taken control; now this only looks on, and Ctrl-C or ~. leaves")
                self._controls = False
                return
            except (StdinClosed, ProgramNotFound):
                return

    def _act(self, action: Action) -> None:
        if action is Action.LEAVE:
            self.leave()
        elif action is Action.HELP:
            standard.write_all(STDERR, HELP.replace("\n", "\r\n").encode())
        else:
            self._terminal.suspend()
            self._resize()

    def _signals(self) -> dict[signal.Signals, Callable[[], None]]:
        # In raw mode Ctrl-C is a key like any other: it is for the program's own terminal.
        return {signal.SIGTERM: self.leave, signal.SIGHUP: self.leave, signal.SIGWINCH: self._resize}

    def _resize(self) -> None:
        if self._controls and (self._resizing is None or self._resizing.done()):
            self._resizing = asyncio.ensure_future(self._tell_size())
            self._tasks.add(self._resizing)
            self._resizing.add_done_callback(self._done)

    async def _tell_size(self) -> None:
        from rpcclient.errors import TransportError
        from rpcclient.stubs.programs import NotController, NoTerminal, ProgramNotFound

        sent_size = None
        with contextlib.suppress(NoTerminal, NotController, ProgramNotFound, TransportError, OSError):
            while (size := self._terminal.size) != sent_size:  # It may have changed again meanwhile.
                await self._program.resize(size.lines, size.columns)
                sent_size = size
