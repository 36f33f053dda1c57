"""What all parts of the database service share: the databases, the transactions, and how a statement gets a link."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from rpcserver import (
    Context,
    Figure,
    Guard,
    Health,
    MethodSpec,
    Principal,
    Reload,
    Service,
    ServiceConfigError,
    ServiceRole,
    Unavailable,
)
from rpcwire import tracing
from rpcwire.secret import hide, secrets_in

from .backends.base import Link, finish
from .config import DatabaseServiceConfig
from .errors import (
    DatabaseDataError,
    DatabaseError,
    DatabaseIntegrityError,
    DatabaseInternalError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    DatabaseRefused,
    TransactionLost,
    UnknownDatabase,
)
from .failures import is_refused, translate_error
from .models import TxState
from .opening import Opening
from .pool import Pool, Target, close_all
from .reading import state_after
from .roles import RIGHTS, Access, DatabaseRole, check_conditions, check_right
from .transactions import Transactions

_T = TypeVar("_T")

ERRORS = (
    DatabaseError, DatabaseDataError, DatabaseOperationalError, DatabaseIntegrityError, DatabaseInternalError,
    DatabaseProgrammingError, DatabaseRefused, DatabaseNotSupportedError, UnknownDatabase, TransactionLost,
)  # fmt: skip


_END_S = 10.0
"""How long it may take to undo work."""

_NO_ROLE = ServiceRole("", frozenset(), DatabaseRole(databases=()))
"""The role of whoever is in none."""


def _never() -> None:
    """The link of this call has no transaction that could end."""


@dataclass(frozen=True, slots=True)
class LentLink:
    """A link for one call.

    Attributes:
        link: the link on which the call's statements run.
        within: whether they run in a transaction of the client.
        readonly: whether the database refuses every change there.
        session: whether the link stays with the client afterwards.
        own: whether the link belongs to this call only, and goes back to the pool after it.
        loss: returns the error to raise if the transaction ended while a statement ran.
        only_explains: whether it must change nothing outside a transaction, and is to say so.
    """

    link: Link
    within: bool
    readonly: bool
    session: bool = False
    own: bool = False
    loss: Callable[[], TransactionLost | None] = _never
    only_explains: bool = False

    async def clear(self) -> None:
        """End the transaction that a statement on its own has left open: its guard, or one that it began itself."""
        stays_open = self.session and not self.link.readonly
        if not (self.within or stays_open) and self.link.tx_state() not in (TxState.NONE, TxState.ENDED):
            await self.link.rollback()

    def run(self, work: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        """Do a piece of work on the link. It stops when the caller is cancelled; every exception becomes one of
        ours."""
        return self._run(work) if tracing.tracer is None else self._run_traced(work, tracing.tracer)

    async def _run_traced(self, work: Coroutine[Any, Any, _T], tracer: tracing.Tracer) -> _T:
        with tracer.begin("database statement", {"db.system.name": self.link.dialect}):
            return await self._run(work)

    async def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            return await self.link.run(work)
        except Exception as exc:
            raise self.error_for(exc) from None

    def error_for(self, exc: Exception, step: int | None = None) -> Exception:
        """Translate an exception of the driver to the error of this service."""
        loss = self.loss()
        if loss is not None:
            return loss
        error = translate_error(exc, tx_state=self.state().value, step=step)
        if error is not exc and isinstance(error, DatabaseError) and (remedy := self._remedy(error)):
            error.message += f"; {remedy}"
            error.args = (error.message,)
        return error

    def _remedy(self, error: DatabaseError) -> str | None:
        """The remedy for a statement that the database refused; the database's own message names none."""
        if not is_refused(error):
            return None
        if self.link.config.readonly:
            return "the server's configuration makes this database read-only"
        if self.only_explains and not self.within:
            return "outside a transaction explain changes nothing: begin one, explain in it, and roll it back"
        if self.session or self.within:
            if self.readonly:
                return f"this {'transaction' if self.within else 'session'} only reads"
        elif self.readonly:
            return "query and stream only read: use execute"
        if error.driver_code == "SQLITE_AUTH":
            return "only the server's configuration may set other files, extensions and settings of the connection"
        return None

    def state(self) -> TxState:
        """The state of the transaction, to report after a statement."""
        return state_after(self.link, within=self.within, session=self.session)

    def refuse_open_transaction(self) -> None:
        """Refuse a statement that opened a transaction by itself; :meth:`clear` or the pool rolls it back."""
        if not (self.within or self.session or self.link.readonly) and self.link.tx_state() is not TxState.NONE:
            raise DatabaseProgrammingError(
                "the statement opened a transaction, which has been rolled back: call begin, and give its id"
            )


class Lending:
    """Lends a link for a ``with`` block: the transaction's, or one for this block alone.

    Parameters:
        pool: gives a link if there is no transaction.
        holder: the name of the principal for whom it is.
        transaction: gives the transaction's link.
    """

    __slots__ = ("_holder", "_link", "_pool", "_transaction")

    def __init__(self, pool: Pool, holder: str, transaction: AbstractAsyncContextManager[LentLink] | None) -> None:
        self._pool = pool
        self._holder = holder
        self._transaction = transaction
        self._link: Link | None = None

    async def __aenter__(self) -> LentLink:
        if self._transaction is not None:
            return await self._transaction.__aenter__()
        self._link = link = await self._pool.acquire(self._holder)
        return LentLink(link, within=False, readonly=link.readonly, own=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._transaction is not None:
            return await self._transaction.__aexit__(kind, exc, trace)
        assert self._link is not None
        self._pool.release(self._link)
        return None


class DatabaseCore(Service[DatabaseServiceConfig]):
    """The databases and the open transactions."""

    permissions: ClassVar[Mapping[str, str]] = {
        "database.query": "list databases, and read: query, stream, explain, describe, copy_out",
        "database.execute": "change: execute, executemany, batch, copy_in",
        "database.script": "run scripts",
        "database.transaction": "begin transactions and sessions; those that may write need execute or script, too",
        "database.schema": "list schemas and tables",
    }
    role_model = DatabaseRole

    async def start(self) -> None:
        self._transactions = Transactions()
        self._targets: dict[str, Target] = {}
        self._former_targets: list[Target] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._accesses: dict[str, Access] = {}
        self._openings: dict[str, Opening] = {}
        try:
            # A thread, because a URL needs SQLAlchemy, which takes long to load: others start meanwhile.
            self._targets = await asyncio.to_thread(self._make_targets)
        except ValueError as exc:
            raise ServiceConfigError(str(exc)) from None
        self._openings = {name: Opening(target) for name, target in self._targets.items()}
        tries = await asyncio.gather(*(opening.try_once() for opening in self._openings.values()))
        if tries and not any(tries):  # Then there is nothing to offer, which an essential service must say.
            reasons = (f"databases.{name} cannot be opened: {each.reason}" for name, each in self._openings.items())
            raise Unavailable("; ".join(reasons))
        for opening, is_open in zip(list(self._openings.values()), tries, strict=True):
            if is_open:
                self._note_open(opening)
            else:
                opening.go_on(partial(self._note_open, opening))

    def _make_targets(self) -> dict[str, Target]:
        place = self.runtime.state_dir, self.config.secrets_dir
        return {name: Target(name, config, *place) for name, config in self.config.databases.items()}

    def _note_open(self, opening: Opening) -> None:
        name = opening.target.name
        if self._openings.get(name) is opening:
            del self._openings[name]

    async def prepare_reload(self, config: DatabaseServiceConfig, roles: tuple[ServiceRole, ...]) -> Reload:  # noqa: ARG002
        """Make new pools for the databases whose settings or passwords have changed. As at the start, a server is first
        asked when a client uses its database. A database that is new, or that works, must open with its new settings.
        One that was not open before may stay so: it must not keep an operator from changing something else."""
        state_dir = self.runtime.state_dir
        targets: dict[str, Target] = {}
        openings: dict[str, Opening] = {}
        try:
            for name, each in config.databases.items():
                old = self._targets.get(name)
                place = each, state_dir, config.secrets_dir
                if old is not None and await asyncio.to_thread(old.fits, *place):
                    targets[name] = old
                    continue
                targets[name] = target = await asyncio.to_thread(Target, name, *place)
                await asyncio.to_thread(target.prepare)
                opening = Opening(target)
                if await opening.try_once():
                    continue
                if name not in self._openings:
                    raise ServiceConfigError(f"databases.{name}: the database cannot be opened: {opening.reason}")
                openings[name] = opening
        except ValueError as exc:
            raise ServiceConfigError(str(exc)) from None
        return Reload(partial(self._use, targets, openings))

    def _use(self, targets: dict[str, Target], openings: dict[str, Opening]) -> None:
        """Use other databases from now on. What runs on those of before goes on there, and their connections close as
        they come back; but transactions and sessions end where the database is gone, or only reads from now on.

        Parameters:
            targets: the databases.
            openings: those of them that are not open, and whose settings are new.
        """
        before, self._targets = self._targets, targets
        self._accesses.clear()
        self._use_openings(openings)
        self._former_targets = [target for target in self._former_targets if target.is_in_use]
        for name, old in before.items():
            new = targets.get(name)
            if new is old:
                continue
            if new is None:
                self._transactions.withdraw(old, "the database was taken out of the server's configuration")
            elif new.config.readonly and not old.config.readonly:
                reason = "the server's configuration has made the database read-only"
                self._transactions.withdraw(old, reason, only_writing=True)
            self._former_targets.append(old)
            self._close_later(old.close())

    def _use_openings(self, openings: dict[str, Opening]) -> None:
        before, self._openings = self._openings, openings
        for name, opening in before.items():
            if self._targets.get(name) is opening.target:
                self._openings[name] = opening
                opening.hasten()  # Perhaps the reload was made because its fault is gone.
            else:
                self._close_later(opening.close())
        for opening in openings.values():
            opening.go_on(partial(self._note_open, opening))

    def _close_later(self, work: Coroutine[Any, Any, None]) -> None:
        closing = asyncio.ensure_future(work)
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def check_settings(self, state_dir: Path) -> None:
        """Find the dialect, the driver and the password of each database."""
        try:
            for name, config in self.config.databases.items():
                Target(name, config, state_dir, self.config.secrets_dir)
        except ValueError as exc:
            raise ServiceConfigError(str(exc)) from None

    async def check_connections(self, state_dir: Path) -> Mapping[str, str]:
        """Connect to each database. One that the server would make at its start is left out."""
        failures: dict[str, str] = {}
        for name, config in self.config.databases.items():
            try:
                target = Target(name, config, state_dir, self.config.secrets_dir)
                try:
                    await target.try_connection()
                finally:
                    await target.close()
            except (ValueError, DatabaseError) as exc:
                failures[f"databases.{name}"] = hide(str(exc), secrets_in(config))
        return failures

    async def warm_up(self) -> None:
        """Load SQLAlchemy and the drivers, in a thread."""
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        importlib.import_module("rpcservices.database.inspection")
        for target in list(self._targets.values()):
            target.prepare()

    async def stop(self) -> None:
        await self._transactions.close()
        await asyncio.gather(*(opening.close() for opening in self._openings.values()))
        if self._closing:
            await asyncio.wait(self._closing)
        await close_all(*(target.close() for target in (*self._targets.values(), *self._former_targets)))

    async def health(self) -> Health:
        if not self._targets:
            return Health(ok=False, reason="no database is configured")
        if not self._openings:
            return Health()
        reason = f"{len(self._openings)} of {len(self._targets)} databases cannot be opened"
        details = "; ".join(
            f"{name} cannot be opened: {opening.reason} (tried again in {opening.wait_s:.0f} s)"
            for name, opening in self._openings.items()
        )
        return Health(ok=False, reason=reason, details=details)

    def figures(self) -> Iterable[Figure]:
        """The open transactions and sessions, whether each database is open, and the connections to it."""
        yield Figure("transactions_open", len(self._transactions), "Transactions and sessions that are open.")
        for name, target in self._targets.items():
            is_open = int(name not in self._openings)
            yield Figure("open", is_open, "Whether a database is open, so that calls may use it.", {"database": name})
            for use, pool in (("reading", target.reading), ("writing", target.writing)):
                if use == "reading" or target.writing is not target.reading:
                    labels = {"database": name, "pool": use}
                    yield Figure("connections_used", pool.lent_count, "Connections to a database in use.", labels)
                    yield Figure("connections_idle", pool.idle_count, "Connections to a database at rest.", labels)
                    yield Figure("callers_waiting", pool.waiting_count, "Calls that wait for a connection.", labels)

    def check_role(self, role: ServiceRole) -> None:
        """Make sure that a role's conditions name databases that exist, and rights that its permissions give."""
        check_conditions(role, self.config.databases)

    def guard(self, method: MethodSpec) -> Guard | None:
        """Return what compares the database of a call, and whether it may write, with the caller's role."""
        names = {parameter.name for parameter in method.contract.parameters}
        if "database" not in names:
            return None
        right = RIGHTS[method.permission]
        may_write = "readonly" in names

        def check(principal: Principal, arguments: Mapping[str, Any]) -> None:
            access, name = self._access_of(principal), arguments["database"]
            if name not in access.rights:
                raise _unknown(name, access.rights)
            writing = may_write and not (arguments.get("readonly", False) or self._target(name).config.readonly)
            check_right(principal, access, name, right, writing=writing)

        return check

    def _target(self, name: str) -> Target:
        """Return a database. It may be gone since the call was admitted.

        Raises:
            UnknownDatabase: there is none of this name.
            Unavailable: it is not open.
        """
        target = self._targets.get(name)
        if target is None:
            raise _unknown(name, ())
        if self._openings and name in self._openings:
            raise self._openings[name].error()
        return target

    def _access_of(self, principal: Principal) -> Access:
        """What a caller may do to each database."""
        role = self.runtime.role_of(principal) or _NO_ROLE
        access = self._accesses.get(role.name)
        if access is None or access.role is not role:
            access = self._accesses[role.name] = Access(role, self._targets)
        return access

    def _lend(self, ctx: Context, target: Target, transaction: str | None, *, readonly: bool) -> Lending:
        """Lend a link for a call: the transaction's, or one of its own."""
        lending = None if transaction is None else self._lend_of_transaction(ctx, target, transaction)
        return Lending(target.pool(readonly=readonly), ctx.principal.name, lending)

    @asynccontextmanager
    async def _lend_of_transaction(self, ctx: Context, target: Target, transaction: str) -> AsyncIterator[LentLink]:
        async with self._transactions.use(transaction, target.name, ctx.connection) as tx:
            within = tx.active
            try:
                session = bool(tx.session_idle_s)
                loss = partial(self._transactions.loss_of, tx)
                yield LentLink(tx.link, within=within, readonly=tx.readonly, session=session, loss=loss)
            finally:
                link = tx.link
                open_ = not link.is_broken and link.tx_state() not in (TxState.NONE, TxState.ENDED)
                if not within and link.readonly and open_:
                    await finish(link.run(link.rollback()))  # It was the guard of a statement on its own.

    async def _in_own_transaction(
        self, loan: LentLink, work: Callable[[], Coroutine[Any, Any, _T]], *, readonly: bool = False
    ) -> _T:
        """Do some work that runs its own statements on the link by ``loan.run()``, in a transaction of its own, which
        only reads if ``readonly`` is set or the link only reads.

        Raises:
            DatabaseError: the work failed, and has been undone.
        """
        link = loan.link
        await loan.run(link.begin(None, readonly=readonly or link.readonly))
        try:
            result = await work()
            if link.tx_state() is not TxState.NONE:
                await loan.run(link.commit())
        except BaseException as exc:
            try:
                await finish(link.run(link.rollback(), timeout_s=_END_S))
            except Exception:
                link.is_broken = True  # Closing it rolls back.
            note_end(exc)
            raise
        return result

    async def _within(self, loan: LentLink, work: Callable[[], Coroutine[Any, Any, _T]], *, atomic: bool) -> _T:
        """Do some work on a link. If ``atomic`` is set and no transaction is open, the work gets one of its own.

        Raises:
            DatabaseError: the work failed. If it had a transaction of its own, it has been undone.
        """
        link = loan.link
        if loan.within or not atomic:
            return await work()
        await link.begin(None, readonly=link.readonly)
        try:
            result = await work()
            if link.tx_state() is not TxState.NONE:
                await link.commit()
        except BaseException as exc:
            try:
                await link.rollback()
            except Exception:
                link.is_broken = True  # Closing it rolls back.
            note_end(exc)
            raise
        return result


def _unknown(name: str, visible: Iterable[str]) -> UnknownDatabase:
    names = ", ".join(sorted(visible)) or "none"
    return UnknownDatabase(
        f"database: no database is named {name[:64]!r}; there are: {names}", executed="no", database=name[:64]
    )


def note_end(exc: BaseException) -> None:
    """Note in an error that the transaction in which it was raised is over."""
    if isinstance(exc, DatabaseError) and exc.tx_state != "none":
        exc.tx_state = "none"
        exc.details = {**exc.details, "tx_state": "none"}
