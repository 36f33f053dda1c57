"""Prints what many nodes answer: line by line with their names before, or in the end with identical answers once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TextIO, TypeAlias

from .colours import has_colours, paint
from .lines import Lines, for_terminal

if TYPE_CHECKING:
    from .bar import Bar

StreamName: TypeAlias = Literal["stdout", "stderr"]
"""Where something is printed."""
Piece: TypeAlias = tuple[StreamName, bytes]
"""A piece of text, and where it is printed."""
STREAMS: tuple[StreamName, ...] = ("stdout", "stderr")
"""Both of them."""
_INDENT = "  "
_BEHIND = " | "


class Printer(Protocol):
    """Prints pieces of nodes."""

    @property
    def margin(self) -> int:
        """How many characters of a line it needs for itself."""
        ...

    def begin(self, names: Sequence[str]) -> None:
        """These nodes are asked."""
        ...

    def write(self, name: str, piece: Piece) -> None:
        """A node has written something."""
        ...

    def finish(self, name: str) -> None:
        """A node writes no more."""
        ...

    def end(self) -> None:
        """No node writes any more."""
        ...


class _Output:
    """Standard output or standard errors."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._is_terminal = stream.isatty()
        self._has_colours = has_colours(stream)

    def title(self, name: str, text: str) -> str:
        return paint(text, name) if self._has_colours else text

    def line(self, before: str, line: bytes) -> None:
        """Write a line of a node: as it is, but for a terminal."""
        if self._is_terminal:
            self.stream.write(f"{before}{for_terminal(line)}\n")
            return
        self.stream.write(before)
        self.stream.flush()
        self.stream.buffer.write(line + b"\n")


class ByLine:
    """Each whole line at once, with the name of its node before it.

    Parameters:
        bar: the line at the bottom, above which it is printed.
    """

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._outputs = {"stdout": _Output(sys.stdout), "stderr": _Output(sys.stderr)}
        self._lines: dict[tuple[str, StreamName], Lines] = {}
        self._width = 0

    def begin(self, names: Sequence[str]) -> None:
        """Make room for the longest name."""
        self._width = max(map(len, names), default=0)

    @property
    def margin(self) -> int:
        """The name, and what stands behind it."""
        return self._width + len(_BEHIND)

    def write(self, name: str, piece: Piece) -> None:
        """Print the lines that are whole now."""
        stream, data = piece
        lines = self._lines.get((name, stream))
        if lines is None:
            lines = self._lines[name, stream] = Lines()
        self._print(name, stream, lines.feed(data))

    def finish(self, name: str) -> None:
        """Print what follows the node's last whole line."""
        for stream in STREAMS:
            lines = self._lines.pop((name, stream), None)
            if lines is not None:
                self._print(name, stream, lines.end())

    def end(self) -> None:
        """Print what follows the last whole line of each node."""
        for name, _ in list(self._lines):
            self.finish(name)

    def _print(self, name: str, stream: StreamName, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        self._bar.clear()
        output = self._outputs[stream]
        before = output.title(name, f"{name:{self._width}}{_BEHIND}")
        for line in lines:
            output.line(before, line)
        output.stream.flush()


class Gathered:
    """In the end, identical answers once, with the names of the nodes that gave them above.

    Parameters:
        bar: the line at the bottom.
    """

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._texts: dict[StreamName, dict[str, bytearray]] = {"stdout": {}, "stderr": {}}

    @property
    def margin(self) -> int:
        """What stands before each line."""
        return len(_INDENT)

    def begin(self, names: Sequence[str]) -> None:
        """Nothing is printed yet."""

    def write(self, name: str, piece: Piece) -> None:
        """Keep the piece."""
        stream, data = piece
        self._texts[stream].setdefault(name, bytearray()).extend(data)

    def finish(self, name: str) -> None:
        """Nothing is printed yet."""

    def end(self) -> None:
        """Print all answers."""
        from .answers import fold_answers

        self._bar.clear()
        for stream, texts in self._texts.items():
            output = _Output(getattr(sys, stream))
            for answer in fold_answers((name, bytes(text)) for name, text in texts.items()):
                lines = answer.content.removesuffix(b"\n").split(b"\n")
                title = output.title(answer.nodes[0], f"{answer.title}:")
                if len(lines) == 1:
                    output.line(f"{title} ", lines[0])
                else:
                    output.stream.write(f"{title}\n")
                    for line in lines:
                        output.line(_INDENT, line)
            output.stream.flush()
            texts.clear()
