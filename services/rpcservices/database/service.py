"""The database service."""

from __future__ import annotations

from .copy_methods import CopyMethods
from .schema_methods import SchemaMethods
from .statement_methods import StatementMethods
from .transaction_methods import TransactionMethods


class Database(StatementMethods, TransactionMethods, CopyMethods, SchemaMethods):
    """Queries and changes databases: SQLite, PostgreSQL, MariaDB and MySQL, and others that SQLAlchemy knows.

    Clients name a database, never a URL. Parameters in SQL are ``:name`` with a dictionary, or ``?`` with a list.
    Each statement outside a transaction commits itself. ``query`` and ``stream`` read only, and the database itself
    sees to that; ``execute`` may change.
    """
