"""The methods that describe statements and what a database holds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from rpcserver import Context, Value, method

from .core import ERRORS, DatabaseCore
from .models import Description, Plan, TableInfo, TableName
from .placeholders import check_text
from .reading import Limits, collect


class SchemaMethods(DatabaseCore):
    """Plans, descriptions and schemas."""

    @method(permission="database.query", kind="read", errors=ERRORS, message_bytes=None)
    async def explain(
        self,
        database: str,
        sql: str,
        params: dict[str, Value] | list[Value] | None = None,
        *,
        analyze: bool = False,
        transaction: str | None = None,
        ctx: Context,
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
        check_text(sql)
        target = self._target(database)
        config = target.config
        async with self._lend(ctx, target, transaction, readonly=True) as lent:
            loan = replace(lent, only_explains=True)
            limits = Limits(config.max_rows, config.max_bytes, config.page_rows)
            statement = loan.link.explain_sql(sql, analyze=analyze)
            explain = partial(collect, loan.link, statement, params, limits)
            if analyze and not (loan.within or loan.readonly):  # In a session that may change data.
                result, _ = await self._in_own_transaction(loan, lambda: loan.run(explain(within=True)), readonly=True)
            else:
                result, _ = await loan.run(explain(within=loan.within))
        if len(result.columns) == 1:
            text = "\n".join(str(row[0]) for row in result)
        elif target.dialect == "sqlite":
            depth = {0: -1}
            for row in result:
                depth[row[0]] = depth[row[1]] + 1
            text = "\n".join("  " * depth[row[0]] + row[3] for row in result)
        else:
            text = str(result)
        return Plan(text, result)

    @method(permission="database.query", kind="read", errors=ERRORS, message_bytes=None)
    async def describe(self, database: str, sql: str, *, transaction: str | None = None, ctx: Context) -> Description:
        """What a statement takes and gives, without running it.

        Parameters:
            database, sql, transaction: as of :meth:`query`.

        Returns:
            Its parameters, its columns, and whether it only reads. SQLite and MariaDB tell the columns of ``RETURNING``
            only while it runs.

        Raises:
            DatabaseError, UnknownDatabase, TransactionLost: as of :meth:`query`.
        """
        check_text(sql)
        target = self._target(database)
        async with self._lend(ctx, target, transaction, readonly=True) as loan:
            if not loan.within:
                await loan.run(loan.link.guard())
            return await loan.run(loan.link.describe(sql))

    @method(permission="database.schema", kind="read", errors=ERRORS)
    async def schemas(self, database: str, *, ctx: Context) -> list[str]:
        """The schemas of a database.

        Parameters:
            database: its name.

        Returns:
            Their names.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        from .inspection import inspect_database, list_schemas  # It loads SQLAlchemy.

        return await inspect_database(self._target(database), ctx.principal.name, list_schemas)

    @method(permission="database.schema", kind="read", errors=ERRORS)
    async def tables(self, database: str, *, schema: str | None = None, ctx: Context) -> list[TableName]:
        """The tables and views of a schema.

        Parameters:
            database: its name.
            schema: the schema; the default one where not given.

        Returns:
            Their names and kinds, in the order of their names.

        Raises:
            DatabaseError, UnknownDatabase: as of :meth:`query`.
        """
        from .inspection import inspect_database, list_tables  # It loads SQLAlchemy.

        return await inspect_database(
            self._target(database), ctx.principal.name, lambda inspector: list_tables(inspector, schema)
        )

    @method(permission="database.schema", kind="read", errors=ERRORS)
    async def table(self, database: str, name: str, *, schema: str | None = None, ctx: Context) -> TableInfo:
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
        from .inspection import inspect_database, read_table  # It loads SQLAlchemy.

        return await inspect_database(
            self._target(database),
            ctx.principal.name,
            lambda inspector: read_table(inspector, name, schema),
        )
