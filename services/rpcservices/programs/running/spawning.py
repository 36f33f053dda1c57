"""Starts a program: makes its pipes or terminal, and the plan that a new process follows to become the program."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import marshal
import os
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rpcservices.programs.terms import LimitSet, StderrTo, UserIds

from . import limits as rules
from . import processes
from .cgroups import Cgroup, Controller
from .launch import CHILD_AT, PLAN_AT
from .launching import Start

NO_LIMITS = LimitSet()
PIPE_BYTES = 256 * 1024
"""The size of a pipe of a followed program: larger than usual, for fewer and larger pieces."""


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """A pseudo-terminal.

    Attributes:
        rows, columns: its size in characters.
        term: its type, for the variable TERM.
    """

    rows: int
    columns: int
    term: str


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, and how.

    Attributes:
        argv: program and arguments.
        cwd: the working directory.
        env: the whole environment.
        executable: the file to execute; empty to search for ``argv[0]``.
        stdin: whether there is a pipe to write to; otherwise its input is empty.
        stdout: whether there is a pipe to read; otherwise its output goes nowhere.
        stderr: where standard error goes.
        terminal: a pseudo-terminal instead of pipes.
        user: the user as whom to run it, if not the server's own user.
        limits: its limits.
        no_new_privs: whether nothing may give it new rights, such as set-user-ID files.
        cwd_exact: whether to refuse if ``cwd`` leads to another folder than it names.
        cgroups: the folders of control groups to enter.
        bounds: the controllers of these groups that limit it as a whole.
        bulky: whether to expect much output.
        processors: the processors that it may use; empty for all that this process may use.
    """

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    executable: str = ""
    stdin: bool = True
    stdout: bool = True
    stderr: StderrTo = "pipe"
    terminal: TerminalSize | None = None
    user: UserIds | None = None
    limits: LimitSet = field(default_factory=LimitSet)
    no_new_privs: bool = False
    cwd_exact: bool = False
    cgroups: tuple[str, ...] = ()
    bounds: tuple[Controller, ...] = ()
    bulky: bool = False
    processors: tuple[int, ...] = ()

    @property
    def pipe_bytes(self) -> int:
        """The size of a pipe for its output; 0 for the usual size. A pipe must not hold more than a limit per second
        allows."""
        rate = self.limits.output_bytes_per_s
        return min(rate // 10 + 1, PIPE_BYTES) if rate is not None else PIPE_BYTES * self.bulky

    @property
    def is_quick(self) -> bool:
        """Whether to prepare it takes some microseconds only: some limits need a look at all processes, and a control
        group with limits may have to wait for the kernel."""
        return self.limits == NO_LIMITS

    def inside(self, cgroup: Cgroup | None) -> Launch:
        """A copy that begins in a control group, if there is one."""
        return self if cgroup is None else replace(self, cgroups=cgroup.folders, bounds=tuple(cgroup.bounds))


class LaunchError(Exception):
    """A program could not be started.

    Attributes:
        field: what was in the way: ``argv``, ``cwd``, ``env``, ``user``, ``limits`` or ``pty``.
        number: the system's number of the error; 0 where there is none.
        text: a sentence for a person.
    """

    def __init__(self, field: str, number: int, text: str) -> None:
        super().__init__(text)
        self.field, self.number, self.text = field, number, text

    @property
    def symbol(self) -> str | None:
        """The system's name of the error, such as ``ENOENT``."""
        return errno.errorcode.get(self.number)


@dataclass(slots=True)
class SpawnedProgram:
    """A program that was started. The descriptors do not block, and belong to the holder of this object.

    Attributes:
        pid: its process.
        start: the start of that process, in clock ticks since boot.
        pidfd: readable once it has ended (pidfd_open(2)).
        stdin, stdout, stderr: our ends; ``None`` where there is none. A terminal is ``stdin`` and ``stdout``.
        own_maxrss: the memory of the process before it became this program, in kilobytes. The kernel's figure for the
            program includes it (getrusage(2)).
        ticket: the number of the process at its maker.
    """

    pid: int
    start: int
    pidfd: int
    stdin: int | None
    stdout: int | None
    stderr: int | None
    own_maxrss: int = 0
    ticket: int = 0


def resize(descriptor: int, rows: int, columns: int) -> None:
    """Change the size of a pseudo-terminal; its programs get SIGWINCH (ioctl_tty(2))."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def end_of_file(descriptor: int) -> bytes:
    """The character that tells a pseudo-terminal's program that there is no more input: VEOF (termios(3))."""
    with contextlib.suppress(termios.error):
        character: object = termios.tcgetattr(descriptor)[6][termios.VEOF]
        if isinstance(character, bytes):
            return character
    return b"\x04"


def spawn_in(launch: Launch, cgroup: Cgroup | None, start: Start) -> tuple[SpawnedProgram, Cgroup | None]:
    """Start a program in a control group, or without one if entering is not permitted.

    Parameters:
        launch: what to start.
        cgroup: its control group; removed if it cannot be entered.
        start: makes the process.

    Returns:
        The program, and the control group that it is in.

    Raises:
        LaunchError: the program cannot be started.
    """
    if cgroup is not None:
        try:
            return spawn(launch.inside(cgroup), start), cgroup
        except LaunchError as exc:
            cgroup.remove()
            if exc.field != "cgroup":
                raise
    return spawn(launch, start), None


def spawn(launch: Launch, start: Start) -> SpawnedProgram:
    """Start a program in a session and process group of its own. It blocks until the program runs or has failed.

    Parameters:
        launch: what to start.
        start: makes the process.

    Raises:
        LaunchError: the program cannot be started.
    """
    try:
        return Spawning(launch, start).wait()
    except NotMadeError:
        return Spawning(launch, start).wait()


class NotMadeError(LaunchError):
    """The maker of processes has ended before it made this one."""

    def __init__(self) -> None:
        super().__init__("argv", 0, "the process ended before it became the program")


class Spawning:
    """A program that is being started in a session and process group of its own.

    Parameters:
        launch: what to start.
        start: makes the process.
        wait: whether making it may take milliseconds.

    Attributes:
        report_fd: can be read as soon as the process has become the program, or has failed. Then call :meth:`finish`.

    Raises:
        LaunchError: the program cannot be started.
        BlockingIOError: it would take long, and ``wait`` is false.
    """

    def __init__(self, launch: Launch, start: Start, *, wait: bool = True) -> None:
        self._launch = launch
        self._start = start
        self._own_descriptors: list[int] = []  # They are closed if it cannot be started, or at the end.
        child_descriptors: list[int] = []  # They are closed here in any case.
        try:
            self._ends = _ends(launch, child_descriptors, self._own_descriptors)
            self._plan_fd, self.report_fd, self._ticket = self._begin(child_descriptors, wait=wait)
        except BaseException:
            _close(self._own_descriptors)
            raise
        finally:
            _close(child_descriptors)

    def _begin(self, child_descriptors: list[int], *, wait: bool) -> tuple[int, int, int]:
        """Write the plan, and have the process made."""
        launch = self._launch
        try:
            content = plan(launch)
            plan_fd = os.memfd_create("plan")
            self._own_descriptors.append(plan_fd)
            os.write(plan_fd, bytes(PLAN_AT) + content)
            cgroup_fd = _open_group(launch, child_descriptors)
            report_fd, child_report_fd = os.pipe2(os.O_CLOEXEC)
        except (OSError, ValueError) as exc:
            raise LaunchError("argv", getattr(exc, "errno", None) or 0, f"argv: cannot be prepared: {exc}") from exc
        self._own_descriptors.append(report_fd)
        child_descriptors.append(child_report_fd)
        try:
            return plan_fd, report_fd, self._start(plan_fd, child_report_fd, self._ends.inside, cgroup_fd, wait=wait)
        except BlockingIOError:
            raise
        except OSError as exc:
            raise LaunchError("argv", exc.errno or 0, f"no process can be started: {exc.strerror}") from exc

    def wait(self) -> SpawnedProgram:
        """Wait until the process has become the program or has failed, and finish.

        Raises:
            LaunchError: the program cannot be started.
        """
        os.read(self.report_fd, 1)
        return self.finish()

    def finish(self) -> SpawnedProgram:
        """Take over the program.

        Raises:
            NotMadeError: the maker of processes has ended before it made this one.
            LaunchError: the program cannot be started.
        """
        try:
            report = os.pread(self._plan_fd, PLAN_AT, 0)
            pid, maxrss = self._read(report[:CHILD_AT].rstrip(b"\0"), report[CHILD_AT:].rstrip(b"\0").decode())
            pidfd = os.pidfd_open(pid)
        except BaseException:
            _close(self._own_descriptors)
            raise
        process = processes.read(pid)  # It was not collected yet, so it has an entry even if it has ended.
        os.close(self._plan_fd)
        os.close(self.report_fd)
        ends, start_ticks = self._ends, 0 if process is None else process.start
        return SpawnedProgram(pid, start_ticks, pidfd, ends.stdin, ends.stdout, ends.stderr, maxrss, self._ticket)

    def _read(self, maker: bytes, child: str) -> tuple[int, int]:
        """Read the report.

        Returns:
            The id of the process, and the memory that it had before it became the program, in kilobytes.
        """
        if child.isdecimal():
            return int(maker), int(child)
        if maker:
            self._start.let_go(self._ticket, int(maker))
        if child:
            where, _, number = child.removeprefix("!").rpartition(" ")
            raise _launch_error(where, int(number), self._launch)
        if not maker:
            raise NotMadeError
        if self._launch.limits.memory_bytes is not None:
            raise LaunchError("limits", 0, "limits.memory_bytes: no process begins in so little; allow some MiB")
        raise LaunchError("argv", 0, "the process ended before it became the program")


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


@dataclass(slots=True)
class _Ends:
    """The program's three descriptors, and ours."""

    inside: tuple[int, int, int]
    stdin: int | None
    stdout: int | None
    stderr: int | None


def _ends(launch: Launch, child_descriptors: list[int], own_descriptors: list[int]) -> _Ends:
    """Make the pipes or the terminal.

    Parameters:
        launch: what to start.
        child_descriptors, own_descriptors: get the descriptors of the program, and of this process.

    Raises:
        LaunchError: the system has no more.
    """
    try:
        return (
            _terminal(launch.terminal, child_descriptors, own_descriptors)
            if launch.terminal
            else _pipes(launch, child_descriptors, own_descriptors)
        )
    except OSError as exc:
        field = "pty" if launch.terminal else "argv"
        raise LaunchError(field, exc.errno or 0, f"no pipes: {exc.strerror}") from exc


def _terminal(size: TerminalSize, child_descriptors: list[int], own_descriptors: list[int]) -> _Ends:
    master, slave = os.openpty()
    child_descriptors.append(slave)
    own_descriptors.append(master)
    resize(master, size.rows, size.columns)
    os.set_blocking(master, False)
    writing = os.dup(master)
    own_descriptors.append(writing)
    return _Ends((slave, slave, slave), writing, master, None)


def _pipes(launch: Launch, child_descriptors: list[int], own_descriptors: list[int]) -> _Ends:
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    in_stdin = in_stdout = in_stderr = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    child_descriptors.append(in_stdin)
    if launch.stdin:
        in_stdin, stdin = _pipe(0, child_descriptors, own_descriptors)
    if launch.stdout:
        in_stdout, stdout = _pipe(1, child_descriptors, own_descriptors, launch.pipe_bytes)
    if launch.stderr == "pipe":
        in_stderr, stderr = _pipe(1, child_descriptors, own_descriptors, launch.pipe_bytes)
    elif launch.stderr == "merge":
        in_stderr = in_stdout
    return _Ends((in_stdin, in_stdout, in_stderr), stdin, stdout, stderr)


def _pipe(end: int, child_descriptors: list[int], own_descriptors: list[int], size: int = 0) -> tuple[int, int]:
    """Make a pipe.

    Parameters:
        end: the index of the program's end.
        child_descriptors, own_descriptors: get the descriptors.
        size: its size in bytes; 0 for the usual size.

    Returns:
        The program's end, and ours.
    """
    pair = os.pipe2(os.O_CLOEXEC)
    mine = pair[1 - end]
    child_descriptors.append(pair[end])
    own_descriptors.append(mine)
    os.set_blocking(mine, False)
    if size:
        with contextlib.suppress(OSError):  # The user's share of pipe buffers is used up.
            fcntl.fcntl(mine, fcntl.F_SETPIPE_SZ, size)
    return pair[end], mine


def _open_group(launch: Launch, child_descriptors: list[int]) -> int | None:
    """Open the control group to begin in, if it is one of version 2: only those have ``cgroup.controllers``."""
    if not launch.cgroups or not os.path.exists(f"{launch.cgroups[0]}/cgroup.controllers"):
        return None
    group = os.open(launch.cgroups[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    child_descriptors.append(group)
    return group


def plan(launch: Launch) -> bytes:
    """Write the plan that the new process reads.

    Raises:
        ValueError: an argument holds a null character.
    """
    if "\0" in "".join([*launch.argv, launch.cwd, *launch.env, *launch.env.values()]):
        raise ValueError("embedded null byte: remove the null characters")
    uid = launch.user.uid if launch.user is not None else os.getuid()
    return marshal.dumps(
        {
            "argv": list(launch.argv),
            "executable": launch.executable,
            "cwd": launch.cwd,
            "cwd_exact": launch.cwd_exact,
            "env": dict(launch.env),
            "terminal": launch.terminal is not None,
            "cgroups": list(launch.cgroups),
            "rlimits": rules.rlimits(launch.limits, uid, launch.bounds),
            "processors": rules.processors(launch.limits, launch.processors, in_group="cpu" in launch.bounds),
            "user": None if launch.user is None else (launch.user.uid, launch.user.gid, list(launch.user.groups)),
            "no_new_privs": launch.no_new_privs,
        }
    )


def _launch_error(field: str, number: int, launch: Launch) -> LaunchError:
    what = {"cwd": launch.cwd, "argv": launch.executable or launch.argv[0]}.get(field, "")
    reason = os.strerror(number)
    if field == "cwd" and launch.cwd_exact and number == errno.ENOTDIR:
        reason = "the path leads to another folder now"
    return LaunchError(field, number, f"{field}: {what}: {reason}" if what else f"{field}: {reason}")
