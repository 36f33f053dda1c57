"""``mysql+rpc`` and ``mariadb+rpc``: a remote MySQL or MariaDB database."""

# SQLAlchemy's own dialects do not agree on the names of parameters.
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import URL
from sqlalchemy.dialects.mysql.base import MySQLDialect, MySQLExecutionContext
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.exc import ArgumentError

from .asynchronous import AdaptedModule
from .common import RpcDialect, ServerSideCursors

_CHARSETS = frozenset({"utf8", "utf8mb4"})


class _Context(ServerSideCursors, MySQLExecutionContext):
    """With cursors that take rows as they are read."""


class MySQLDialect_rpc(RpcDialect, MySQLDialect):  # noqa: N801 - SQLAlchemy's way of naming
    """MySQL or MariaDB, remotely."""

    supports_statement_cache = True
    default_paramstyle = "qmark"
    supports_native_decimal = True
    supports_sane_multi_rowcount = True
    kinds: ClassVar[frozenset[str]] = frozenset({"mysql", "mariadb"})
    execution_ctx_cls = _Context

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[MySQLDialect_rpc]:  # noqa: ARG003
        """The dialect of asynchronous engines."""
        return MySQLDialectAsync_rpc

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """As for every dialect. A ``charset`` that frameworks add for the native drivers is taken where it is ours.

        Raises:
            ArgumentError: it is another, or something else in the URL cannot be used.
        """
        charset = url.query.get("charset")
        if charset is not None and str(charset).lower() not in _CHARSETS:
            raise ArgumentError(f"charset: {charset!r}: text travels as utf8mb4 and nothing else; leave it out")
        return super().create_connect_args(url.difference_update_query(["charset"]))

    def _extract_error_code(self, exception: Any) -> int | None:
        code = exception.args[0] if exception.args else None
        return code if isinstance(code, int) else None

    def _detect_charset(self, connection: Any) -> str:  # noqa: ARG002
        return "utf8mb4"  # The service speaks nothing else.


class MySQLDialectAsync_rpc(MySQLDialect_rpc):  # noqa: N801
    """The same for asynchronous engines."""

    supports_statement_cache = True
    is_async = True
    has_terminate = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """The module that connects."""
        return AdaptedModule()


class MariaDBDialect_rpc(MariaDBDialect, MySQLDialect_rpc):  # noqa: N801
    """MariaDB, remotely."""

    supports_statement_cache = True

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[MySQLDialect_rpc]:  # noqa: ARG003
        """The dialect of asynchronous engines."""
        return MariaDBDialectAsync_rpc


class MariaDBDialectAsync_rpc(MariaDBDialect, MySQLDialectAsync_rpc):  # noqa: N801
    """The same for asynchronous engines."""

    supports_statement_cache = True


dialect = MySQLDialect_rpc
mariadb_dialect = MariaDBDialect_rpc
