"""Text for a log: makes text of the other side printable, says whom a line is about, and quiets the logger of
websockets."""

from __future__ import annotations

import logging
import re

QUIET = logging.getLogger("rpcwire.websocket")
"""The logger of websockets. The layers above it log what matters for an operator."""
QUIET.setLevel(logging.WARNING)

ECHO_CHARACTERS = 200
"""The most characters of a text of the other side that a log or an error message repeats."""

TEXT_CHARACTERS = 2000
"""The most characters of the text of an error."""

_LONG_WORD = re.compile(rf"(\S{{{ECHO_CHARACTERS - 1}}})\S{{2,}}+")


def escape(text: str, keep: str = "") -> str:
    r"""Replace characters that a terminal does not show as such with escapes, ``\x1b`` for instance: control
    characters, line and paragraph separators, those that turn the direction of writing (Unicode's bidirectional
    algorithm, UAX #9, section 2) or have no width, and halves of surrogate pairs.

    Parameters:
        text: the text.
        keep: such characters that may stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shorten(text: str, limit: int = TEXT_CHARACTERS) -> str:
    """Cut a text that may repeat what the other side has sent: each word to :data:`ECHO_CHARACTERS`, and the whole.

    Parameters:
        text: the text.
        limit: the most characters of the whole.
    """
    if len(text) <= ECHO_CHARACTERS:
        return text
    text = _LONG_WORD.sub(r"\1…", text[: limit * 10])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str, limit: int = ECHO_CHARACTERS) -> str:
    """Make text of the other side fit for a log: one line, which :func:`escape` has made harmless.

    Parameters:
        text: the text.
        limit: the most characters of it to show.
    """
    excerpt = escape(text[: limit + 1])
    return excerpt if len(excerpt) <= limit else excerpt[: limit - 1] + "…"


def about(client: str, *, is_known: bool) -> dict[str, object]:
    """Say whom a line of the log is about (``extra`` of :mod:`logging`), so that nobody can fill the log.

    Parameters:
        client: the client's address.
        is_known: whether the client has authenticated.
    """
    return {"client": client, "is_known": is_known}
