"""How a process comes into being: by a small process that makes it for the server, or by a fork of the keeper."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Protocol

from . import launch

_LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")
STOP_S = 5.0


class Start(Protocol):
    """Makes a child process that becomes a program, see :func:`.launch.become`."""

    def __call__(self, plan_fd: int, report_fd: int, ends: Sequence[int], cgroup_fd: int | None) -> None:
        """Begin; the report says how it went.

        Raises:
            OSError: there can be no process.
        """


def by_fork(plan_fd: int, report_fd: int, ends: Sequence[int], cgroup_fd: int | None) -> None:
    """A :class:`Start` for a small process without threads."""
    pid, in_cgroup = launch.make_child(of_parent=False, cgroup_fd=cgroup_fd)
    if pid == 0:
        launch.heed_all_signals()
        stdin, stdout, stderr = ends
        launch.become(plan_fd, report_fd, (stdin, stdout, stderr), in_cgroup=in_cgroup)


class Launcher:
    """A :class:`Start` by a small process of its own, which is begun anew should it end. May be used by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def __call__(self, plan_fd: int, report_fd: int, ends: Sequence[int], cgroup_fd: int | None) -> None:
        """Have a process made.

        Raises:
            OSError: there can be none.
        """
        descriptors = [plan_fd, report_fd, *ends, *(() if cgroup_fd is None else (cgroup_fd,))]
        with self._lock:
            try:
                socket.send_fds(self._ready(), [b"\0"], descriptors)
            except (BrokenPipeError, ConnectionResetError):  # It has ended, whatever ended it.
                self._end()
                socket.send_fds(self._ready(), [b"\0"], descriptors)

    def start(self) -> None:
        """Begin, so that the first program need not wait for it.

        Raises:
            OSError: there can be no process.
        """
        with self._lock:
            self._ready()

    def stop(self) -> None:
        """End the small process. It would end with this one in any case."""
        with self._lock:
            self._end()

    def _ready(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                # A session of its own: what a terminal sends to the server is not for it.
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-X", "utf8", _LAUNCHER, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env={},
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                )
            except OSError:
                ours.close()
                raise
        self._socket = ours
        return ours

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
            self._process.kill()
            self._process.wait()
            self._process = None
