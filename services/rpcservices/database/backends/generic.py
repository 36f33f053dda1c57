"""Any other asynchronous dialect of SQLAlchemy, through the adapter that makes its driver look like PEP 249.

Nothing keeps its statements from writing, so the configuration of a database behind it may not say ``readonly``. To
stop a statement we cancel the driver's work, and some drivers (asyncpg) then ask the server to stop; and we close the
connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

from sqlalchemy import URL, Dialect, PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from rpcservices.database.apart import read_sql
from rpcservices.database.config import DatabaseConfig
from rpcservices.database.errors import DatabaseNotSupportedError
from rpcservices.database.models import Column, Description, Isolation, TxState
from rpcservices.database.placeholders import Style, translate
from rpcwire.errors import RpcError

from .base import Cursor, Link
from .parameters import Params, Values, parameters_of

_T = TypeVar("_T")


class GenericCursor(Cursor):
    """A statement under way."""

    def __init__(self, link: GenericLink, cursor: Any) -> None:
        self._link = link
        self._cursor = cursor
        self.columns = tuple(
            Column(entry[0], db_type=None if entry[1] is None else str(entry[1]), nullable=entry[6])
            for entry in cursor.description or ()
        )
        if not self.columns:
            self.rowcount = cursor.rowcount
            self.last_insert_id = getattr(cursor, "lastrowid", None) or None

    async def fetch(self, limit: int) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self._link.spawn(lambda: self._cursor.fetchmany(limit))]

    async def close(self) -> None:
        await self._link.spawn(self._cursor.close)
        await self._link.commit_alone()


class GenericLink(Link):
    """A connection of some other dialect."""

    dialect: ClassVar[str] = ""
    paramstyle: str = "qmark"
    """The style of the driver's placeholders, by PEP 249's name; the pool sets it."""
    known_by: ClassVar[Dialect]
    """SQLAlchemy's dialect. It knows the errors by which the driver tells that a connection is lost."""

    def __init__(self, connection: PoolProxiedConnection, config: DatabaseConfig, *, readonly: bool) -> None:
        super().__init__(connection, config, readonly=readonly)
        self._is_open = False
        self._is_used = False

    @classmethod
    def engine_options(cls, url: URL, config: DatabaseConfig, *, readonly: bool) -> tuple[URL, dict[str, Any]]:
        if config.readonly:
            raise ValueError(f"readonly: nothing enforces it for {url.drivername}: give the role no right to write")
        if not config.allow_unguarded_reads:
            raise ValueError(
                f"url: nothing keeps a query from writing through {url.drivername}: set allow_unguarded_reads, "
                "and give the role no more rights than every caller of query may have"
            )
        return url, {}

    @classmethod
    def teach(cls, dialect: Dialect) -> None:
        cls.known_by = dialect

    def has_ended(self) -> bool:
        is_closed = getattr(self.connection.driver_connection, "is_closed", None)
        return callable(is_closed) and bool(is_closed())

    def has_lost(self, exc: Exception) -> bool:
        if super().has_lost(exc):
            return True
        original: Any = getattr(exc, "orig", None) or exc
        return not isinstance(exc, RpcError) and self.known_by.is_disconnect(original, self._driver, None)

    async def spawn(self, function: Callable[[], _T]) -> _T:
        """Run a function that uses the adapted connection."""
        return await greenlet_spawn(function)

    @property
    def _driver(self) -> Any:
        return self.connection.dbapi_connection

    async def prepare(self) -> None:
        """Do nothing: we know no settings of this driver."""

    async def _translate(self, sql: str, params: Params) -> tuple[str, Any]:
        if params is None:
            return sql, None
        style = self.paramstyle
        if style not in {"numeric_dollar", "format", "pyformat", "qmark"}:
            raise DatabaseNotSupportedError(f"params: the driver's placeholders are of the style {style!r}")
        driver_style = cast("Style", "format" if style == "pyformat" else style)
        statement = await read_sql(translate, sql, self.dialect, driver_style, isinstance(params, Mapping))
        return statement.sql, tuple(statement.arguments(params))

    async def execute(self, sql: str, params: Params, first: int) -> Cursor:
        self._is_used = True
        text, values = await self._translate(sql, params)

        def start() -> Any:
            cursor = self._driver.cursor()
            cursor.execute(text, values) if values is not None else cursor.execute(text)
            return cursor

        return GenericCursor(self, await self.spawn(start))

    async def commit_alone(self) -> None:
        """Commit a statement outside a transaction; the driver has begun a transaction for it."""
        if not self._is_open:
            await self.spawn(self._driver.commit)

    async def execute_many(self, sql: str, sets: Sequence[Values], first_row: int = 0) -> int:
        counts = []
        for one in sets:
            cursor = await self.execute(sql, one, 1)
            counts.append(cursor.rowcount)
            await cursor.close()
        return -1 if -1 in counts else sum(counts)

    async def describe(self, sql: str) -> Description:
        _, parameters = await read_sql(parameters_of, sql, self.dialect, "qmark")
        return Description(parameters, [], readonly=None)

    async def begin(self, isolation: Isolation | None, *, readonly: bool) -> None:
        if isolation is not None or readonly:
            raise DatabaseNotSupportedError("isolation, readonly: not offered by this dialect")
        self._is_open = self._is_used = True

    async def commit(self) -> None:
        self._is_open = False
        await self.spawn(self._driver.commit)

    async def rollback(self) -> None:
        self._is_open = False
        await self.spawn(self._driver.rollback)

    def tx_state(self) -> TxState:
        return TxState.ACTIVE if self._is_open else TxState.NONE

    async def interrupt(self) -> None:
        if not self.is_broken and self._work is not None:
            self.is_broken = True
            self._work.cancel()
            return
        self.is_broken = True  # The driver did not heed it.
        driver: Any = self.connection.driver_connection
        for name in ("terminate", "close"):
            if hasattr(driver, name):
                closing = getattr(driver, name)()
                if hasattr(closing, "__await__"):
                    await closing
                return

    def lend_raw(self) -> PoolProxiedConnection:
        self._is_used = True  # The driver begins a transaction by itself.
        return self.connection

    def must_reset(self) -> bool:
        return self._is_used

    async def reset(self) -> None:
        self._is_open = self._is_used = False
        await self.spawn(self._driver.rollback)
