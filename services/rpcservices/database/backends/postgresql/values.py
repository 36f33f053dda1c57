"""Cells of PostgreSQL that Python's types cannot hold come as PostgreSQL's text, never changed: infinite dates, years
before 1 or after 9999, ``24:00``, and intervals with months, whose length nobody knows."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncRawCursor, postgres
from psycopg._queries import PostgresQuery
from psycopg.abc import AdaptContext, Buffer, Params, Query
from psycopg.abc import Transformer as AnyTransformer
from psycopg.adapt import AdaptersMap, Loader, Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.types.numeric import IntLoader
from psycopg.types.string import TextLoader

from rpcservices.database.errors import DatabaseDataError
from rpcservices.database.failures import translate_error

from .connection import StoppingConnection
from .params import Arguments

AS_TEXT = (
    "record", "json", "jsonb", "inet", "cidr", "int4range", "int8range", "numrange", "daterange", "tsrange",
    "tstzrange",
    "int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange", "tstzmultirange",
)  # fmt: skip
"""Types whose text holds more than any Python type that a message can carry: JSON's null is not SQL's NULL."""

_NUMBERS = ("xid", "cid")
"""Numbers that psycopg leaves as text."""

_EXACT_INTERVAL = re.compile(rb"(?:[+-]?\d+ days?)?(?: ?[+-]?\d+:\d\d:\d\d(?:\.\d+)?)?")
"""Days and time, as PostgreSQL writes them unless told otherwise."""

_NO_TEXT = "22021"
MOST_ARRAY_NODES = 12 * 1024
"""How many items, and arrays in arrays, the arrays of one row may have: to read and encode so many takes 25 ms, in
which the event loop does nothing else. A caller's message has room for more."""
TURN_ARRAY_NODES = 4 * 1024
"""After so many of them others have their turn."""
_MAY_NOT_FIT = ("date", "time", "timetz", "timestamp", "timestamptz", "interval")


def _loaders(name: str) -> tuple[int, type[Loader]]:
    """The number of a type, and a loader for it that gives the text of values which psycopg refuses or would change."""
    oid = postgres.types[name].oid
    loader = postgres.adapters.get_loader(oid, Format.TEXT)
    assert loader is not None
    plain = loader

    class OrText(Loader):
        """A loader that never changes a value."""

        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._plain = plain(oid, context)

        def load(self, data: Buffer) -> Any:
            raw = bytes(data)
            if name == "interval" and not _EXACT_INTERVAL.fullmatch(raw):
                return raw.decode()  # psycopg would turn a month into 30 days, and cannot load infinity.
            try:
                return self._plain.load(data)
            except Exception:  # psycopg.DataError, NotImplementedError (IntervalStyle) or OverflowError.
                return raw.decode()

    return oid, OrText


_OR_TEXT = dict(map(_loaders, _MAY_NOT_FIT))


def register(adapters: AdaptersMap) -> None:
    """Set the loaders of a connection. Intervals always use the careful one, since psycopg changes them without an
    error."""
    for name in AS_TEXT:
        adapters.register_loader(name, TextLoader)
    for name in _NUMBERS:
        adapters.register_loader(name, IntLoader)
    oid = postgres.types["interval"].oid
    adapters.register_loader(oid, _OR_TEXT[oid])


def failure_of(driver: StoppingConnection, result: PGresult) -> Exception:
    """The exception for a result that is an error."""
    failure = psycopg.errors.error_from_result(result, encoding="utf-8")
    if failure.sqlstate == _NO_TEXT and driver.pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII":
        return DatabaseDataError(
            f"{failure.diag.message_primary}: this database's encoding is SQL_ASCII, so that its text may be any "
            "bytes, and these are no UTF-8: read them as bytes: convert_to(x, 'SQL_ASCII')",
            sqlstate=_NO_TEXT,
        )
    return failure


class Converting(AsyncRawCursor[Any]):
    """Psycopg's cursor, which converts parameters and reads rows and errors. If a parameter cannot be sent, the error
    says that nothing was executed.

    Parameters:
        driver: the connection.
    """

    def __init__(self, driver: StoppingConnection) -> None:
        super().__init__(driver)
        self._adapters = driver.adapters  # Not a copy: more types are added later.
        self.driver = driver

    def _convert_query(self, query: Query, params: Params | None = None) -> PostgresQuery:
        try:
            return super()._convert_query(query, params)
        except Exception as exc:
            refusal = params.refusal(self._conn) if isinstance(params, Arguments) else None
            raise refusal or translate_error(exc, executed="no") from None

    def cells(self, arrays: Sequence[int]) -> Cells:
        """The reader of the statement's rows.

        Parameters:
            arrays: the places of the columns that are arrays.
        """
        return Cells(self._conn, self._tx, arrays)

    def failure(self, result: PGresult) -> Exception:
        """The exception for a result that is an error."""
        return failure_of(self.driver, result)


class _Context:
    """The context from which psycopg makes a transformer."""

    def __init__(self, adapters: AdaptersMap, connection: Any) -> None:
        self.adapters = adapters
        self.connection = connection


class Cells:
    """The rows of one statement in Python's types.

    Parameters:
        connection: a connection of psycopg.
        usual: psycopg's own transformer of the statement.
        arrays: the places of the columns that are arrays.

    Attributes:
        array_nodes: how many items and arrays :meth:`fitting` has counted; who reads the rows sets it to 0 in each turn
            of the event loop.
    """

    def __init__(self, connection: Any, usual: AnyTransformer, arrays: Sequence[int]) -> None:
        self._connection = connection
        self._transformer: AnyTransformer = usual
        self._result: PGresult | None = None
        self._arrays = arrays
        self.array_nodes = 0
        self._is_careful = False
        self._has_loaders = False

    def use(self, result: PGresult | None) -> None:
        """Make :meth:`rows` read this result; ``None`` releases the last one."""
        self._result = result
        self._transformer.set_pgresult(result, set_loaders=result is not None and not self._has_loaders)
        self._has_loaders = self._has_loaders or result is not None

    def fitting(self, begin: int, end: int) -> int:
        """Return the end of those of some rows, one at least, whose arrays can be read in one turn of the event loop.

        Raises:
            DatabaseDataError: the arrays of a row are too large.
        """
        if not self._arrays:
            return end
        assert self._result is not None
        for row in range(begin, end):
            nodes = 0
            for place in self._arrays:
                text = self._result.get_value(row, place) or b""
                nodes += text.count(b",") + text.count(b"{")
            if nodes > MOST_ARRAY_NODES:
                raise DatabaseDataError(
                    f"the arrays of a row have more than {MOST_ARRAY_NODES} items: unnest() them, cast them to text, "
                    "or select a part"
                )
            self.array_nodes += nodes
            if self.array_nodes >= TURN_ARRAY_NODES:
                return row + 1
        return end

    def rows(self, begin: int, end: int) -> list[tuple[Any, ...]]:
        """Read rows of the current result. If psycopg refuses a cell, the rows are read again with loaders that give
        text, so the usual case costs nothing.

        Raises:
            Exception: a cell cannot be read at all.
        """
        if end <= begin:
            return []
        try:
            return self._transformer.load_rows(begin, end, tuple)
        except Exception:
            if self._is_careful:
                raise
            self._be_careful()
        return self._transformer.load_rows(begin, end, tuple)

    def narrow(self, results: deque[PGresult]) -> list[tuple[Any, ...]]:
        """Take the leading results that are chunks out of ``results``, and read all their rows."""
        rows: list[tuple[Any, ...]] = []
        while results and results[0].status == ExecStatus.TUPLES_CHUNK:
            result = results.popleft()
            self.use(result)
            rows += self.rows(0, result.ntuples)
        return rows

    @property
    def has_arrays(self) -> bool:
        """Whether some columns are arrays, so that narrow rows say nothing about those that follow."""
        return bool(self._arrays)

    async def give_way(self) -> None:
        """Let others have their turn of the event loop, if enough arrays were read in this one."""
        if self.array_nodes >= TURN_ARRAY_NODES:
            self.array_nodes = 0
            await asyncio.sleep(0)

    def _be_careful(self) -> None:
        adapters = AdaptersMap(self._connection.adapters)
        for oid, loader in _OR_TEXT.items():
            adapters.register_loader(oid, loader)
        self._transformer = Transformer(_Context(adapters, self._connection))
        self._is_careful, self._has_loaders = True, False
        self.use(self._result)
