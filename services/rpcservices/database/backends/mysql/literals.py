r"""Values as literals of MariaDB and MySQL, for statements that travel as text.

What a backslash means in a string is a setting of the connection (sql_mode NO_BACKSLASH_ESCAPES,
https://mariadb.com/kb/en/sql_mode/). Everything else is written so that no setting changes it: quotation marks are
doubled, and all other bytes stand for themselves, as long as the connection's character set is utf8mb4, in which no
byte of a longer character is one of ASCII's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from asyncmy.converters import escape_item

from rpcwire.sql import Syntax

_JOINED_LENGTH = 1_024_000
"""The length of a statement of many rows, roughly; servers take messages of 16 MiB unless configured otherwise."""


_INSERT = re.compile(r"\s*+(?:INSERT|REPLACE)\b", re.IGNORECASE)
_ROW = re.compile(r"\bVALUES?\s*+(\(\s*+%s\s*+(?:,\s*+%s\s*+)*+\))", re.IGNORECASE)
_REST = re.compile(r"\s*+(?:(?P<clause>AS|ON DUPLICATE)|;?\s*+\Z)", re.IGNORECASE)


def split_insert(sql: str) -> tuple[str, str, str] | None:
    """Split an INSERT or REPLACE of one row of placeholders around that row, in time that grows with its length only.

    Returns:
        What comes before the row, the row, and what comes after; ``None`` if it is another statement.
    """
    if _INSERT.match(sql) is None:
        return None
    rows = [(row, rest) for row in _ROW.finditer(sql) if (rest := _REST.match(sql, row.end())) is not None]
    if not rows:
        return None
    row, rest = rows[-1]
    return sql[: row.start(1)].lstrip(), row[1], sql[row.end() :] if rest["clause"] else ""


def has_backslash(values: Sequence[Any]) -> bool:
    """Whether the literal of one of the values would be different under another sql_mode."""
    return any((isinstance(v, str) and "\\" in v) or (isinstance(v, bytes) and b"\\" in v) for v in values)


def _quote(text: str, syntax: Syntax) -> str:
    if syntax != "mysql plain":
        text = text.replace("\\", "\\\\")
    return "'" + text.replace("'", "''") + "'"


def _literal(value: Any, syntax: Syntax) -> str:
    if isinstance(value, str):
        return _quote(value, syntax)
    if isinstance(value, bytes):  # Bytes above 127 become surrogates here; asyncmy turns them back into bytes.
        return "_binary" + _quote(value.decode("ascii", "surrogateescape"), syntax)
    text: str = escape_item(value, "utf8mb4")
    return text


def fill_in(sql: str, values: Sequence[Any], syntax: Syntax) -> str:
    """Write the values into a statement.

    Parameters:
        sql: with ``%s`` for each value, and other percent signs doubled.
        values: as :func:`~rpcservices.database.backends.mysql.values.to_mysql` gives them.
        syntax: how the connection reads strings.
    """
    return sql % tuple([_literal(value, syntax) for value in values])


def join_rows(sql: str, rows: Sequence[Sequence[Any]], syntax: Syntax) -> Iterator[str]:
    """Yield the statements that run one statement for each row; an INSERT of values takes many rows in one statement.

    Parameters:
        sql, syntax: as of :func:`fill_in`.
        rows: the values, for each row.
    """
    insert = split_insert(sql)
    # Placeholders elsewhere than in the one row of values would be the same for all rows.
    if insert is None or any("%" in part.replace("%%", "") for part in (insert[0], insert[2])):
        yield from (fill_in(sql, row, syntax) for row in rows)
        return
    before, after = insert[0] % (), insert[2] % ()
    parts: list[str] = []
    length = 0
    for row in rows:
        part = fill_in(insert[1], row, syntax)
        if parts and length + len(part) > _JOINED_LENGTH:
            yield f"{before}{','.join(parts)}{after}"
            parts, length = [], 0
        parts.append(part)
        length += len(part) + 1
    yield f"{before}{','.join(parts)}{after}"
