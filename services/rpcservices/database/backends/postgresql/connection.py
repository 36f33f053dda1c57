"""A connection of psycopg that can stop a statement for certain: a request to cancel that reaches the server before the
statement has begun there has no effect, so it is repeated until the statement has ended."""

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
    """The settings for a new connection that make dates and intervals come in an unambiguous style, where the role's or
    the database's settings ask for another. The order in which days and months are read stays."""
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


def goodbye(messages: bytes) -> DatabaseOperationalError | None:
    """Find the reason why the server closes a connection: its process sends it before it ends and closes the socket.

    Parameters:
        messages: messages of the server that nobody has read yet
            (https://www.postgresql.org/docs/current/protocol-message-formats.html).

    Returns:
        The reason as an error; ``None`` where the messages give none.
    """
    place = 0
    while place + _HEADER.size <= len(messages):
        kind, length = _HEADER.unpack_from(messages, place)
        body = messages[place + _HEADER.size : place + 1 + length]
        if kind == b"E":
            fields = {field[:1]: field[1:] for field in body.split(b"\0")}
            if fields.get(b"V") in _FATAL:
                message, state = (fields.get(name, b"").decode("utf-8", "replace") for name in (b"M", b"C"))
                return DatabaseOperationalError(message, sqlstate=state or None)
        place += 1 + length
    return None


class StoppingConnection(psycopg.AsyncConnection[Any]):
    """A connection that differs from psycopg's in two ways. When a task is cancelled, the statement has ended before
    the task goes on; psycopg would ask the server once to stop, and close the connection after 5 s while the server
    works on. And answers that nobody waits for are read when they arrive.

    Attributes:
        parts: how many parts of the pipeline have no full answer yet.
        behind: how many of these parts nobody waits for.
        take_behind: reads what has arrived of them; returns whether that was all.
    """

    parts = 0
    behind = 0
    take_behind: Callable[[], bool] | None = None
    _waiting: asyncio.Future[int] | None = None
    _watch: tuple[asyncio.AbstractEventLoop, int] | None = None

    @property
    def speaks_utf8(self) -> bool:
        """Whether text goes both ways as UTF-8. The server reports every change when the statement that made it
        ends."""
        return self.pgconn.parameter_status(b"client_encoding") == b"UTF8"

    async def wait(self, gen: PQGen[_T], interval: float = 0.0, timeout: float | None = None) -> _T:  # noqa: ASYNC109 - an override
        """Run a generator of psycopg; if the task is cancelled, the server stops first. ``interval`` is not used: it is
        how often psycopg looks for interrupts."""
        if timeout is not None:
            self.unwatch()
            return await super().wait(gen, interval or _INTERVAL_S, timeout)
        try:
            return await self._drive(gen, None)
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await finish(self._stop(gen))
            raise

    async def _drive(self, gen: PQGen[_T], ready: int | None) -> _T:
        """Run a generator, and wait for the socket as it asks.

        Parameters:
            gen: the generator.
            ready: the state of the socket to send it first; ``None`` if it has not begun.
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
                gen.close()  # It waits for nothing more. The garbage collector would log an error if it were left open.
            if isinstance(exc, OSError):
                raise psycopg.OperationalError("the connection is lost") from exc
            raise
        except asyncio.CancelledError:
            self.unwatch()  # The generator reads what arrives from now on, not :attr:`take_behind`.
            raise
        finally:
            if not self.behind or self.closed:
                self.unwatch()

    async def _ready(self, state: Wait) -> int:
        """Wait until the socket is ready to read or to write, as asked."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[int] = loop.create_future()
        socket = self.pgconn.socket
        self._waiting = waiting
        if self._watch is not None and has_failed(socket):
            self.unwatch()  # uvloop reports an error once, and nothing after it.
        if self._watch is None:
            loop.add_reader(socket, self._on_readable)
            self._watch = loop, socket
        if state & Wait.W:
            loop.add_writer(socket, self._on_writable)
        try:
            return await waiting
        finally:
            self._waiting = None
            if state & Wait.W:
                loop.remove_writer(socket)

    def _on_readable(self) -> None:
        if self._waiting is not None:
            if not self._waiting.done():
                self._waiting.set_result(Ready.R)
        elif self.parts > self.behind or self.take_behind is None or self.take_behind():
            self.unwatch()

    def _on_writable(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Ready.W)

    def unwatch(self) -> None:
        """Stop watching the socket; what the server sends waits until somebody reads it. If the connection is lost this
        must happen at once: libpq has closed the socket, and the next socket of this process may get its number."""
        watch, self._watch = self._watch, None
        if watch is not None:
            loop, socket = watch
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
                    await self._drive(gen, 0)
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
