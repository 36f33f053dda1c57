"""Makes processes, and turns them into programs: what happens between fork and exec.

The server has threads and much memory. A fork of it would stop all threads, and on a busy machine for long. So the
server keeps a small process that runs only this file. That process makes each program as its own child, and reports the
end of each. Orphans of programs also become its children (prctl(2), ``PR_SET_CHILD_SUBREAPER``): every child that ends
here and is no program is an orphan, and is collected at once. The server itself could not tell orphans from children
that other parts of it wait for, and would have less time for its answers. The keeper of a program is small, so it makes
its one child directly.

This file must start fast, so it uses only built-in modules of the standard library. See :mod:`.launching`.
"""

from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import select
import sys
import termios
import time

TYPE_CHECKING = False  # Loading the module typing takes longer than everything else here.
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

signal = __import__("_signal")  # The module signal, without the enumerations that take most of the time to start.
_socket = __import__("_socket")
_stat = __import__("_stat")
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER = 36
_MSG_CMSG_CLOEXEC = 0x40000000
_CLONE_INTO_CGROUP = 0x200000000
_SYS_CLONE3 = 435
"""The same on every architecture (``include/uapi/asm-generic/unistd.h``)."""
_SYS_WAITID = {"x86_64": 247, "i686": 284, "armv7l": 280, "ppc64le": 272, "s390x": 281}.get(os.uname().machine, 95)
_PEEK = os.WEXITED | os.WNOHANG | os.WNOWAIT
_CORE_DUMPED = 0x80
_ECHILD, _EINVAL = 10, 22
_SIGSET_BYTES = 128
_SFD_CLOEXEC = os.O_CLOEXEC
_SFD_NONBLOCK = os.O_NONBLOCK
MOST_DESCRIPTORS = 6
MESSAGE_BYTES = 4096
COLLECTED_AT_A_TIME = 64
PROGRAMS_AT_A_TIME = 32
"""The most programs that are asked one by one whether they have ended."""
HIDDEN_S = 0.02
"""How long to wait until an ended child is free, when it hides ended orphans."""
MAKER_AT, CHILD_AT, PLAN_AT = 0, 32, 128
"""The places in the file of a plan: where the maker of a process writes ``PID``; where the process itself writes the
memory that it has before the exec (``MAXRSS`` of getrusage(2)), or ``!FIELD ERRNO`` if something fails; and the plan
itself. A pipe would wake its reader for each."""

_libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the interpreter's lock, so that a child need not wait for it.
_clone_args = ctypes.c_uint64 * 11
_CLONE_ARGS_BYTES = ctypes.c_long(ctypes.sizeof(_clone_args))


# --- making a process -------------------------------------------------------------------------------------------


def make_child(cgroup_fd: int | None = None) -> tuple[int, bool]:
    """Fork.

    Parameters:
        cgroup_fd: a control group of version 2 to begin in. To move there later takes longer: it waits for all
            processors.

    Returns:
        The child's id, or 0 in the child; and whether it is in that control group.

    Raises:
        OSError: the system allows no more processes.
    """
    if cgroup_fd is not None:
        # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        # set_tid_size, cgroup.
        args = _clone_args(_CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup_fd)
        pid = _libc.syscall(ctypes.c_long(_SYS_CLONE3), args, _CLONE_ARGS_BYTES)
        if pid >= 0:
            return pid, True
        # An older kernel, a sandbox that forbids it, or a forbidden group. The child will try to enter the group.
    return os.fork(), False


# --- becoming a program -----------------------------------------------------------------------------------------


def read_plan(plan_fd: int) -> dict[str, Any]:
    """Read a plan, see :func:`.spawning.plan`. The parent does this before the fork: a child has to copy every piece of
    memory that it changes."""
    size = os.fstat(plan_fd).st_size - PLAN_AT
    plan: dict[str, Any] = marshal.loads(os.pread(plan_fd, size, PLAN_AT))  # noqa: S302 - written by the server
    return plan


def become(plan: dict[str, Any], plan_fd: int, ends: tuple[int, int, int], *, in_cgroup: bool) -> None:
    """Become the program. Never returns.

    Parameters:
        plan: the plan.
        plan_fd: its file, for the report; see :data:`CHILD_AT`. A successful exec closes it.
        ends: the descriptors for standard input, output and error.
        in_cgroup: whether the process is already in the first of its control groups.
    """
    field = "argv"
    try:
        os.setsid()
        for target, descriptor in enumerate(ends):
            os.dup2(descriptor, target)
        field = "pty"
        if plan["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        field = "cgroup"
        for folder in plan["cgroups"][in_cgroup:]:
            procs = os.open(folder + "/cgroup.procs", os.O_WRONLY)
            os.write(procs, b"0")
            os.close(procs)
        field = "limits"
        _limit(plan)
        field = "user"
        if plan["user"] is not None:
            uid, gid, groups = plan["user"]
            _hand_over(uid)
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        # Not earlier: now the process has the rights of the program.
        field = "cwd"
        os.chdir(plan["cwd"])
        if plan["cwd_exact"] and os.getcwd() != plan["cwd"]:
            raise NotADirectoryError(20, "moved")
        field = "argv"
        os.pwrite(plan_fd, b"%d" % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, CHILD_AT)
        _execute(plan["argv"], plan["executable"], plan["env"])
    except OSError as exc:
        os.pwrite(plan_fd, f"!{field} {exc.errno or 0}".encode(), CHILD_AT)
    except BaseException:
        # Any exception: nobody else can report it, and this copy of the parent must not go on.
        os.pwrite(plan_fd, f"!{field} {_EINVAL}".encode(), CHILD_AT)
    finally:
        os._exit(127)


def _hand_over(uid: int) -> None:
    """Give the pipes or the terminal to the program's user, who could not open ``/dev/stdin`` and the like otherwise. A
    file that everybody may use, such as ``/dev/null``, stays as it is."""
    for descriptor in range(3):
        mode = os.fstat(descriptor).st_mode
        if _stat.S_ISFIFO(mode) or os.isatty(descriptor):
            os.fchown(descriptor, uid, -1)


def heed_all_signals() -> None:
    """Restore all signals: a program inherits which ones are ignored or blocked (execve(2)), and expects none. The
    interpreter ignores some, and the server may ignore others."""
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _limit(plan: dict[str, Any]) -> None:
    if plan["processors"]:
        os.sched_setaffinity(0, plan["processors"])
    for name, soft, hard in plan["rlimits"]:
        _, most = resource.getrlimit(name)
        least = _smaller(hard, most)
        resource.setrlimit(name, (_smaller(soft, least), least))
    if plan["no_new_privs"]:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _smaller(one: int, other: int) -> int:
    if resource.RLIM_INFINITY in (one, other):  # It is -1.
        return max(one, other)
    return min(one, other)


def _execute(argv: list[str], executable: str, env: dict[str, str]) -> None:
    """Execute a file, or the first of its name on the program's own PATH (execvp(3)).

    Raises:
        OSError: the file cannot be executed.
    """
    if executable or "/" in argv[0]:
        os.execve(executable or argv[0], argv, env)  # noqa: S606 - that is what it is for
    paths = [f"{folder or '.'}/{argv[0]}" for folder in env.get("PATH", os.defpath).split(":")]
    # To ask for a file takes much less time than to fail to execute it. If none can be executed, the attempts tell why.
    _execute_first((path for path in paths if os.access(path, os.X_OK)), argv, env)
    raise _execute_first(paths, argv, env) or FileNotFoundError(2, "not found")


def _execute_first(paths: Iterable[str], argv: list[str], env: dict[str, str]) -> OSError | None:
    """Execute the first of these files that can be executed. Returns the first failure, but for files that do not
    exist."""
    failure = None
    for path in paths:
        try:
            os.execve(path, argv, env)  # noqa: S606 - that is what it is for
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            failure = failure or exc
    return failure


# --- the small process ------------------------------------------------------------------------------------------


def close_all(descriptors: list[int]) -> None:
    """Close descriptors. Those that came in one message mostly have numbers in a row, and need one system call only."""
    low, high = min(descriptors), max(descriptors)
    if high - low == len(descriptors) - 1:
        os.closerange(low, high + 1)
        return
    for each in descriptors:
        os.close(each)


class _Child:
    """A process that was made for the server.

    Attributes:
        ticket: the server's name for it.
        is_told: whether the server knows of its end.
        free: whether the server no longer needs its id. Until then it is not collected, so no other process gets that.
    """

    __slots__ = ("free", "is_told", "ticket")

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.is_told = False
        self.free = False


class Parent:
    """Makes a process for each message that asks for one, reports how each ends, and collects orphans.

    It receives ``make TICKET``, with descriptors (unix(7), ``SCM_RIGHTS``): the plan, a pipe that tells by its end that
    the process has become the program or has failed, standard input, output and error, and perhaps a control group; and
    ``free TICKET ...``: collect these processes when they have ended. For each process it sends one message, ``TICKET
    STATUS USER_US SYSTEM_US MAXRSS_KIB``, with the values of wait4(2).

    Parameters:
        descriptor: a socket for such messages.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._sock = _socket.socket(fileno=descriptor)
        self._sock.setblocking(False)
        self._children: dict[int, _Child] = {}
        self._pids: dict[int, int] = {}
        self._unsent: list[bytes] = []
        self._is_sending = False
        self._ended_count = 0  # Ended programs that are not free yet.
        self._is_hidden = False
        self._look_at = 0.0
        self._signals = _receive_sigchld()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(self._signals, select.POLLIN)

    def serve(self) -> None:
        """Work until the other end is closed."""
        has_ends = False
        while True:
            for each, _ in self._poll.poll(self._patience_ms() if has_ends else None):
                if each == self._signals:
                    os.read(self._signals, 4096)
                    has_ends = True
                    self._look_at_programs()
                    continue
                if self._is_sending:
                    self._send()
                if not self._take():
                    return
            if has_ends and (not self._look_at or time.monotonic() >= self._look_at):
                has_ends = self._collect()

    def _patience_ms(self) -> float:
        return max(0.0, (self._look_at - time.monotonic()) * 1000) if self._look_at else 0.0

    # --- messages -----------------------------------------------------------------------------------------------

    def _take(self) -> bool:
        """Handle one message. Returns whether there may be another."""
        try:
            data, ancillary, _, _ = self._sock.recvmsg(
                MESSAGE_BYTES, _socket.CMSG_SPACE(4 * MOST_DESCRIPTORS), _MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        word, *tickets = data.split()
        if word == b"make":
            self._make(int(tickets[0]), list(memoryview(ancillary[0][2]).cast("i")))
        else:
            for ticket in tickets:
                self._free(int(ticket))
        return True

    def _make(self, ticket: int, descriptors: list[int]) -> None:
        plan_fd, _, stdin, stdout, stderr, *groups = descriptors
        try:
            plan = read_plan(plan_fd)
            pid, in_cgroup = make_child(groups[0] if groups else None)
            if pid == 0:
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                become(plan, plan_fd, (stdin, stdout, stderr), in_cgroup=in_cgroup)
            os.pwrite(plan_fd, b"%d" % pid, MAKER_AT)
            self._children[pid], self._pids[ticket] = _Child(ticket), pid
        except (OSError, ValueError, EOFError, TypeError) as exc:
            os.pwrite(plan_fd, b"!argv %d" % (getattr(exc, "errno", None) or _EINVAL), CHILD_AT)
        close_all(descriptors)

    def _free(self, ticket: int) -> None:
        pid = self._pids.get(ticket)
        if pid is not None:
            self._children[pid].free = True
            self._settle(pid)

    def _send(self) -> None:
        """Send the waiting messages, without blocking: the server may be waiting for this process."""
        try:
            while self._unsent:
                self._sock.send(self._unsent[0])
                del self._unsent[0]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()  # The server has ended; the next read will show it.
        if self._is_sending != bool(self._unsent):
            self._is_sending = not self._is_sending
            self._poll.modify(self._descriptor, select.POLLIN | (select.POLLOUT if self._is_sending else 0))

    # --- ends ---------------------------------------------------------------------------------------------------

    def _collect(self) -> bool:
        """Handle children that have ended, some at a time, so that requests do not wait for thousands.

        Returns:
            Whether there may be more.
        """
        if self._ended_count:
            return self._await_free()
        for _ in range(COLLECTED_AT_A_TIME):
            try:
                end = peek(os.P_ALL, 0)
            except ChildProcessError:  # There are no children at all.
                return False
            if end is None:
                return False
            self._on_end(self._children.get(end[0]), *end)
            if self._ended_count:
                return self._await_free()
        return True

    def _await_free(self) -> bool:
        """Wait a moment for an ended program that is not free yet, and then look for the ends that it hides: while it
        is there, waitid(2) reports no other."""
        if self._is_hidden:
            return self._look_behind()
        self._is_hidden = True
        self._look_at = time.monotonic() + HIDDEN_S
        return True

    def _look_at_programs(self) -> None:
        """Look at each program, as far as there are only some: nobody shall wait for the end of one because another has
        ended a moment before."""
        if len(self._children) <= PROGRAMS_AT_A_TIME:
            self._look_at_each([pid for pid, child in self._children.items() if not child.is_told])

    def _look_at_each(self, pids: list[int]) -> None:
        for pid in pids:
            try:
                end = peek(os.P_PID, pid)
            except ChildProcessError:
                continue
            if end is not None:
                self._on_end(self._children.get(pid), *end)

    def _look_behind(self) -> bool:
        """Look at all children for those that have ended. With thousands of children that takes a while, so it is not
        done always."""
        begin = time.monotonic()
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
                pids = [int(word) for word in file.read().split()]
        except OSError:  # A kernel that does not list them (CONFIG_PROC_CHILDREN).
            self._look_at = begin + HIDDEN_S
            return True
        self._look_at_each([pid for pid in pids if pid not in self._children or not self._children[pid].is_told])
        now = time.monotonic()
        self._look_at = now + 10 * (now - begin)
        return False

    def _on_end(self, child: _Child | None, pid: int, status: int, usage: tuple[int, int, int] | None) -> None:
        """Handle the end of a child, as :func:`peek` reports it. An orphan is collected."""
        if child is None:
            os.waitpid(pid, os.WNOHANG)
            return
        if usage is None:  # Collect it now, which frees its id: otherwise we would not learn what it has used.
            rusage = os.wait4(pid, os.WNOHANG)[2]
            usage = int(rusage.ru_utime * 1e6), int(rusage.ru_stime * 1e6), rusage.ru_maxrss
            child.free = True
        child.is_told = True
        self._ended_count += 1
        self._unsent.append(b"%d %d %d %d %d" % (child.ticket, status, *usage))
        self._send()
        if child.free:
            self._settle(pid)

    def _settle(self, pid: int) -> None:
        """Collect a program, once the server knows of its end and no longer needs its id."""
        child = self._children[pid]
        if child.is_told and child.free:
            del self._children[pid], self._pids[child.ticket]
            self._ended_count -= 1
            self._is_hidden, self._look_at = False, 0.0
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                return  # It was already collected, to learn what it has used.


def _receive_sigchld() -> int:
    """A descriptor that can be read when a child has ended (signalfd(2)). A handler would cost more."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    bit = signal.SIGCHLD - 1
    words = [0] * (_SIGSET_BYTES // ctypes.sizeof(ctypes.c_ulong))
    word, shift = divmod(bit, 8 * ctypes.sizeof(ctypes.c_ulong))
    words[word] = 1 << shift
    descriptor: int = _libc.signalfd(-1, (ctypes.c_ulong * len(words))(*words), _SFD_CLOEXEC | _SFD_NONBLOCK)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


class _Peeking:
    """The arguments of the system call waitid, made once. The C library's waitid(3) leaves out what a child has used,
    so we call the kernel's."""

    def __init__(self) -> None:
        self.siginfo = (ctypes.c_int * 32)()
        self.usage = (ctypes.c_long * 18)()  # struct rusage: two of struct timeval, and 14 numbers.
        self.ahead = ctypes.c_long(_SYS_WAITID)
        self.behind = (self.siginfo, ctypes.c_long(_PEEK), self.usage)
        # siginfo_t: si_signo, si_errno, si_code (some architectures have these two in the other order), and, aligned as
        # a pointer, si_pid, si_uid, si_status.
        self.pid_at = 4 if ctypes.sizeof(ctypes.c_void_p) == 8 else 3
        self.works = True


_peeking = _Peeking()


def peek(kind: int, number: int) -> tuple[int, int, tuple[int, int, int] | None] | None:
    """Look for a child that has ended, without collecting it.

    Parameters:
        kind, number: those of waitid(2), such as ``P_PID`` and an id.

    Returns:
        Its id, its status as of wait(2), and what it has used: microseconds in user and system mode, and KiB of memory;
        ``None`` for that where the kernel does not tell. ``None`` if no child has ended.

    Raises:
        ChildProcessError: there is no such child.
    """
    call = _peeking
    if call.works:
        siginfo, usage = call.siginfo, call.usage
        if _libc.syscall(call.ahead, ctypes.c_long(kind), ctypes.c_long(number), *call.behind) == 0:
            pid = siginfo[call.pid_at]
            if siginfo[0] != signal.SIGCHLD or not pid:
                return None
            code = siginfo[2] or siginfo[1]
            used = usage[0] * 1_000_000 + usage[1], usage[2] * 1_000_000 + usage[3], usage[4]
            return pid, _status(code, siginfo[call.pid_at + 2]), used
        if ctypes.get_errno() == _ECHILD:
            raise ChildProcessError(_ECHILD, "no child")
        call.works = False  # A sandbox forbids it.
    child = os.waitid(kind, number, _PEEK)
    return None if child is None else (child.si_pid, _status(child.si_code, child.si_status), None)


def _status(code: int, status: int) -> int:
    """The status of wait(2), from the code and status of waitid(2)."""
    if code == os.CLD_EXITED:
        return status << 8
    return status | (_CORE_DUMPED if code == os.CLD_DUMPED else 0)


if __name__ == "__main__":
    heed_all_signals()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Parent(int(sys.argv[1])).serve()
