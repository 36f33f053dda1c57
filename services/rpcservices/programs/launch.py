"""Runs as a program of its own, between fork and exec: takes on the terminal, limits, user and directory that a
program is to have, and becomes it. It reads what to do from one descriptor, and reports what failed on another.

It must start fast and depend on nothing: the standard library's built-in modules only. See :mod:`.spawning`.
"""

import fcntl
import marshal
import os
import resource
import sys
import termios

signal = __import__("_signal")  # The module signal, without the enumerations that take most of the time to start.
_PR_SET_NO_NEW_PRIVS = 38


def main(plan_fd: int, report_fd: int) -> None:
    """Become the program.

    Parameters:
        plan_fd: a file with the plan, see :func:`.spawning.plan`.
        report_fd: where to write ``exec``, and after it ``!FIELD ERRNO`` if something fails; closed by a successful
            exec. Nothing at all means that this program has failed.
    """
    os.set_inheritable(report_fd, False)
    with open(plan_fd, "rb") as file:
        plan = marshal.load(file)  # noqa: S302 - written by the parent into a file without a name
    field = "argv"
    try:
        field = "pty"
        if plan["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        field = "cgroup"
        for folder in plan["cgroups"]:
            procs = os.open(folder + "/cgroup.procs", os.O_WRONLY)
            os.write(procs, b"0")
            os.close(procs)
        field = "limits"
        if plan["processors"]:
            os.sched_setaffinity(0, plan["processors"])
        for name, soft, hard in plan["rlimits"]:
            _, most = resource.getrlimit(name)
            least = hard if most == resource.RLIM_INFINITY else min(hard, most)
            resource.setrlimit(name, (min(soft, least), least))
        if plan["no_new_privs"]:
            import ctypes

            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        field = "user"
        if plan["user"] is not None:
            uid, gid, groups = plan["user"]
            if plan["terminal"]:
                os.fchown(0, uid, -1)
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        # Only now, with the rights that the program will have.
        field = "cwd"
        os.chdir(plan["cwd"])
        if plan["cwd_exact"] and os.getcwd() != plan["cwd"]:
            raise NotADirectoryError(20, "moved")
        field = "argv"
        # A program expects the default; the interpreter ignores some, and the server may have been told to.
        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.write(report_fd, b"exec")
        argv, env = plan["argv"], plan["env"]
        if plan["executable"]:
            os.execve(plan["executable"], argv, env)  # noqa: S606 - that is what it is for
        os.execvpe(argv[0], argv, env)  # noqa: S606 - that is what it is for
    except OSError as exc:
        os.write(report_fd, f"!{field} {exc.errno}".encode())
    except (ValueError, OverflowError):
        os.write(report_fd, f"!{field} 22".encode())
    os._exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
