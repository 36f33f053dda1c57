"""COPY from and to the client (PostgreSQL manual, "COPY Operations" of the protocol and "Functions Associated with the
COPY Command" of libpq)."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import copy_end, copy_to, fetch, send
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Wait

from rpcservices.database.backends.base import CopyIn, CopyOut
from rpcservices.database.errors import DatabaseProgrammingError

from .connection import CANCEL_WAIT_S, StoppingConnection
from .cursor import Learning
from .pipeline import rest_of
from .values import failure_of

_PIECE_BYTES = 128 * 1024
"""The size of the pieces that go to libpq, which may refuse larger ones for ever (psycopg's issue 255), and of those
that come from it."""


def _send(connection: PGconn, sql: bytes) -> PQGen[PGresult]:
    """Send a statement by the extended protocol, which takes exactly one. Returns its first result."""
    connection.send_query_params(sql, None)
    yield from send(connection)
    result: PGresult | None = yield from fetch(connection)
    if result is None:
        raise psycopg.OperationalError("the connection is lost")
    return result


async def begin(driver: StoppingConnection, sql: str, direction: ExecStatus) -> None:
    """Begin a COPY.

    Parameters:
        driver: the connection.
        sql: the statement.
        direction: which way it goes: ``COPY_IN`` or ``COPY_OUT``.

    Raises:
        DatabaseProgrammingError: the statement is another one. It has run if it is no COPY.
        psycopg.Error: PostgreSQL refuses it.
    """
    result = await driver.wait(_send(driver.pgconn, sql.encode()))
    if result.status == direction:
        return
    if result.status == ExecStatus.COPY_IN:
        await _end_in(driver, "it goes the other way")
    elif result.status == ExecStatus.COPY_OUT:
        await _Reader(driver).rest()
    else:
        await driver.wait(rest_of(driver))
    if result.status == ExecStatus.FATAL_ERROR:
        raise failure_of(driver, result)
    way = "FROM STDIN" if direction == ExecStatus.COPY_IN else "TO STDOUT"
    raise DatabaseProgrammingError(f"sql: copy it where the statement is COPY … {way}")


async def _end_in(driver: StoppingConnection, reason: str) -> None:
    """End a COPY as failed, because the client sends no more data."""
    with suppress(psycopg.Error):  # The server repeats the reason as an error.
        await driver.wait(copy_end(driver.pgconn, reason.encode()))


class _Reader:
    """Reads what a COPY writes.

    Attributes:
        is_over: whether all of it has arrived. It is set at once, even if the task that reads is cancelled.
    """

    def __init__(self, driver: StoppingConnection) -> None:
        self._driver = driver
        self.is_over = False

    def _gather(self) -> PQGen[bytes]:
        """Wait until something arrives, and return all that has arrived."""
        connection = self._driver.pgconn
        parts: list[bytes] = []
        size = 0
        while size < _PIECE_BYTES and not self.is_over:
            count, data = connection.get_copy_data(1)
            if count < 0:
                self.is_over = True
            elif count > 0:
                parts.append(bytes(data))
                size += count
            elif parts:
                break
            else:
                yield Wait.R
                connection.consume_input()
        return b"".join(parts)

    async def read(self) -> bytes:
        """Return the next piece; empty after the last one."""
        return await self._driver.wait(self._gather())

    async def rest(self) -> PGresult | None:
        """Read and drop the rest. Returns the last result."""
        while not self.is_over:
            await self.read()
        return await self._driver.wait(rest_of(self._driver))


class PostgresCopyIn(CopyIn):
    """A COPY that reads what a client sends.

    Parameters:
        driver: the connection, on which it has begun.
    """

    def __init__(self, driver: StoppingConnection) -> None:
        self._driver = driver
        self._open = True

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        for place in range(0, len(view), _PIECE_BYTES):
            try:
                await self._driver.wait(copy_to(self._driver.pgconn, view[place : place + _PIECE_BYTES], flush=True))
            except psycopg.Error as exc:
                self._open = False
                raise await self._failure() or exc from None

    async def _failure(self) -> Exception | None:
        """The error for which the server takes no more data."""
        last = await self._driver.wait(rest_of(self._driver))
        return None if last is None or last.status != ExecStatus.FATAL_ERROR else failure_of(self._driver, last)

    async def end(self) -> int:
        self._open = False
        result = await self._driver.wait(copy_end(self._driver.pgconn, None))
        return -1 if result.command_tuples is None else result.command_tuples

    async def abort(self, reason: str) -> None:
        if self._open:
            self._open = False
            await _end_in(self._driver, reason)


class PostgresCopyOut(CopyOut):
    """A COPY that a client reads.

    Parameters:
        link: where it has begun.
        driver: its connection.
        cancels: whether closing it early may cancel the COPY, which fails its transaction; otherwise closing it reads
            and drops the rest.
    """

    def __init__(self, link: Learning, driver: StoppingConnection, *, cancels: bool) -> None:
        self._link = link
        self._driver = driver
        self._reader = _Reader(driver)
        self._cancels = cancels
        self._open = True

    async def read(self) -> bytes:
        if not self._open:
            return b""
        data = await self._reader.read()
        if self._reader.is_over:
            self._open = False
            last = await self._reader.rest()
            if last is not None and last.status == ExecStatus.FATAL_ERROR:
                raise failure_of(self._driver, last)
        return data

    async def abort(self, reason: str) -> None:
        if not self._open:
            return
        self._open = False
        if self._cancels:
            await self._driver.cancel_safe(timeout=CANCEL_WAIT_S)
            self._link.was_cancelled()  # The request may still reach the next statement.
        await self._reader.rest()
        await self._link.settle()
