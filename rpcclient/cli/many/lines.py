"""Makes whole lines out of pieces of output, so that lines of several nodes never mix."""

from __future__ import annotations

import re

from rpcclient.cli.characters import visible

LONGEST_BYTES = 64 * 1024
"""A line that is longer comes in pieces of this size: a program that never ends a line must not fill the memory."""
_COLOURS = re.compile(r"(\x1b\[[0-9;:]{0,40}m)")
_RESET = "\x1b[0m"


class Lines:
    """The output of one program, line by line.

    Parameters:
        longest_bytes: where to cut a line that does not end.
    """

    __slots__ = ("_longest_bytes", "_rest")

    def __init__(self, longest_bytes: int = LONGEST_BYTES) -> None:
        self._longest_bytes = longest_bytes
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take a piece of output.

        Returns:
            The lines that are whole now, without their ends.
        """
        lines = data.split(b"\n")
        if len(lines) > 1:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += lines.pop()
        lines = [piece for line in lines for piece in self._cut(line)]
        while len(self._rest) > self._longest_bytes:
            lines.append(bytes(self._rest[: self._longest_bytes]))
            del self._rest[: self._longest_bytes]
        return lines

    def end(self) -> list[bytes]:
        """Return what follows the last whole line, if anything does."""
        rest = bytes(self._rest)
        self._rest.clear()
        return [rest] if rest else []

    def _cut(self, line: bytes) -> list[bytes]:
        if len(line) <= self._longest_bytes:
            return [line]
        return [line[at : at + self._longest_bytes] for at in range(0, len(line), self._longest_bytes)]


def for_terminal(line: bytes) -> str:
    """A line of a program for a terminal: colours stay, and end with the line. All else that would move the cursor is
    shown as escapes, because it would write over what other nodes have written."""
    text = line.removesuffix(b"\r").decode("utf-8", "backslashreplace")
    if "\x1b" not in text:
        return visible(text)
    parts = _COLOURS.split(text)
    line_text = "".join(part if place % 2 else visible(part) for place, part in enumerate(parts))
    return line_text + _RESET if len(parts) > 1 else line_text
