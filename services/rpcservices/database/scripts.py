"""Scripts: several statements in one text."""

from __future__ import annotations

import re

from .core import Lent
from .errors import DatabaseProgrammingError
from .placeholders import statements

_ENDING = r"COMMIT|ABORT|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b)|PREPARE\s+TRANSACTION"
_ENDS = {
    "postgresql": rf"(?:{_ENDING})\b",  # END may be the last word of a function's body.
    "sqlite": rf"(?:{_ENDING}|END)\b",
}
_DEFINING = (
    r"CREATE(?!\s+(?:OR\s+REPLACE\s+)?TEMPORARY)|DROP(?!\s+(?:TEMPORARY|PREPARE))|ALTER|TRUNCATE|RENAME|GRANT|REVOKE|"
    r"LOCK\s+TABLES?|(?:ANALYZE|CHECK|OPTIMIZE|REPAIR)\s+(?:LOCAL\s+|NO_WRITE_TO_BINLOG\s+)?TABLE"
)
_STEP_ENDS = {
    **_ENDS,
    "mysql": rf"(?:BEGIN(?!\s+NOT\b)|START\s+TRANSACTION|XA\s+|{_ENDING}|{_DEFINING})\b",
}
"""A script of MariaDB or MySQL may define tables, though that commits what was before; a step of a batch may not."""
_BEFORE = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*+"
_REMEDY = "leave it out, or give atomic=False"


def ends_transaction(statement: str, dialect: str) -> bool:
    """Whether one statement says that it ends the transaction it runs in."""
    words = _STEP_ENDS.get(dialect)
    return words is not None and re.match(_BEFORE + words, statement, re.IGNORECASE | re.DOTALL) is not None


def check_whole(sql: str, dialect: str) -> None:
    """Refuse a script that is to be one transaction and says that it ends it; in MariaDB and MySQL many statements do.

    Raises:
        DatabaseProgrammingError: it names the step; nothing has run.
    """
    words = _ENDS.get(dialect)
    if words is None:
        return
    ending = re.compile(_BEFORE + words, re.IGNORECASE | re.DOTALL)
    for step, statement in enumerate(statements(sql, dialect)):
        if ending.match(statement):
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
        check_whole(sql, link.dialect)
    if watched:
        await link.mark()
    counts = await link.run_script(sql)
    if watched and not await link.is_marked():
        raise DatabaseProgrammingError(f"a statement has ended the transaction that the script was: {_REMEDY}")
    return counts
