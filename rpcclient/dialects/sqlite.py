"""``sqlite+rpc``: a remote SQLite database."""

# SQLAlchemy's own dialects do not agree on the names of parameters.
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

from sqlalchemy import URL
from sqlalchemy.dialects.sqlite.base import SQLiteDialect, SQLiteExecutionContext

from rpcclient import dbapi

from .asynchronous import AdaptedModule
from .common import RpcDialect, ServerSideCursors

_FIRST_VERSION = (3, 35, 0)
"""The version of SQLite to assume at first: SQLAlchemy asks the driver for it before it connects."""


class _Context(ServerSideCursors, SQLiteExecutionContext):
    """Adds cursors whose rows arrive as they are fetched."""


class SQLiteDialect_rpc(RpcDialect, SQLiteDialect):  # noqa: N801 - SQLAlchemy's way of naming
    """SQLite, remotely. Its transactions are serializable, and begin with the first statement that changes rows, as
    with Python's own driver."""

    supports_statement_cache = True
    default_paramstyle = "qmark"
    kinds: ClassVar[frozenset[str]] = frozenset({"sqlite"})
    execution_ctx_cls = _Context

    @classmethod
    def import_dbapi(cls) -> Any:
        """The module that connects, with what SQLAlchemy asks it about SQLite."""
        return SimpleNamespace(**{**vars(dbapi), "sqlite_version_info": _FIRST_VERSION})

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[SQLiteDialectAsync_rpc]:  # noqa: ARG003
        """The dialect of asynchronous engines."""
        return SQLiteDialectAsync_rpc

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        version = connection.exec_driver_sql("SELECT sqlite_version()").scalar()
        return tuple(int(part) for part in version.split("."))

    def initialize(self, connection: Any) -> None:
        """Learn what the server's SQLite cannot do."""
        super().initialize(connection)
        if self.server_version_info is not None and self.server_version_info < _FIRST_VERSION:
            self.insert_returning = self.update_returning = self.delete_returning = False

    def get_isolation_level_values(self, dbapi_conn: Any) -> Any:  # noqa: ARG002
        """The levels of SQLAlchemy's own dialect."""
        return ("SERIALIZABLE", "READ UNCOMMITTED", "AUTOCOMMIT")

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        """Set a level, which in SQLite is a setting of the connection."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"
        if level != "AUTOCOMMIT":
            SQLiteDialect.set_isolation_level(self, dbapi_connection, level)


class SQLiteDialectAsync_rpc(SQLiteDialect_rpc):  # noqa: N801
    """The same for asynchronous engines."""

    supports_statement_cache = True
    is_async = True
    has_terminate = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """The module that connects."""
        module = AdaptedModule()
        module.sqlite_version_info = _FIRST_VERSION  # type: ignore[attr-defined]
        return module


dialect = SQLiteDialect_rpc
dialect_async = SQLiteDialectAsync_rpc
