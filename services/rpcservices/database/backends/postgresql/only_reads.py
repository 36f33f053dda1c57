"""Keeps a transaction of PostgreSQL reading. Before version 16 the server lets such a transaction make, change and
remove large objects. Whatever a transaction changes gives it a number; so one that has a number can only be rolled
back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from rpcservices.database.errors import DatabaseProgrammingError

_SET = "SELECT pg_catalog.set_config('transaction_read_only', 'on', true)"
_MARK = "a transaction that only reads has changed something"
_FIRST_VERSION_THAT_PREVENTS_IT = 160_000


def command_for(server_version: int) -> bytes:
    """Return the command that runs before each statement of a transaction that only reads, and before its end.

    Parameters:
        server_version: the version of PostgreSQL, such as 150008.
    """
    if server_version >= _FIRST_VERSION_THAT_PREVENTS_IT:
        return _SET.encode()
    number = "pg_catalog.txid_current_if_assigned()"
    # To read a text as a number is the one way to fail on a condition that needs no function of one's own.
    failure = f"pg_catalog.concat('{_MARK}: ', {number})::pg_catalog.int4"
    return f"{_SET}, CASE WHEN {number} IS NOT NULL THEN {failure} END".encode()


@contextmanager
def tell_changes() -> Iterator[None]:
    """Say what the failure of that command means.

    Raises:
        DatabaseProgrammingError: the transaction has changed something.
    """
    try:
        yield
    except psycopg.errors.InvalidTextRepresentation as exc:
        if _MARK not in str(exc):
            raise
        raise DatabaseProgrammingError(
            "this transaction only reads, but a statement before this one has changed a large object, or has asked for "
            "the transaction's number: roll it back; nothing of it is kept",
            sqlstate="25006",
        ) from None
