"""What the database service takes and gives."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, overload

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from rpcwire.rows.row import Row
from rpcwire.rows.rows import Rows
from rpcwire.values.repeated import Repeated
from rpcwire.values.tagged import Value


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
    nullable: bool | None = Field(
        default=None,
        description="whether it may hold NULL; None where that is not known: PostgreSQL tells it in `describe` "
        "only, and SQLite never",
    )
    precision: int | None = Field(
        default=None, description="digits in all, of a decimal number; SQLite tells it in `describe` only"
    )
    scale: int | None = Field(default=None, description="digits after the point, of a decimal number")
    exact: bool = Field(
        default=True,
        description="whether the cells are what the database holds; False for FLOAT of MariaDB and MySQL, of which it "
        "sends six digits: `x + 0e0` gives all",
    )
    item: ColumnType | None = Field(
        default=None,
        description="of an array, what its items are; `precision` and `scale` are theirs. PostgreSQL tells it",
    )
    dimensions: int | None = Field(
        default=None,
        description="of an array, how many dimensions it has in the first rows; 1 where there are none",
    )
    zone: str | None = Field(
        default=None, description="the time zone that times come in, where it is another than UTC: `Europe/Berlin`"
    )


Columns = Annotated[tuple[Column, ...], Repeated()]
"""The columns of a result, encoded once for as long as they stay the same."""


@dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True))
class Result:
    """What a statement gave. It is a sequence of its rows, which are tuples with names, and prints as a table."""

    columns: Columns = Field(description="the columns; none where the statement gives no rows")
    rows: Rows = Field(description="the rows: `for row in result`, `result[0].name`, `result.to_pandas()`")
    rowcount: int = Field(description="rows found, or changed; -1 where the database does not say")
    truncated: bool = Field(default=False, description="whether there were more rows than `max_rows` or the byte limit")
    tx_state: TxState = Field(default=TxState.NONE, description="the transaction after the statement")
    last_insert_id: int | None = Field(default=None, description="SQLite and MariaDB: the key that an INSERT was given")
    gives_rows: bool = Field(
        default=False,
        description="whether the statement gives rows, which in PostgreSQL may have no columns: `SELECT FROM t`",
    )
    notices: list[str] = Field(
        default_factory=list, description="what the statement asked for and did not get, though it is no error"
    )

    def __post_init__(self) -> None:
        self.rows.describe(self.columns)

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
        return self._show(str(self.rows))

    def __repr__(self) -> str:
        return self._show(repr(self.rows))

    def _show(self, table: str) -> str:
        more = "\n(truncated: there are more rows)" if self.truncated else ""
        return (
            f"{table}{more}"
            if self.columns or self.gives_rows
            else f"({self.rowcount} row{'' if self.rowcount == 1 else 's'} changed)"
        )

    def _repr_html_(self) -> str:
        more = "<p>truncated: there are more rows</p>" if self.truncated else ""
        return f"{self.rows._repr_html_()}{more}" if self.columns or self.gives_rows else f"<p>{self}</p>"

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
            LookupError: there is no row, more than one, or one without columns.
        """
        row = self.one()
        if not row:
            raise LookupError("expected a cell: the row has no columns")
        return row[0]

    def column(self, which: int | str) -> list[Any]:
        """All cells of one column, by its position from 0 or its name.

        Raises:
            KeyError: no column has this name.
            IndexError: there is none at this position.
        """
        return self.rows.column(which)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Each row as a dictionary; of columns with one name the last wins."""
        return self.rows.to_dicts()

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``: see :mod:`rpcwire.rows.dataframes` for its types.

        Raises:
            ImportError: pandas is not installed.
        """
        return self.rows.to_pandas()

    def to_arrow(self) -> Any:
        """A ``pyarrow.Table``: see :mod:`rpcwire.rows.dataframes` for its types.

        Raises:
            ImportError: pyarrow is not installed.
            TypeError: a column holds cells that have no common type in Arrow.
        """
        return self.rows.to_arrow()


@dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True))
class Page:
    """Some rows of a stream, bounded in number and in bytes."""

    columns: Columns = Field(description="the columns, the same on each page")
    rows: Rows = Field(description="the rows, in order")
    offset: int = Field(description="how many rows came before this page")
    rowcount: int = Field(default=-1, description="on the last page: rows found, or changed; -1 where not known")
    last_insert_id: int | None = Field(default=None, description="on the last page: the key that an INSERT was given")
    tx_state: TxState = Field(default=TxState.NONE, description="on the last page: the transaction after the statement")
    gives_rows: bool = Field(
        default=False,
        description="whether the statement gives rows, which in PostgreSQL may have no columns: `SELECT FROM t`",
    )
    notices: list[str] = Field(
        default_factory=list,
        description="on the last page: what the statement asked for and did not get, though it is no error",
    )

    def __post_init__(self) -> None:
        self.rows.describe(self.columns)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return repr(self.rows)

    def _repr_html_(self) -> str:
        return self.rows._repr_html_()


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


@dataclass(frozen=True)
class Session:
    """A connection to the database kept for one client: settings, temporary tables and locks stay from statement to
    statement. It belongs to the connection that opened it, and ends with it."""

    id: str = Field(description="give it as `transaction` to statements; each commits itself where none is open")
    database: str = Field(description="the database")
    readonly: bool = Field(description="whether it refuses every change")
    idle_s: float = Field(description="it is closed when unused for this many seconds")
    dialect: str = Field(default="", description="the database's kind, as `databases` tells it")


@dataclass(frozen=True)
class Changed:
    """What several changes did together."""

    rowcount: int = Field(description="rows changed in all; -1 where the database does not say")
    statements: int = Field(description="how many statements ran, or how often one did")
    tx_state: TxState = Field(default=TxState.NONE, description="the transaction afterwards")
    notices: list[str] = Field(
        default_factory=list, description="of a script: what it asked for and did not get, though it is no error"
    )


class Outcome(Enum):
    """What became of a step, or what a condition asks about one.

    ``ok``, ``error`` and ``skipped`` say how it went; ``rows`` and ``no_rows`` whether it found any; ``changed`` and
    ``unchanged`` whether it changed any.
    """

    OK = "ok"
    ERROR = "error"
    SKIPPED = "skipped"
    ROWS = "rows"
    NO_ROWS = "no_rows"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Condition:
    """What an earlier step must have come to."""

    step: int = Field(ge=0, description="which step, from 0; an earlier one")
    outcome: Outcome = Field(default=Outcome.OK, description="what must be true of it")


@dataclass(frozen=True)
class Step:
    """One statement of a batch."""

    sql: str = Field(description="one statement")
    params: dict[str, Value] | list[Value] | None = Field(
        default=None, description="values for `:name` (a dictionary) or `?` (a list)"
    )
    when: list[Condition] = Field(default_factory=list, description="it is skipped unless all of these hold")


@dataclass(frozen=True)
class StepError:
    """Why a step failed, where the batch went on."""

    type: str = Field(description="the class of the error, such as DatabaseIntegrityError")
    message: str = Field(description="what the database said")
    sqlstate: str | None = Field(default=None, description="the SQL standard's code")
    driver_code: str | None = Field(default=None, description="the database's own code")
    retryable: bool = Field(default=False, description="whether the same may succeed later")


@dataclass(frozen=True)
class StepResult:
    """What became of a step."""

    outcome: Outcome = Field(description="ok, error or skipped")
    result: Result | None = Field(default=None, description="what it gave, where it went well")
    error: StepError | None = Field(default=None, description="why it failed, where it did")


@dataclass(frozen=True)
class Plan:
    """How the database would run a statement. It prints as the database words it."""

    text: str = Field(description="the plan, for a person")
    result: Result = Field(description="the plan as the database gives it")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class ParameterInfo:
    """A parameter of a statement."""

    position: int = Field(description="its place, from 1")
    name: str | None = Field(default=None, description="its name; None for a `?`")
    db_type: str | None = Field(default=None, description="the type that the database expects; None where not known")


@dataclass(frozen=True)
class Description:
    """What a statement takes and gives, without running it."""

    parameters: list[ParameterInfo] = Field(description="its parameters")
    columns: list[Column] = Field(description="the columns of its rows; none where it gives none")
    readonly: bool | None = Field(
        default=None,
        description="whether it changes nothing by itself (functions that it calls aside); None where not known",
    )


@dataclass(frozen=True)
class TableColumn:
    """A column of a table."""

    name: str = Field(description="its name")
    db_type: str = Field(description="its type, as the database writes it")
    nullable: bool = Field(description="whether it may hold NULL")
    default: str | None = Field(default=None, description="its default, as SQL")
    generated: str | None = Field(default=None, description="the expression that it is computed by")
    autoincrement: bool = Field(default=False, description="whether the database numbers it")
    comment: str | None = Field(default=None, description="its comment")


@dataclass(frozen=True)
class ForeignKey:
    """Columns that refer to another table."""

    name: str | None = Field(description="the constraint's name")
    columns: list[str] = Field(description="here")
    schema: str | None = Field(description="the other table's schema, where it is not this one's")
    table: str = Field(description="the other table")
    references: list[str] = Field(description="its columns")
    on_update: str | None = Field(default=None, description="what follows a change there")
    on_delete: str | None = Field(default=None, description="what follows a deletion there")


@dataclass(frozen=True)
class Index:
    """An index or a unique constraint."""

    name: str | None = Field(description="its name")
    columns: list[str | None] = Field(description="its columns; None for an expression")
    unique: bool = Field(description="whether no two rows may agree in them")


@dataclass(frozen=True)
class Check:
    """A condition that each row fulfils."""

    name: str | None = Field(description="its name")
    sql: str = Field(description="the condition")


class TableKind(Enum):
    """What kind of table something is."""

    TABLE = "table"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized_view"


@dataclass(frozen=True)
class TableName:
    """A table or view."""

    name: str = Field(description="its name")
    kind: TableKind = Field(description="what it is")
    schema: str | None = Field(default=None, description="its schema; None for the default one")


@dataclass(frozen=True)
class TableInfo:
    """A table or view in full."""

    name: str = Field(description="its name")
    kind: TableKind = Field(description="what it is")
    schema: str | None = Field(description="its schema; None for the default one")
    columns: list[TableColumn] = Field(description="its columns, in order")
    primary_key: list[str] = Field(description="the columns of the primary key")
    foreign_keys: list[ForeignKey] = Field(description="its references to other tables")
    indexes: list[Index] = Field(description="its indexes")
    unique: list[Index] = Field(description="its unique constraints")
    checks: list[Check] = Field(description="its check constraints")
    comment: str | None = Field(default=None, description="its comment")
    definition: str | None = Field(default=None, description="of a view, its query")
