"""Scripts: several statements in one text."""

from __future__ import annotations

import re

from rpcwire.sql import Syntax, bare, commits_before, kind_of, split

from .core import Lent
from .errors import DatabaseProgrammingError

_ENDING = r"COMMIT|END|ABORT|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b)|PREPARE\s+TRANSACTION"
_ENDS = {"postgresql": rf"(?:{_ENDING})\b", "sqlite": rf"(?:{_ENDING})\b"}
_STEP_ENDS = {**_ENDS, "mysql": rf"(?:BEGIN(?!\s+NOT\b)|START\s+TRANSACTION|XA\s+|{_ENDING})\b"}
"""A script of MariaDB or MySQL may define tables, though that commits what was before; a step of a batch may not."""
_MOST = 200
"""Characters of a statement, without comments, in which it says what it does."""
_REMEDY = "leave it out, or give atomic=False"


def _says(statement: str, words: str, syntax: Syntax) -> bool:
    """Whether a statement begins with some words."""
    return re.match(rf"\s*{words}", bare(statement, syntax, most=_MOST), re.IGNORECASE) is not None


def ends_transaction(statement: str, syntax: Syntax) -> bool:
    """Whether one statement says that it ends the transaction it runs in."""
    words = _STEP_ENDS.get(kind_of(syntax))
    return words is not None and (_says(statement, words, syntax) or commits_before(statement, syntax))


def check_whole(sql: str, syntax: Syntax) -> None:
    """Refuse a script that is to be one transaction and says that it ends it; in MariaDB and MySQL many statements do.

    Raises:
        DatabaseProgrammingError: it names the step; nothing has run.
    """
    words = _ENDS.get(kind_of(syntax))
    if words is None:
        return
    for step, statement in enumerate(split(sql, syntax)):
        if _says(statement, words, syntax):
            raise DatabaseProgrammingError(
                f"statement {step} would end the transaction that the script is: {_REMEDY}", executed="no", step=step
            )


async def run_script(lent: Lent, sql: str, *, atomic: bool) -> list[int]:
    """Run a script.

    Parameters:
        lent: where to run it, in a transaction already where it is to be one.
        sql: its statements.
        atomic: whether it must not end the transaction.

    Returns:
        For each statement, how many rows it changed or found; -1 where the database does not say.

    Raises:
        DatabaseError: a statement failed, or ended the transaction; ``step`` names it where it is known.
    """
    link = lent.link
    watched = atomic and not link.defining_commits
    if atomic:
        check_whole(sql, link.syntax)
    if watched:
        await link.mark()
    counts = await link.run_script(sql)
    if watched and not await link.is_marked():
        raise DatabaseProgrammingError(f"a statement has ended the transaction that the script was: {_REMEDY}")
    return counts
