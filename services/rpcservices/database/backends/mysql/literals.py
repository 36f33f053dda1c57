r"""Values as literals of MariaDB and MySQL, for statements that travel as text.

What a backslash means in a string is a setting of the connection (sql_mode NO_BACKSLASH_ESCAPES,
https://mariadb.com/kb/en/sql_mode/). Everything else is written so that no setting changes it: quotation marks are
doubled, and all other bytes stand for themselves, as long as the connection's character set is utf8mb4, in which no
byte of a longer character is one of ASCII's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from asyncmy.converters import escape_item
from asyncmy.cursors import RE_INSERT_VALUES

from rpcwire.sql import Syntax

_JOINED_LENGTH = 1_024_000
"""About how long a statement of many rows becomes; servers take messages of 16 MiB unless configured otherwise."""


def has_backslash(values: Sequence[Any]) -> bool:
    """Whether one of some values is written differently under another sql_mode."""
    return any((isinstance(v, str) and "\\" in v) or (isinstance(v, bytes) and b"\\" in v) for v in values)


def _quoted(text: str, syntax: Syntax) -> str:
    if syntax != "mysql plain":
        text = text.replace("\\", "\\\\")
    return "'" + text.replace("'", "''") + "'"


def _literal(value: Any, syntax: Syntax) -> str:
    if isinstance(value, str):
        return _quoted(value, syntax)
    if isinstance(value, bytes):  # Its bytes above 127 are surrogates, which asyncmy turns back.
        return "_binary" + _quoted(value.decode("ascii", "surrogateescape"), syntax)
    text: str = escape_item(value, "utf8mb4")
    return text


def filled(sql: str, values: Sequence[Any], syntax: Syntax) -> str:
    """A statement with its values in it.

    Parameters:
        sql: with ``%s`` for each value, and other percent signs doubled.
        values: as :func:`~rpcservices.database.backends.mysql.values.to_mysql` gives them.
        syntax: how the connection reads strings.
    """
    return sql % tuple([_literal(value, syntax) for value in values])


def joined(sql: str, rows: Sequence[Sequence[Any]], syntax: Syntax) -> Iterator[str]:
    """The statements that run one statement for each of several rows: an INSERT of values takes many rows at once.

    Parameters:
        sql, syntax: as of :func:`filled`.
        rows: the values, for each row.
    """
    found = RE_INSERT_VALUES.match(sql)
    # Placeholders elsewhere than in the one row of values would be the same for all rows.
    if found is None or "%" in (found[3] or "").replace("%%", "") or "%" in found[1].replace("%%", ""):
        yield from (filled(sql, row, syntax) for row in rows)
        return
    before, after = found[1] % (), (found[3] or "") % ()
    parts: list[str] = []
    length = 0
    for row in rows:
        part = filled(found[2], row, syntax)
        if parts and length + len(part) > _JOINED_LENGTH:
            yield f"{before}{','.join(parts)}{after}"
            parts, length = [], 0
        parts.append(part)
        length += len(part) + 1
    yield f"{before}{','.join(parts)}{after}"
