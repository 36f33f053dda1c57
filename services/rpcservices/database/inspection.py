"""Lists what a database holds, by SQLAlchemy's inspector."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, PoolProxiedConnection, inspect, text
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import CompileError, NoSuchTableError, SAWarning
from sqlalchemy.types import NullType
from sqlalchemy.util import greenlet_spawn

from .errors import DatabaseProgrammingError
from .failures import translate_error
from .models import Check, ForeignKey, Index, TableColumn, TableInfo, TableKind, TableName
from .pool import Target

_T = TypeVar("_T")

_POSTGRESQL_TYPES = """
    SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = :name AND a.attnum > 0 AND NOT a.attisdropped
"""
_MYSQL_TYPES = """
    SELECT column_name, column_type FROM information_schema.columns
    WHERE table_schema = :schema AND table_name = :name
"""
_TYPES = {"postgresql": _POSTGRESQL_TYPES, "mysql": _MYSQL_TYPES, "mariadb": _MYSQL_TYPES}
"""Queries for the names of types that SQLAlchemy does not know, such as ``point``."""
# It would fill the log; we ask the database for such types.
warnings.filterwarnings("ignore", "Did not recognize type", SAWarning)


async def inspect_database(target: Target, holder: str, ask: Callable[[Inspector], _T]) -> _T:
    """Run an inspector of a database on a link that only reads, with the checks, limits and guards of a query.

    Parameters:
        target: the database.
        holder: the name of the principal for whom it is.
        ask: takes the inspector.

    Raises:
        DatabaseError: the database refused, or there is no such table.
    """
    try:
        async with target.reading.link(holder) as link:
            return await link.run(greenlet_spawn(_ask, target.reading.engine, link.lend_raw(), ask))
    except NoSuchTableError as exc:
        raise DatabaseProgrammingError(f"name: there is no table {str(exc)[:80]!r}", executed="no") from None
    except Exception as exc:
        raise translate_error(exc) from None


def _ask(engine: Engine, connection: PoolProxiedConnection, ask: Callable[[Inspector], _T]) -> _T:
    return ask(inspect(Connection(engine, connection=connection)))


def list_schemas(inspector: Inspector) -> list[str]:
    """The names of the schemas."""
    return list(inspector.get_schema_names())


def _names(inspector: Inspector, schema: str | None) -> dict[TableKind, list[str]]:
    names = {
        TableKind.TABLE: inspector.get_table_names(schema),
        TableKind.VIEW: inspector.get_view_names(schema),
        TableKind.MATERIALIZED_VIEW: [],
    }
    try:
        names[TableKind.MATERIALIZED_VIEW] = inspector.get_materialized_view_names(schema)
    except NotImplementedError:
        pass  # This database has none.
    return names


def _check_schema(inspector: Inspector, schema: str | None) -> None:
    if schema is not None and not inspector.has_schema(schema):
        raise DatabaseProgrammingError(
            f"schema: there is no schema {schema[:80]!r}: schemas() lists them", executed="no"
        )


def list_tables(inspector: Inspector, schema: str | None) -> list[TableName]:
    """The tables and views of a schema.

    Raises:
        DatabaseProgrammingError: there is no such schema.
    """
    _check_schema(inspector, schema)
    tables = [TableName(name, kind, schema) for kind, names in _names(inspector, schema).items() for name in names]
    return sorted(tables, key=lambda table: table.name)


def read_table(inspector: Inspector, name: str, schema: str | None) -> TableInfo:
    """One table in full.

    Raises:
        NoSuchTableError: there is none.
        DatabaseProgrammingError: there is no such schema.
    """
    _check_schema(inspector, schema)
    kind = next((kind for kind, names in _names(inspector, schema).items() if name in names), None)
    if kind is None:
        raise NoSuchTableError(name)
    comment = _if_offered(lambda: inspector.get_table_comment(name, schema), {}).get("text")
    columns = inspector.get_columns(name, schema)
    types = _unknown_types(inspector, name, schema) if any(isinstance(c["type"], NullType) for c in columns) else {}
    return TableInfo(
        name=name,
        kind=kind,
        schema=schema,
        columns=[_column(inspector, entry, types) for entry in columns],
        primary_key=list(inspector.get_pk_constraint(name, schema).get("constrained_columns") or []),
        foreign_keys=[_foreign_key(entry) for entry in inspector.get_foreign_keys(name, schema)],
        indexes=[
            Index(entry["name"], list(entry["column_names"]), bool(entry["unique"]))
            for entry in inspector.get_indexes(name, schema, include_auto_indexes=True)
        ],
        unique=[
            Index(entry["name"], list(entry["column_names"]), unique=True)
            for entry in _if_offered(lambda: inspector.get_unique_constraints(name, schema), [])
        ],
        checks=[
            Check(entry["name"], entry["sqltext"])
            for entry in _if_offered(lambda: inspector.get_check_constraints(name, schema), [])
        ],
        comment=comment,
        definition=None if kind is TableKind.TABLE else inspector.get_view_definition(name, schema),
    )


def _if_offered(ask: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return ask()
    except NotImplementedError:
        return otherwise


def _unknown_types(inspector: Inspector, name: str, schema: str | None) -> dict[str, str]:
    """The types of a table's columns, by the database's own names."""
    sql = _TYPES.get(inspector.dialect.name)
    if sql is None or not isinstance(inspector.bind, Connection):
        return {}
    rows = inspector.bind.execute(text(sql), {"schema": schema or inspector.default_schema_name, "name": name})
    return {row[0]: row[1] for row in rows}


def _column(inspector: Inspector, column: Mapping[str, Any], types: Mapping[str, str]) -> TableColumn:
    if isinstance(column["type"], NullType):
        db_type = types.get(column["name"], "")  # In SQLite a column may be declared without a type.
    else:
        try:
            db_type = column["type"].compile(inspector.dialect)
        except CompileError:
            db_type = str(column["type"])
    computation = column.get("computed")
    return TableColumn(
        name=column["name"],
        db_type=db_type,
        nullable=bool(column["nullable"]),
        default=column.get("default"),
        generated=computation["sqltext"] if computation else None,
        autoincrement=column.get("autoincrement") is True or column.get("identity") is not None,
        comment=column.get("comment"),
    )


def _foreign_key(key: Mapping[str, Any]) -> ForeignKey:
    options = key.get("options") or {}
    return ForeignKey(
        name=key["name"],
        columns=list(key["constrained_columns"]),
        schema=key["referred_schema"],
        table=key["referred_table"],
        references=list(key["referred_columns"]),
        on_update=options.get("onupdate"),
        on_delete=options.get("ondelete"),
    )
