"""Adapts :mod:`rpcclient.dbapi.aio` to SQLAlchemy's asynchronous engines, whose greenlets hand each wait over to the
event loop."""

# SQLAlchemy's own dialects do not agree on the names of parameters.
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

from collections import deque
from typing import Any

from sqlalchemy.connectors.asyncio import (
    AsyncAdapt_dbapi_connection,
    AsyncAdapt_dbapi_cursor,
    AsyncAdapt_dbapi_module,
    AsyncAdapt_dbapi_ss_cursor,
    AsyncAdapt_terminate,
)
from sqlalchemy.util.concurrency import await_

from rpcclient.dbapi import aio
from rpcclient.dbapi.base import ConnectionBase
from rpcclient.dbapi.copying import PIECE_BYTES


class AdaptedCursor(AsyncAdapt_dbapi_cursor):
    """A cursor that reads all rows at once."""

    __slots__ = ()

    def copy_expert(self, sql: str, file: Any, size: int = PIECE_BYTES) -> None:
        """See :meth:`rpcclient.dbapi.Cursor.copy_expert`."""
        cursor: Any = self._cursor
        await_(cursor.copy_expert(sql, file, size))

    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        result = await super()._execute_async(operation, parameters)
        if self._cursor.description == []:  # SQLAlchemy does not recognize rows without columns.
            self._rows = deque(await self._cursor.fetchall())
        return result


class AdaptedServerSideCursor(AsyncAdapt_dbapi_ss_cursor):
    """A cursor whose rows arrive as they are fetched."""

    __slots__ = ()

    def _make_new_cursor(self, connection: Any) -> Any:
        return connection.cursor(server_side=True)


def _driver_property(name: str) -> Any:
    def get(self: AdaptedConnection) -> Any:
        return getattr(self._connection, name)

    def put(self: AdaptedConnection, value: Any) -> None:
        setattr(self._connection, name, value)

    return property(get, put, doc=f"The driver's ``{name}``.")


class AdaptedConnection(AsyncAdapt_terminate, AsyncAdapt_dbapi_connection):
    """A connection that looks synchronous."""

    __slots__ = ()

    _cursor_cls = AdaptedCursor
    _ss_cursor_cls = AdaptedServerSideCursor

    autocommit = _driver_property("autocommit")
    isolation = _driver_property("isolation")
    readonly = _driver_property("readonly")
    deferrable = _driver_property("deferrable")
    closed = _driver_property("closed")
    dialect = _driver_property("dialect")
    database = _driver_property("database")
    in_transaction = _driver_property("in_transaction")

    create_function = ConnectionBase.create_function
    create_aggregate = ConnectionBase.create_aggregate
    create_window_function = ConnectionBase.create_window_function
    create_collation = ConnectionBase.create_collation

    async def _terminate_graceful_close(self) -> None:
        await self._connection.close()

    def _terminate_handled_exceptions(self) -> tuple[type[BaseException], ...]:
        # The connection may belong to another event loop, which is not closed.
        return (*super()._terminate_handled_exceptions(), aio.InterfaceError)

    def _terminate_force_close(self) -> None:
        self._connection.terminate()


class AdaptedModule(AsyncAdapt_dbapi_module):
    """:mod:`rpcclient.dbapi.aio` as a module that connects without being awaited."""

    def __init__(self) -> None:
        super().__init__(aio)
        for name in aio.__all__:
            if name != "connect":
                setattr(self, name, getattr(aio, name))

    def connect(self, *args: Any, **keywords: Any) -> AdaptedConnection:
        """Connect."""
        create = keywords.pop("async_creator_fn", aio.connect)
        connection: AdaptedConnection = await_(AdaptedConnection.create(self, create(*args, **keywords)))
        return connection
