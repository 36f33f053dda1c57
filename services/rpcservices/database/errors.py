"""The errors of the database service: the classes of PEP 249, and three of its own.

::

    DatabaseError
    ├── DatabaseDataError              a value that does not fit
    ├── DatabaseOperationalError       the database's working: locked, gone, out of memory, cancelled, timed out
    ├── DatabaseIntegrityError         a constraint
    ├── DatabaseInternalError          the database is out of order
    ├── DatabaseProgrammingError       the statement: syntax, unknown table, a change where only reading is allowed
    │   └── DatabaseRefused            the caller's role does not allow it
    └── DatabaseNotSupportedError      this database cannot do that
    UnknownDatabase                    no database has this name
    TransactionLost                    the transaction is no more: it ended, timed out, or never was
"""

from __future__ import annotations

from typing import Literal

from rpcwire.errors import ServiceError

TxStateName = Literal["none", "active", "failed", "ended"]


class DatabaseError(ServiceError):
    """The database refused a statement."""

    sqlstate: str | None = None
    """The five characters of the SQL standard, where the database gives them."""
    driver_code: str | None = None
    """The database's own code, such as ``SQLITE_CONSTRAINT_UNIQUE`` or ``1062``."""
    step: int | None = None
    """Which statement of several it was, from 0."""
    tx_state: TxStateName = "none"
    """The transaction after the error: ``none``, ``active``, ``failed`` (roll it back), ``ended``."""
    connection_lost: bool = False
    """Whether the connection to the database is gone, and the transaction or session with it that it belonged to."""


class DatabaseDataError(DatabaseError):
    """A value does not fit: out of range, of the wrong form, too long."""


class DatabaseOperationalError(DatabaseError):
    """The database could not do it: locked, gone, out of space, cancelled, or timed out."""


class DatabaseIntegrityError(DatabaseError):
    """A constraint does not allow it."""


class DatabaseInternalError(DatabaseError):
    """The database met an error of its own."""


class DatabaseProgrammingError(DatabaseError):
    """The statement is wrong: its syntax, a name in it, or that it changes something where only reading is allowed."""


class DatabaseRefused(DatabaseProgrammingError):
    """The caller's role in the server's configuration does not allow it."""

    code = -32002
    executed = "no"
    database: str
    right: str
    """What the role lacks: ``query``, ``execute``, ``script``, ``transaction`` or ``schema``."""
    rule: str
    """The place of the rule in the server's configuration."""


class DatabaseNotSupportedError(DatabaseError):
    """This database, or this way of calling it, does not offer that."""


class UnknownDatabase(ServiceError):
    """No database has this name."""

    database: str


class TransactionLost(ServiceError):
    """The transaction is no more: it was rolled back, or never was."""

    transaction: str
    reason: str
