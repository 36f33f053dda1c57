# Generated from the service database by `make stubs`. Do not edit: change that, and generate anew.

"""The service 'database' of a group, typed for the asynchronous client."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from rpcclient.aio.group_stub import AsyncGroupStub
from rpcclient.aio.outcomes import AsyncGroupStream, AsyncOutcomes
from rpcclient.aio.stub import AsyncStub
from rpcclient.aio.stubs.database import AsyncDatabase
from rpcclient.stubs.database import (
    Changed,
    DatabaseInfo,
    Description,
    Page,
    Plan,
    Result,
    Step,
    StepResult,
    TableInfo,
    TableName,
)
from rpcwire.values.tagged import Value


class AsyncGroupDatabase(AsyncGroupStub):
    """Queries and changes databases: SQLite, PostgreSQL, MariaDB and MySQL, and others that SQLAlchemy knows.

    Clients name a database, never a URL. Parameters in SQL are ``:name`` with a dictionary, or ``?`` with a list.
    Each statement outside a transaction commits itself. ``query`` and ``stream`` read only, and the database itself
    sees to that; ``execute`` may change.

    Each method calls all nodes of a group. What takes streams, or belongs to a connection, is left out.
    """

    def explain(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        analyze: bool = False,
        transaction: str | None = None,
    ) -> AsyncOutcomes[Plan]:
        """How the database would run a statement. Outside a transaction this changes nothing.

        Parameters:
            database, sql, params, transaction: as of :meth:`query`.
            analyze: run it, and measure; not in SQLite. In a transaction, what it changes belongs to that.

        Returns:
            The plan, as text and as the database's rows.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        return self._call(
            "explain",
            {"database": database, "sql": sql, "params": params, "analyze": analyze, "transaction": transaction},
        )

    def describe(self, database: str, sql: str, *, transaction: str | None = None) -> AsyncOutcomes[Description]:
        """What a statement takes and gives, without running it.

        Parameters:
            database, sql, transaction: as of :meth:`query`.

        Returns:
            Its parameters, its columns, and whether it only reads. SQLite and MariaDB tell the columns of ``RETURNING``
            only while it runs.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        return self._call("describe", {"database": database, "sql": sql, "transaction": transaction})

    def schemas(self, database: str) -> AsyncOutcomes[list[str]]:
        """The schemas of a database.

        Parameters:
            database: its name.

        Returns:
            Their names.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        return self._call("schemas", {"database": database})

    def tables(self, database: str, *, schema: str | None = None) -> AsyncOutcomes[list[TableName]]:
        """The tables and views of a schema.

        Parameters:
            database: its name.
            schema: the schema; the default one where not given.

        Returns:
            Their names and kinds, in the order of their names.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        return self._call("tables", {"database": database, "schema": schema})

    def table(self, database: str, name: str, *, schema: str | None = None) -> AsyncOutcomes[TableInfo]:
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
        return self._call("table", {"database": database, "name": name, "schema": schema})

    def copy_out(self, database: str, sql: str, *, transaction: str | None = None) -> AsyncGroupStream[bytes]:
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

    def databases(self) -> AsyncOutcomes[list[DatabaseInfo]]:
        """The databases that the caller may use in some way."""
        return self._call("databases", {})

    def query(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        transaction: str | None = None,
        max_rows: int | None = None,
    ) -> AsyncOutcomes[Result]:
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
        return self._call(
            "query",
            {"database": database, "sql": sql, "params": params, "transaction": transaction, "max_rows": max_rows},
        )

    def execute(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        transaction: str | None = None,
        max_rows: int | None = None,
    ) -> AsyncOutcomes[Result]:
        """Run one statement that may change the database, and return the rows it gives, if any (``RETURNING``).

        Parameters, result and errors are those of :meth:`query`.
        """
        return self._call(
            "execute",
            {"database": database, "sql": sql, "params": params, "transaction": transaction, "max_rows": max_rows},
        )

    def stream(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        transaction: str | None = None,
        page_rows: int | None = None,
    ) -> AsyncGroupStream[Page]:
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

    def executemany(
        self,
        database: str,
        sql: str,
        params: list[dict[str, Value]] | list[list[Value]],
        *,
        transaction: str | None = None,
        first_row: Annotated[int, Field(ge=0)] = 0,
    ) -> AsyncOutcomes[Changed]:
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
        return self._call(
            "executemany",
            {"database": database, "sql": sql, "params": params, "transaction": transaction, "first_row": first_row},
        )

    def batch(
        self,
        database: str,
        steps: list[Step],
        *,
        atomic: bool = True,
        transaction: str | None = None,
        max_rows: int | None = None,
    ) -> AsyncOutcomes[list[StepResult]]:
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
        return self._call(
            "batch",
            {"database": database, "steps": steps, "atomic": atomic, "transaction": transaction, "max_rows": max_rows},
        )

    def script(
        self, database: str, sql: str, *, atomic: bool = True, transaction: str | None = None
    ) -> AsyncOutcomes[Changed]:
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
        return self._call("script", {"database": database, "sql": sql, "atomic": atomic, "transaction": transaction})

    _stub: ClassVar[type[AsyncStub]] = AsyncDatabase
