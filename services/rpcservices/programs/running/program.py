"""A program, as the service sees it: this process looks after it, or a keeper does, or nobody any more."""

from __future__ import annotations

import asyncio
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rpcserver import Connection
from rpcservices.programs import models
from rpcservices.programs.errors import NoTerminal, StdinClosed
from rpcservices.programs.models import Exit, ExitStatus, ProgramInfo, Usage
from rpcservices.programs.terms import StreamName
from rpcservices.signals import signal_name

from .cgroups import Cgroup
from .launching import Launcher
from .output import Output
from .processes import Process
from .records import About
from .running import Running
from .spawning import SpawnedProgram
from .supervision import Ending, Supervision


class Readable(Protocol):
    """An output, as its readers see it."""

    @property
    def name(self) -> StreamName:
        """Its name."""
        ...

    @property
    def total_bytes(self) -> int:
        """Bytes written so far."""
        ...

    @property
    def start(self) -> int:
        """The offset of the first byte that is kept."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the output is complete."""
        ...

    @property
    def cut(self) -> bool:
        """Whether it ends here although the program wrote more."""
        ...

    def read(self, offset: int, most: int, /) -> tuple[int, bytes] | None:
        """Return the piece at ``offset``, or at the first kept byte after it; ``None`` where there is nothing yet."""
        ...

    def watch(self, callback: Callable[[], object], /) -> Callable[[], None]:
        """Call ``callback`` at every change. Returns a function that ends this."""
        ...

    def discard(self) -> None:
        """Free everything that is kept."""
        ...


def exit_from(program_id: str, ending: Ending) -> Exit:
    """Turn the end of a program into the answer for callers."""
    return Exit(
        id=program_id,
        status=ExitStatus(
            code=ending.code,
            signal=None if ending.signal is None else signal_name(ending.signal),
            limit=ending.limit,
            core_dumped=ending.core_dumped,
            lost=ending.lost,
        ),
        duration_s=ending.duration_s,
        usage=None
        if ending.lost
        else Usage(user_s=ending.user_s, system_s=ending.system_s, max_rss_bytes=ending.max_rss_bytes),
        pipes_still_held=ending.pipes_still_held,
        output_cut=ending.output_cut,
        survivors=ending.survivors,
    )


class Program(ABC):
    """A program that was started. All methods belong to the event loop's thread.

    Parameters:
        about: the description of the program.
        outputs: its outputs.

    Attributes:
        exit: its end, after it has ended and its output is complete.
        controller: the connection that may write to it.
        viewers: the number of readers of its output.
        cgroup: its control group, if this process has made it one and could not remove it yet.
    """

    def __init__(self, about: About, outputs: Sequence[Readable]) -> None:
        self.about = about
        self.outputs: Mapping[StreamName, Readable] = {output.name: output for output in outputs}
        self.exit: Exit | None = None
        self.controller: Connection | None = None
        self.viewers = 0
        self.cgroup: Cgroup | None = None
        self._end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    @property
    def id(self) -> str:
        """Its name in calls."""
        return self.about.id

    def note_end(self, ending: Ending) -> None:
        """Take over the end of the program, when all of its output is there."""
        if self.exit is None:
            self.exit = exit_from(self.id, ending)
            self._end.set_result(self.exit)

    def on_end(self, callback: Callable[[Exit], object]) -> None:
        """Call ``callback`` after its end."""
        self._end.add_done_callback(lambda task: callback(task.result()))

    async def wait(self) -> Exit:
        """Wait for its end, after all of its output."""
        return await asyncio.shield(self._end)

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Write to its standard input; waits while it does not read.

        Raises:
            StdinClosed: the program reads no more input.
        """

    @abstractmethod
    def close_stdin(self) -> None:
        """Close its standard input."""

    @abstractmethod
    def send_signal(self, signum: int) -> bool:
        """Send a signal to its process group; ``False`` where it has ended."""

    @abstractmethod
    def hang_up(self) -> None:
        """Do to the program what the loss of its terminal would do."""

    @abstractmethod
    async def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size.

        Raises:
            NoTerminal: it has none.
        """

    @abstractmethod
    def acknowledge(self, stream: StreamName, offset: int) -> None:
        """Note that its controller has read an output up to an offset."""

    @abstractmethod
    async def end(self, grace_s: float) -> Exit:
        """End it and all that it has started: TERM, a pause, KILL.

        Parameters:
            grace_s: the time between the two, in seconds; 0 to kill at once.
        """

    def discard(self) -> None:
        """Free everything that is kept of it."""
        for output in self.outputs.values():
            output.discard()

    def stdin_closed(self) -> StdinClosed:
        """The error for input that comes too late."""
        return StdinClosed(f"the program {self.id} takes no more input", id=self.id)

    def no_terminal(self) -> NoTerminal:
        """The error for a new size without a terminal."""
        return NoTerminal(
            f"the program {self.id} has no pseudo-terminal: give start a terminal, or it has ended", id=self.id
        )

    @property
    def info(self) -> ProgramInfo:
        """Its description for callers, as it is now."""
        about = self.about
        stdout, stderr = self.outputs.get("stdout"), self.outputs.get("stderr")
        terminal = about.terminal
        return ProgramInfo(
            id=about.id,
            pid=about.pid,
            pid_start=about.pid_start,
            started_at=about.started_at,
            owner=about.owner,
            argv=list(about.argv),
            cwd=about.cwd,
            user=about.user or None,
            labels=dict(about.labels),
            terminal=None
            if terminal is None
            else models.TerminalSize(rows=terminal.rows, columns=terminal.columns, term=terminal.term),
            on_disconnect=about.on_disconnect,
            controlled=self.controller is not None,
            viewers=self.viewers,
            running=self.exit is None,
            status=None if self.exit is None else self.exit.status,
            stdout_start=0 if stdout is None else stdout.start,
            stdout_bytes=0 if stdout is None else stdout.total_bytes,
            stderr_start=0 if stderr is None else stderr.start,
            stderr_bytes=0 if stderr is None else stderr.total_bytes,
        )


class HostedProgram(Program):
    """A program that this process looks after.

    Parameters:
        about: the description of the program.
        process: its process.
        supervision: how to look after it.
        outputs: its outputs.
        cgroup: its control group, if it has one.
        folder: the folder for its output; empty for memory only.
        launcher: has made its process, and reports its end.
    """

    def __init__(
        self,
        about: About,
        process: SpawnedProgram,
        supervision: Supervision,
        outputs: Sequence[Output],
        *,
        launcher: Launcher,
        cgroup: Cgroup | None = None,
        folder: str = "",
    ) -> None:
        super().__init__(about, outputs)
        self._loop = asyncio.get_running_loop()
        self._folder = folder
        self.cgroup = cgroup
        self._running = Running(
            self._loop,
            process,
            supervision,
            outputs,
            self.note_end,
            offload=self._in_thread,
            cgroup=cgroup,
            watch=launcher.watch(process.ticket, process.pid, process.pidfd),
            reaper=launcher.pid,
        )

    def note_end(self, ending: Ending) -> None:
        if not self._running.has_left_cgroup:
            self.cgroup = None
        super().note_end(ending)

    def _in_thread(self, function: Callable[[], list[Process]], then: Callable[[list[Process]], object], /) -> None:
        looking = self._loop.run_in_executor(None, function)
        looking.add_done_callback(lambda task: then(task.result()))

    async def write(self, data: bytes) -> None:
        outcome: asyncio.Future[bool] = self._loop.create_future()

        def done(all_of_it: bool) -> None:
            if not outcome.done():
                outcome.set_result(all_of_it)

        write = self._running.stdin.write(data, done)
        try:
            if not await outcome:
                raise self.stdin_closed()
        finally:
            write.cancel()

    def close_stdin(self) -> None:
        self._running.stdin.close()

    def send_signal(self, signum: int) -> bool:
        return self._running.send_signal(signum)

    def hang_up(self) -> None:
        self._running.hang_up()

    async def resize(self, rows: int, columns: int) -> None:
        if not self._running.stdin.resize(rows, columns):
            raise self.no_terminal()
        self.about = self.about.with_terminal_size(rows, columns)

    def acknowledge(self, stream: StreamName, offset: int) -> None:
        self._running.acknowledge(stream, offset)

    async def end(self, grace_s: float) -> Exit:
        outcome: asyncio.Future[list[int]] = self._loop.create_future()

        def done(survivors: list[int]) -> None:
            if not outcome.done():
                outcome.set_result(survivors)

        self._running.end(grace_s, done=done)
        survivors = await outcome
        ending = await self.wait()
        return ending.model_copy(update={"survivors": survivors})

    def discard(self) -> None:
        super().discard()
        if self._folder:
            _remove(self._folder)


def _remove(folder: str) -> None:
    """Remove a folder, which is nearly always empty by now: then one call of the system does it."""
    try:
        os.rmdir(folder)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)  # Somebody may have removed it already.
