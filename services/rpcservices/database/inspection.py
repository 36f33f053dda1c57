"""What a database holds, by SQLAlchemy's inspector."""

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
"""What databases say of columns whose types SQLAlchemy does not know, such as ``point``."""
warnings.filterwarnings("ignore", "Did not recognize type", SAWarning)  # It would fill the log: we ask the database.


async def inspected(target: Target, ask: Callable[[Inspector], _T]) -> _T:
    """Ask an inspector of a database, on a link that only reads: with the checks, limits and guards of a query.

    Raises:
        DatabaseError: the database refused, or there is no such table.
    """
    try:
        async with target.reading.link() as link:
            return await link.run(greenlet_spawn(_asked, target.reading.engine, link.lend_raw(), ask))
    except NoSuchTableError as exc:
        raise DatabaseProgrammingError(f"name: there is no table {str(exc)!r}", executed="no") from None
    except Exception as exc:
        raise translate_error(exc) from None


def _asked(engine: Engine, connection: PoolProxiedConnection, ask: Callable[[Inspector], _T]) -> _T:
    return ask(inspect(Connection(engine, connection=connection)))


def list_schemas(inspector: Inspector) -> list[str]:
    """The names of the schemas."""
    return list(inspector.get_schema_names())


def _names(inspector: Inspector, schema: str | None) -> dict[TableKind, list[str]]:
    found = {
        TableKind.TABLE: inspector.get_table_names(schema),
        TableKind.VIEW: inspector.get_view_names(schema),
        TableKind.MATERIALIZED_VIEW: [],
    }
    try:
        found[TableKind.MATERIALIZED_VIEW] = inspector.get_materialized_view_names(schema)
    except NotImplementedError:
        pass  # This database has none.
    return found


def _check_schema(inspector: Inspector, schema: str | None) -> None:
    if schema is not None and not inspector.has_schema(schema):
        raise DatabaseProgrammingError(f"schema: there is no schema {schema!r}: schemas() lists them", executed="no")


def list_tables(inspector: Inspector, schema: str | None) -> list[TableName]:
    """The tables and views of a schema.

    Raises:
        DatabaseProgrammingError: there is no such schema.
    """
    _check_schema(inspector, schema)
    found = [TableName(name, kind, schema) for kind, names in _names(inspector, schema).items() for name in names]
    return sorted(found, key=lambda table: table.name)


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
        columns=[_column(inspector, found, types) for found in columns],
        primary_key=list(inspector.get_pk_constraint(name, schema).get("constrained_columns") or []),
        foreign_keys=[_foreign_key(found) for found in inspector.get_foreign_keys(name, schema)],
        indexes=[
            Index(found["name"], list(found["column_names"]), bool(found["unique"]))
            for found in inspector.get_indexes(name, schema, include_auto_indexes=True)
        ],
        unique=[
            Index(found["name"], list(found["column_names"]), unique=True)
            for found in _if_offered(lambda: inspector.get_unique_constraints(name, schema), [])
        ],
        checks=[
            Check(found["name"], found["sqltext"])
            for found in _if_offered(lambda: inspector.get_check_constraints(name, schema), [])
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
    """The types of a table's columns in the database's own words."""
    sql = _TYPES.get(inspector.dialect.name)
    if sql is None or not isinstance(inspector.bind, Connection):
        return {}
    found = inspector.bind.execute(text(sql), {"schema": schema or inspector.default_schema_name, "name": name})
    return {row[0]: row[1] for row in found}


def _column(inspector: Inspector, found: Mapping[str, Any], types: Mapping[str, str]) -> TableColumn:
    if isinstance(found["type"], NullType):
        db_type = types.get(found["name"], "")  # In SQLite a column may be declared without.
    else:
        try:
            db_type = found["type"].compile(inspector.dialect)
        except CompileError:
            db_type = str(found["type"])
    computed = found.get("computed")
    return TableColumn(
        name=found["name"],
        db_type=db_type,
        nullable=bool(found["nullable"]),
        default=found.get("default"),
        generated=computed["sqltext"] if computed else None,
        autoincrement=found.get("autoincrement") is True or found.get("identity") is not None,
        comment=found.get("comment"),
    )


def _foreign_key(found: Mapping[str, Any]) -> ForeignKey:
    options = found.get("options") or {}
    return ForeignKey(
        name=found["name"],
        columns=list(found["constrained_columns"]),
        schema=found["referred_schema"],
        table=found["referred_table"],
        references=list(found["referred_columns"]),
        on_update=options.get("onupdate"),
        on_delete=options.get("ondelete"),
    )
