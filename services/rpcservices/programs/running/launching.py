"""Makes processes and reports their ends: by a small process that does it for the server, or by a fork of the
keeper."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from . import launch
from .exits import ProcessEnd, Watch, forget_child, watch_child
from .looping import Loop

_LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py")
STOP_S = 5.0
MESSAGE_BYTES = 256
TOLD_AT_A_TIME = 64
FREE_S = 0.003
"""How long to wait before telling that ids are no longer needed, so that it costs no time between the end of a program
and the answer to whoever waits for it."""
FREED_AT_A_TIME = 128
"""The most tickets in a message, which must fit into :data:`.launch.MESSAGE_BYTES`."""


class Start(Protocol):
    """Makes child processes that become programs, see :func:`.launch.become`."""

    def __call__(
        self, plan_fd: int, report_fd: int, ends: Sequence[int], cgroup_fd: int | None, *, wait: bool = True
    ) -> int:
        """Make a process.

        Parameters:
            plan_fd: the file of its plan, in which the outcome will be found (:data:`.launch.CHILD_AT`).
            report_fd: the end of a pipe. All copies of it are closed when the process has become the program, or has
                failed.
            ends: the descriptors for standard input, output and error.
            cgroup_fd: a control group to begin in.
            wait: whether this may take milliseconds.

        Returns:
            Its ticket: a number that no other process gets.

        Raises:
            BlockingIOError: it would take long, and ``wait`` is false.
            OSError: no process can be made.
        """
        ...

    def let_go(self, ticket: int, pid: int) -> None:
        """Collect a process when it has ended; nobody looks after it.

        Parameters:
            ticket: its ticket.
            pid: its id.
        """
        ...


class Fork:
    """A :class:`Start` for a small process without threads: the programs are its own children."""

    def __call__(
        self,
        plan_fd: int,
        report_fd: int,  # noqa: ARG002 - of the protocol
        ends: Sequence[int],
        cgroup_fd: int | None,
        *,
        wait: bool = True,  # noqa: ARG002
    ) -> int:
        plan = launch.read_plan(plan_fd)
        pid, in_cgroup = launch.make_child(cgroup_fd)
        if pid == 0:
            launch.heed_all_signals()
            stdin, stdout, stderr = ends
            launch.become(plan, plan_fd, (stdin, stdout, stderr), in_cgroup=in_cgroup)
        os.pwrite(plan_fd, b"%d" % pid, launch.MAKER_AT)
        return 0

    def let_go(self, ticket: int, pid: int) -> None:  # noqa: ARG002 - of the protocol
        forget_child(pid)


by_fork = Fork()


class ThreadsafeLoop(Loop, Protocol):
    """An event loop that other threads can call."""

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        """Call a function on the loop's thread."""


@dataclass(frozen=True, slots=True)
class _Waiter:
    """Somebody who waits for the end of a program."""

    pid: int
    pidfd: int
    then: Callable[[ProcessEnd], object]


class Launcher:
    """A :class:`Start` by a small process. If that ends, another one is started. Any thread may make processes; all
    else belongs to the thread of the loop that was given to :meth:`listen`.

    If the small process ends, the programs that it has made go on, and become children of this process, which is a
    subreaper. Then this process gets orphans, too.

    Parameters:
        on_inherit: called on the loop when that has happened.
    """

    def __init__(self, on_inherit: Callable[[], object] = lambda: None) -> None:
        self._on_inherit = on_inherit
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._loop: ThreadsafeLoop | None = None
        self._tickets = 0
        self._first = 1  # Lower tickets belong to a small process that has ended.
        self._waiters: dict[int, _Waiter] = {}
        self._early: dict[int, ProcessEnd] = {}  # Ends that came before anybody watched.
        self._unwatched_pids: dict[int, int] = {}  # Processes that nobody will watch.
        self._unsent: list[bytes] = []
        self._to_free: list[int] = []
        self._frees_soon = False

    # --- making processes ---------------------------------------------------------------------------------------

    def __call__(
        self, plan_fd: int, report_fd: int, ends: Sequence[int], cgroup_fd: int | None, *, wait: bool = True
    ) -> int:
        descriptors = [plan_fd, report_fd, *ends, *(() if cgroup_fd is None else (cgroup_fd,))]
        if not wait:
            return self._ask_at_once(descriptors)
        with self._lock:
            try:
                return self._ask(self._ready(), descriptors)
            except (BrokenPipeError, ConnectionResetError):  # The small process has ended.
                self._end()
                return self._ask(self._ready(), descriptors)

    def _ask_at_once(self, descriptors: list[int]) -> int:
        """Ask the small process, if there is one and nothing has to wait for it; it raises otherwise."""
        if not self._lock.acquire(blocking=False):
            raise BlockingIOError(errno.EAGAIN, "another thread talks to the small process")
        try:
            if self._socket is None:
                raise BlockingIOError(errno.EAGAIN, "the small process does not run")
            return self._ask(self._socket, descriptors, socket.MSG_DONTWAIT)
        except (BrokenPipeError, ConnectionResetError) as exc:
            raise BlockingIOError(errno.EAGAIN, "the small process has ended") from exc
        finally:
            self._lock.release()

    def _ask(self, sock: socket.socket, descriptors: list[int], flags: int = 0) -> int:
        ticket = self._tickets + 1
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))]
        sock.sendmsg([b"make %d" % ticket], rights, flags)
        self._tickets = ticket
        return ticket

    def start(self) -> None:
        """Start the small process, so that the first program need not wait for it.

        Raises:
            OSError: no process can be made.
        """
        with self._lock:
            self._ready()

    def stop(self) -> None:
        """End the small process. It would also end together with this one."""
        with self._lock:
            self._end()

    @property
    def pid(self) -> int:
        """The id of the small process, which gets the orphans; 0 where there is none now."""
        process = self._process
        return 0 if process is None else process.pid

    def _ready(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        self._to_free.clear()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                # A session of its own, so that it gets no signals that a terminal sends to the server.
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
        self._to_free.clear()
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
        """Report ends on this loop from now on."""
        with self._lock:
            self._loop = loop
            if self._socket is not None:
                self._listen_to(self._socket)

    def unlisten(self) -> None:
        """Stop reporting ends."""
        with self._lock:
            self._send_free()
            if self._loop is not None and self._socket is not None:
                self._loop.remove_reader(self._socket.fileno())
                self._loop.remove_writer(self._socket.fileno())
            self._loop = None

    def watch(self, ticket: int, pid: int, pidfd: int) -> Watch:
        """Make a :class:`Watch` of a process; the process is collected after its end was reported.

        Parameters:
            ticket: its ticket.
            pid: its id.
            pidfd: a descriptor of it (pidfd_open(2)), which stays open.
        """

        def watch(then: Callable[[ProcessEnd], object]) -> None:
            assert self._loop is not None
            with self._lock:
                early = self._early.pop(ticket, None)
                made_here = ticket >= self._first
                if early is None and made_here:
                    self._waiters[ticket] = _Waiter(pid, pidfd, then)
            if early is not None:
                self._loop.call_later(0, partial(self._pass_on, ticket, pid, then, early))
            elif not made_here:
                watch_child(self._loop, pid, pidfd)(then)

        return watch

    def let_go(self, ticket: int, pid: int) -> None:
        with self._lock:
            self._waiters.pop(ticket, None)
            if self._early.pop(ticket, None) is None and ticket >= self._first:
                self._unwatched_pids[ticket] = pid
            self._free(ticket, pid)
            self._send_free()

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
            self._handle(message)

    def _handle(self, message: bytes) -> None:
        ticket, status, user_us, system_us, max_rss_kib = map(int, message.split())
        end = ProcessEnd(status, user_us / 1e6, system_us / 1e6, max_rss_kib)
        with self._lock:
            if self._unwatched_pids.pop(ticket, None) is not None:
                return
            waiter = self._waiters.pop(ticket, None)
            if waiter is None:
                self._early[ticket] = end
                return
        self._pass_on(ticket, waiter.pid, waiter.then, end)

    def _pass_on(self, ticket: int, pid: int, then: Callable[[ProcessEnd], object], end: ProcessEnd) -> None:
        with self._lock:
            self._free(ticket, pid)
            if self._to_free and not self._frees_soon and self._loop is not None:
                self._frees_soon = True
                self._loop.call_later(FREE_S, self._free_at_last)
        then(end)  # In this turn of the loop: after it nobody may use the id.

    def _free(self, ticket: int, pid: int) -> None:
        """Let a process be collected: its id is no longer needed."""
        if ticket < self._first:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        else:
            self._to_free.append(ticket)

    def free_now(self) -> None:
        """Tell which ids are no longer needed, if that was not told yet. It happens by itself after :data:`FREE_S`."""
        with self._lock:
            self._send_free()

    def _free_at_last(self) -> None:
        self._frees_soon = False
        self.free_now()

    def _send_free(self) -> None:
        if not self._to_free:
            return
        while self._to_free:
            tickets, self._to_free = self._to_free[:FREED_AT_A_TIME], self._to_free[FREED_AT_A_TIME:]
            self._unsent.append(b" ".join([b"free", *map(b"%d".__mod__, tickets)]))
        self._flush()

    def _flush(self) -> None:
        """Send the waiting messages, without blocking: somebody may have stopped the small process."""
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
            self._unsent.clear()  # It has ended; the next read will show it.

    def _flush_later(self, sock: socket.socket) -> None:
        def writable() -> None:
            if self._loop is not None:
                self._loop.remove_writer(sock.fileno())
            with self._lock:
                self._flush()

        if self._loop is not None and sock is self._socket:
            self._loop.add_writer(sock.fileno(), writable)

    def _lose(self, sock: socket.socket) -> None:
        """Take over the programs of a small process that has ended: they are children of this process now."""
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
            self._handle(message)
        sock.close()
        with self._lock:
            tickets = [ticket for ticket in self._waiters if ticket < self._first]
            waiters = [self._waiters.pop(ticket) for ticket in tickets]
            pids = [self._unwatched_pids.pop(ticket) for ticket in tuple(self._unwatched_pids) if ticket < self._first]
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        for each in waiters:
            watch_child(loop, each.pid, each.pidfd)(each.then)
        self._on_inherit()
