"""Keeps one program running while servers come and go: ``python -m rpcservices.programs.keeping.keeper FOLDER``.

It reads an :class:`.records.Order` from standard input, starts the program, and answers on standard output with one
line of JSON: ``{"pid": ..., "pid_start": ...}`` or ``{"field": ..., "number": ..., "text": ...}``. From then on it
keeps the output in files, accepts requests at a Unix socket, and at the end records how the program ended. Everything
is in one folder, so that a server finds the program again by its id.

Requests and answers are lines of JSON. Each request has an ``op``; one with a number ``n`` gets an answer::

    {"op": "write", "n": 1, "size": 5}   then 5 bytes   -> {"n": 1, "ok": true}, or false if not all were read
    {"op": "end", "n": 2, "grace_s": 2.0}               -> {"n": 2, "survivors": []}
    {"op": "close_stdin"}   {"op": "signal", "number": 2}   {"op": "hang_up"}
    {"op": "resize", "n": 3, "rows": 24, "columns": 80} -> {"n": 3, "ok": true}
    {"op": "taken", "stream": "stdout", "offset": 4096}
    {"op": "seen"}                                      the server has read the last "output": send the next

Without a request it sends ``{"output": {"stdout": [START, TOTAL, ENDED, CUT], ...}}`` and at last ``{"ending":
{...}}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from rpcservices.programs.running import cgroups, records, tree
from rpcservices.programs.running.launching import by_fork
from rpcservices.programs.running.looping import SmallLoop
from rpcservices.programs.running.output import Output
from rpcservices.programs.running.records import Order
from rpcservices.programs.running.running import Running
from rpcservices.programs.running.spawning import LaunchError, spawn_in
from rpcservices.programs.running.supervision import Ending
from rpcservices.programs.terms import StreamName

from .leftovers import abandon

UNREAD_BYTES = 1024 * 1024
"""The most bytes that wait for a server that does not read; with more it is disconnected."""
HEAD_BYTES = 64 * 1024


class _Visitor:
    """A server that has connected."""

    def __init__(self, keeper: Keeper, sock: socket.socket) -> None:
        self._keeper = keeper
        self._sock = sock
        self._in = bytearray()
        self._out = bytearray()
        self._is_sending = False
        self._has_reported_output = False
        self._has_news = True
        sock.setblocking(False)
        keeper.loop.add_reader(sock.fileno(), self._readable)
        self.output_changed()

    def close(self) -> None:
        """Close the connection."""
        if self._sock.fileno() < 0:
            return
        self._keeper.loop.remove_reader(self._sock.fileno())
        self._keeper.loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._keeper.visitors.discard(self)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a line."""
        self._out += json.dumps(message).encode() + b"\n"
        if len(self._out) > UNREAD_BYTES:
            self.close()
        else:
            self._send()

    def flush(self) -> None:
        """Send what waits, before the keeper ends."""
        if self._sock.fileno() >= 0 and self._out:
            with contextlib.suppress(OSError):
                self._sock.settimeout(1.0)
                self._sock.sendall(self._out)

    def _send(self) -> None:
        if self._sock.fileno() < 0:
            return
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if bool(self._out) != self._is_sending:
            self._is_sending = not self._is_sending
            if self._is_sending:
                self._keeper.loop.add_writer(self._sock.fileno(), self._send)
            else:
                self._keeper.loop.remove_writer(self._sock.fileno())

    def output_changed(self) -> None:
        """Report that there is more output: once, until the server has read the report."""
        self._has_news = True
        if not self._has_reported_output:
            self._has_reported_output, self._has_news = True, False
            self.tell(self._keeper.output_news())

    def _readable(self) -> None:
        try:
            data = self._sock.recv(256 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._in += data
        try:
            while self._sock.fileno() >= 0 and self._take_request():
                pass
        except (ValueError, KeyError, TypeError):
            self.close()

    def _take_request(self) -> bool:
        end = self._in.find(b"\n")
        if end < 0:
            if len(self._in) > HEAD_BYTES:
                raise ValueError("a request without end")
            return False
        request = json.loads(bytes(self._in[:end]))
        size = int(request.get("size", 0))
        if len(self._in) < end + 1 + size:
            return False
        payload = bytes(self._in[end + 1 : end + 1 + size])
        del self._in[: end + 1 + size]
        self._handle(request, payload)
        return True

    def _handle(self, request: dict[str, Any], payload: bytes) -> None:
        running, number = self._keeper.running, request.get("n")
        match request["op"]:
            case "write":
                running.stdin.write(payload, lambda ok: self.tell({"n": number, "ok": ok}))
            case "close_stdin":
                running.stdin.close()
            case "signal":
                running.send_signal(int(request["number"]))
            case "hang_up":
                running.hang_up()
            case "resize":
                self.tell({"n": number, "ok": self._keeper.resize(int(request["rows"]), int(request["columns"]))})
            case "taken":
                running.acknowledge(request["stream"], int(request["offset"]))
            case "end":
                running.end(float(request["grace_s"]), done=lambda ids: self.tell({"n": number, "survivors": ids}))
            case "seen":
                self._has_reported_output = False
                if self._has_news:
                    self.output_changed()
            case _:
                raise ValueError("no such request")


class Keeper:
    """Keeps one program.

    Parameters:
        order: what to start, and how.
        folder: the folder for everything that is kept.

    Raises:
        LaunchError: the program cannot be started.
        OSError: the folder cannot be used.
    """

    def __init__(self, order: Order, folder: str) -> None:
        self.loop = SmallLoop()
        self.folder = folder
        self.visitors: set[_Visitor] = set()
        self.result: Ending | None = None
        names: tuple[StreamName, ...] = ("stdout", "stderr")
        self._outputs = [Output(name, order.about.retain_bytes, memory_bytes=0, folder=folder) for name in names]
        self._listener = _listen(folder)
        new_group = cgroups.create(order.cgroups, order.about.id, order.supervision.limits)
        process, cgroup = spawn_in(order.launch, new_group, by_fork)
        try:
            self.about = replace(order.about.of(process), boot_id=records.boot_id())
            records.write(folder, records.ABOUT, asdict(self.about))
            supervision = replace(order.supervision, alone=True)
            self.running = Running(self.loop, process, supervision, self._outputs, self._on_end, cgroup=cgroup)
        except BaseException:
            abandon(process, order.about.id, cgroup, by_fork)
            raise
        for output in self._outputs:
            output.watch(self._output_changed)
        self._is_reaping = False
        self.loop.on_child(self._reap)
        self.loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            self.visitors.add(_Visitor(self, self._listener.accept()[0]))

    def _output_changed(self) -> None:
        for visitor in tuple(self.visitors):
            visitor.output_changed()

    def output_news(self) -> dict[str, Any]:
        """The state of each output."""
        return {"output": {o.name: [o.start, o.total_bytes, o.is_complete, o.cut] for o in self._outputs}}

    def resize(self, rows: int, columns: int) -> bool:
        """Change the size of the program's terminal, and record it; ``False`` where it has none."""
        if not self.running.stdin.resize(rows, columns):
            return False
        self.about = self.about.with_terminal_size(rows, columns)
        with contextlib.suppress(OSError):
            records.write(self.folder, records.ABOUT, asdict(self.about))
        return True

    def _reap(self) -> None:
        """Collect orphans that have ended, some at a time. All are of this program, and nobody else collects them."""
        if not self._is_reaping and tree.collect(self.running.pid):
            self._is_reaping = True
            self.loop.call_later(tree.COLLECT_PAUSE_S, self._reap_more)

    def _reap_more(self) -> None:
        self._is_reaping = False
        self._reap()

    def _on_end(self, ending: Ending) -> None:
        self._reap()
        record = {"ending": asdict(ending), "ended_at": time.time(), **self.output_news()}
        with contextlib.suppress(OSError):
            records.write(self.folder, records.ENDING, record)
        for visitor in tuple(self.visitors):
            visitor.tell(record)
        # Requests for the end are answered after this, in the same turn of the loop.
        self.loop.call_later(0, self._leave)

    def _leave(self) -> None:
        for visitor in tuple(self.visitors):
            visitor.flush()
        self._listener.close()
        with contextlib.suppress(OSError):
            os.unlink(f"{self.folder}/{records.SOCKET}")
        self.loop.stop()


def _listen(folder: str) -> socket.socket:
    """Open the socket in a folder by a short address, however long the folder's path is (unix(7))."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mask = os.umask(0o177)
    try:
        listener.bind(f"/proc/self/fd/{place}/{records.SOCKET}")
    finally:
        os.umask(mask)
        os.close(place)
    listener.listen(8)
    return listener


def main(folder: str, report: Callable[[dict[str, Any]], object]) -> int:
    """Keep the program whose order is on standard input.

    Parameters:
        folder: the folder to keep it in.
        report: called with the result of the start.

    Returns:
        The exit status.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, tree.do_nothing)  # Not SIG_IGN, which the program would inherit.
    order = Order.load(sys.stdin.buffer.read())
    tree.become_subreaper()
    try:
        keeper = Keeper(order, folder)
    except LaunchError as exc:
        report({"field": exc.field, "number": exc.number, "text": exc.text})
        return 1
    except OSError as exc:
        report({"field": "argv", "number": exc.errno or 0, "text": f"the keeper cannot work: {exc.strerror}"})
        return 1
    # The machine shuts down, or an operator ends the keeper: end the program in order.
    signal.signal(signal.SIGTERM, lambda *_: keeper.running.end(order.supervision.grace_s))
    report({"pid": keeper.about.pid, "pid_start": keeper.about.pid_start, "boot_id": keeper.about.boot_id})
    keeper.loop.run()
    return 0


def _to_stdout(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], _to_stdout))
