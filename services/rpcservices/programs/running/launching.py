"""How a process comes into being, and how its end is told: by a small process that makes it for the server, or by a
fork of the keeper."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from . import launch
from .exits import Exited, Watch, collect, watch_child
from .looping import Loop

_LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")
STOP_S = 5.0
MESSAGE_BYTES = 256
TOLD_AT_A_TIME = 64


class Start(Protocol):
    """Makes child processes that become programs, see :func:`.launch.become`."""

    def __call__(self, plan_fd: int, report_fd: int, ends: Sequence[int], cgroup_fd: int | None) -> int:
        """Begin one; the report says how it went.

        Returns:
            Its ticket: the number by which it is known here, and which no other gets.

        Raises:
            OSError: there can be no process.
        """
        ...

    def let_go(self, ticket: int, pid: int) -> None:
        """Have a process collected once it has ended, as nobody looks after it.

        Parameters:
            ticket: its ticket.
            pid: its id.
        """
        ...


class Fork:
    """A :class:`Start` for a small process without threads: the programs are its own children."""

    def __call__(self, plan_fd: int, report_fd: int, ends: Sequence[int], cgroup_fd: int | None) -> int:
        pid, in_cgroup = launch.make_child(cgroup_fd)
        if pid == 0:
            launch.heed_all_signals()
            stdin, stdout, stderr = ends
            launch.become(plan_fd, report_fd, (stdin, stdout, stderr), in_cgroup=in_cgroup)
        return 0

    def let_go(self, ticket: int, pid: int) -> None:  # noqa: ARG002 - of the protocol
        collect(pid)


by_fork = Fork()


class ThreadsafeLoop(Loop, Protocol):
    """An event loop that other threads can call."""

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        """Call back on the loop's thread."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A program whose end somebody waits for."""

    pid: int
    pidfd: int
    then: Callable[[Exited], object]


class Launcher:
    """A :class:`Start` by a small process of its own, which is begun anew should it end. Any thread may have processes
    made; the rest belongs to the thread of the loop that was given to :meth:`listen`.

    Should the small process end, the programs that it has made become children of this process, as that is a subreaper,
    and go on. Then orphans come to this process, too.

    Parameters:
        inherited: called on the loop when that has happened.
    """

    def __init__(self, inherited: Callable[[], object] = lambda: None) -> None:
        self._inherited = inherited
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._loop: ThreadsafeLoop | None = None
        self._tickets = 0
        self._first = 1  # What has a lower ticket was made by one that has ended.
        self._watched: dict[int, _Watched] = {}
        self._early: dict[int, Exited] = {}  # What has ended before somebody watched.
        self._unwanted: dict[int, int] = {}  # What nobody will watch.
        self._unsent: list[bytes] = []

    # --- making processes ---------------------------------------------------------------------------------------

    def __call__(self, plan_fd: int, report_fd: int, ends: Sequence[int], cgroup_fd: int | None) -> int:
        descriptors = [plan_fd, report_fd, *ends, *(() if cgroup_fd is None else (cgroup_fd,))]
        with self._lock:
            try:
                return self._ask(descriptors)
            except (BrokenPipeError, ConnectionResetError):  # It has ended, whatever ended it.
                self._end()
                return self._ask(descriptors)

    def _ask(self, descriptors: list[int]) -> int:
        sock = self._ready()
        self._tickets += 1
        socket.send_fds(sock, [b"make %d" % self._tickets], descriptors)
        return self._tickets

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

    @property
    def pid(self) -> int:
        """The small process, to which orphans are handed; 0 where there is none now."""
        process = self._process
        return 0 if process is None else process.pid

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
        if self._loop is not None:
            self._loop.call_soon_threadsafe(partial(self._listen_to, ours))
        return ours

    def _end(self) -> None:
        sock, self._socket = self._socket, None
        process, self._process = self._process, None
        self._first = self._tickets + 1
        self._unsent.clear()
        if sock is not None:
            sock.shutdown(socket.SHUT_WR)
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()
            process.wait()
        if sock is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(partial(self._lose, sock))
        elif sock is not None:
            sock.close()

    # --- learning of their ends ---------------------------------------------------------------------------------

    def listen(self, loop: ThreadsafeLoop) -> None:
        """Tell of ends on this loop from now on."""
        with self._lock:
            self._loop = loop
            if self._socket is not None:
                self._listen_to(self._socket)

    def unlisten(self) -> None:
        """Tell of ends no longer."""
        with self._lock:
            if self._loop is not None and self._socket is not None:
                self._loop.remove_reader(self._socket.fileno())
                self._loop.remove_writer(self._socket.fileno())
            self._loop = None

    def watch(self, ticket: int, pid: int, pidfd: int) -> Watch:
        """What tells of the end of a process, and has it collected then.

        Parameters:
            ticket: its ticket.
            pid: its id.
            pidfd: a descriptor of it (pidfd_open(2)), which stays open.
        """

        def watch(then: Callable[[Exited], object]) -> None:
            assert self._loop is not None
            with self._lock:
                early = self._early.pop(ticket, None)
                made_here = ticket >= self._first
                if early is None and made_here:
                    self._watched[ticket] = _Watched(pid, pidfd, then)
            if early is not None:
                self._loop.call_later(0, partial(self._pass_on, ticket, pid, then, early))
            elif not made_here:
                watch_child(self._loop, pid, pidfd)(then)

        return watch

    def let_go(self, ticket: int, pid: int) -> None:
        with self._lock:
            self._watched.pop(ticket, None)
            if self._early.pop(ticket, None) is None and ticket >= self._first:
                self._unwanted[ticket] = pid
            self._free(ticket, pid)

    def _listen_to(self, sock: socket.socket) -> None:
        if self._loop is not None and sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), partial(self._read, sock))

    def _read(self, sock: socket.socket) -> None:
        for _ in range(TOLD_AT_A_TIME):
            try:
                message = sock.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                with self._lock:
                    if sock is self._socket:
                        self._end()
                        return
                self._lose(sock)
                return
            self._told(message)

    def _told(self, message: bytes) -> None:
        ticket, status, user_us, system_us, max_rss_kib = map(int, message.split())
        exited = Exited(status, user_us / 1e6, system_us / 1e6, max_rss_kib)
        with self._lock:
            if self._unwanted.pop(ticket, None) is not None:
                return
            watched = self._watched.pop(ticket, None)
            if watched is None:
                self._early[ticket] = exited
                return
        self._pass_on(ticket, watched.pid, watched.then, exited)

    def _pass_on(self, ticket: int, pid: int, then: Callable[[Exited], object], exited: Exited) -> None:
        with self._lock:
            self._free(ticket, pid)
        then(exited)  # In this turn of the loop, so that nobody uses the id any more.

    def _free(self, ticket: int, pid: int) -> None:
        """A process may be collected: its id is needed no longer."""
        if ticket < self._first:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            return
        self._unsent.append(b"free %d" % ticket)
        self._flush()

    def _flush(self) -> None:
        """Send what waits. Nobody waits for the small process, should somebody have stopped it."""
        sock = self._socket
        if sock is None:
            return
        try:
            while self._unsent:
                sock.send(self._unsent[0], socket.MSG_DONTWAIT)
                del self._unsent[0]
        except BlockingIOError:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(partial(self._flush_later, sock))
        except OSError:
            self._unsent.clear()  # It has ended: reading tells.

    def _flush_later(self, sock: socket.socket) -> None:
        def writable() -> None:
            if self._loop is not None:
                self._loop.remove_writer(sock.fileno())
            with self._lock:
                self._flush()

        if self._loop is not None and sock is self._socket:
            self._loop.add_writer(sock.fileno(), writable)

    def _lose(self, sock: socket.socket) -> None:
        """The small process has ended, and those that it has made are children of this one."""
        if sock.fileno() < 0 or self._loop is None:
            return
        loop = self._loop
        loop.remove_reader(sock.fileno())
        loop.remove_writer(sock.fileno())
        while True:
            try:
                message = sock.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
            except OSError:
                break
            if not message:
                break
            self._told(message)
        sock.close()
        with self._lock:
            tickets = [ticket for ticket in self._watched if ticket < self._first]
            watched = [self._watched.pop(ticket) for ticket in tickets]
            unwanted = [self._unwanted.pop(ticket) for ticket in tuple(self._unwanted) if ticket < self._first]
        for pid in unwanted:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        for each in watched:
            watch_child(loop, each.pid, each.pidfd)(each.then)
        self._inherited()
