"""Cleans names from the system: names of files and programs are bytes, and not all of them are UTF-8."""

from __future__ import annotations

import re

_NOT_UTF8 = re.compile("[\ud800-\udfff]")


def plain(text: str) -> str:
    """Put U+FFFD in place of every byte that is not UTF-8.

    Python and psutil keep such bytes as lone surrogates (PEP 383, ``surrogateescape``), which no message can hold.
    A name passes through here when it enters an answer. A later question to the system, such as for the figures of a
    mount point, needs the original name.
    """
    return text if text.isascii() else _NOT_UTF8.sub("\ufffd", text)
