"""Text of the system's that may be no text: names of files and programs are bytes, and not all of them are UTF-8."""

from __future__ import annotations

import re

_NOT_UTF8 = re.compile("[\ud800-\udfff]")


def plain(text: str) -> str:
    """The text with U+FFFD in place of every byte that is no UTF-8.

    Python and psutil keep such bytes as lone surrogates (PEP 383, ``surrogateescape``), which no message can hold.
    What comes from the system passes through here where it enters an answer; whatever is asked of the system again,
    such as the figures of a mount point, takes the name as it was.
    """
    return text if text.isascii() else _NOT_UTF8.sub("\ufffd", text)
