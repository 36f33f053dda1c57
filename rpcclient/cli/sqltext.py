"""Statements out of text that is still being typed: where one ends, in each kind of SQL."""

from __future__ import annotations

import re
import sqlite3
from functools import cache

_QUOTED = r"'(?:[^']|'')*(?P<s>'|\Z)|\"(?:[^\"]|\"\")*(?P<d>\"|\Z)"
_MORE = {
    "postgresql": r"|\b[eE]'(?:[^'\\]|''|\\.)*(?P<e>'|\Z)|\$(?P<tag>[A-Za-z_]?\w*)\$.*?(?P<t>\$(?P=tag)\$|\Z)",
    "mysql": r"|`[^`]*(?P<b>`|\Z)|\#[^\n]*",
    "sqlite": r"|`[^`]*(?P<b>`|\Z)|\[[^\]]*(?P<r>\]|\Z)",
}
_BACKSLASHES = r"'(?:[^'\\]|''|\\.)*(?P<s>'|\Z)|\"(?:[^\"\\]|\"\"|\\.)*(?P<d>\"|\Z)"


@cache
def _tokens(dialect: str) -> re.Pattern[str]:
    dialect = "mysql" if dialect == "mariadb" else dialect
    quoted = _BACKSLASHES if dialect == "mysql" else _QUOTED
    comments = r"--[^\n]*|/\*.*?(?P<c>\*/|\Z)"
    return re.compile(f"(?:{comments}{_MORE.get(dialect, '')}|{quoted})|(?P<end>;)", re.DOTALL)


def split(text: str, dialect: str = "") -> tuple[list[str], str]:
    """The statements that end with a semicolon, and the text after the last of them.

    Parameters:
        text: any number of statements.
        dialect: the kind of database, which decides how quotes and comments look.
    """
    found: list[str] = []
    start = 0
    for token in _tokens(dialect).finditer(text):
        if token["end"] is None:
            continue
        statement = text[start : token.end()]
        if dialect == "sqlite" and not sqlite3.complete_statement(statement):
            continue  # Within the body of a trigger.
        start = token.end()
        if not blank(statement[:-1], dialect):
            found.append(statement.strip()[:-1].rstrip())
    return found, text[start:]


_CLOSINGS = ("s", "d", "e", "t", "b", "r", "c")


def backslash(text: str, dialect: str = "") -> tuple[str, str]:
    r"""A command such as ``\d`` in the last line, also after a statement that is not finished.

    Returns:
        What stands before that line, and the command; the whole text and nothing where the last line is none, or part
        of a text in quotes.
    """
    before, _, last = text.rstrip().rpartition("\n")
    if not last.lstrip().startswith("\\"):
        return text, ""
    for token in _tokens(dialect).finditer(before):
        if token.end() == len(before) and any(token.groupdict().get(name) == "" for name in _CLOSINGS):
            return text, ""
    return before, last.strip()


_CONTROLS = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:begin|start\s+transaction|commit|end|abort|rollback(?!\b[^;]*\bto\b))\b",
    re.IGNORECASE | re.DOTALL,
)
_PARAMETER = re.compile(r"(?<![:\w\\]):[A-Za-z_]")


def controls_transaction(statement: str) -> bool:
    """Whether a statement begins or ends a transaction; savepoints do neither."""
    return _CONTROLS.match(statement) is not None


def names_parameters(statement: str) -> bool:
    """Whether a statement has parameters with names, ``:id``."""
    return _PARAMETER.search(_tokens("").sub("x", statement)) is not None


def blank(text: str, dialect: str = "") -> bool:
    """Whether there is nothing but space and comments."""
    rest = _tokens(dialect).sub(lambda token: "" if token[0].startswith(("--", "/*", "#")) else "x", text)
    return not rest.strip()
