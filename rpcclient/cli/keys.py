"""Reads single keys from a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Protocol


class Screen(Protocol):
    """What draws on the whole terminal."""

    def start(self) -> None:
        """Begin to draw."""
        ...

    def stop(self) -> None:
        """Leave the terminal as it was."""
        ...


_SEQUENCES = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down", b"\x1b[5~": "pageup",
    b"\x1b[6~": "pagedown", b"\x1b[C": "right", b"\x1b[D": "left", b"\x1bOC": "right", b"\x1bOD": "left",
    b"\x1b[15~": "f5", b"\x1bOH": "home", b"\x1bOF": "end", b"\x1b[7~": "home", b"\x1b[8~": "end",
    b"\x1b[[A": "f1", b"\x1b[[C": "f3", b"\x1b[[D": "f4", b"\x1b[[E": "f5",
    b"\x1b[H": "home", b"\x1b[F": "end", b"\x1b[1~": "home", b"\x1b[4~": "end", b"\x1bOP": "f1", b"\x1b[11~": "f1",
    b"\x1bOR": "f3", b"\x1b[13~": "f3", b"\x1bOS": "f4", b"\x1b[14~": "f4", b"\x1b[17~": "f6", b"\x1b[18~": "f7",
    b"\x1b[19~": "f8", b"\x1b[20~": "f9", b"\x1b[21~": "f10", b"\r": "enter", b"\n": "enter", b"\x7f": "backspace",
    b"\x08": "backspace", b"\x1b": "escape", b"\x03": "interrupt",
}  # fmt: skip
"""What terminals send for keys that are no letters (xterm's, rxvt's, and the Linux console's)."""

_ALONE_S = 0.05
"""An escape after which nothing comes within this time is the key itself."""


_LONGEST_LETTER = 4
"""Bytes that a letter has at most, in every encoding of a locale."""


def _letter(data: bytes, encoding: str) -> tuple[str, int]:
    """The first letter in what a terminal has sent, and its length in bytes."""
    for length in range(1, min(len(data), _LONGEST_LETTER) + 1):
        with contextlib.suppress(UnicodeDecodeError):
            return data[:length].decode(encoding), length
    return "\N{REPLACEMENT CHARACTER}", 1


def decode(data: bytes, encoding: str = "utf-8") -> list[str]:
    """The keys in what a terminal has sent: letters as they are, others by name. Sequences that are unknown are left
    out.

    Parameters:
        data: what it has sent.
        encoding: that of its letters.
    """
    keys: list[str] = []
    position = 0
    while position < len(data):
        for length in (5, 4, 3, 1):
            piece = data[position : position + length]
            if piece == b"\x1b" and position + 1 < len(data):
                continue  # It begins a sequence that is unknown.
            if len(piece) == length and piece in _SEQUENCES:
                keys.append(_SEQUENCES[piece])
                position += length
                break
        else:
            if data[position] == 0x1B:
                # An unknown sequence: up to the letter or sign that ends it (ECMA-48, 5.4).
                # On the Linux console, F2 has a second bracket before its letter.
                end = position + (3 if data.startswith(b"\x1b[[", position) else 2)
                while end < len(data) and not 0x40 <= data[end] <= 0x7E:
                    end += 1
                position = end + 1
                continue
            letter, width = _letter(data[position:], encoding)
            if letter.isprintable():
                keys.append(letter)
            position += width
    return keys


@contextlib.contextmanager
def raw_terminal() -> Iterator[int]:
    """Have the terminal send each key at once, and show none; it is as before afterwards, whatever happens.

    Ctrl-Z and Ctrl-C do not discard what is on its way to the screen (termios(3), NOFLSH), or it might be cut within a
    character or a sequence.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        modes = termios.tcgetattr(descriptor)
        modes[3] |= termios.NOFLSH
        termios.tcsetattr(descriptor, termios.TCSADRAIN, modes)
        yield descriptor
    finally:
        with contextlib.suppress(termios.error):  # It is gone: the window was closed.
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def suspend(screen: Screen, descriptor: int) -> None:
    """Stop this process, as Ctrl-Z does, with the terminal as it was; and go on when it is continued.

    Parameters:
        screen: what is left meanwhile.
        descriptor: the terminal.
    """
    ours = termios.tcgetattr(descriptor)
    screen.stop()
    line_mode = termios.tcgetattr(descriptor)
    line_mode[3] = line_mode[3] & ~termios.NOFLSH | termios.ICANON | termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSADRAIN, line_mode)
    os.kill(os.getpid(), signal.SIGSTOP)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, ours)
    screen.start()


def read_keys(descriptor: int, stop: int) -> list[str] | None:
    """Wait for keys.

    Parameters:
        descriptor: the terminal.
        stop: becomes readable when nobody wants keys any more.

    Returns:
        ``None`` at the end.
    """
    ready, _, _ = select.select([descriptor, stop], [], [])
    if stop in ready:
        return None
    data = os.read(descriptor, 1024)
    if not data:
        return None
    if data.endswith(b"\x1b") and select.select([descriptor], [], [], _ALONE_S)[0]:
        data += os.read(descriptor, 1024)
    return decode(data, sys.stdin.encoding or "utf-8")
