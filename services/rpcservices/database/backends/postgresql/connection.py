"""A connection of psycopg that stops for certain: a request to cancel that reaches the server before the statement has
begun there hits nothing, so it is repeated until the statement has ended."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.waiting import Ready, Wait

from rpcservices.database.backends.base import STOP_WAITS_S, finish
from rpcservices.database.backends.sockets import has_failed
from rpcservices.database.errors import DatabaseOperationalError

log = logging.getLogger("rpcserver.services.database")

_T = TypeVar("_T")
CANCEL_WAIT_S = 5.0
"""How long sending a request to cancel may take."""
_INTERVAL_S = 0.1


def readable(driver: psycopg.AsyncConnection[Any]) -> tuple[bytes, ...]:
    """What to set on a new connection, so that dates and intervals come in a style that can be read without doubt,
    where the role's or the database's settings say another. In which order days and months are read stays."""
    status = driver.pgconn.parameter_status
    commands = []
    style, _, order = (status(b"DateStyle") or b"ISO").partition(b", ")
    if style != b"ISO":
        commands.append(b"SET datestyle TO ISO, " + order)
    if status(b"IntervalStyle") not in (b"postgres", None):
        commands.append(b"SET intervalstyle TO postgres")
    return tuple(commands)


_HEADER = struct.Struct("!cI")
_FATAL = frozenset({b"FATAL", b"PANIC"})


def goodbye(arrived: bytes) -> DatabaseOperationalError | None:
    """What the server says before it closes a connection: its process tells that before it ends, and only then the
    socket is closed.

    Parameters:
        arrived: messages of the server that nobody has read yet
            (https://www.postgresql.org/docs/current/protocol-message-formats.html).

    Returns:
        It as an error; ``None`` where nothing is said of it.
    """
    place = 0
    while place + _HEADER.size <= len(arrived):
        kind, length = _HEADER.unpack_from(arrived, place)
        body = arrived[place + _HEADER.size : place + 1 + length]
        if kind == b"E":
            fields = {field[:1]: field[1:] for field in body.split(b"\0")}
            if fields.get(b"V") in _FATAL:
                message, state = (fields.get(name, b"").decode("utf-8", "replace") for name in (b"M", b"C"))
                return DatabaseOperationalError(message, sqlstate=state or None)
        place += 1 + length
    return None


class StoppingConnection(psycopg.AsyncConnection[Any]):
    """It differs in what a cancelled task leaves behind: psycopg asks the server once to stop, and after 5 s closes the
    connection while the server works on. And what the server says after the last that was waited for is taken when it
    comes.

    Attributes:
        parts: of a pipeline, how many have not been answered to their ends.
        behind: of these, how many nobody waits for.
        take_behind: takes what has arrived of them; whether nothing more is to come.
    """

    parts = 0
    behind = 0
    take_behind: Callable[[], bool] | None = None
    _waiting: asyncio.Future[int] | None = None
    _watched: tuple[asyncio.AbstractEventLoop, int] | None = None

    @property
    def speaks_utf8(self) -> bool:
        """Whether text goes both ways as UTF-8. The server tells of every change of it, once the statement is over that
        made it."""
        return self.pgconn.parameter_status(b"client_encoding") == b"UTF8"

    async def wait(self, gen: PQGen[_T], interval: float = 0.0, timeout: float | None = None) -> _T:  # noqa: ASYNC109 - an override
        """Do what a generator asks for; where the task is cancelled, have the server stop first. Nothing needs the
        interval, in which psycopg looks for interrupts."""
        if timeout is not None:
            self.unwatch()
            return await super().wait(gen, interval or _INTERVAL_S, timeout)
        try:
            return await self._driven(gen, None)
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await finish(self._stop(gen))
            raise

    async def _driven(self, gen: PQGen[_T], ready: int | None) -> _T:
        """Wait for the socket as a generator asks for it.

        Parameters:
            gen: what to do.
            ready: what to send it first; ``None`` where it has not begun.
        """
        try:
            state = next(gen) if ready is None else gen.send(ready)
            while True:
                state = gen.send(await self._ready(state))
        except StopIteration as done:
            result: _T = done.value
            return result
        except (OSError, psycopg.OperationalError) as exc:
            with suppress(psycopg.Error, RuntimeError):
                gen.close()  # It has nothing more to wait for; left to the garbage collector, it would complain there.
            if isinstance(exc, OSError):
                raise psycopg.OperationalError("the connection is lost") from exc
            raise
        except asyncio.CancelledError:
            self.unwatch()  # What arrives before the generator goes on is not for :attr:`take_behind`.
            raise
        finally:
            if not self.behind or self.closed:
                self.unwatch()

    async def _ready(self, state: Wait) -> int:
        """Wait until the socket is ready for something of what is asked for."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[int] = loop.create_future()
        socket = self.pgconn.socket
        self._waiting = waiting
        if self._watched is not None and has_failed(socket):
            self.unwatch()  # Of an error, uvloop tells once, and of nothing after it.
        if self._watched is None:
            loop.add_reader(socket, self._arrived)
            self._watched = loop, socket
        if state & Wait.W:
            loop.add_writer(socket, self._writable)
        try:
            return await waiting
        finally:
            self._waiting = None
            if state & Wait.W:
                loop.remove_writer(socket)

    def _arrived(self) -> None:
        if self._waiting is not None:
            if not self._waiting.done():
                self._waiting.set_result(Ready.R)
        elif self.parts > self.behind or self.take_behind is None or self.take_behind():
            self.unwatch()

    def _writable(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Ready.W)

    def unwatch(self) -> None:
        """Let what the server says lie until somebody waits for it. Where the connection is lost this has to be done at
        once: libpq has closed the socket, and the next that is opened anywhere in this process has its number."""
        watched, self._watched = self._watched, None
        if watched is not None:
            loop, socket = watched
            loop.remove_reader(socket)

    async def close(self) -> None:
        """Close the connection."""
        self.unwatch()
        await super().close()

    async def _stop(self, gen: PQGen[Any]) -> None:
        for wait_s in STOP_WAITS_S:
            try:
                await self.cancel_safe(timeout=CANCEL_WAIT_S)
                async with asyncio.timeout(wait_s):
                    await self._driven(gen, 0)
            except TimeoutError:
                continue
            except psycopg.errors.QueryCanceled:
                return
            except Exception as exc:
                log.debug("a cancelled statement ended otherwise: %s", type(exc).__name__)
            return
        log.warning("the database did not stop a statement: its connection is closed")
        self.unwatch()
        self.pgconn.finish()
