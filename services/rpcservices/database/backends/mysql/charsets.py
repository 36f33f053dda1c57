"""Refuses scripts that tell MariaDB or MySQL that their text has another character set than the one we send it in."""

from __future__ import annotations

import re

from rpcservices.database.errors import DatabaseNotSupportedError
from rpcwire.sql import Syntax, bare, split

_TELLS = re.compile(
    r"\s*SET\s+(?:@@)?(?:(?:SESSION|LOCAL)(?:\s+|\.))?"
    r"(?:NAMES|CHARACTER\s+SET|CHARSET|character_set_client\s*:?=)\s*['\"]?(?P<charset>[@\w]+)",
    re.IGNORECASE | re.DOTALL,
)


def refuse_other_charsets(sql: str, syntax: Syntax) -> None:
    """Refuse a script whose text the server would read in another character set than the script was written in.

    Parameters:
        sql: the script.
        syntax: how the connection reads strings.

    Raises:
        DatabaseNotSupportedError: it names the statement; nothing has run.
    """
    if sql.isascii():
        return
    charset = None
    for step, statement in enumerate(split(sql, syntax)):
        match = _TELLS.match(bare(statement, syntax, most=200))
        if match is not None:
            name = match["charset"].lower()
            # A variable holds the character set from before, as in dumps.
            charset = None if name.startswith(("utf8", "@")) else name
        elif charset is not None and not statement.isascii():
            raise DatabaseNotSupportedError(
                f"statement {step} would be read as {charset}, since the script says so, and text is sent as UTF-8: "
                "leave out what sets the character set",
                executed="no", step=step,
            )  # fmt: skip
