# Generated from the service database by `make stubs`. Do not edit: change that, and generate anew.

"""The service 'database', typed for the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from rpcclient.aio.stream import AsyncStream
from rpcclient.aio.stub import AsyncStub
from rpcclient.methods import StubMethod
from rpcclient.stubs.database import (
    Changed,
    DatabaseDataError,
    DatabaseError,
    DatabaseInfo,
    DatabaseIntegrityError,
    DatabaseInternalError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    DatabaseRefused,
    Description,
    Isolation,
    Page,
    Plan,
    Result,
    Session,
    Step,
    StepResult,
    TableInfo,
    TableName,
    Transaction,
    TransactionLost,
    TxState,
    UnknownDatabase,
)
from rpcwire.values.tagged import Value


class AsyncDatabase(AsyncStub):
    """Queries and changes databases: SQLite, PostgreSQL, MariaDB and MySQL, and others that SQLAlchemy knows.

    Clients name a database, never a URL. Parameters in SQL are ``:name`` with a dictionary, or ``?`` with a list.
    Each statement outside a transaction commits itself. ``query`` and ``stream`` read only, and the database itself
    sees to that; ``execute`` may change.
    """

    async def explain(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        analyze: bool = False,
        transaction: str | None = None,
    ) -> Plan:
        """How the database would run a statement. Outside a transaction this changes nothing.

        Parameters:
            database, sql, params, transaction: as of :meth:`query`.
            analyze: run it, and measure; not in SQLite. In a transaction, what it changes belongs to that.

        Returns:
            The plan, as text and as the database's rows.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        result: Plan = await self._call(
            "explain",
            {"database": database, "sql": sql, "params": params, "analyze": analyze, "transaction": transaction},
        )
        return result

    async def describe(self, database: str, sql: str, *, transaction: str | None = None) -> Description:
        """What a statement takes and gives, without running it.

        Parameters:
            database, sql, transaction: as of :meth:`query`.

        Returns:
            Its parameters, its columns, and whether it only reads. SQLite and MariaDB tell the columns of ``RETURNING``
            only while it runs.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        result: Description = await self._call(
            "describe", {"database": database, "sql": sql, "transaction": transaction}
        )
        return result

    async def schemas(self, database: str) -> list[str]:
        """The schemas of a database.

        Parameters:
            database: its name.

        Returns:
            Their names.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        result: list[str] = await self._call("schemas", {"database": database})
        return result

    async def tables(self, database: str, *, schema: str | None = None) -> list[TableName]:
        """The tables and views of a schema.

        Parameters:
            database: its name.
            schema: the schema; the default one where not given.

        Returns:
            Their names and kinds, in the order of their names.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        result: list[TableName] = await self._call("tables", {"database": database, "schema": schema})
        return result

    async def table(self, database: str, name: str, *, schema: str | None = None) -> TableInfo:
        """Everything about one table or view: columns, keys, indexes, constraints.

        Parameters:
            database: its name.
            name: the table's.
            schema: the schema; the default one where not given.

        Returns:
            The table.

        Raises:
            DatabaseProgrammingError: there is no such table.
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        result: TableInfo = await self._call("table", {"database": database, "name": name, "schema": schema})
        return result

    async def copy_in(
        self, database: str, sql: str, data: AsyncIterable[bytes], *, transaction: str | None = None
    ) -> Changed:
        """PostgreSQL: run ``COPY … FROM STDIN``, and have it read what the client sends. All rows go in, or none.

        Parameters:
            database, transaction: as of :meth:`execute`.
            sql: the statement, which says the format: text, csv or binary.
            data: the rows in that format, in pieces of any length; text in UTF-8. Whoever sends nothing for the
                configured ``stream_idle_s`` ends it.

        Returns:
            How many rows were copied.

        Raises:
            DatabaseNotSupportedError: the database is not PostgreSQL.
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        result: Changed = await self._call(
            "copy_in", {"database": database, "sql": sql, "data": data, "transaction": transaction}
        )
        return result

    def copy_out(self, database: str, sql: str, *, transaction: str | None = None) -> AsyncStream[bytes]:
        """PostgreSQL: run ``COPY … TO STDOUT``, and give what it writes. Closing the stream stops the database's work,
        and so does reading nothing for the configured ``stream_idle_s``.

        Parameters:
            database, transaction: as of :meth:`query`.
            sql: the statement, which says the format: text, csv or binary.

        Returns:
            The rows in that format, in pieces of any length; text in UTF-8.

        Raises:
            DatabaseNotSupportedError: the database is not PostgreSQL.
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        return self._stream("copy_out", {"database": database, "sql": sql, "transaction": transaction})

    async def begin(
        self, database: str, *, isolation: Isolation | None = None, readonly: bool = False, session: str | None = None
    ) -> Transaction:
        """Open a transaction. It belongs to this connection: it is rolled back when the connection ends, when it is
        unused for too long, or open for too long.

        Parameters:
            database: its name.
            isolation: the isolation level; the configured one, or else the database's own, where not given.
            readonly: have the database refuse every change in it.
            session: the id of a session to begin it in; the transaction has the same id.

        Returns:
            The transaction; its ``id`` goes with each statement that belongs to it, and each renews its lease.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        result: Transaction = await self._call(
            "begin", {"database": database, "isolation": isolation, "readonly": readonly, "session": session}
        )
        return result

    async def commit(self, transaction: str) -> None:
        """Commit a transaction. Where that fails, it has been rolled back.

        Parameters:
            transaction: its id.

        Raises:
            DatabaseError: the database refused.
            TransactionLost: it is no more.
        """
        await self._call("commit", {"transaction": transaction})

    async def rollback(self, transaction: str) -> None:
        """Roll a transaction back.

        Parameters:
            transaction: its id.

        Raises:
            DatabaseError: the database refused; the connection to it is closed, which rolls back.
            TransactionLost: it is no more.
        """
        await self._call("rollback", {"transaction": transaction})

    async def connect(self, database: str, *, readonly: bool = False) -> Session:
        """Keep one connection to the database for this client: what it sets stays from statement to statement. For
        drivers that look like a connection of their own; a mere transaction costs less.

        Parameters:
            database: its name.
            readonly: have the database refuse every change.

        Returns:
            The session; its ``id`` is given as ``transaction`` to statements.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        result: Session = await self._call("connect", {"database": database, "readonly": readonly})
        return result

    async def disconnect(self, session: str) -> None:
        """End a session; what is open in it is rolled back.

        Parameters:
            session: its id.

        Raises:
            TransactionLost: it is no more.
        """
        await self._call("disconnect", {"session": session})

    async def renew(self, transaction: str) -> TxState:
        """Keep a transaction from being rolled back as unused: its idle time starts anew, its total time goes on.

        Parameters:
            transaction: its id.

        Returns:
            Its state; after a statement that was cancelled, this is the way to learn it.

        Raises:
            TransactionLost: it is no more.
        """
        result: TxState = await self._call("renew", {"transaction": transaction})
        return result

    async def savepoint(self, transaction: str, name: str) -> None:
        """Set a savepoint in a transaction.

        Parameters:
            transaction: its id.
            name: letters, digits and underscores.

        Raises:
            DatabaseError: the database refused.
            TransactionLost: it is no more.
        """
        await self._call("savepoint", {"transaction": transaction, "name": name})

    async def rollback_to(self, transaction: str, name: str) -> None:
        """Undo everything since a savepoint, which stays. A failed transaction is active again afterwards.

        Parameters and errors are those of :meth:`savepoint`.
        """
        await self._call("rollback_to", {"transaction": transaction, "name": name})

    async def release(self, transaction: str, name: str) -> None:
        """Forget a savepoint; what was done since stays.

        Parameters and errors are those of :meth:`savepoint`.
        """
        await self._call("release", {"transaction": transaction, "name": name})

    async def databases(self) -> list[DatabaseInfo]:
        """The databases that the caller may use in some way."""
        result: list[DatabaseInfo] = await self._call("databases", {})
        return result

    async def query(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        transaction: str | None = None,
        max_rows: int | None = None,
    ) -> Result:
        """Read rows with one statement. Outside a transaction the database refuses any change; in one, the
        transaction's own mode decides.

        Parameters:
            database: its name, as :meth:`databases` lists it.
            sql: one statement.
            params: values for ``:name`` (a dictionary) or ``?`` (a list) in it.
            transaction: the id of an open transaction to run it in.
            max_rows: rows to return at most; the database's own limit where not given, or where it is lower.

        Returns:
            The rows and their columns; ``truncated`` where there were more.

        Raises:
            DatabaseError: the database refused; its subclasses say why.
            UnknownDatabase: no database has this name.
            TransactionLost: the transaction is no more.
        """
        result: Result = await self._call(
            "query",
            {"database": database, "sql": sql, "params": params, "transaction": transaction, "max_rows": max_rows},
        )
        return result

    async def execute(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        transaction: str | None = None,
        max_rows: int | None = None,
    ) -> Result:
        """Run one statement that may change the database, and return the rows it gives, if any (``RETURNING``).

        Parameters, result and errors are those of :meth:`query`.
        """
        result: Result = await self._call(
            "execute",
            {"database": database, "sql": sql, "params": params, "transaction": transaction, "max_rows": max_rows},
        )
        return result

    def stream(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        transaction: str | None = None,
        page_rows: int | None = None,
    ) -> AsyncStream[Page]:
        """Read any number of rows, page by page; neither side ever holds them all. Closing the stream stops the
        database's work, and so does reading nothing for the configured ``stream_idle_s``.

        Parameters:
            database, sql, params, transaction: as of :meth:`query`. A transaction runs nothing else meanwhile.
            page_rows: rows in one page at most; the database's own limit where not given, or where it is lower.

        Returns:
            Pages of rows, at least one.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        return self._stream(
            "stream",
            {"database": database, "sql": sql, "params": params, "transaction": transaction, "page_rows": page_rows},
        )

    async def executemany(
        self,
        database: str,
        sql: str,
        params: list[dict[str, Value]] | list[list[Value]],
        *,
        transaction: str | None = None,
        first_row: Annotated[int, Field(ge=0)] = 0,
    ) -> Changed:
        """Run one statement once for each set of parameters: all of them, or none.

        Parameters:
            database, sql, transaction: as of :meth:`execute`.
            params: a list of dictionaries (``:name``) or of lists (``?``).
            first_row: the number of the first set in errors, where the sets of one statement go in several calls.

        Returns:
            How many rows were changed.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        result: Changed = await self._call(
            "executemany",
            {"database": database, "sql": sql, "params": params, "transaction": transaction, "first_row": first_row},
        )
        return result

    async def executemany_parts(
        self, database: str, sql: str, params: AsyncIterable[list[dict[str, Value]] | list[list[Value]]]
    ) -> Changed:
        """Run one statement once for each set of parameters, of which there may be any number: all of them, or none.

        Parameters:
            database, sql: as of :meth:`execute`.
            params: the sets, in parts, each of which is as the parameter of :meth:`executemany`. Whoever sends nothing
                for the configured ``stream_idle_s`` ends it, and nothing is changed.

        Returns:
            How many rows were changed.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
            InvalidParams: a set does not fit.
        """
        result: Changed = await self._call("executemany_parts", {"database": database, "sql": sql, "params": params})
        return result

    async def batch(
        self,
        database: str,
        steps: list[Step],
        *,
        atomic: bool = True,
        transaction: str | None = None,
        max_rows: int | None = None,
    ) -> list[StepResult]:
        """Run several statements in one call. A step is skipped unless all its conditions on earlier steps hold.

        Parameters:
            database, transaction: as of :meth:`execute`.
            steps: the statements, their parameters and conditions.
            atomic: run all in one transaction; the first error undoes all and is raised, with its ``step``. Otherwise
                each commits itself, an error becomes the step's result, and the batch goes on.
            max_rows: rows to return at most, for each step.

        Returns:
            What became of each step.

        Raises:
            DatabaseError: a step of an atomic batch, or of one in a transaction, failed.
            InvalidParams: a condition names a step that is not earlier, or parameters of a step do not fit: nothing
                has run.
            UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        result: list[StepResult] = await self._call(
            "batch",
            {"database": database, "steps": steps, "atomic": atomic, "transaction": transaction, "max_rows": max_rows},
        )
        return result

    async def script(self, database: str, sql: str, *, atomic: bool = True, transaction: str | None = None) -> Changed:
        """Run several statements, one after another, without parameters; their rows are dropped.

        Parameters:
            database, transaction: as of :meth:`execute`.
            sql: the statements, separated by semicolons.
            atomic: run all in one transaction, which a script that says COMMIT or ROLLBACK cannot be (in MariaDB and
                MySQL, statements that define tables, and COMMIT, commit anyway).

        Returns:
            How many statements ran, and how many rows they changed.

        Raises:
            DatabaseNotSupportedError: the database, or the transaction, only reads.
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        result: Changed = await self._call(
            "script", {"database": database, "sql": sql, "atomic": atomic, "transaction": transaction}
        )
        return result

    _methods: ClassVar[Mapping[str, StubMethod]] = {
        "explain": StubMethod(
            "database.explain",
            explain,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "describe": StubMethod(
            "database.describe",
            describe,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "schemas": StubMethod(
            "database.schemas",
            schemas,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "tables": StubMethod(
            "database.tables",
            tables,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "table": StubMethod(
            "database.table",
            table,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "copy_in": StubMethod(
            "database.copy_in",
            copy_in,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "copy_out": StubMethod(
            "database.copy_out",
            copy_out,
            window=16,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "begin": StubMethod(
            "database.begin",
            begin,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
            group=False,
        ),
        "commit": StubMethod(
            "database.commit",
            commit,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
            group=False,
        ),
        "rollback": StubMethod(
            "database.rollback",
            rollback,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
            group=False,
        ),
        "connect": StubMethod(
            "database.connect",
            connect,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
            group=False,
        ),
        "disconnect": StubMethod(
            "database.disconnect",
            disconnect,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
            group=False,
        ),
        "renew": StubMethod(
            "database.renew",
            renew,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
            group=False,
        ),
        "savepoint": StubMethod(
            "database.savepoint",
            savepoint,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
            group=False,
        ),
        "rollback_to": StubMethod(
            "database.rollback_to",
            rollback_to,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
            group=False,
        ),
        "release": StubMethod(
            "database.release",
            release,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
            group=False,
        ),
        "databases": StubMethod(
            "database.databases",
            databases,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "query": StubMethod(
            "database.query",
            query,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "execute": StubMethod(
            "database.execute",
            execute,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "stream": StubMethod(
            "database.stream",
            stream,
            window=16,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "executemany": StubMethod(
            "database.executemany",
            executemany,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "executemany_parts": StubMethod(
            "database.executemany_parts",
            executemany_parts,
            deadline_s=3600.0,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "batch": StubMethod(
            "database.batch",
            batch,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
        "script": StubMethod(
            "database.script",
            script,
            errors=(
                DatabaseError,
                DatabaseDataError,
                DatabaseOperationalError,
                DatabaseIntegrityError,
                DatabaseInternalError,
                DatabaseProgrammingError,
                DatabaseRefused,
                DatabaseNotSupportedError,
                UnknownDatabase,
                TransactionLost,
            ),
        ),
    }
