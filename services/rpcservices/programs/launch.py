"""Makes processes, and turns them into programs: what happens between fork and exec.

The server has threads and much memory; forking it would stop all of it, for as long as the machine is busy. So it keeps
a small process that runs this file and does nothing else: it makes each program, as a child of the *server* (clone(2),
``CLONE_PARENT``), which therefore waits for it as for any of its own. The keeper of a program, small itself, makes its
one child directly.

It must start fast and depend on nothing: the standard library's built-in modules only. See :mod:`.launching`.
"""

from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import sys
import termios

TYPE_CHECKING = False  # Loading the module typing takes longer than everything else here.
if TYPE_CHECKING:
    from typing import Any

signal = __import__("_signal")  # The module signal, without the enumerations that take most of the time to start.
_socket = __import__("_socket")
_stat = __import__("_stat")
_PR_SET_NO_NEW_PRIVS = 38
_MSG_CMSG_CLOEXEC = 0x40000000
_CLONE_PARENT = 0x8000
_CLONE_INTO_CGROUP = 0x200000000
_SYS_CLONE3 = 435
"""The same on every architecture (``include/uapi/asm-generic/unistd.h``)."""
_SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "loongarch64": 220}.get(os.uname().machine, 120)
MOST_DESCRIPTORS = 6

_libc = ctypes.PyDLL(None, use_errno=True)  # Holds on to the interpreter: a child must not have to ask for it.


# --- making a process -------------------------------------------------------------------------------------------


def make_child(*, of_parent: bool, cgroup_fd: int | None = None) -> tuple[int, bool]:
    """Fork.

    Parameters:
        of_parent: make it a child of this process's parent.
        cgroup_fd: a control group of version 2 to begin in. Moving there afterwards would wait for all processors.

    Returns:
        The child's id, or 0 in the child; and whether it is in that control group.

    Raises:
        OSError: there can be no more processes.
    """
    flags = _CLONE_PARENT if of_parent else 0
    # Who shares a parent has its signal, too: clone3(2) wants none to be named.
    exit_signal = 0 if of_parent else signal.SIGCHLD
    if cgroup_fd is not None:
        # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        # set_tid_size, cgroup.
        args = (ctypes.c_uint64 * 11)(flags | _CLONE_INTO_CGROUP, 0, 0, 0, exit_signal, 0, 0, 0, 0, 0, cgroup_fd)
        pid = _libc.syscall(ctypes.c_long(_SYS_CLONE3), args, ctypes.c_long(ctypes.sizeof(args)))
        if pid >= 0:
            return pid, True
        # An older kernel, a sandbox that forbids it, or a group that must not be entered: the child will see.
    if not of_parent:
        return os.fork(), False
    pid = _libc.syscall(*(ctypes.c_long(word) for word in (_SYS_CLONE, flags | signal.SIGCHLD, 0, 0, 0, 0)))
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return pid, False


# --- becoming a program -----------------------------------------------------------------------------------------


def become(plan_fd: int, report_fd: int, ends: tuple[int, int, int], *, in_cgroup: bool) -> None:
    """Become the program. Never returns.

    Parameters:
        plan_fd: a file with the plan, see :func:`.spawning.plan`.
        report_fd: where to write ``PID``, before the exec `` MAXRSS`` (getrusage(2)), and ``!FIELD ERRNO`` if something
            fails; closed by a successful exec.
        ends: what is to be standard input, output and error.
        in_cgroup: whether it is in the first of its control groups already.
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
        # Only now, with the rights that the program will have.
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
        # Whatever it is: there is nobody else to tell, and this must not go on as a copy of its parent.
        os.write(report_fd, f"!{field} 22".encode())
    finally:
        os._exit(127)


def _hand_over(uid: int) -> None:
    """Make the pipes or the terminal another user's, who could not open ``/dev/stdin`` and its like otherwise. What is
    everybody's, such as ``/dev/null``, stays as it is."""
    for descriptor in range(3):
        mode = os.fstat(descriptor).st_mode
        if _stat.S_ISFIFO(mode) or os.isatty(descriptor):
            os.fchown(descriptor, uid, -1)


def heed_all_signals() -> None:
    """Have no signal ignored or blocked, as programs expect: they inherit that (execve(2)). The interpreter ignores
    some, and the server may have been told to."""
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
        OSError: it cannot be.
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


def serve(descriptor: int) -> None:
    """Make a process for each message that comes, until the other end is closed.

    Parameters:
        descriptor: a socket whose messages carry descriptors (unix(7), ``SCM_RIGHTS``): the plan, the report, standard
            input, output and error, and perhaps a control group.
    """
    heed_all_signals()
    os.set_inheritable(descriptor, False)
    sock = _socket.socket(fileno=descriptor)
    while True:
        data, ancillary, _, _ = sock.recvmsg(1, _socket.CMSG_SPACE(4 * MOST_DESCRIPTORS), _MSG_CMSG_CLOEXEC)
        if not data:
            return
        received = list(memoryview(ancillary[0][2]).cast("i"))
        plan, report, stdin, stdout, stderr, *groups = received
        try:
            pid, in_cgroup = make_child(of_parent=True, cgroup_fd=groups[0] if groups else None)
            if pid == 0:
                become(plan, report, (stdin, stdout, stderr), in_cgroup=in_cgroup)
        except OSError as exc:
            os.write(report, f"!argv {exc.errno}".encode())
        for each in received:
            os.close(each)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
