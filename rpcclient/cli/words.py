"""Words of a command line as they are sent: as text, in UTF-8, whatever the locale here is."""

from __future__ import annotations

import os
import sys

import click


def typed(word: str, name: str) -> str:
    """A word whose bytes count, such as an argument of a program or a path there: the text that has just these bytes
    in UTF-8.

    Parameters:
        word: as this process was given it.
        name: what it is, for a person.

    Raises:
        click.UsageError: there is none.
    """
    try:
        return os.fsencode(word).decode()
    except UnicodeDecodeError:
        raise click.UsageError(
            f"{name}: {os.fsencode(word)!r} is no UTF-8, and nothing else can be sent: write it in UTF-8, or let a "
            'shell there make it, as in sh -c \'cat "$(printf "caf\\351")"\''
        ) from None
    except UnicodeEncodeError:  # It was not typed, but given by another program in this process.
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
            return os.fsencode(word).decode()
        except UnicodeError:
            encoding = sys.getfilesystemencoding()
            raise click.UsageError(f"{name}: {word!a} is no text in this locale's encoding, {encoding}") from None
    return word
