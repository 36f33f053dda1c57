"""One running program: its pipes, its end, its tree."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from . import tree
from .errors import ProgramNotStarted, StdinClosed
from .models import Exit, ExitStatus, ProgramInfo, Usage
from .output import Output

CHUNK_BYTES = 64 * 1024
DRAIN_S = 0.25
"""How long to read on after the program's end while somebody else holds its output open."""
MARK = "RPC_PROGRAM_ID"
"""The environment variable by which a program's descendants are known again."""
KILL_WAIT_S = 2.0
"""How long killed processes may take to be gone before they are reported as survivors."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What to start.

    Attributes:
        argv: program and arguments.
        cwd: where.
        env: the whole environment.
        merge_stderr: send standard error into standard output.
        retain_bytes: output to keep, per stream.
        keep_first: keep the beginning of what is too long, not the end.
    """

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    merge_stderr: bool
    retain_bytes: int
    keep_first: bool


def spawn(spec: Spec) -> subprocess.Popen[bytes]:
    """Start a program in a session and process group of its own.

    Raises:
        ProgramNotStarted: it cannot be; the message names the parameter.
    """
    try:
        return subprocess.Popen(
            list(spec.argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if spec.merge_stderr else subprocess.PIPE,
            cwd=spec.cwd,
            env=dict(spec.env),
            start_new_session=True,
            bufsize=0,
        )
    except OSError as exc:
        in_cwd = exc.filename is not None and os.fspath(exc.filename) == spec.cwd
        name = "cwd" if in_cwd else "argv"
        what = spec.cwd if in_cwd else spec.argv[0]
        symbol = None if exc.errno is None else os.strerror(exc.errno)
        raise ProgramNotStarted(f"{name}: {what}: {symbol or exc}", field=name, errno=_symbol(exc)) from exc
    except ValueError as exc:
        raise ProgramNotStarted(f"argv: {exc}: remove the null characters", field="argv") from exc


def _symbol(exc: OSError) -> str | None:
    return None if exc.errno is None else errno.errorcode.get(exc.errno)


class Program:
    """A program that was started. All methods belong to the event loop's thread.

    Parameters:
        program_id: its name in calls.
        spec: what was started.
        popen: the process.
        owner: who started it.
    """

    def __init__(self, program_id: str, spec: Spec, popen: subprocess.Popen[bytes], owner: str) -> None:
        self.id = program_id
        self.spec = spec
        self.owner = owner
        self.pid = popen.pid
        self.started_at = time.time()
        self.exit: Exit | None = None
        self.stdout = Output("stdout", spec.retain_bytes, keep_first=spec.keep_first)
        self.stderr = Output("stderr", spec.retain_bytes, keep_first=spec.keep_first)
        self._popen = popen
        self._began = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._stdin: int | None = None
        self._input: asyncio.Lock = asyncio.Lock()
        self._exited = asyncio.Event()
        self._ended = asyncio.Event()
        self._timed_out = False
        self._reading: dict[int, Output] = {}
        self._tree: dict[int, psutil.Process] = {}
        self.follower: asyncio.Task[None] | None = None
        self._task = self._loop.create_task(self._watch())

    # --- reading and writing ------------------------------------------------------------------------------------

    def _open_pipes(self) -> None:
        popen = self._popen
        assert popen.stdin is not None
        assert popen.stdout is not None
        self._stdin = os.dup(popen.stdin.fileno())
        popen.stdin.close()
        os.set_blocking(self._stdin, False)
        for pipe, output in ((popen.stdout, self.stdout), (popen.stderr, self.stderr)):
            if pipe is None:
                output.end()
                continue
            descriptor = os.dup(pipe.fileno())
            pipe.close()
            os.set_blocking(descriptor, False)
            self._reading[descriptor] = output
            self._loop.add_reader(descriptor, self._read, descriptor)

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._reading[descriptor].write(data)
        else:
            self._end_reading(descriptor)

    def _end_reading(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._reading.pop(descriptor).end()
        if not self._reading and self._exited.is_set():
            self._ended.set()

    async def write(self, data: bytes) -> None:
        """Write to its standard input; waits while it does not read.

        Raises:
            StdinClosed: it takes no more.
        """
        async with self._input:
            view = memoryview(data)
            while view:
                if self._stdin is None:
                    raise StdinClosed(f"the program {self.id} takes no more input", id=self.id)
                try:
                    view = view[os.write(self._stdin, view) :]
                except BlockingIOError:
                    await self._writable(self._stdin)
                except (BrokenPipeError, OSError):
                    self.close_stdin()

    async def _writable(self, descriptor: int) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(descriptor, _settle, ready)
        ended = self._loop.create_task(self._ended.wait())
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            self._loop.remove_writer(descriptor)

    def close_stdin(self) -> None:
        """Tell it that there is no more input."""
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    # --- its end ------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Follow the program to its end: exit, then the rest of its output, then the exit is told."""
        self._open_pipes()
        status, usage = await self._wait_exit()
        self._exited.set()
        held = False
        if self._reading:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), DRAIN_S)
            held = bool(self._reading)
            for descriptor in list(self._reading):
                self._end_reading(descriptor)
        self.close_stdin()
        self.exit = Exit(
            id=self.id,
            status=status,
            duration_s=time.monotonic() - self._began,
            usage=usage,
            pipes_still_held=held,
            survivors=tree.alive(self._tree.values()),
        )
        tree.reap(self._tree.values())
        self._ended.set()

    async def _wait_exit(self) -> tuple[ExitStatus, Usage | None]:
        exited: asyncio.Future[None] = self._loop.create_future()
        pidfd = os.pidfd_open(self.pid)
        try:
            self._loop.add_reader(pidfd, _settle, exited)
            await exited
        finally:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
        _, status, used = os.wait4(self.pid, 0)  # noqa: ASYNC222 - it has ended, so this returns at once
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        return self._status(status), _usage(used)

    def _status(self, status: int) -> ExitStatus:
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return ExitStatus(code=code, timed_out=self._timed_out)
        return ExitStatus(
            code=None,
            signal=signal.Signals(-code).name if -code in list(signal.Signals) else f"SIG{-code}",
            timed_out=self._timed_out,
            core_dumped=os.WCOREDUMP(status),
        )

    async def wait(self) -> Exit:
        """Wait for its end, after all of its output."""
        while self.exit is None:
            await asyncio.shield(self._task)
        return self.exit

    def send_signal(self, signum: int, *, group: bool = True) -> bool:
        """Send a signal to its process group, or to it alone; ``False`` where it has ended."""
        if self._exited.is_set():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signum) if group else os.kill(self.pid, signum)
        return True

    async def end(self, grace_s: float, *, timed_out: bool = False) -> Exit:
        """End it and all that it has started: TERM, some time, KILL.

        Parameters:
            grace_s: the time between the two, in seconds; 0 to kill at once.
            timed_out: whether its time was over.
        """
        self._timed_out = self._timed_out or timed_out
        await self._refresh_tree()
        if grace_s > 0 and not self._exited.is_set():
            tree.send(self.pid, self._tree.values(), signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), grace_s)
        begin = time.monotonic()
        while time.monotonic() - begin < KILL_WAIT_S:
            await self._refresh_tree()
            tree.send(self.pid, self._tree.values(), signal.SIGKILL)
            tree.reap(self._tree.values())
            if self._exited.is_set() and not tree.alive(self._tree.values()):
                break
            await asyncio.sleep(0.01)
        return await self.wait()

    async def _refresh_tree(self) -> None:
        for process in await self._loop.run_in_executor(
            None, tree.descendants, self.pid, f"{MARK}={self.spec.env[MARK]}"
        ):
            self._tree.setdefault(process.pid, process)

    @property
    def info(self) -> ProgramInfo:
        """What there is to say about it now."""
        return ProgramInfo(
            id=self.id,
            pid=self.pid,
            started_at=self.started_at,
            argv=list(self.spec.argv),
            cwd=self.spec.cwd,
            running=self.exit is None,
            status=None if self.exit is None else self.exit.status,
            stdout_bytes=self.stdout.total_bytes,
            stderr_bytes=self.stderr.total_bytes,
        )


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _usage(used: resource.struct_rusage) -> Usage:
    return Usage(user_s=used.ru_utime, system_s=used.ru_stime, max_rss_bytes=used.ru_maxrss * 1024)
