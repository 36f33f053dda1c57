"""Replaces characters that a terminal cannot show: signs of drawing by letters that look like them, others by question
marks. Output for other programs is never changed in this way."""

from __future__ import annotations

import codecs
import unicodedata
from typing import TextIO

SHOWN = "rpcclient.shown"
"""For what a person reads (:meth:`str.encode`)."""
ESCAPED = "rpcclient.escaped"
"""For JSON: the same text in other letters (RFC 8259, 7)."""
NO_CHOICE = frozenset({"strict", "surrogateescape", "backslashreplace"})
"""What Python does by itself with what cannot be shown; whoever wants something else says so (``PYTHONIOENCODING``)."""

_ALIKE = {
    "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "#", "▍": ":", "▎": ":", "▏": "|",
    "▁": "_", "▂": ".", "▃": ":", "▄": "-", "▅": "=", "▆": "+", "▇": "*",
    "·": ".", "•": "*", "…": "~", "‥": ".", "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-",
    "→": ">", "←": "<", "↑": "^", "↓": "v", "⏎": "/", "×": "x", "°": " ", "\N{NO-BREAK SPACE}": " ",
    "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"',
}  # fmt: skip


def alike(character: str) -> str:
    """ASCII characters that look like another one, and take as much room."""
    if character in _ALIKE:
        return _ALIKE[character]
    if "─" <= character <= "╿":
        name = unicodedata.name(character)
        if "VERTICAL" in name:
            return "+" if "HORIZONTAL" in name else "|"
        return "-" if "HORIZONTAL" in name else "+"
    if unicodedata.combining(character):
        return ""
    return "??" if unicodedata.east_asian_width(character) in "WF" else "?"


def _shown(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(alike, error.object[error.start : error.end])), error.end


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)), error.end


def register() -> None:
    """Register :data:`SHOWN` and :data:`ESCAPED` as handlers of errors."""
    codecs.register_error(SHOWN, _shown)
    codecs.register_error(ESCAPED, _escaped)


def for_json(text: str, out: TextIO) -> str:
    """JSON for an output whose encoding may lack characters: they become escapes."""
    encoding = out.encoding
    return text if text.isascii() or not encoding else text.encode(encoding, ESCAPED).decode(encoding)


def lacks(text: str, out: TextIO) -> str | None:
    """The first character of a text that the encoding of an output lacks; ``None`` if it has all."""
    if text.isascii() or not out.encoding:
        return None
    try:
        text.encode(out.encoding)
    except UnicodeEncodeError as exc:
        return text[exc.start]
    return None
