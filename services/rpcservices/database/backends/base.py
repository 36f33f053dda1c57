"""What every driver offers to the service: a link to the database, and cursors on it."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rpcservices.database.apart import read_sql
from rpcservices.database.config import DatabaseConfig
from rpcservices.database.errors import DatabaseNotSupportedError, DatabaseOperationalError
from rpcservices.database.failures import is_lost, lost_error, translate_error
from rpcservices.database.models import Column, Description, Isolation, TxState
from rpcservices.database.placeholders import Style, translate
from rpcwire.sql import Syntax, split

from .parameters import Params, Values

if TYPE_CHECKING:
    from sqlalchemy import URL, Dialect, PoolProxiedConnection

_T = TypeVar("_T")

_STOP_WAIT_S = 1.0
_SETTLE_S = 5.0
STOP_WAITS_S = (0.05, 0.1, 0.2, 0.4, 1.0, 1.0, 1.0)
"""How long to wait for a statement to end after each request to stop it. A request that comes before the statement has
begun has no effect, so it is repeated."""

log = logging.getLogger("rpcserver.services.database")


class Cursor(ABC):
    """A statement under way.

    Attributes:
        columns: the columns of its rows; empty where it gives no rows.
        change_count: how many rows a statement changed that also gives rows; -1 where the driver does not say.
        rowcount: how many rows it changed or gave; -1 where that is not known.
        last_insert_id: the key of the row that an INSERT added, where the driver says so.
        whole: whether closing it early reads the rest, so that all its changes are made. That takes time.
        without_columns: whether it gives rows that have no columns, as PostgreSQL's ``SELECT FROM t`` does.
        notices: messages for the caller of a statement that succeeded.
    """

    columns: tuple[Column, ...] = ()
    rowcount: int = -1
    change_count: int = -1
    last_insert_id: int | None = None
    whole: bool = False
    without_columns: bool = False
    notices: tuple[str, ...] = ()

    @property
    def gives_rows(self) -> bool:
        """Whether the statement gives rows. There may be 0 of them."""
        return self.without_columns or len(self.columns) > 0

    @abstractmethod
    async def fetch(self, limit: int) -> list[tuple[Any, ...]]:
        """Return the next rows, about ``limit`` at most; an empty list once there are no more."""

    @abstractmethod
    async def close(self) -> None:
        """End the statement, however far it is; the database stops its work."""


class CopyIn(ABC):
    """A COPY that reads what a client sends."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Send it some data."""

    @abstractmethod
    async def end(self) -> int:
        """Tell it that there is no more data. Returns how many rows it has read; -1 where that is not known."""

    @abstractmethod
    async def abort(self, reason: str) -> None:
        """Undo the COPY, unless it has ended."""


class CopyOut(ABC):
    """A COPY that a client reads."""

    @abstractmethod
    async def read(self) -> bytes:
        """Return the next piece; empty after the last one."""

    @abstractmethod
    async def abort(self, reason: str) -> None:
        """End the COPY early, unless it has ended."""


class Link(ABC):
    """One connection to a database. One call uses it at a time. Outside a transaction each statement commits itself.

    Attributes:
        readonly: whether the database refuses every change on this link.
        is_broken: whether the state of the connection is unknown, so that it must be discarded.
        connect_arguments: what the driver needs to make another such connection.
        made_at: when it was made, on the clock of :func:`time.monotonic`.
        idle_since: when it was last given back, on the same clock.
        holder: the name of the principal to whom it is lent, or was lent last.
        is_just_lent: whether it has been lent, and has run nothing since: the pool has just seen that it lives.
        notices: the messages of the statements of the last script.
    """

    dialect: ClassVar[str]
    style: Style = "qmark"
    """The driver's placeholders."""
    cancel_safe: ClassVar[bool] = False
    """Whether the driver's work may itself be cancelled, and stops in the database before it ends."""

    defining_commits: ClassVar[bool] = False
    """Whether statements that define tables commit what was before them."""

    def __init__(self, connection: PoolProxiedConnection, config: DatabaseConfig, *, readonly: bool) -> None:
        self.connection = connection
        self.config = config
        self.readonly = readonly
        self.is_broken = False
        self.connect_arguments: dict[str, Any] = {}
        self.made_at = time.monotonic()
        self.idle_since = 0.0
        self.holder = ""
        self.is_just_lent = False
        self.notices: list[str] = []
        self._is_over = False
        self._stopping: asyncio.Future[None] | None = None
        self._work: asyncio.Future[Any] | None = None

    # --- what each driver does -------------------------------------------------------------------------------------

    @classmethod
    def engine_options(cls, url: URL, config: DatabaseConfig, *, readonly: bool) -> tuple[URL, dict[str, Any]]:
        """The URL and the driver's arguments for a pool of such links."""
        return url, {}

    @classmethod  # noqa: B027 - not every database needs it
    def teach(cls, dialect: Dialect) -> None:
        """Tell SQLAlchemy in what form values come on such links; its inspector runs on them."""

    @abstractmethod
    async def prepare(self) -> None:
        """Set up a connection that has just been made.

        Raises:
            DatabaseError: the role may do more than the configuration allows.
        """

    @abstractmethod
    async def execute(self, sql: str, params: Params, first: int) -> Cursor:
        """Start a statement and read about ``first`` rows."""

    async def stream(self, sql: str, params: Params, first: int) -> Cursor:
        """Start a statement and read about ``first`` rows; the caller may close the cursor before it has read all.
        Where the statement only reads, closing the cursor stops the database's work and leaves the transaction open."""
        return await self.execute(sql, params, first)

    @abstractmethod
    async def execute_many(self, sql: str, sets: Sequence[Values], first_row: int = 0) -> int:
        """Run a statement once for each set of parameters. Returns how many rows it changed in all; -1 where that is
        not known."""

    async def copy_in(self, sql: str) -> CopyIn:
        """Begin a COPY that reads what a client sends.

        Raises:
            DatabaseNotSupportedError: this database has none.
        """
        raise DatabaseNotSupportedError("only PostgreSQL has COPY: use executemany", executed="no")

    async def copy_out(self, sql: str) -> CopyOut:
        """Begin a COPY that a client reads.

        Raises:
            DatabaseNotSupportedError: this database has none.
        """
        raise DatabaseNotSupportedError("only PostgreSQL has COPY: use stream", executed="no")

    async def run_script(self, sql: str) -> list[int]:
        """Run several statements. Returns for each how many rows it changed or gave.

        Raises:
            DatabaseError: one failed; ``step`` names it where it is known.
        """
        counts = []
        self.notices = []
        for step, statement in enumerate(await read_sql(split, sql, self.syntax)):
            try:
                cursor = await self.execute(statement, None, 1)
                counts.append(cursor.rowcount)
                self.notices += cursor.notices
                await cursor.close()
            except Exception as exc:
                raise translate_error(exc, step=step) from None
        return counts

    @abstractmethod
    async def describe(self, sql: str) -> Description:
        """What a statement takes and gives."""

    def explain_sql(self, sql: str, *, analyze: bool) -> str:
        """The statement that explains a statement.

        Raises:
            DatabaseNotSupportedError: this database cannot measure while it explains.
        """
        return f"EXPLAIN ANALYZE {sql}" if analyze else f"EXPLAIN {sql}"

    @abstractmethod
    async def begin(self, isolation: Isolation | None, *, readonly: bool) -> None:
        """Begin a transaction."""

    @abstractmethod
    async def commit(self) -> None:
        """Commit the transaction."""

    @abstractmethod
    async def rollback(self) -> None:
        """Roll the transaction back."""

    @abstractmethod
    def tx_state(self) -> TxState:
        """The state of the transaction on this connection, as the driver tells it."""

    @abstractmethod
    async def interrupt(self) -> None:
        """Make the database stop the statement that runs now. It may be called from another task."""

    @abstractmethod
    async def reset(self) -> None:
        """Make the connection as good as new: no transaction, no settings, no locks of the last user."""

    def has_ended(self) -> bool:
        """Whether the database has closed the connection, as far as can be told without asking it."""
        return False

    def has_lost(self, exc: Exception) -> bool:
        """Whether an exception says that the connection is lost."""
        return is_lost(exc)

    def why_lost(self, exc: Exception) -> Exception:
        """The exception that tells best why the connection is lost.

        Parameters:
            exc: the exception of the driver.
        """
        return exc

    async def ping(self) -> None:
        """Make sure that the connection still works.

        Raises:
            Exception: it does not.
        """
        await self._command("SELECT 1")

    async def guard(self, *, once: bool = False) -> None:  # noqa: B027 - not every database needs it
        """Guard the next statement, which runs outside a transaction on a link that only reads: no part of it can make
        the link write, not even a statement that commits and then goes on.

        Parameters:
            once: whether the link goes back after this statement, so that :meth:`reset` may travel along with it.
        """

    async def keep(self) -> None:  # noqa: B027 - not every database needs it
        """Give the link to a session: until :meth:`reset` nobody else uses the connection, so the session may change
        its settings."""

    def lend_raw(self) -> PoolProxiedConnection:
        """The connection itself, for SQLAlchemy's inspector, which changes nothing on it."""
        return self.connection

    def must_reset(self) -> bool:
        """Whether :meth:`reset` has anything to do."""
        return True

    def is_ready(self) -> bool:
        """Whether the link can be lent at once; otherwise :meth:`regain` must run first."""
        return not self.has_ended()

    async def regain(self) -> None:
        """Make a link ready whose :meth:`reset` travelled along with its last statement. If the database has closed the
        connection, the link is broken then.

        Raises:
            Exception: the connection does not work.
        """
        if self.has_ended():
            self.is_broken = True

    @property
    def syntax(self) -> Syntax:
        """How the database reads strings and names on this connection, as far as is known."""
        return self.dialect

    async def learn_syntax(self, sql: str) -> Syntax:
        """How the database reads strings and names now. A database that must be asked is asked only where the statement
        depends on the answer."""
        return self.syntax

    # --- what all share --------------------------------------------------------------------------------------------

    async def check(self, sql: str, params: Params) -> None:
        """Refuse parameters that do not fit the placeholders of a statement.

        Raises:
            InvalidParams: one is missing or too many.
        """
        if params is not None:
            syntax = await self.learn_syntax(sql)
            statement = await read_sql(translate, sql, syntax, self.style, isinstance(params, Mapping))
            statement.arguments(params)

    async def run(self, work: Coroutine[Any, Any, _T], *, timeout_s: float | None = None, goes_on: bool = False) -> _T:
        """Do a piece of the driver's work to its end. If the caller is cancelled or the time is over, the database
        stops the work: when this returns, nothing runs any more.

        Parameters:
            work: what the driver does; it is never left midway through its protocol.
            timeout_s: how long the work may take; the configuration's ``statement_timeout_s`` where not given.
            goes_on: whether the work continues a statement, whose rows may have arrived before the connection was lost.

        Raises:
            DatabaseOperationalError: the time was over (SQLSTATE 57014), or the connection is lost. If it was lost
                before the work began, the database has not seen the work.
        """
        has_ended = not (goes_on or self.is_just_lent) and self.has_ended()
        self.is_just_lent = False
        limit = self.config.statement_timeout_s if timeout_s is None else timeout_s
        self._is_over = False
        timer = asyncio.get_running_loop().call_later(limit, self._time_is_over)
        try:
            return await (work if self.cancel_safe else self._shield(work))
        except asyncio.CancelledError:
            self.was_cancelled()
            await finish(self._settle_or_break())
            task = asyncio.current_task()
            if self._is_over and task is not None and not task.cancelling():
                raise self._too_long(limit) from None  # Only the driver's work was cancelled, not the caller.
            raise
        except Exception as exc:
            if self._is_over:
                raise self._too_long(limit) from None
            if has_ended or self.has_lost(exc):
                self.is_broken = True
                raise lost_error(self.why_lost(exc), "no" if has_ended else "unknown") from None
            raise
        finally:
            timer.cancel()
            if self._stopping is not None:
                await finish(self._stopping)
                self._stopping = None

    def _too_long(self, limit_s: float) -> DatabaseOperationalError:
        return DatabaseOperationalError(
            f"the statement worked longer than {limit_s:g} s and was stopped: see statement_timeout_s", sqlstate="57014"
        )

    def _time_is_over(self) -> None:
        self._is_over = True
        self._stopping = asyncio.ensure_future(self._interrupt_at_last())

    async def _interrupt_at_last(self) -> None:
        try:
            async with asyncio.timeout(_STOP_WAIT_S):
                await self.interrupt()
        except Exception as exc:
            log.debug("interrupting a statement failed: %s", type(exc).__name__)

    async def _shield(self, work: Coroutine[Any, Any, _T]) -> _T:
        self._work = task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await finish(self._stop(task))
            raise
        finally:
            self._work = None

    def was_cancelled(self) -> None:  # noqa: B027 - not every driver needs it
        """The work on this link was cancelled; a request to stop it may still be under way."""

    async def settle(self) -> None:  # noqa: B027 - not every driver needs it
        """Bring the driver, after cancelled work, to where the next statement of the same transaction can run."""

    async def _settle_or_break(self) -> None:
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self.settle()
        except Exception as exc:
            log.info("a connection is discarded after a cancelled statement: %s", type(exc).__name__)
            self.is_broken = True

    async def _stop(self, task: asyncio.Future[Any]) -> None:
        for wait_s in STOP_WAITS_S:
            if task.done():
                break
            await self._interrupt_at_last()
            await asyncio.wait([task], timeout=wait_s)
        if not task.done():
            self.is_broken = True
            task.cancel()
            await asyncio.wait([task], timeout=_STOP_WAIT_S)
        elif not task.cancelled():
            task.exception()  # Retrieved, so that asyncio does not log it: the task ended because it was stopped.

    async def mark(self) -> None:  # noqa: B027 - not every database needs it
        """Remember the transaction that is open now."""

    async def is_marked(self) -> bool:
        """Whether the remembered transaction is still open."""
        return self.tx_state() is not TxState.NONE

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._command(f"SAVEPOINT rpc_{name}")

    async def rollback_to(self, name: str) -> None:
        """Undo everything since a savepoint; the savepoint stays."""
        await self._command(f"ROLLBACK TO SAVEPOINT rpc_{name}")

    async def release(self, name: str) -> None:
        """Forget a savepoint; the changes since then stay."""
        await self._command(f"RELEASE SAVEPOINT rpc_{name}")

    async def _command(self, sql: str) -> None:
        cursor = await self.execute(sql, None, 1)
        await cursor.close()


async def finish(work: Coroutine[Any, Any, _T] | asyncio.Future[_T]) -> _T:
    """Do work to its end even if the caller is cancelled meanwhile; the cancellation is raised after it."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            if task.cancelled():
                raise
            cancellation = exc
        except Exception:
            break
    if cancellation is not None:
        raise cancellation
    return task.result()


def unsupported_isolation(dialect: str, isolation: Isolation) -> DatabaseNotSupportedError:
    """The error for an isolation that a database does not offer."""
    return DatabaseNotSupportedError(f"isolation: {dialect} does not offer {isolation.value!r}", executed="no")
