"""What the database service takes and gives."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, overload

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from rpcwire.row import Row
from rpcwire.rows import Rows


class ColumnType(Enum):
    """What the cells of a column are in Python."""

    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    TEXT = "text"
    BYTES = "bytes"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    DATETIME_TZ = "datetime_tz"
    DURATION = "duration"
    UUID = "uuid"
    JSON = "json"
    ARRAY = "array"
    ANY = "any"


class TxState(Enum):
    """The transaction that a statement ran in, after the statement.

    ``none``: it ran on its own, and has been committed or rolled back whole. ``active``: the transaction goes on.
    ``failed``: it can only be rolled back, to a savepoint or altogether. ``ended``: there is none any more.
    """

    NONE = "none"
    ACTIVE = "active"
    FAILED = "failed"
    ENDED = "ended"


class Isolation(Enum):
    """Isolation levels of the SQL standard. SQLite is always serializable."""

    READ_UNCOMMITTED = "read uncommitted"
    READ_COMMITTED = "read committed"
    REPEATABLE_READ = "repeatable read"
    SERIALIZABLE = "serializable"


@dataclass(frozen=True)
class Column:
    """A column of a result."""

    name: str = Field(description="as the database names it; it may be empty, or occur twice")
    type: ColumnType = Field(
        default=ColumnType.ANY, description="what the cells are in Python; `json` cells are the JSON text"
    )
    db_type: str | None = Field(
        default=None, description="the database's own name of the type; for SQLite the storage class of the cells"
    )
    nullable: bool | None = Field(default=None, description="whether it may hold NULL; None where that is not known")
    precision: int | None = Field(default=None, description="digits in all, of a decimal number")
    scale: int | None = Field(default=None, description="digits after the point, of a decimal number")


@dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True))
class Result:
    """What a statement gave. It is a sequence of its rows, which are tuples with names, and prints as a table."""

    columns: list[Column] = Field(description="the columns; none where the statement gives no rows")
    rows: Rows = Field(description="the rows: `for row in result`, `result[0].name`, `result.rows.to_pandas()`")
    rowcount: int = Field(description="rows found, or changed; -1 where the database does not say")
    truncated: bool = Field(default=False, description="whether there were more rows than `max_rows` or the byte limit")
    tx_state: TxState = Field(default=TxState.NONE, description="the transaction after the statement")
    last_insert_id: int | None = Field(default=None, description="SQLite and MariaDB: the key that an INSERT was given")

    def __post_init__(self) -> None:
        self.rows.names = tuple(column.name for column in self.columns)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self.rows[index]

    def __str__(self) -> str:
        more = "\n(truncated: there are more rows)" if self.truncated else ""
        return f"{self.rows}{more}" if self.columns else f"({self.rowcount} rows changed)"

    def _repr_html_(self) -> str:
        return self.rows._repr_html_()

    def one(self) -> Row:
        """The only row.

        Raises:
            LookupError: there is none, or more than one.
        """
        if len(self.rows) != 1:
            raise LookupError(f"expected one row, found {len(self.rows)}")
        return self.rows[0]

    def scalar(self) -> Any:
        """The first cell of the only row.

        Raises:
            LookupError: there is no row, or more than one.
        """
        return self.one()[0]


@dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True))
class Page:
    """Some rows of a stream, bounded in number and in bytes."""

    columns: list[Column] = Field(description="the columns, the same on each page")
    rows: Rows = Field(description="the rows, in order")
    offset: int = Field(description="how many rows came before this page")

    def __post_init__(self) -> None:
        self.rows.names = tuple(column.name for column in self.columns)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


@dataclass(frozen=True)
class DatabaseInfo:
    """A database that may be named in calls."""

    name: str = Field(description="its name in calls")
    dialect: str = Field(description="its kind: sqlite, postgresql, mysql, mariadb or another of SQLAlchemy's")
    driver: str = Field(description="the driver that the server uses")
    readonly: bool = Field(description="whether it refuses every change")
    max_rows: int = Field(description="the most rows that one `query` or `execute` returns")
    max_bytes: int = Field(description="the most bytes of rows that one `query` or `execute` returns")


@dataclass(frozen=True)
class Transaction:
    """An open transaction. It belongs to the connection that began it, and is rolled back when that ends."""

    id: str = Field(description="give it as `transaction` to the statements that belong to it")
    database: str = Field(description="the database it is open on")
    readonly: bool = Field(description="whether it refuses every change")
    isolation: Isolation | None = Field(default=None, description="its isolation; None for the database's default")
    idle_s: float = Field(default=0.0, description="it is rolled back when unused for this many seconds")
    total_s: float = Field(default=0.0, description="it is rolled back after this many seconds in any case")
