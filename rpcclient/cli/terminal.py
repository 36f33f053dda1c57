"""The local terminal: it is raw while a remote program uses it, and gets its old modes back whatever happens."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import select
import signal
import termios
import threading
import tty
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MODE = re.compile(rb"\x1b\[\?([0-9;]{1,40})([hl])")
_LONGEST_MODE = 48
_MODES_TO_UNDO = {
    b"47", b"1047", b"1049",  # the alternate screen
    b"1", b"66",  # keys
    b"9", b"1000", b"1002", b"1003", b"1004", b"1005", b"1006", b"1015",  # the mouse, and focus
    b"2004",  # pasting in brackets
}  # fmt: skip


class ScreenModes:
    """Which modes a program has switched on (xterm's DECSET), to switch them off when it is left in the middle."""

    def __init__(self) -> None:
        self._on: dict[bytes, None] = {}
        self._is_cursor_hidden = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take note of the modes that this output of the program switches."""
        text = self._rest + data
        if b"\x1b" not in text:
            return
        end = 0
        for match in _MODE.finditer(text):
            end = match.end()
            on = match[2] == b"h"
            for mode in match[1].split(b";"):
                if mode == b"25":
                    self._is_cursor_hidden = not on
                elif mode in _MODES_TO_UNDO and on:
                    self._on[mode] = None
                else:
                    self._on.pop(mode, None)
        last = text.rfind(b"\x1b", max(end, len(text) - _LONGEST_MODE))
        self._rest = text[last:] if last >= 0 else b""

    @property
    def on(self) -> tuple[bytes, ...]:
        """The modes that are switched on now."""
        return tuple(self._on)

    def keep(self, modes: tuple[bytes, ...]) -> None:
        """Take these modes for switched on, too: they may be."""
        for mode in modes:
            self._on.setdefault(mode)

    @property
    def undo(self) -> bytes:
        """The output that switches them off."""
        modes = b"".join(b"\x1b[?%sl" % mode for mode in reversed(self._on))
        return modes + (b"\x1b[?25h" if self._is_cursor_hidden else b"") + (b"\x1b[0m" if modes else b"")


class RawTerminal:
    """The terminal in raw mode (termios(3)): every key reaches the program, Ctrl-C too.

    Parameters:
        descriptor: of the terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: list[object] | None = None

    @property
    def size(self) -> os.terminal_size:
        """Its size now; 80 by 24 where the terminal does not tell its size."""
        size = os.get_terminal_size(self._descriptor)
        return size if size.columns and size.lines else os.terminal_size((80, 24))

    def enter(self) -> None:
        """Make it raw."""
        self._before = termios.tcgetattr(self._descriptor)
        atexit.register(self.restore)
        tty.setraw(self._descriptor, termios.TCSANOW)

    def restore(self) -> None:
        """Give it the modes that it had before."""
        before, self._before = self._before, None
        if before is not None:
            atexit.unregister(self.restore)
            with contextlib.suppress(termios.error):  # It is gone: the window was closed.
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, before)  # type: ignore[arg-type]

    def suspend(self) -> None:
        """Give it back to the shell, until that continues this process."""
        self.restore()
        os.kill(os.getpid(), signal.SIGTSTP)
        self.enter()

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()


ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
"""Signals that end a process without a handler for them. SIGINT is not among them: it raises KeyboardInterrupt."""
UNDO_MS = 1000
"""How long to wait for a terminal that accepts no output at the moment, for example after Ctrl-S."""


class Guard:
    """Gives the terminals of this process their old modes back (termios(3)), and switches off what the output has
    switched on, also where a signal ends the process."""

    def __init__(self) -> None:
        self._before: dict[int, list[Any]] = {}
        self._modes: dict[int, ScreenModes] = {}
        self._writing: dict[int, ReadableBuffer] = {}
        self._signals: list[signal.Signals] = []

    def before_write(self, descriptor: int, data: ReadableBuffer) -> None:
        """Remember what is about to be written: a signal may come while it is unknown how much of it went out."""
        if descriptor in self._modes:
            self._writing[descriptor] = data

    def after_write(self, descriptor: int, data: ReadableBuffer, size: int) -> None:
        """Take note of what was written: the first ``size`` bytes."""
        modes = self._modes.get(descriptor)
        if modes is not None:
            modes.feed(bytes(memoryview(data)[:size]))
            self._writing.pop(descriptor, None)

    def __enter__(self) -> Self:
        for descriptor in range(3):
            if os.isatty(descriptor):
                self._before[descriptor] = termios.tcgetattr(descriptor)
                self._modes[descriptor] = ScreenModes()
        if self._before and threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if signal.getsignal(number) is signal.SIG_DFL:  # nohup(1) has some ignored.
                    signal.signal(number, self._end)
                    self._signals.append(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()
        for number in self._signals:
            if signal.getsignal(number) == self._end:
                signal.signal(number, signal.SIG_DFL)
        self._signals.clear()
        self._before.clear()
        self._modes.clear()

    def restore(self) -> None:
        """Switch off the modes that output has switched on, and give each terminal the modes that it had."""
        for descriptor, modes in self._modes.items():
            before = modes.on
            modes.feed(bytes(self._writing.pop(descriptor, b"")))
            modes.keep(before)
            if undo := modes.undo:
                _write_if_ready(descriptor, undo)
                modes.feed(undo)
        for descriptor, attributes in self._before.items():
            with contextlib.suppress(termios.error, OSError):  # It is gone: the window was closed.
                if termios.tcgetattr(descriptor) != attributes and not _in_background(descriptor):
                    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)

    def _end(self, number: int, _: FrameType | None) -> None:
        self.restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _in_background(descriptor: int) -> bool:
    """Whether another process group has the terminal now: setting its modes would stop this process (SIGTTOU)."""
    try:
        return os.tcgetpgrp(descriptor) != os.getpgrp()
    except OSError:  # It does not control this process.
        return False


def _write_if_ready(descriptor: int, data: bytes) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    with contextlib.suppress(OSError):
        if poll.poll(UNDO_MS):
            os.write(descriptor, data)
