"""Notes on the programs that this process looks after: should it be killed, the server that comes after it finds there
what is left to be ended. They are lines of one file that stays open: a note costs some microseconds."""

from __future__ import annotations

import contextlib
import os
import threading

from rpcservices.programs.running import records

from .leftovers import Trace

MOST_BYTES = 256 * 1024


def noted(path: str) -> dict[str, Trace]:
    """The programs that a file of notes says are running, by id; none where there is no such file.

    Parameters:
        path: the file.
    """
    found: dict[str, Trace] = {}
    boot_id = records.boot_id()
    with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            match line.split():
                case ["+", program_id, pid, start, boot] if pid.isdigit() and start.isdigit():
                    found[program_id] = Trace(program_id)
                    if boot == boot_id:  # After the next one a process id means nothing.
                        found[program_id] = Trace(program_id, int(pid), int(start))
                case ["-", program_id]:
                    found.pop(program_id, None)
                case _:
                    continue  # Cut off.
    return found


class Ledger:
    """The notes of one server. Any thread may write some. What cannot be written is left out, and the program runs all
    the same: somebody may have to make room on a full disk.

    Parameters:
        path: the file.
        most_bytes: when it has grown to this size, it is written anew.

    Attributes:
        running: the programs that are noted as running, by id; at first those that an earlier server has left.
    """

    def __init__(self, path: str, most_bytes: int = MOST_BYTES) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self.running: dict[str, Trace] = {}
        self._boot_id = records.boot_id()
        self._lock = threading.Lock()
        self._file: int | None = None
        self._size = 0

    def open(self) -> None:
        """See what is noted, and go on from there. Before this nothing is written."""
        with self._lock:
            self.running = noted(self.path)
            self._write_anew()

    def note(self, trace: Trace) -> None:
        """A program runs, or is about to. This is not forced to the disk: a machine that loses its power has ended
        everything."""
        with self._lock:
            self.running[trace.id] = trace
            self._append(self._line(trace))

    def strike(self, program_id: str) -> None:
        """It has ended."""
        with self._lock:
            self.running.pop(program_id, None)
            self._append(f"- {program_id}\n")

    def close(self) -> None:
        """Write no more; the file stays."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _line(self, trace: Trace) -> str:
        return f"+ {trace.id} {trace.pid} {trace.pid_start} {self._boot_id}\n"

    def _append(self, line: str) -> None:
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            self._size += os.write(self._file, line.encode())
        if self._size > self._most_bytes:
            self._write_anew()

    def _write_anew(self) -> None:
        """Replace the file by one without what has ended (rename(2))."""
        text = "".join(map(self._line, self.running.values())).encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._size = 0
        with contextlib.suppress(OSError):
            fresh = os.open(f"{self.path}.new", flags, 0o600)
            try:
                os.write(fresh, text)
                os.rename(f"{self.path}.new", self.path)
            except OSError:
                os.close(fresh)
                raise
            if self._file is not None:
                os.close(self._file)
            self._file = fresh
