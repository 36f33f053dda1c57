"""Remote databases by PEP 249: ``connection = rpcclient.dbapi.connect("ws://host:8765", database="main")``."""

from __future__ import annotations

from typing import Unpack

from rpcclient.stubs.database import Isolation
from rpcclient.sync.client import Client
from rpcclient.targets import Access

from .base import isolation_of
from .connection import Connection, Copy, Cursor, SyncPort
from .errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004 - PEP 249 names it so
    translate_errors,
)
from .port import run
from .session import Session
from .types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    TIMEOUT_S,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)

apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"


def connect(
    url: str | None = None,
    *,
    database: str = "main",
    client: Client | None = None,
    autocommit: bool = False,
    isolation: Isolation | str | None = None,
    readonly: bool = False,
    timeout_s: float = TIMEOUT_S,
    **access: Unpack[Access],
) -> Connection:
    """Connect to a remote database.

    Parameters:
        url: as of :class:`rpcclient.Client`.
        database: the name of the database, as the server's configuration has it.
        client: a client to use instead of one of its own; it is not closed with the connection.
        autocommit: let each statement commit itself.
        isolation: the level of its transactions, such as ``"serializable"``.
        readonly: have the database refuse every change.
        timeout_s: how long to wait for any one answer, in seconds; the server's own limits where not given.
        access: how to reach the server, as of :class:`rpcclient.Client`: ``token``, ``token_file``, ``token_by``,
            ``ca_file``, ``cert_file``, ``key_file``, ``key_password``, ``ssl_context``, ``server_hostname``,
            ``headers``, ``proxy``, ``allow_token_in_clear``, ``ping_interval_s`` and ``ping_timeout_s``.

    Raises:
        OperationalError: the server cannot be reached, or refuses; or it has no such database.
    """
    level = isolation_of(isolation)
    is_own = client is None
    with translate_errors():
        if client is None:
            client = Client(url, **access).connect()
    port = SyncPort(client.options(timeout_s=timeout_s), is_own=is_own)
    session = Session(port, database, autocommit=autocommit, isolation=level, readonly=readonly)
    try:
        return Connection(session, port)
    except BaseException:
        run(port.close())
        raise


__all__ = [
    "BINARY", "DATETIME", "NUMBER", "ROWID", "STRING", "Binary", "Connection", "Copy", "Cursor", "DataError",
    "DatabaseError", "Date", "DateFromTicks", "Error", "IntegrityError", "InterfaceError", "InternalError",
    "NotSupportedError", "OperationalError", "ProgrammingError", "Time", "TimeFromTicks", "Timestamp",
    "TimestampFromTicks", "Warning", "apilevel", "connect", "paramstyle", "threadsafety",
]  # fmt: skip
