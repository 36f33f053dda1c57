"""What every driver offers to the service: a link to the database, and cursors on it."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from sqlalchemy import URL, Dialect, PoolProxiedConnection

from rpcservices.database.config import DatabaseConfig
from rpcservices.database.errors import DatabaseNotSupportedError, DatabaseOperationalError
from rpcservices.database.failures import is_lost, lost_error, translate_error
from rpcservices.database.models import Column, Description, Isolation, TxState
from rpcservices.database.placeholders import Style, translate
from rpcwire.sql import Syntax, split

from .parameters import Params, Values

_T = TypeVar("_T")

_STOP_WAIT_S = 1.0
_SETTLE_S = 5.0
STOP_WAITS_S = (0.05, 0.1, 0.2, 0.4, 1.0, 1.0, 1.0)
"""How long to wait for a statement to end after each request to stop it: one that comes before the statement has begun
hits nothing."""

log = logging.getLogger("rpcserver.services.database")


class Cursor(ABC):
    """A statement under way.

    Attributes:
        columns: of its rows; none where it gives none.
        changed: rows changed by a statement that also gives rows; -1 where the driver does not say.
        rowcount: rows changed or found, as far as known; -1 where not.
        last_insert_id: the key that an INSERT was given, where the driver says so.
        whole: whether closing it early reads the rest, which takes its time, so that what it changes is done.
        without_columns: whether it gives rows though there are no columns, as PostgreSQL's ``SELECT FROM t`` does.
        notices: what to tell whoever ran it, though it went well.
    """

    columns: tuple[Column, ...] = ()
    rowcount: int = -1
    changed: int = -1
    last_insert_id: int | None = None
    whole: bool = False
    without_columns: bool = False
    notices: tuple[str, ...] = ()

    @property
    def gives_rows(self) -> bool:
        """Whether the statement gives rows, be it none."""
        return self.without_columns or len(self.columns) > 0

    @abstractmethod
    async def fetch(self, limit: int) -> list[tuple[Any, ...]]:
        """The next rows, at most about ``limit``; none once there are no more."""

    @abstractmethod
    async def close(self) -> None:
        """End the statement, wherever it is; the database stops its work."""


class CopyIn(ABC):
    """A COPY that reads what a client sends."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Send it some."""

    @abstractmethod
    async def end(self) -> int:
        """Say that there is no more; how many rows it has read, -1 where unknown."""

    @abstractmethod
    async def abort(self, reason: str) -> None:
        """Undo it, unless it is over."""


class CopyOut(ABC):
    """A COPY that a client reads."""

    @abstractmethod
    async def read(self) -> bytes:
        """What comes next; nothing after the last of it."""

    @abstractmethod
    async def abort(self, reason: str) -> None:
        """Want no more, unless it is over."""


class Link(ABC):
    """One connection to a database, lent to one user at a time. Outside a transaction each statement commits itself.

    Attributes:
        readonly: whether the database refuses every change on this link.
        broken: whether the connection can no longer be trusted and must be discarded.
        connect_arguments: what the driver needs to make another such connection.
        made_at: when it was made, on the clock of :func:`time.monotonic`.
        idle_since: when it was last given back, on the same clock.
        notices: of the statements of the last script.
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
        self.broken = False
        self.connect_arguments: dict[str, Any] = {}
        self.made_at = time.monotonic()
        self.idle_since = 0.0
        self.notices: list[str] = []
        self._over = False
        self._stopping: asyncio.Future[None] | None = None
        self._work: asyncio.Future[Any] | None = None

    # --- what each driver does -------------------------------------------------------------------------------------

    @classmethod
    def engine_options(cls, url: URL, config: DatabaseConfig, *, readonly: bool) -> tuple[URL, dict[str, Any]]:
        """The URL and the driver's arguments for a pool of such links."""
        return url, {}

    @classmethod  # noqa: B027 - not every database needs it
    def teach(cls, dialect: Dialect) -> None:
        """Tell SQLAlchemy, whose inspector runs on such links, in what form values come there."""

    @abstractmethod
    async def prepare(self) -> None:
        """Set up a connection that has just been made.

        Raises:
            DatabaseError: the role may do more than the configuration allows.
        """

    @abstractmethod
    async def execute(self, sql: str, params: Params, first: int) -> Cursor:
        """Start a statement and get its first rows, about ``first``."""

    async def stream(self, sql: str, params: Params, first: int) -> Cursor:
        """Start a statement of which more than the first rows, about ``first``, may never be wanted: where it only
        reads, closing its cursor stops the database's work, and leaves the transaction that it runs in as it was."""
        return await self.execute(sql, params, first)

    @abstractmethod
    async def execute_many(self, sql: str, sets: Sequence[Values]) -> int:
        """Run a statement once for each set of parameters; how many rows were changed in all, -1 where unknown."""

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
        """Run several statements; for each, how many rows it changed or found.

        Raises:
            DatabaseError: one failed; ``step`` names it where it is known.
        """
        counts = []
        self.notices = []
        for step, statement in enumerate(split(sql, self.syntax)):
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

    def explained(self, sql: str, *, analyze: bool) -> str:
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
        """The transaction on this connection, by the driver's own account."""

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
        """Whether an exception says that the connection is gone."""
        return is_lost(exc)

    def why_lost(self, exc: Exception) -> Exception:
        """What says best why the connection is gone.

        Parameters:
            exc: what the driver has raised.
        """
        return exc

    async def ping(self) -> None:
        """Whether the connection still works.

        Raises:
            Exception: it does not.
        """
        await self._command("SELECT 1")

    async def guard(self, *, once: bool = False) -> None:  # noqa: B027 - not every database needs it
        """Before a statement that stands alone on a link that only reads: make sure that nothing in the statement can
        lift that, not even one that commits and then goes on.

        Parameters:
            once: whether it is also the only one before the link goes back, so that :meth:`reset` may go along with it.
        """

    async def keep(self) -> None:  # noqa: B027 - not every database needs it
        """The link becomes a session's: until :meth:`reset`, settings of the connection concern nobody else."""

    def lend_raw(self) -> PoolProxiedConnection:
        """The connection itself, for SQLAlchemy's inspector, which changes nothing on it."""
        return self.connection

    def must_reset(self) -> bool:
        """Whether :meth:`reset` has anything to do."""
        return True

    def is_ready(self) -> bool:
        """Whether the link can be lent at once; otherwise :meth:`regain` has to be waited for."""
        return True

    async def regain(self) -> None:  # noqa: B027 - not every database needs it
        """Make a link ready whose :meth:`reset` went along with its last statement.

        Raises:
            Exception: the connection does not work.
        """

    @property
    def syntax(self) -> Syntax:
        """How the database reads strings and names on this connection, as far as is known."""
        return self.dialect

    async def learn_syntax(self, sql: str) -> Syntax:
        """How the database reads strings and names now; where it has to be asked, only for a statement that depends on
        it."""
        return self.syntax

    # --- what all share --------------------------------------------------------------------------------------------

    async def check(self, sql: str, params: Params) -> None:
        """Refuse parameters that do not fit the placeholders of a statement.

        Raises:
            InvalidParams: one is missing or too many.
        """
        if params is not None:
            syntax = await self.learn_syntax(sql)
            translate(sql, syntax, self.style, isinstance(params, Mapping)).arguments(params)

    async def run(self, work: Coroutine[Any, Any, _T], *, timeout_s: float | None = None, goes_on: bool = False) -> _T:
        """Do a piece of the driver's work to its end. Where the caller is cancelled or the time is over, the database
        stops its work first: when this returns, nothing runs any more.

        Parameters:
            work: what the driver does; it is never left midway through its protocol.
            timeout_s: how long it may take; the configuration's ``statement_timeout_s`` where not given.
            goes_on: whether it goes on with a statement, whose rows may have arrived before the connection was lost.

        Raises:
            DatabaseOperationalError: the time was over (SQLSTATE 57014), or the connection is lost: where it was so
                before, the database has not seen the work.
        """
        ended = not goes_on and self.has_ended()
        limit = self.config.statement_timeout_s if timeout_s is None else timeout_s
        self._over = False
        timer = asyncio.get_running_loop().call_later(limit, self._time_is_over)
        try:
            return await (work if self.cancel_safe else self._protected(work))
        except asyncio.CancelledError:
            self.was_cancelled()
            await finish(self._settled())
            task = asyncio.current_task()
            if self._over and task is not None and not task.cancelling():
                raise self._too_long(limit) from None  # The driver's work was cancelled, and nobody else.
            raise
        except Exception as exc:
            if self._over:
                raise self._too_long(limit) from None
            if ended or self.has_lost(exc):
                self.broken = True
                raise lost_error(self.why_lost(exc), "no" if ended else "unknown") from None
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
        self._over = True
        self._stopping = asyncio.ensure_future(self._interrupt_at_last())

    async def _interrupt_at_last(self) -> None:
        try:
            async with asyncio.timeout(_STOP_WAIT_S):
                await self.interrupt()
        except Exception as exc:
            log.debug("interrupting a statement failed: %s", type(exc).__name__)

    async def _protected(self, work: Coroutine[Any, Any, _T]) -> _T:
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
        """After cancelled work: bring the driver where the next statement can go, in the same transaction."""

    async def _settled(self) -> None:
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self.settle()
        except Exception as exc:
            log.info("a connection is discarded after a cancelled statement: %s", type(exc).__name__)
            self.broken = True

    async def _stop(self, task: asyncio.Future[Any]) -> None:
        for wait_s in STOP_WAITS_S:
            if task.done():
                break
            await self._interrupt_at_last()
            await asyncio.wait([task], timeout=wait_s)
        if not task.done():
            self.broken = True
            task.cancel()
            await asyncio.wait([task], timeout=_STOP_WAIT_S)
        elif not task.cancelled():
            task.exception()  # Seen: it ended because it was stopped.

    async def mark(self) -> None:  # noqa: B027 - not every database needs it
        """Remember the transaction that is open now."""

    async def is_marked(self) -> bool:
        """Whether the remembered transaction is still open."""
        return self.tx_state() is not TxState.NONE

    async def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        await self._command(f"SAVEPOINT rpc_{name}")

    async def rollback_to(self, name: str) -> None:
        """Undo everything since a savepoint, which stays."""
        await self._command(f"ROLLBACK TO SAVEPOINT rpc_{name}")

    async def release(self, name: str) -> None:
        """Forget a savepoint; what was done since stays."""
        await self._command(f"RELEASE SAVEPOINT rpc_{name}")

    async def _command(self, sql: str) -> None:
        cursor = await self.execute(sql, None, 1)
        await cursor.close()


async def finish(work: Coroutine[Any, Any, _T] | asyncio.Future[_T]) -> _T:
    """Do something to its end even where the caller is cancelled meanwhile; the cancellation comes after it."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            if task.cancelled():
                raise
            cancelled = exc
        except Exception:
            break
    if cancelled is not None:
        raise cancelled
    return task.result()


def unsupported_isolation(dialect: str, isolation: Isolation) -> DatabaseNotSupportedError:
    """The error for an isolation that a database does not offer."""
    return DatabaseNotSupportedError(f"isolation: {dialect} does not offer {isolation.value!r}", executed="no")
