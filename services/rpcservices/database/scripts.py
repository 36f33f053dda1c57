"""Scripts: several statements in one text."""

from __future__ import annotations

import re

from rpcwire.sql import Syntax, bare, commits_before, kind_of, split

from .apart import read_sql
from .core import LentLink
from .errors import DatabaseProgrammingError

_ENDING = r"COMMIT|END|ABORT|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b)|PREPARE\s+TRANSACTION"
_ENDS = {"postgresql": rf"(?:{_ENDING})\b", "sqlite": rf"(?:{_ENDING})\b"}
_STEP_ENDS = {**_ENDS, "mysql": rf"(?:BEGIN(?!\s+NOT\b)|START\s+TRANSACTION|XA\s+|{_ENDING})\b"}
"""In MariaDB and MySQL to define a table commits what was before. A script may do that, a step of a batch may not."""
_MOST = 200
"""The number of characters at the start of a statement, without comments, that tell what it does."""
_REMEDY = "leave it out, or give atomic=False"


def _says(statement: str, words: str, syntax: Syntax) -> bool:
    """Whether a statement begins with some words."""
    return re.match(rf"\s*{words}", bare(statement, syntax, most=_MOST), re.IGNORECASE) is not None


def ends_transaction(statement: str, syntax: Syntax) -> bool:
    """Whether one statement ends the transaction it runs in, by its words."""
    words = _STEP_ENDS.get(kind_of(syntax))
    return words is not None and (_says(statement, words, syntax) or commits_before(statement, syntax))


def check_whole(sql: str, syntax: Syntax) -> None:
    """Refuse an atomic script that would end its transaction; in MariaDB and MySQL many statements do.

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


async def run_script(loan: LentLink, sql: str, *, atomic: bool) -> list[int]:
    """Run a script.

    Parameters:
        loan: the link that it runs on; the transaction is already open where the script is to be one.
        sql: its statements.
        atomic: whether it must not end the transaction.

    Returns:
        For each statement, how many rows it changed or found; -1 where the database does not say.

    Raises:
        DatabaseError: a statement failed, or ended the transaction; ``step`` names it where it is known.
    """
    link = loan.link
    is_watched = atomic and not link.defining_commits
    if atomic:
        await read_sql(check_whole, sql, link.syntax)
    if is_watched:
        await link.mark()
    counts = await link.run_script(sql)
    if is_watched and not await link.is_marked():
        raise DatabaseProgrammingError(f"a statement has ended the transaction that the script was: {_REMEDY}")
    return counts
