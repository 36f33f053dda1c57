"""The colour of a node: the same for its name always, on every machine."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from typing import TextIO

_PALETTE = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")
"""Colours of letters (ECMA-48, SGR). Red is for failures."""
_RED = "31"
_RESET = "\x1b[0m"
_PLAIN_TERMINALS = ("dumb", "unknown")


def has_colours(out: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to write in colours: to a terminal, unless ``NO_COLOR`` is set (https://no-color.org)."""
    return out.isatty() and not environment.get("NO_COLOR") and environment.get("TERM", "") not in _PLAIN_TERMINALS


def colour(name: str) -> str:
    """The code of a node's colour."""
    return _PALETTE[zlib.crc32(name.encode("utf-8", "surrogatepass")) % len(_PALETTE)]


def paint(text: str, name: str) -> str:
    """A text in the colour of a node."""
    return f"\x1b[{colour(name)}m{text}{_RESET}"


def paint_red(text: str) -> str:
    """A text in the colour of failures."""
    return f"\x1b[{_RED}m{text}{_RESET}"


def paint_dim(text: str) -> str:
    """A text that is less conspicuous than others."""
    return f"\x1b[2m{text}{_RESET}"
