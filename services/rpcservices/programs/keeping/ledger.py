"""Notes on the programs that this process looks after. If it is killed, the next server reads in them what it must end.
The notes are lines of one file that stays open, so that a note takes only some microseconds."""

from __future__ import annotations

import contextlib
import os
import threading

from rpcservices.programs.running import records

from .leftovers import Trace

MOST_BYTES = 256 * 1024


def read_notes(path: str) -> dict[str, Trace]:
    """Read a file of notes. Returns the running programs by id; empty where there is no such file.

    Parameters:
        path: the file.
    """
    traces: dict[str, Trace] = {}
    boot_id = records.boot_id()
    with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            match line.split():
                case ["+", program_id, pid, start, boot] if pid.isdigit() and start.isdigit():
                    traces[program_id] = Trace(program_id)
                    if boot == boot_id:  # A process id means nothing after another boot.
                        traces[program_id] = Trace(program_id, int(pid), int(start))
                case ["-", program_id]:
                    traces.pop(program_id, None)
                case _:
                    continue  # An incomplete line.
    return traces


class Ledger:
    """The notes of one server. Any thread may write. A note that cannot be written is left out, and the program still
    runs: a full disk must not stop programs that could make room.

    Parameters:
        path: the file.
        most_bytes: the size at which the file is written again without old notes.

    Attributes:
        running: the programs that run by these notes, by id; at first those that an earlier server has left.
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
        """Read the notes of an earlier server, and open the file. Before this nothing is written."""
        with self._lock:
            self.running = read_notes(self.path)
            self._write_anew()

    def note(self, trace: Trace) -> None:
        """Note a program that runs or is about to. The note is not forced to the disk: if the machine loses its power,
        all programs have ended anyway."""
        with self._lock:
            self.running[trace.id] = trace
            self._append(self._line(trace))

    def strike(self, program_id: str) -> None:
        """Note that a program has ended."""
        with self._lock:
            self.running.pop(program_id, None)
            self._append(f"- {program_id}\n")

    def close(self) -> None:
        """Close the file; it stays."""
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
        """Replace the file by one without the programs that have ended (rename(2))."""
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
