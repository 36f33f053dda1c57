"""``postgresql+rpc``: a remote PostgreSQL database, with its own ``$1`` placeholders."""

# SQLAlchemy's own dialects do not agree on the names of parameters.
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.base import PGDialect, PGExecutionContext

from .asynchronous import AdaptedModule
from .common import RpcDialect, ServerSideCursors
from .postgresql_types import COLSPECS


class _Context(ServerSideCursors, PGExecutionContext):
    """Adds cursors whose rows arrive as they are fetched."""


@contextmanager
def _alone(connection: Any) -> Iterator[None]:
    """Let statements commit themselves: those about prepared transactions run in none."""
    driver = connection.connection.dbapi_connection
    driver.rollback()
    before, driver.autocommit = driver.autocommit, True
    try:
        yield
    finally:
        driver.autocommit = before


class PGDialect_rpc(RpcDialect, PGDialect):  # noqa: N801 - SQLAlchemy's way of naming
    """PostgreSQL, remotely."""

    supports_statement_cache = True
    default_paramstyle = "numeric_dollar"
    supports_sane_multi_rowcount = True
    kinds: ClassVar[frozenset[str]] = frozenset({"postgresql"})
    execution_ctx_cls = _Context
    colspecs = {**PGDialect.colspecs, **COLSPECS}  # noqa: RUF012 - as SQLAlchemy declares it

    def __init__(self, **options: Any) -> None:
        # The module's style is that of all databases; here a question mark is an operator.
        super().__init__(**{"paramstyle": self.default_paramstyle, **options})  # type: ignore[no-untyped-call]
        self.native_inet_types: bool | None = options.get("native_inet_types")

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[PGDialectAsync_rpc]:  # noqa: ARG003
        """The dialect of asynchronous engines."""
        return PGDialectAsync_rpc

    def set_readonly(self, connection: Any, value: bool) -> None:
        """Have the database refuse changes in the transactions to come."""
        connection.readonly = value

    def get_readonly(self, connection: Any) -> bool:
        """Whether the database refuses changes."""
        return bool(connection.readonly)

    def set_deferrable(self, connection: Any, value: bool) -> None:
        """Let serializable transactions that only read wait until they cannot fail."""
        connection.deferrable = value

    def get_deferrable(self, connection: Any) -> bool:
        """Whether they wait."""
        return bool(connection.deferrable)

    def do_begin_twophase(self, connection: Any, xid: str) -> None:
        """The transaction begins with its first statement."""

    def do_rollback_twophase(self, connection: Any, xid: str, is_prepared: bool = True, recover: bool = False) -> None:
        """Roll back, by the name that it was prepared with if it was."""
        if not is_prepared:
            self.do_rollback(connection.connection)  # type: ignore[no-untyped-call]
            return
        with _alone(connection):
            super().do_rollback_twophase(connection, xid, is_prepared, recover)  # type: ignore[no-untyped-call]

    def do_commit_twophase(self, connection: Any, xid: str, is_prepared: bool = True, recover: bool = False) -> None:
        """Commit, by the name that it was prepared with if it was."""
        if not is_prepared:
            self.do_commit(connection.connection)  # type: ignore[no-untyped-call]
            return
        with _alone(connection):
            super().do_commit_twophase(connection, xid, is_prepared, recover)  # type: ignore[no-untyped-call]


class PGDialectAsync_rpc(PGDialect_rpc):  # noqa: N801
    """The same for asynchronous engines."""

    supports_statement_cache = True
    is_async = True
    has_terminate = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """The module that connects."""
        return AdaptedModule()


dialect = PGDialect_rpc
dialect_async = PGDialectAsync_rpc
