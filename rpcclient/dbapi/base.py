"""What synchronous and asynchronous connections and cursors share: the parts that never wait."""

from __future__ import annotations

from typing import Any, ClassVar

from rpcclient.stubs.database import Column, Isolation

from . import errors
from .results import BufferedRows, Results
from .session import Session
from .types import Description, describe


def _setting(name: str, doc: str) -> property:
    def get(self: ConnectionBase) -> Any:
        return getattr(self._session, name)

    def put(self: ConnectionBase, value: Any) -> None:
        setattr(self._session, name, value)

    return property(get, put, doc=doc)


def _of_this_process(name: str) -> Any:
    """A method of SQLite's own driver that a remote database cannot have: it raises NotSupportedError."""

    def refuse(self: ConnectionBase, *arguments: Any, **keywords: Any) -> None:  # noqa: ARG001 - whatever is given
        raise errors.NotSupportedError(
            f"{name}: the database runs on the server, where it cannot call what is in this process: do it in SQL, or "
            "in Python after reading"
        )

    refuse.__name__ = name
    refuse.__doc__ = "Not offered: the database runs on the server."
    return refuse


class ConnectionBase:
    """The state of a connection."""

    Error: ClassVar = errors.Error
    Warning: ClassVar = errors.Warning
    InterfaceError: ClassVar = errors.InterfaceError
    DatabaseError: ClassVar = errors.DatabaseError
    DataError: ClassVar = errors.DataError
    OperationalError: ClassVar = errors.OperationalError
    IntegrityError: ClassVar = errors.IntegrityError
    InternalError: ClassVar = errors.InternalError
    ProgrammingError: ClassVar = errors.ProgrammingError
    NotSupportedError: ClassVar = errors.NotSupportedError

    _session: Session

    create_function: ClassVar = _of_this_process("create_function")
    create_aggregate: ClassVar = _of_this_process("create_aggregate")
    create_window_function: ClassVar = _of_this_process("create_window_function")
    create_collation: ClassVar = _of_this_process("create_collation")

    autocommit: bool = _setting("autocommit", "Let each statement commit itself, once no transaction is open.")  # type: ignore[assignment]
    readonly: bool = _setting("readonly", "Have the database refuse every change in the transactions to come.")  # type: ignore[assignment]
    deferrable: bool = _setting("deferrable", "PostgreSQL: let transactions wait until they cannot fail.")  # type: ignore[assignment]

    @property
    def isolation(self) -> Isolation | None:
        """The isolation level of later transactions; the database's default if ``None``."""
        return self._session.isolation

    @isolation.setter
    def isolation(self, level: Isolation | str | None) -> None:
        self._session.isolation = isolation_of(level)

    @property
    def database(self) -> str:
        """The name of the database."""
        return self._session.database

    @property
    def dialect(self) -> str:
        """The kind of the database: ``sqlite``, ``postgresql``, ``mysql``, ``mariadb``, or another of SQLAlchemy's."""
        return self._session.dialect

    @property
    def closed(self) -> bool:
        """Whether the connection is closed or lost."""
        return self._session.closed

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, as the server reports it."""
        return self._session.in_transaction


class CursorBase:
    """The state of a cursor.

    Attributes:
        arraysize: how many rows ``fetchmany`` returns where not told.
        server_side: whether rows are taken from the database as they are fetched.
    """

    def __init__(self, session: Session, *, server_side: bool) -> None:
        self.arraysize = 1
        self._session = session
        self.server_side = server_side
        self._results: Results | None = None
        self._change_count = -1
        self._closed = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the rows, with all that the server says of them; none if the statement returned no rows."""
        return () if self._results is None else self._results.columns

    @property
    def description(self) -> list[Description] | None:
        """The columns of the rows (PEP 249); ``None`` if the statement returned no rows."""
        return None if self._results is None else describe(self.columns, gives_rows=self._results.gives_rows)

    @property
    def rowcount(self) -> int:
        """How many rows were found or changed; -1 if unknown."""
        return self._change_count if self._results is None else self._results.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The key that the database gave to the row of an INSERT, if it says so."""
        return None if self._results is None else self._results.last_insert_id

    @property
    def messages(self) -> list[tuple[type[errors.Warning], str]]:
        """The warnings of the last statement, each with its class (PEP 249)."""
        return [] if self._results is None else [(errors.Warning, notice) for notice in self._results.notices]

    def setinputsizes(self, sizes: Any) -> None:
        """Do nothing (PEP 249): the server needs no sizes in advance."""

    def setoutputsize(self, size: Any, column: Any = None) -> None:
        """Do nothing (PEP 249): the server needs no sizes in advance."""

    def _check(self) -> None:
        if self._closed:
            raise errors.InterfaceError("the cursor is closed")
        self._session.check_here()

    def _rows(self) -> Results:
        if self._closed:
            raise errors.InterfaceError("the cursor is closed")
        if self._results is None or not self._results.gives_rows:
            raise errors.ProgrammingError("the last statement gave no rows")
        return self._results

    def _size(self, size: int | None) -> int:
        """How many rows ``fetchmany`` is to return."""
        count = self.arraysize if size is None else size
        if not isinstance(count, int) or count < 0:
            name = "arraysize" if size is None else "size"
            raise errors.ProgrammingError(
                f"{name}: the rows to fetch, from 0, not {count!r}; fetchall takes all of them"
            )
        return count

    def _next_at_hand(self) -> tuple[bool, tuple[Any, ...] | None]:
        """Whether all rows have arrived, and the next of them."""
        results = self._rows()
        if isinstance(results, BufferedRows):
            return True, next(results.rows, None)
        return False, None


def isolation_of(level: Isolation | str | None) -> Isolation | None:
    """A level by its name in SQL.

    Raises:
        ProgrammingError: there is no such level.
    """
    if not isinstance(level, str):
        return level
    try:
        return Isolation(level.replace("_", " ").lower())
    except ValueError:
        levels = ", ".join(repr(one.value) for one in Isolation)
        raise errors.ProgrammingError(f"isolation: no level is called {level!r}; there are {levels}") from None
