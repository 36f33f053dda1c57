"""Cells of PostgreSQL that Python's types cannot hold come as PostgreSQL's text, never changed: infinite dates, years
before 1 or after 9999, ``24:00``, and intervals with months, whose length nobody knows."""

from __future__ import annotations

import re
from collections import deque
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
"""Types whose text says more than any Python type that could be sent: JSON's null is not SQL's NULL."""

_NUMBERS = ("xid", "cid")
"""Numbers that psycopg leaves as text."""

_EXACT_INTERVAL = re.compile(rb"(?:[+-]?\d+ days?)?(?: ?[+-]?\d+:\d\d:\d\d(?:\.\d+)?)?")
"""Days and time, as PostgreSQL writes them unless told otherwise."""

_NO_TEXT = "22021"
_MAY_NOT_FIT = ("date", "time", "timetz", "timestamp", "timestamptz", "interval")


def _loaders(name: str) -> tuple[int, type[Loader]]:
    """Psycopg's own loader of a type, and a loader that gives text for what psycopg's refuses or would change."""
    oid = postgres.types[name].oid
    found = postgres.adapters.get_loader(oid, Format.TEXT)
    assert found is not None
    plain = found

    class OrText(Loader):
        """A loader that changes nothing."""

        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._plain = plain(oid, context)

        def load(self, data: Buffer) -> Any:
            raw = bytes(data)
            if name == "interval" and not _EXACT_INTERVAL.fullmatch(raw):
                return raw.decode()  # psycopg would call a month 30 days, and infinity nothing.
            try:
                return self._plain.load(data)
            except Exception:  # psycopg.DataError, NotImplementedError (IntervalStyle), OverflowError: all say no.
                return raw.decode()

    return oid, OrText


_OR_TEXT = dict(map(_loaders, _MAY_NOT_FIT))


def register(adapters: AdaptersMap) -> None:
    """Set the loaders of a connection. Only intervals always take the careful one: psycopg would not complain."""
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
    """Psycopg's cursor, which converts parameters and reads rows and errors; where a parameter cannot be sent, it says
    that nothing was executed.

    Parameters:
        driver: the connection.
    """

    def __init__(self, driver: StoppingConnection) -> None:
        super().__init__(driver)
        self._adapters = driver.adapters  # And no copy of them: they learn of more types.
        self.driver = driver

    def _convert_query(self, query: Query, params: Params | None = None) -> PostgresQuery:
        try:
            return super()._convert_query(query, params)
        except Exception as exc:
            refusal = params.refusal(self._conn) if isinstance(params, Arguments) else None
            raise refusal or translate_error(exc, executed="no") from None

    def cells(self) -> Cells:
        """What reads the rows of the statement."""
        return Cells(self._conn, self._tx)

    def failure(self, result: PGresult) -> Exception:
        """The exception for a result that is an error."""
        return failure_of(self.driver, result)


class _Context:
    """What psycopg makes a transformer from."""

    def __init__(self, adapters: AdaptersMap, connection: Any) -> None:
        self.adapters = adapters
        self.connection = connection


class Cells:
    """The rows of one statement in Python's types.

    Parameters:
        connection: a connection of psycopg.
        usual: psycopg's own transformer of the statement.
    """

    def __init__(self, connection: Any, usual: AnyTransformer) -> None:
        self._connection = connection
        self._transformer: AnyTransformer = usual
        self._result: PGresult | None = None
        self._careful = False
        self._ready = False

    def use(self, result: PGresult | None) -> None:
        """Have :meth:`rows` read this result; ``None`` to let go of the last one."""
        self._result = result
        self._transformer.set_pgresult(result, set_loaders=result is not None and not self._ready)
        self._ready = self._ready or result is not None

    def rows(self, begin: int, end: int) -> list[tuple[Any, ...]]:
        """Rows of the result at hand. Where psycopg refuses a cell, they are read anew with loaders that give its text;
        the usual way costs nothing.

        Raises:
            Exception: a cell cannot be read at all.
        """
        if end <= begin:
            return []
        try:
            return self._transformer.load_rows(begin, end, tuple)
        except Exception:
            if self._careful:
                raise
            self._be_careful()
        return self._transformer.load_rows(begin, end, tuple)

    def narrow(self, results: deque[PGresult]) -> list[tuple[Any, ...]]:
        """All rows of the results that are mere chunks, up to the first that says more; they are taken out."""
        rows: list[tuple[Any, ...]] = []
        while results and results[0].status == ExecStatus.TUPLES_CHUNK:
            rows += self.all(results.popleft())
        return rows

    def all(self, result: PGresult) -> list[tuple[Any, ...]]:
        """All rows of a result."""
        self.use(result)
        return self.rows(0, result.ntuples)

    def _be_careful(self) -> None:
        adapters = AdaptersMap(self._connection.adapters)
        for oid, loader in _OR_TEXT.items():
            adapters.register_loader(oid, loader)
        self._transformer = Transformer(_Context(adapters, self._connection))
        self._careful, self._ready = True, False
        self.use(self._result)
