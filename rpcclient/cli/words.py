"""Encodes words of a command line for sending: as text in UTF-8, whatever the local encoding is."""

from __future__ import annotations

import os
import sys

import click


def _encode(word: str) -> bytes:
    """The bytes that this process was given for a word.

    The system's C library made the word of them, and undoes that: in encodings such as EUC-JP, Python's own codec has
    other characters.

    Raises:
        UnicodeEncodeError: the word was not made of bytes.
    """
    if word.isascii() or sys.getfilesystemencoding() == "utf-8":
        return os.fsencode(word)
    import ctypes  # Needed by few.

    encode = ctypes.pythonapi.Py_EncodeLocale
    encode.argtypes, encode.restype = [ctypes.c_wchar_p, ctypes.POINTER(ctypes.c_size_t)], ctypes.c_void_p
    free = ctypes.pythonapi.PyMem_Free
    free.argtypes, free.restype = [ctypes.c_void_p], None
    error_at = ctypes.c_size_t()
    pointer = encode(word, ctypes.byref(error_at))
    if not pointer:
        at = error_at.value if error_at.value < len(word) else 0
        raise UnicodeEncodeError(sys.getfilesystemencoding(), word, at, at + 1, "the locale has no such character")
    try:
        return ctypes.string_at(pointer)
    finally:
        free(pointer)


def to_text(word: str, name: str) -> str:
    """A word whose bytes count, such as an argument of a program or a path there: the text that has just these bytes
    in UTF-8.

    Parameters:
        word: as this process was given it.
        name: what it is, for a person.

    Raises:
        click.UsageError: there is none.
    """
    try:
        return _encode(word).decode()
    except UnicodeDecodeError:
        raise click.UsageError(
            f"{name}: {_encode(word)!r} is no UTF-8, and nothing else can be sent: write it in UTF-8, or let a "
            'shell there make it, as in sh -c \'cat "$(printf "caf\\351")"\''
        ) from None
    except UnicodeEncodeError:  # It does not come from a command line: code in this process made it.
        return word


def text(word: str, name: str) -> str:
    """A word that means text: as the locale has it, or in UTF-8 where the locale knows only ASCII.

    Parameters:
        word: as this process was given it.
        name: what it is, for a person.

    Raises:
        click.UsageError: it is neither.
    """
    try:
        word.encode()
    except UnicodeEncodeError:  # What Python could not decode is in it as surrogates (PEP 383).
        try:
            return _encode(word).decode()
        except UnicodeError:
            encoding = sys.getfilesystemencoding()
            raise click.UsageError(f"{name}: {word!a} is no text in this locale's encoding, {encoding}") from None
    return word
