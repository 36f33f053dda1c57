"""The parameters of ``rpcclient call``, out of words of a command line."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click

from .words import text

_BEGINS_JSON = re.compile(r"""\s*(?:\[\s*(?:["{]|-?\d[\d.eE+-]*\s*,|(?:true|false|null)\s*[],])|\{\s*(?:"|\}\s*$))""")
"""How a list or an object of JSON begins, and hardly any text. Patterns such as ``[0-9]*`` and markup such as ``[red]``
are text."""
_ASSIGNMENT = re.compile(r"(?P<key>[A-Za-z_][A-Za-z0-9_]*)(?P<sign>:=|=@|=)(?P<value>.*)", re.DOTALL)


def parse(
    words: Sequence[str], binary: Collection[str] = (), *, by_position: bool = False
) -> dict[str, Any] | list[Any] | None:
    """The parameters, by name or by position.

    Parameters:
        words: ``key=value`` (JSON where it is JSON, else text, unless it begins like a list or an object of JSON),
            ``key:=JSON``, ``key=@FILE``, ``key=-`` (standard input), ``-`` alone (all parameters, as JSON, from
            standard input), or values by position.
        binary: parameters that are bytes: their files and standard input are taken as they are.
        by_position: take all for values by position, also such as ``a=b``.

    Returns:
        A mapping, a list, or ``None`` where there are no words.

    Raises:
        click.UsageError: the words do not fit together, or one is malformed.
    """
    if not words:
        return None
    if list(words) == ["-"]:
        return _whole(sys.stdin.buffer.read())
    if by_position:
        return _by_position(words)
    matches = [_ASSIGNMENT.fullmatch(word) for word in words]
    pairs = [match for match in matches if match is not None]
    if not pairs:
        return _by_position(words)
    if len(pairs) != len(words):
        position = words[matches.index(None)]
        raise click.UsageError(f"{position!r}: give all parameters as key=value, or all by position")
    params: dict[str, Any] = {}
    for match in pairs:
        if match["key"] in params:
            raise click.UsageError(f"{match['key']}: given twice")
        params[match["key"]] = _value(match["key"], match["sign"], match["value"], match["key"] in binary)
    return params


def _by_position(words: Sequence[str]) -> list[Any]:
    return [_loose(f"parameter {n}", text(word, f"parameter {n}"), "") for n, word in enumerate(words, 1)]


def _whole(data: bytes) -> dict[str, Any] | list[Any]:
    value = _json("standard input", data)
    if not isinstance(value, (dict, list)):
        raise click.UsageError("standard input: give the parameters as a JSON object or array")
    return value


def _value(key: str, sign: str, word: str, binary: bool) -> Any:
    if sign == ":=":
        return _json(key, text(word, key))
    if sign == "=@":
        try:
            return _content(key, Path(word).read_bytes(), binary)
        except OSError as exc:
            raise click.UsageError(f"{key}: {word}: {exc.strerror}") from None
    if word == "-":
        return _content(key, sys.stdin.buffer.read(), binary)
    return _text_bytes(word) if binary else _loose(key, text(word, key), f"{key}:=")


def _content(key: str, data: bytes, binary: bool) -> Any:
    if binary:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"{key}: the parameter is text, and this is not UTF-8") from None


def _text_bytes(word: str) -> bytes:
    """A word for a parameter that is bytes: base64url if it says so, else the text itself."""
    if word.startswith("base64:"):
        try:
            return base64.urlsafe_b64decode(word.removeprefix("base64:"))
        except ValueError as exc:
            raise click.UsageError(f"not base64: {exc}") from None
    return os.fsencode(word)  # What was typed, whatever the locale.


def _json(name: str, word: str | bytes) -> Any:
    """A value that must be JSON."""
    try:
        return json.loads(word)
    except ValueError as exc:
        raise click.UsageError(f"{name}: not JSON: {exc}") from None
    except RecursionError:
        raise click.UsageError(f"{name}: lists and objects are nested too deep in it") from None


def _loose(name: str, word: str, sign: str) -> Any:
    """A value that may be JSON or text.

    Parameters:
        name: what it is, for people.
        word: the value.
        sign: what stands before a value that must be JSON.

    Raises:
        click.UsageError: it begins like a list or an object, and is not JSON.
    """
    try:
        return json.loads(word)
    except RecursionError:
        raise click.UsageError(f"{name}: lists and objects are nested too deep in it") from None
    except ValueError as exc:
        if _BEGINS_JSON.match(word) is None:
            return word
        as_text = shlex.quote(sign + json.dumps(word, ensure_ascii=False))
        raise click.UsageError(
            f"{name}: it begins like JSON and is not JSON: {exc}; to send it as text, write {as_text}"
        ) from None
