"""Tables as ``\\d`` of the interactive ``rpcclient sql`` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import show

if TYPE_CHECKING:
    from rpcclient.stubs.database import TableInfo, TableName


def show_tables(tables: Sequence[TableName]) -> None:
    """Print the names of tables and views."""
    rows = [{"name": t.name, "kind": t.kind.value, "schema": t.schema} for t in tables]
    show.show(rows, readable=True) if rows else print("no tables")


def show_table(info: TableInfo) -> None:
    """Print a table's columns, indexes, keys and checks, and a view's definition."""
    print(show.text(f"{info.kind.value} {info.name}"))
    show.show(
        [
            {
                "column": column.name,
                "type": column.db_type,
                "null": "" if column.nullable else "not null",
                "default": column.default or "",
                "key": "primary" if column.name in info.primary_key else "",
            }
            for column in info.columns
        ],
        readable=True,
    )
    index_keys = {(index.name, index.unique) for index in info.indexes}
    # A database that keeps a constraint by an index tells of both.
    for index in (*info.indexes, *(index for index in info.unique if (index.name, index.unique) not in index_keys)):
        columns = ", ".join(name or "(expression)" for name in index.columns)
        print(show.text(f"{'unique' if index.unique else 'index'} {index.name or ''} ({columns})"))
    for key in info.foreign_keys:
        there = f"{key.schema}.{key.table}" if key.schema else key.table
        print(show.text(f"foreign key ({', '.join(key.columns)}) references {there} ({', '.join(key.references)})"))
    for check in info.checks:
        print(show.text(f"check {check.name or ''} ({check.sql})"))
    if info.definition:
        print(show.text(info.definition))
