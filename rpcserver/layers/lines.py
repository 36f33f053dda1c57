"""Finds the lines of a TOML file on which its keys stand: a message about a value names its line."""

from __future__ import annotations

import re
import tomllib
from collections import Counter

Path = tuple[str | int, ...]
"""The way to a value: names of keys, and places in arrays of tables."""

_SPACE = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BARE = re.compile(r"[A-Za-z0-9_-]++")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*+"')
_LITERAL = re.compile(r"'[^'\n]*+'")
_AROUND_DOT = re.compile(r"[ \t]*+\.[ \t]*+")
_BLANK = re.compile(r"[ \t]*+")
_MARK = re.compile(r"\"\"\"|'''|\"|'|#[^\n]*+|[\[\]{}]|\n")
_END_OF_BASIC = re.compile(r'\\.|"""', re.DOTALL)


def find_lines(text: str) -> dict[Path, int]:
    """Find the lines of keys and tables.

    Parameters:
        text: a TOML document (https://toml.io/en/v1.0.0) that tomllib has read without an error.

    Returns:
        The number of the line, from 1, by the way to the key or table. What stands in braces, or in brackets behind a
        key, has no entry of its own.
    """
    lines: dict[Path, int] = {}
    table: Path = ()
    counts: Counter[Path] = Counter()
    at = _skip(_SPACE, text, 0)
    previous, line = 0, 1
    while at < len(text):
        line += text.count("\n", previous, at)
        previous = at
        if text[at] == "[":
            is_array = text.startswith("[[", at)
            names, at = _read_key(text, at + 1 + is_array)
            table = _with_places(names, counts)
            if is_array:
                table = (*table, counts[table])
                counts[table[:-1]] += 1
            lines.setdefault(table, line)
            at = _skip(_BLANK, text, at) + 1 + is_array
        else:
            names, at = _read_key(text, at)
            for depth in range(1, len(names) + 1):
                lines.setdefault((*table, *names[:depth]), line)
            at = _skip_value(text, at)
        at = _skip(_SPACE, text, at)
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """Return the line of the value at ``path``, or of what is nearest around it; ``None`` if nothing is."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _with_places(names: Path, counts: Counter[Path]) -> Path:
    """Add the place of the current table to each array of tables on the way."""
    path: Path = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if position < len(names) - 1 and counts[path]:
            path = (*path, counts[path] - 1)
    return path


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _read_key(text: str, at: int) -> tuple[Path, int]:
    """Read a key with its dots. Returns its parts, and the place behind it."""
    parts: list[str] = []
    while True:
        at = _skip(_BLANK, text, at)
        for pattern in (_BARE, _BASIC, _LITERAL):
            match = pattern.match(text, at)
            if match is not None:
                break
        else:
            raise ValueError(f"no key at character {at}")
        part = match[0]
        parts.append(part if pattern is _BARE else tomllib.loads(f"key = {part}")["key"])
        at = match.end()
        dot = _AROUND_DOT.match(text, at)
        if dot is None:
            return tuple(parts), at
        at = dot.end()


def _skip_value(text: str, at: int) -> int:
    """Return the place of the end of the line on which a value ends."""
    depth = 0
    while (mark := _MARK.search(text, at)) is not None:
        at = mark.end()
        match mark[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case "\n" if not depth:
                return mark.start()
            case '"""' | "'''":
                at = _skip_long_text(text, at, mark[0])
            case '"':
                at = _skip(_BASIC, text, mark.start())
            case "'":
                at = _skip(_LITERAL, text, mark.start())
    return len(text)


def _skip_long_text(text: str, at: int, quotes: str) -> int:
    """Return the place behind a text of several lines, which begins at ``at``."""
    if quotes == "'''":
        at = text.index(quotes, at) + 3
    else:
        while (end := _END_OF_BASIC.search(text, at)) is not None:
            at = end.end()
            if end[0] == quotes:
                break
    for _ in range(2):  # Two more quotes may belong to the text.
        at += text.startswith(quotes[0], at)
    return at
