"""``mysql+rpc`` and ``mariadb+rpc``: a remote MySQL or MariaDB database."""

# SQLAlchemy's own dialects do not agree on the names of parameters.
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import URL
from sqlalchemy.dialects.mysql.base import MySQLDialect, MySQLExecutionContext
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.exc import ArgumentError

from .asynchronous import AdaptedModule
from .common import RpcDialect, ServerSideCursors

_CHARSETS = frozenset({"utf8", "utf8mb4"})


_CHOICES = ("refuse", "utc")
_VALUE_TYPES = (
    type(None), int, float, str, bytes, bytearray, memoryview, Decimal, dt.date, dt.time, dt.timedelta, UUID, list,
    tuple, set, frozenset, dict, Enum,
)  # fmt: skip
"""Types that the service accepts, or refuses with an error that says why."""
_ARRAYS = frozenset({"numpy", "pandas"})


def _has_text(kind: type) -> bool:
    """Whether a type defines its own text."""
    return any("__str__" in vars(base) for base in kind.__mro__[:-1])


def _each(parameters: Any, convert: Callable[[Any], Any]) -> Any:
    """Convert each parameter of one statement."""
    if isinstance(parameters, Mapping):
        return {name: convert(value) for name, value in parameters.items()}
    return None if parameters is None else [convert(value) for value in parameters]


class _Context(ServerSideCursors, MySQLExecutionContext):
    """Adds cursors whose rows arrive as they are fetched."""


class MySQLDialect_rpc(RpcDialect, MySQLDialect):  # noqa: N801 - SQLAlchemy's way of naming
    """MySQL or MariaDB, remotely."""

    supports_statement_cache = True
    default_paramstyle = "qmark"
    supports_native_decimal = True
    supports_sane_multi_rowcount = True
    kinds: ClassVar[frozenset[str]] = frozenset({"mysql", "mariadb"})
    execution_ctx_cls = _Context
    _in_utc = False

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[MySQLDialect_rpc]:  # noqa: ARG003
        """The dialect of asynchronous engines."""
        return MySQLDialectAsync_rpc

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """As for every dialect. A ``charset`` that frameworks add for the native drivers is taken where it is ours, and
        ``aware_datetimes=utc`` has times with a zone stored as they are in UTC, without one.

        Raises:
            ArgumentError: either is another, or something else in the URL cannot be used.
        """
        choice = url.query.get("aware_datetimes", "refuse")
        if choice not in _CHOICES:
            raise ArgumentError(f"aware_datetimes: {choice!r}: one of {', '.join(_CHOICES)}")
        self._in_utc = choice == "utc"
        charset = url.query.get("charset")
        if charset is not None and str(charset).lower() not in _CHARSETS:
            raise ArgumentError(f"charset: {charset!r}: text travels as utf8mb4 and nothing else; leave it out")
        return super().create_connect_args(url.difference_update_query(["charset", "aware_datetimes"]))

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Execute with parameters that can be sent."""
        super().do_execute(cursor, statement, _each(parameters, self._to_sendable), context)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Execute with parameters that can be sent."""
        sets = [_each(one, self._to_sendable) for one in parameters]
        super().do_executemany(cursor, statement, sets, context)  # type: ignore[no-untyped-call]

    def _to_sendable(self, value: Any) -> Any:
        """A parameter as it is sent: an object of another library as its text, as these databases' own drivers do."""
        if isinstance(value, dt.datetime):
            aware = self._in_utc and value.tzinfo is not None
            return value.astimezone(dt.UTC).replace(tzinfo=None) if aware else value
        kind = type(value)
        if isinstance(value, _VALUE_TYPES) or kind.__module__.partition(".")[0] in _ARRAYS or not _has_text(kind):
            return value
        return str(value)

    def _extract_error_code(self, exception: Any) -> int | None:
        code = exception.args[0] if exception.args else None
        return code if isinstance(code, int) else None

    def _detect_charset(self, connection: Any) -> str:  # noqa: ARG002
        return "utf8mb4"  # The service uses no other character set.


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
