"""Scripts that tell MariaDB or MySQL that their text is in another character set than the one that it is sent in."""

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
    """Refuse a script whose text the server would read otherwise than it is meant.

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
        told = _TELLS.match(bare(statement, syntax, most=200))
        if told is not None:
            name = told["charset"].lower()
            # What is taken from a variable is what was before, as dumps have it.
            charset = None if name.startswith(("utf8", "@")) else name
        elif charset is not None and not statement.isascii():
            raise DatabaseNotSupportedError(
                f"statement {step} would be read as {charset}, since the script says so, and text is sent as UTF-8: "
                "leave out what sets the character set",
                executed="no", step=step,
            )  # fmt: skip
