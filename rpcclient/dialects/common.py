"""What the dialects share: how they connect, isolation levels, and how they notice that a connection is lost."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import URL, Engine
from sqlalchemy.exc import ArgumentError
from sqlalchemy.util import parse_version_from_metadata

from rpcclient import dbapi
from rpcclient.stubs.database import Isolation

from .urls import connect_arguments, without_token

LEVELS = tuple(level.value.upper() for level in Isolation)


class RpcDialect:
    """Mixed into a dialect of SQLAlchemy, before it.

    Attributes:
        kinds: the databases that it speaks to, as the server calls them.
    """

    driver = "rpc"
    supports_statement_cache = True
    supports_server_side_cursors = True
    returns_native_bytes = True
    kinds: ClassVar[frozenset[str]]

    name: str
    is_async: bool

    @classmethod
    def import_dbapi(cls) -> Any:
        """The module that connects."""
        return dbapi

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """Keep the token out of what the engine prints of itself."""
        engine.url = without_token(engine.url)

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """See :func:`~rpcclient.dialects.urls.connect_arguments`."""
        return [], connect_arguments(url)

    def connect(self, *args: Any, **keywords: Any) -> Any:
        """Connect.

        Raises:
            ArgumentError: the database is of another kind.
        """
        connection = super().connect(*args, **keywords)  # type: ignore[misc]
        if connection.dialect not in self.kinds:
            dialect, database = connection.dialect, connection.database
            connection.close()
            raise ArgumentError(f"the database {database!r} is {dialect}, not {self.name}: write {dialect}+rpc://")
        return connection

    def retrieve_dbapi_version(self, dbapi: Any) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        """The version of this package."""
        return parse_version_from_metadata("remote-services")

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:  # noqa: ARG002 - SQLAlchemy's signature
        """Whether an error has made the connection useless."""
        return bool(getattr(e, "disconnected", False)) or bool(connection is not None and connection.closed)

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:  # noqa: ARG002
        """Send a statement without parameters unchanged, so that nothing in it is read as a placeholder."""
        cursor.execute(statement, parameters or None)

    def do_terminate(self, dbapi_connection: Any) -> None:
        """End a connection at once."""
        (dbapi_connection.terminate if self.is_async else dbapi_connection.close)()

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Whether the connection works."""
        before, dbapi_connection.autocommit = dbapi_connection.autocommit, True
        try:
            cursor = dbapi_connection.cursor()
            cursor.execute("SELECT 1")
            cursor.close()
        finally:
            dbapi_connection.autocommit = before
        return True

    def get_driver_connection(self, connection: Any) -> Any:
        """The connection of :mod:`rpcclient.dbapi`, or of its asynchronous twin."""
        return connection.driver_connection if self.is_async else connection

    # --- transactions -------------------------------------------------------------------------------------------

    def get_isolation_level_values(self, dbapi_conn: Any) -> Any:  # noqa: ARG002
        """The isolation levels that can be set."""
        return (*LEVELS, "AUTOCOMMIT")

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        """The isolation level of later transactions."""
        level = dbapi_connection.isolation
        if level is not None:
            return str(level.value).upper()
        idle, before = not dbapi_connection.in_transaction, dbapi_connection.autocommit
        dbapi_connection.autocommit = before or idle
        try:
            return str(super().get_isolation_level(dbapi_connection))  # type: ignore[misc]
        finally:
            dbapi_connection.autocommit = before

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Set the isolation level of later transactions."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"
        dbapi_connection.isolation = None if level == "AUTOCOMMIT" else Isolation(level.lower())

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """Whether each statement commits itself."""
        return bool(dbapi_conn.autocommit)


class ServerSideCursors:
    """Mixed into an execution context: with ``stream_results``, rows arrive as they are fetched."""

    def create_server_side_cursor(self) -> Any:
        """A cursor whose rows arrive as they are fetched."""
        return self._dbapi_connection.cursor(server_side=True)  # type: ignore[attr-defined]
