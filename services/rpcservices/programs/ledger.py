"""A note on each program that this process looks after: should it be killed, the server that comes after it finds
there what is left to be ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from . import records
from .leftovers import Trace


class Ledger:
    """The notes. A program without one runs as well: somebody may have to make room on a full disk.

    Parameters:
        folder: where they are; of one server at a time.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._boot_id = records.boot_id()

    def note(self, trace: Trace) -> None:
        """Write down what is known of a program. It is not forced to the disk: a machine that loses its power has
        ended everything."""
        text = f"{self._boot_id} {trace.pid} {trace.pid_start}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            descriptor = os.open(f"{self.folder}/{trace.id}", flags, 0o600)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)

    def strike(self, program_id: str) -> None:
        """It has ended."""
        with contextlib.suppress(OSError):
            os.unlink(f"{self.folder}/{program_id}")

    def left(self) -> list[Trace]:
        """What an earlier server has left there."""
        with contextlib.suppress(OSError):
            os.makedirs(self.folder, 0o700, exist_ok=True)
            return list(self._read())
        return []

    def _read(self) -> Iterator[Trace]:
        for name in sorted(os.listdir(self.folder)):
            with open(f"{self.folder}/{name}") as file:
                words = file.read().split()
            # A process id means nothing after the next boot, and a note may have been cut off.
            same_boot = len(words) == 3 and words[0] == self._boot_id and words[1].isdigit() and words[2].isdigit()
            yield Trace(name, int(words[1]), int(words[2])) if same_boot else Trace(name)
