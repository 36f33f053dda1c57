"""Writes to a program: to its standard input, or to the terminal that it reads from."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from . import spawning
from .looping import Loop


class Write:
    """Input on its way to a program."""

    __slots__ = ("data", "done")

    def __init__(self, data: memoryview, done: Callable[[bool], object]) -> None:
        self.data = data
        self.done: Callable[[bool], object] | None = done

    def cancel(self) -> None:
        """Write no more of it."""
        self.done = None
        self.data = self.data[:0]

    def settle(self, *, ok: bool) -> None:
        """Report how it went."""
        done, self.done = self.done, None
        if done is not None:
            done(ok)


class Stdin:
    """Our end of a program's standard input.

    Parameters:
        loop: the event loop.
        descriptor: the end to write to, which belongs to this object from now on; ``None`` where there is none.
        terminal: whether that is a pseudo-terminal.
        wrote: called whenever something was written.
    """

    def __init__(self, loop: Loop, descriptor: int | None, *, terminal: bool, wrote: Callable[[], object]) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._terminal = terminal
        self._wrote = wrote
        self._writes: deque[Write] = deque()
        self._is_closing = False
        self._has_writer = False

    @property
    def takes_more(self) -> bool:
        """Whether it is still possible to write."""
        return self._descriptor is not None and not self._is_closing

    def write(self, data: bytes, done: Callable[[bool], object]) -> Write:
        """Write to it.

        Parameters:
            data: what to write.
            done: called with ``True`` when the program, or its pipe, has accepted everything; with ``False`` if it
                accepts no more.
        """
        write = Write(memoryview(data), done)
        if not self.takes_more:
            write.settle(ok=False)
            return write
        self._wrote()
        self._writes.append(write)
        if not self._has_writer:
            self._flush()
        return write

    def close(self) -> None:
        """Tell the program that there is no more input, after everything that still waits was written."""
        if self._is_closing or self._descriptor is None:
            return
        if self._terminal:
            # A terminal is not closed: a character tells the end of input. It can be written to afterwards.
            self.write(spawning.end_of_file(self._descriptor), lambda _: None)
            return
        self._is_closing = True
        if not self._writes:
            self.shut()

    def _flush(self) -> None:
        while self._writes and self._descriptor is not None:
            write = self._writes[0]
            try:
                if write.data:
                    write.data = write.data[os.write(self._descriptor, write.data) :]
            except BlockingIOError:
                break
            except OSError:  # The program has closed its end, or has ended.
                self.shut()
                return
            self._wrote()
            if not write.data:
                self._writes.popleft()
                write.settle(ok=True)
        if self._writes and self._descriptor is not None:
            if not self._has_writer:
                self._has_writer = True
                self._loop.add_writer(self._descriptor, self._flush)
            return
        self._remove_writer()
        if self._is_closing:
            self.shut()

    def _remove_writer(self) -> None:
        if self._has_writer and self._descriptor is not None:
            self._loop.remove_writer(self._descriptor)
        self._has_writer = False

    def shut(self) -> None:
        """Close it now; what still waits was not accepted."""
        if self._descriptor is not None:
            self._remove_writer()
            os.close(self._descriptor)
            self._descriptor = None
        while self._writes:
            self._writes.popleft().settle(ok=False)

    def resize(self, rows: int, columns: int) -> bool:
        """Change the size of its terminal; ``False`` where it has none."""
        if not self._terminal or self._descriptor is None:
            return False
        spawning.resize(self._descriptor, rows, columns)
        return True
