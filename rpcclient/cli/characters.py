"""Replaces characters that a terminal cannot show: signs of drawing by letters that look like them, others by question
marks. And shows characters that a terminal would obey, or would show nothing of, as escapes: text of a server must not
move the cursor, rename the window, or reverse the direction of a line. Output for other programs is never changed in
this way, and neither is the output of programs, as with ssh(1)."""

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


def visible(text: str) -> str:
    """Text of a server as a person may see it: lines and tabs stay, and what is not printable becomes an escape:
    control characters, marks of direction, separators of lines, surrogates."""
    if text.isprintable():
        return text
    from rpcwire.logs import escape

    return escape(text, keep="\n\t")


def visible_line(text: str) -> str:
    """The same in one line."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


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


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(alike, error.object[error.start : error.end])), error.end


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _json_escape(error.object[error.start : error.end]), error.end


def _json_escape(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def register() -> None:
    """Register :data:`SHOWN` and :data:`ESCAPED` as handlers of errors."""
    codecs.register_error(SHOWN, _replace)
    codecs.register_error(ESCAPED, _escape)


def for_json(text: str, out: TextIO) -> str:
    """JSON for an output whose encoding may lack characters: they become escapes. For a terminal, those become escapes,
    too, that are not printable."""
    encoding = out.encoding
    if out.isatty() and not text.isprintable():
        # JSON has no control characters below 32 in strings; the lines and spaces between them stay.
        text = "".join(c if c == "\n" or c.isprintable() else _json_escape(c) for c in text)
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
