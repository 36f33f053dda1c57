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
_rusage = ctypes.c_long * 18  # struct rusage: two of struct timeval, and 14 numbers.
MOST_DESCRIPTORS = 6
COLLECTED_AT_A_TIME = 64
HIDDEN_S = 0.001
"""How long to wait until an ended child is free, when it hides other ended children."""

_libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the interpreter's lock, so that a child need not wait for it.


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
        args = (ctypes.c_uint64 * 11)(_CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup_fd)
        pid = _libc.syscall(ctypes.c_long(_SYS_CLONE3), args, ctypes.c_long(ctypes.sizeof(args)))
        if pid >= 0:
            return pid, True
        # An older kernel, a sandbox that forbids it, or a forbidden group. The child will try to enter the group.
    return os.fork(), False


# --- becoming a program -----------------------------------------------------------------------------------------


def become(plan_fd: int, report_fd: int, ends: tuple[int, int, int], *, in_cgroup: bool) -> None:
    """Become the program. Never returns.

    Parameters:
        plan_fd: a file with the plan, see :func:`.spawning.plan`.
        report_fd: where to write ``PID``, before the exec `` MAXRSS`` (getrusage(2)), and ``!FIELD ERRNO`` if something
            fails; closed by a successful exec.
        ends: the descriptors for standard input, output and error.
        in_cgroup: whether the process is already in the first of its control groups.
    """
    field = "argv"
    try:
        os.write(report_fd, b"%d" % os.getpid())
        os.setsid()
        for target, descriptor in enumerate(ends):
            os.dup2(descriptor, target)
        with open(plan_fd, "rb", closefd=False) as file:
            plan = marshal.load(file)  # noqa: S302 - written by the server into a file without a name
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
        os.write(report_fd, b" %d" % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        _execute(plan["argv"], plan["executable"], plan["env"])
    except OSError as exc:
        os.write(report_fd, f"!{field} {exc.errno or 0}".encode())
    except BaseException:
        # Any exception: nobody else can report it, and this copy of the parent must not go on.
        os.write(report_fd, f"!{field} 22".encode())
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
    failure = None
    for folder in env.get("PATH", os.defpath).split(":"):
        try:
            os.execve(f"{folder or '.'}/{argv[0]}", argv, env)  # noqa: S606 - that is what it is for
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            failure = failure or exc
    raise failure or FileNotFoundError(2, "not found")


# --- the small process ------------------------------------------------------------------------------------------


class _Child:
    """A process that was made for the server.

    Attributes:
        ticket: the server's name for it.
        told: whether the server knows of its end.
        free: whether the server no longer needs its id. Until then it is not collected, so no other process gets that.
    """

    __slots__ = ("free", "ticket", "told")

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.told = False
        self.free = False


class Parent:
    """Makes a process for each message that asks for one, reports how each ends, and collects orphans.

    It receives ``make TICKET``, with descriptors (unix(7), ``SCM_RIGHTS``): the plan, the report, standard input,
    output and error, and perhaps a control group; and ``free TICKET``: collect the process when it has ended. For each
    process it sends one message, ``TICKET STATUS USER_US SYSTEM_US MAXRSS_KIB``, with the values of wait4(2).

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
        self._sending = False
        self._hidden = False
        self._look_at = 0.0
        self._woken, waking = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Work until the other end is closed."""
        ended = False
        while True:
            ready = [each for each, _ in self._poll.poll(self._patience_ms() if ended else None)]
            if self._descriptor in ready:
                if self._sending:
                    self._send()
                if not self._take():
                    return
            if self._woken in ready:
                os.read(self._woken, 4096)
                ended = True
            if ended and time.monotonic() >= self._look_at:
                ended = self._collect()

    def _patience_ms(self) -> float:
        return max(0.0, (self._look_at - time.monotonic()) * 1000)

    # --- messages -----------------------------------------------------------------------------------------------

    def _take(self) -> bool:
        """Handle one message. Returns whether there may be another."""
        try:
            data, ancillary, _, _ = self._sock.recvmsg(32, _socket.CMSG_SPACE(4 * MOST_DESCRIPTORS), _MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return True
        except OSError:
            return False
        word, _, ticket = data.partition(b" ")
        if word == b"make":
            self._make(int(ticket), list(memoryview(ancillary[0][2]).cast("i")))
        elif word == b"free":
            self._free(int(ticket))
        return bool(data)

    def _make(self, ticket: int, descriptors: list[int]) -> None:
        plan, report, stdin, stdout, stderr, *groups = descriptors
        try:
            pid, in_cgroup = make_child(groups[0] if groups else None)
            if pid == 0:
                become(plan, report, (stdin, stdout, stderr), in_cgroup=in_cgroup)
            self._children[pid], self._pids[ticket] = _Child(ticket), pid
        except OSError as exc:
            os.write(report, f"!argv {exc.errno}".encode())
        for each in descriptors:
            os.close(each)

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
        if self._sending != bool(self._unsent):
            self._sending = not self._sending
            self._poll.modify(self._descriptor, select.POLLIN | (select.POLLOUT if self._sending else 0))

    # --- ends ---------------------------------------------------------------------------------------------------

    def _collect(self) -> bool:
        """Handle children that have ended, some at a time, so that requests do not wait for thousands.

        Returns:
            Whether there may be more.
        """
        try:
            for _ in range(COLLECTED_AT_A_TIME):
                ended = os.waitid(os.P_ALL, 0, _PEEK)
                if ended is None:
                    return False
                child = self._children.get(ended.si_pid)
                if child is not None and child.told:
                    return self._await_free()
                self._on_end(ended)
        except ChildProcessError:  # There are no children at all.
            return False
        return True

    def _await_free(self) -> bool:
        """Wait a moment for an ended program that is not free yet, and then look for the ends that it hides: while it
        is there, waitid(2) reports no other."""
        if self._hidden:
            return self._look_behind()
        self._hidden = True
        self._look_at = time.monotonic() + HIDDEN_S
        return True

    def _look_behind(self) -> bool:
        """Look at all children for those that have ended. With thousands of children that takes a while, so it is not
        done always."""
        begin = time.monotonic()
        try:
            with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:  # A kernel that does not list them (CONFIG_PROC_CHILDREN).
            self._look_at = begin + HIDDEN_S
            return True
        for pid in children:
            child = self._children.get(pid)
            if child is None or not child.told:
                ended = os.waitid(os.P_PID, pid, _PEEK)
                if ended is not None:
                    self._on_end(ended)
        now = time.monotonic()
        self._look_at = now + 10 * (now - begin)
        return False

    def _on_end(self, ended: Any) -> None:
        """Handle the end of a child, as waitid(2) reports it. An orphan is collected."""
        pid = ended.si_pid
        child = self._children.get(pid)
        if child is None:
            os.waitpid(pid, os.WNOHANG)
            return
        signal_status = ended.si_status | (_CORE_DUMPED if ended.si_code == os.CLD_DUMPED else 0)
        status = ended.si_status << 8 if ended.si_code == os.CLD_EXITED else signal_status
        usage = usage_of(pid)
        if usage is None:  # Collect it now, which frees its id: otherwise we would not learn what it has used.
            rusage = os.wait4(pid, os.WNOHANG)[2]
            usage = int(rusage.ru_utime * 1e6), int(rusage.ru_stime * 1e6), rusage.ru_maxrss
            child.free = True
        child.told = True
        self._unsent.append(b"%d %d %d %d %d" % (child.ticket, status, *usage))
        self._send()
        self._settle(pid)

    def _settle(self, pid: int) -> None:
        """Collect a program, once the server knows of its end and no longer needs its id."""
        child = self._children[pid]
        if child.told and child.free:
            del self._children[pid], self._pids[child.ticket]
            if self._hidden:
                self._hidden, self._look_at = False, 0.0
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                return  # It was already collected, to learn what it has used.


def usage_of(pid: int) -> tuple[int, int, int] | None:
    """What an ended child has used, without collecting it: microseconds in user and system mode, and KiB of memory;
    ``None`` where the kernel does not tell. The C library's waitid(3) leaves this out, so we call the kernel's."""
    usage = _rusage()
    if _libc.syscall(*map(ctypes.c_long, (_SYS_WAITID, os.P_PID, pid, 0, _PEEK)), usage) != 0:
        return None
    return usage[0] * 1_000_000 + usage[1], usage[2] * 1_000_000 + usage[3], usage[4]


if __name__ == "__main__":
    heed_all_signals()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Parent(int(sys.argv[1])).serve()
